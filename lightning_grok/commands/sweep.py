"""``python -m lightning_grok sweep``: a sweep file on this machine or on a Dask cluster."""

import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from lightning_grok.commands import CommandParser, number
from lightning_grok.commands.siblings import run_siblings
from lightning_grok.commands.sweep_cluster import PointOutcome, run_points
from lightning_grok.commands.sweep_file import check_size, read_sweep
from lightning_grok.commands.sweep_points import Point, grid, plan
from lightning_grok.errors import InputError


def main(arguments: Sequence[str]) -> None:
    """Run all points of a sweep that are not finished."""
    parser = CommandParser(
        "sweep",
        description="Run the grid of a W&B sweep file without W&B, each point a fit of its own. "
        "Given again, the command skips points that are finished and resumes those begun.",
    )
    parser.add_argument("file", help="sweep file, as for `wandb sweep`, or a packaged one's name")
    parser.add_argument("--seeds", help="values of seed_everything, as 0-9 or 0,3,7")
    parser.add_argument("--root", type=Path, help="folder of the runs (runs/<file's name>)")
    parser.add_argument(
        "--workers", type=number(1, 10_000), help="points at a time on this machine"
    )
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    options = parser.parse_args(arguments)
    sweep = read_sweep(options.file)
    root = options.root or Path("runs") / Path(options.file).stem
    points = plan(sweep, grid(sweep, parse_seeds(options.seeds)), root)
    changed = [point for point in points if point.changed]
    if changed:
        raise InputError(
            f"expected the configuration that {changed[0].run} was finished with, received another "
            f"one for {len(changed)} of {len(points)} points: to run it, give another --root"
        )
    todo = [point for point in points if not point.finished]
    if options.dry_run:
        for point in todo:
            print(shlex.join(part.replace("${interpreter}", "python") for part in point.command))
    print(f"{len(points)} points, {len(points) - len(todo)} finished, {len(todo)} to run in {root}")
    if not options.dry_run:
        run_todo(todo, options.workers, options.scheduler)


def run_todo(todo: list[Point], workers: int | None = None, scheduler: str | None = None) -> None:
    """Run points, and end with status 1 where one failed.

    Args:
        todo: the points.
        workers: points at a time on this machine.
        scheduler: address of a Dask scheduler to run them instead.

    Raises:
        InputError: there is no place to write into.
    """
    if not todo:
        return
    _check_place(todo[0].run.parent)
    outcomes: list[PointOutcome] = []
    bar = tqdm(total=len(todo), unit="point", file=sys.stderr)
    usual = signal.signal(signal.SIGTERM, _stop)
    try:
        with closing(
            run_points(todo, scheduler) if scheduler else run_siblings(todo, workers)
        ) as ended:
            for outcome in ended:
                outcomes.append(outcome)
                failed = sum(each.status != 0 for each in outcomes)
                bar.set_postfix_str(f"{failed} failed, last {outcome.name}", refresh=False)
                bar.update()
    except KeyboardInterrupt as stopped:
        bar.close()
        print(f"stopped: {len(outcomes)} of {len(todo)} done; the same command goes on")
        sys.exit(128 + (stopped.args or (signal.SIGINT,))[0])
    finally:
        signal.signal(signal.SIGTERM, usual)
    bar.close()
    logs = {point.name: point.log for point in todo}
    failures = [outcome for outcome in outcomes if outcome.status != 0]
    for outcome in failures:
        log = logs[outcome.name]
        lines = log.read_text(encoding="utf-8").strip().splitlines() or ["(nothing printed)"]
        print(f"failed: {outcome.name} (status {outcome.status}): {lines[-1]}\n  log: {log}")
    print(f"{len(outcomes) - len(failures)} done, {len(failures)} failed")
    if failures:
        sys.exit(1)


def _stop(number: int, frame: object) -> None:
    """Stop as Ctrl-C does, once: `timeout` sends its signal twice."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def _check_place(root: Path) -> None:
    """Refuse a folder that can't be written, before anything is started."""
    try:
        (root / "logs").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root / "logs"):
            pass
    except OSError as error:
        raise InputError(
            f"expected a folder to write runs into, received {root}: {error.strerror}"
        ) from None


def parse_seeds(text: str | None) -> list[int] | None:
    """Seeds written as ``0-9`` or ``0,3,7``, each once.

    Raises:
        InputError: they are not.
    """
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**32:
            raise InputError(f"expected seeds such as 0-9 or 0,3,7, received {text[:80]}")
        check_size(len(seeds) + last - first + 1, f"--seeds {text[:80]}")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))

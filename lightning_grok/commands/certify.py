"""``python -m lightning_grok certify``: what a configuration comes to over seeds."""

import math
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_grok import __version__
from lightning_grok.analysis.crossing import first_held
from lightning_grok.analysis.instability import onset_instability
from lightning_grok.analysis.onset import run_events
from lightning_grok.analysis.outcome import in_epochs
from lightning_grok.commands import CommandParser, number
from lightning_grok.commands.arguments import find_packaged, hint_file
from lightning_grok.commands.sweep import parse_seeds, run_todo
from lightning_grok.commands.sweep_file import Sweep
from lightning_grok.commands.sweep_points import grid, plan
from lightning_grok.errors import InputError
from lightning_grok.runs.files import write_content
from lightning_grok.runs.run import Run, read_run
from lightning_grok.runs.yaml_file import read_text

_FIT = ("${interpreter}", "-m", "lightning_grok", "fit", "${args}")
_BARE = tuple(
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "umap", "weight_norm")
)  # what a network comes to does not depend on them
_QUIET = ("--run.figures=false", "--wandb.mode=disabled", "--trainer.enable_progress_bar=false")
_SEEDS = "0-4"
_RIGHT = 0.99  # test accuracy
_WITHIN = 1.5  # times of a check may lie so far, as a factor, outside of the certified ones
_TIMES = ("memorized", "begins", "half", "right")
_HEAD = (
    "seed", "memorized", "begins", "half", "99 %", "train", "test", "grokked", "in an instability",
    "seconds",
)  # fmt: skip


class SeedOutcome(NamedTuple):
    """What one seed came to.

    Attributes:
        seed: of the run.
        memorized, begins, half: epochs, as everywhere; infinite where they never came.
        right: epoch from which test accuracy holds 99 %.
        train, test: final accuracies.
        grokked: by this project's definition.
        unstable: whether the onset lies inside an instability of the optimizer.
        seconds: of the run, imports apart.
    """

    seed: int
    memorized: float
    begins: float
    half: float
    right: float
    train: float
    test: float
    grokked: bool
    unstable: bool
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether it ended with 99 % of the test set right."""
        return self.test >= _RIGHT


def main(arguments: Sequence[str]) -> None:
    """Run a configuration over seeds; print, write or check its certificate."""
    parser = CommandParser(
        "certify",
        description="Train a configuration over seeds, without the measurements that take time, "
        "and say what it comes to. --write keeps that beside the configuration, as "
        "NAME.certificate.md; --check compares with it, and ends with status 1 where a seed comes "
        "to something else. Of a folder the certificates in it are printed as one table.",
    )
    parser.add_argument("config", help="configuration, or a packaged one's name, or a folder")
    parser.add_argument("--seeds", default=_SEEDS, help=f"as 0-9 or 0,3,7 ({_SEEDS})")
    parser.add_argument("--root", type=Path, help="folder of the runs (runs/certify-NAME)")
    parser.add_argument("--workers", type=number(1, 10_000), help="seeds at a time")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="keep the certificate")
    what.add_argument("--check", action="store_true", help="compare with the certificate")
    options = parser.parse_args(arguments)
    if Path(options.config).is_dir():
        print(certificates(Path(options.config)))
        return
    config = find_packaged(options.config, "configs")
    if not config.is_file():
        near = hint_file(options.config, "configs")
        raise InputError(f"expected a configuration, received {config}: no such file{near}")
    _expect_buildable(config)
    kept = config.with_suffix(".certificate.md")
    certified = read_certificate(kept) if options.check else []
    root = options.root or Path("runs") / f"certify-{config.stem}"
    sweep = Sweep({"config": [str(config)], "seed_everything": [0]}, (*_FIT, *_BARE, *_QUIET))
    points = plan(sweep, grid(sweep, parse_seeds(options.seeds)), root)
    run_todo([point for point in points if not point.finished or point.changed], options.workers)
    outcomes = [outcome_of(read_run(point.run)) for point in points]
    text = certificate(options.config, outcomes)
    print(text)
    if options.write:
        write_content(kept, text)
        print(f"written: {kept}")
    if different := [line for each in outcomes for line in departures(each, certified)]:
        print("\n".join(different), file=sys.stderr)
        sys.exit(1)


def _expect_buildable(config: Path) -> None:
    """Build what a configuration describes, so that one that can't be is refused once, not by seed.

    Raises:
        InputError: as ``fit`` has it.
    """
    from lightning_grok.commands.fit import GrokCLI

    GrokCLI(["--config", str(config), *_BARE, *_QUIET], run=False)


def outcome_of(run: Run) -> SeedOutcome:
    """What a run came to."""
    events = run_events(run)
    epochs, test = run.series("test/accuracy")
    held = first_held(np.asarray(test) >= _RIGHT)
    return SeedOutcome(
        run.seed or 0,
        events.t_mem,
        events.begins,
        events.test.t_half,
        math.inf if held is None else float(epochs[held]),
        events.train_accuracy,
        events.test_accuracy,
        events.grokked,
        bool(onset_instability(run, events)),
        float(run.meta.get("seconds", math.nan)),
    )


def certificate(config: str, outcomes: Sequence[SeedOutcome]) -> str:
    """The certificate as a page in Markdown: a line a seed, and what they share."""
    grokked = sum(each.grokked for each in outcomes)
    right = sum(each.is_right for each in outcomes)
    seconds = statistics.median(each.seconds for each in outcomes)
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(each) for each in outcomes)]
    seeds = [each.seed for each in outcomes]
    which = "" if seeds == parse_seeds(_SEEDS) else f" --seeds {','.join(map(str, seeds))}"
    return (
        f"# What {Path(config).stem} comes to\n\n"
        f"{grokked} of {len(outcomes)} seeds grokked, {right} of {len(outcomes)} ended with at "
        f"least 99 % of the test set right; {seconds:.0f} s a seed. Times are epochs.\n\n"
        f"{_markdown(rows)}\n\n"
        f"lightning_grok {__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}; `python -m lightning_grok certify {config}{which} --write`.\n"
    )


def certificates(folder: Path) -> str:
    """All certificates below a folder as a table in Markdown: medians, and the range over seeds.

    Raises:
        InputError: there is none, or one is damaged.
    """
    paths = sorted(folder.rglob("*.certificate.md"))
    if not paths:
        raise InputError(f"expected certificates, received the folder {folder}: none in it")
    head = ("recipe", "seeds", *_HEAD[1:5], "test", "grokked", "99 % right", *_HEAD[-2:])
    rows = [head, ("---",) * len(head)]
    for path in paths:
        outcomes = read_certificate(path)
        recipe = path.relative_to(folder).as_posix().removesuffix(".certificate.md")
        times = [_spread([getattr(each, name) for each in outcomes]) for name in _TIMES]
        test = statistics.median(each.test for each in outcomes)
        seconds = statistics.median(each.seconds for each in outcomes)
        shares = [
            f"{sum(getattr(each, name) for each in outcomes)} of {len(outcomes)}"
            for name in ("grokked", "is_right", "unstable")
        ]
        rows.append(
            (recipe, str(len(outcomes)), *times, f"{100 * test:.1f} %", *shares, f"{seconds:.0f}")
        )
    return _markdown(rows)


def _spread(times: Sequence[float]) -> str:
    """Median and, where times differ, the first and the last."""
    low, middle, high = (_time(f(times)) for f in (min, statistics.median_high, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def _time(epoch: float) -> str:
    return in_epochs(epoch) if math.isfinite(epoch) else "never"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def read_certificate(path: Path) -> list[SeedOutcome]:
    """The outcomes that a certificate holds.

    Raises:
        InputError: there is none, or it is no certificate.
    """
    if not path.is_file():
        raise InputError(f"expected a certificate, received {path}: no such file; --write makes it")
    lines = [line for line in read_text(path, "a certificate").splitlines() if line[:2] == "| "]
    try:
        return [_outcome([cell.strip() for cell in line.split("|")[1:-1]]) for line in lines[2:]]
    except (ValueError, TypeError) as error:
        raise InputError(f"expected a certificate, received {path}: {error}") from None


def departures(outcome: SeedOutcome, certified: Sequence[SeedOutcome]) -> list[str]:
    """In what a seed leaves a certificate, a line each; nothing without one.

    It does where most seeds of the certificate grokked and it did not, or the other way round, the
    same for 99 % of the test set, and where one of its times lies more than a factor of 1.5 outside
    of theirs.
    """
    if not certified:
        return []
    found = []
    for words, name in (("grokked", "grokked"), ("99 % of the test set right", "is_right")):
        usual = sum(getattr(each, name) for each in certified) * 2 > len(certified)
        if (has := getattr(outcome, name)) != usual:
            found.append(f"expected {'' if usual else 'not '}{words}, received {has}")
    for name in ("memorized", "half", "right"):
        times = [getattr(each, name) for each in certified if math.isfinite(getattr(each, name))]
        time = getattr(outcome, name)
        low, high = (min(times) / _WITHIN, max(times) * _WITHIN) if times else (math.inf, math.inf)
        if math.isfinite(time) and times and not low <= time <= high:
            found.append(
                f"expected {name} from {in_epochs(low)} to {in_epochs(high)}, received "
                f"{in_epochs(time)}"
            )
    return [f"seed {outcome.seed}: {each}" for each in found]


def _cells(outcome: SeedOutcome) -> tuple[str, ...]:
    times = map(_time, outcome[1:5])
    accuracies = [f"{100 * value:.1f} %" for value in (outcome.train, outcome.test)]
    words = ["yes" if value else "no" for value in (outcome.grokked, outcome.unstable)]
    return (str(outcome.seed), *times, *accuracies, *words, f"{outcome.seconds:.0f}")


def _outcome(cells: Sequence[str]) -> SeedOutcome:
    memorized, begins, half, right = (
        math.inf if cell == "never" else float(cell.replace(",", "")) for cell in cells[1:5]
    )
    train, test = (float(cell.removesuffix(" %")) / 100 for cell in cells[5:7])
    grokked, unstable = (cell == "yes" for cell in cells[7:9])
    seconds = float(cells[9])
    return SeedOutcome(
        int(cells[0]), memorized, begins, half, right, train, test, grokked, unstable, seconds
    )

"""``python -m lightning_grok runs``: the runs below a folder, a line each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_grok.commands import CommandParser, say_damage
from lightning_grok.errors import InputError

_COLUMNS = ("run", "dataset", "setup", "seed", "state", "epoch", "outcome")


_ORIGIN = ("reason", "command", "commit", "host", "libraries")


def main(arguments: Sequence[str]) -> None:
    """Print a table, with ``--json`` one object a line; with ``--compact`` copy the series."""
    parser = CommandParser(
        "runs",
        description="List runs with their data, setup, seed, state, newest epoch, and what is "
        "to be seen of it in a sentence; with --json the epochs of memorization, of the beginning "
        "and of half of generalization, its final level, whether the run grokked, and of a run "
        "that failed why, and what it comes from. A "
        "measurement that failed whenever it was due stands beside the state.",
    )
    parser.add_argument("root", type=Path, nargs="?", default=Path("runs"), help="folder of runs")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--compact",
        type=Path,
        metavar="OUT",
        help="write each run's scalar series, run.json and config.yaml to OUT/<run name> instead",
    )
    options = parser.parse_args(arguments)
    if options.compact is not None:
        _compact(options.root, options.compact)
        return
    rows = _rows(options.root)
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return
    for row in rows:
        row["state"] = ", no ".join([row["state"], *row["failed"]])
        row["outcome"] = "; ".join(filter(None, (row["reason"], row["outcome"])))
    table = [_COLUMNS, *(tuple(_text(row[column]) for column in _COLUMNS) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_COLUMNS))]
    for line in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def _compact(root: Path, out: Path) -> None:
    from lightning_grok.runs.compact import size_of, write_compact
    from lightning_grok.runs.run import Run

    sources = [path for path in _found(root) if out.resolve() not in path.resolve().parents]
    names = [path.name for path in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"expected run names that differ in {root}, received {twice} twice")
    for path in sources:
        copy = write_compact(Run(path), out)
        print(f"{copy}: {size_of(copy) / 1000:.0f} kB of {size_of(path) / 1000:,.0f}")


def _found(root: Path) -> list[Path]:
    from lightning_grok.runs.run import find_runs

    paths = find_runs(root)
    if not paths:
        raise InputError(f"expected a folder with runs, received {root}, which holds none")
    return paths


def _rows(root: Path) -> list[dict[str, Any]]:
    from lightning_grok.runs.failures import failed_measurements
    from lightning_grok.runs.run import Run
    from lightning_grok.runs.summary import run_record

    rows = []
    runs = [Run(path) for path in _found(root)]
    say_damage(runs)
    for run in runs:
        meta = run.meta
        rows.append(
            {
                "run": str(run.path.relative_to(root)),
                "dataset": run.dataset,
                "setup": run.setup,
                "seed": run.seed,
                "state": run.state,
                "failed": sorted(failed_measurements(run)),
                "epoch": run.epoch,
                **run_record(run),
                **{key: meta.get(key) for key in _ORIGIN},
            }
        )
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return str(value)

"""``python -m lightning_grok runs``: the runs below a folder, a line each."""

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_grok.commands import CommandParser, say_damage

if TYPE_CHECKING:
    import numpy as np

_COLUMNS = (
    "run", "dataset", "setup", "seed", "state", "epoch", "accuracy", "seconds", "created",
    "outcome",
)  # fmt: skip
_DISPENSABLE = ("dataset", "setup", "created", "outcome", "seed", "seconds", "epoch")
"""Columns that are left out where the terminal is too narrow, the first of them first."""

_HEADS = {"seconds": "duration", "created": "date"}
_SHORTEST = 12  # characters of a run's name


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
        help="write series, run.json and config.yaml of all runs into one file instead, a zip "
        "archive that every command reads like a folder of runs; runs that it holds already stay",
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
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in runs_table(rows, width):
        print(line)


def runs_table(rows: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    """The lines of a table of runs, under their head.

    Args:
        rows: of runs, each with `_COLUMNS`.
        width: of the terminal; columns that don't fit are left out, and long names of runs lose
            their beginnings. None shows all.
    """
    columns = list(_COLUMNS)
    cells = {
        name: [_HEADS.get(name, name), *(_text(name, row[name]) for row in rows)]
        for name in columns
    }
    widths = {name: max(map(len, column)) for name, column in cells.items()}

    def beyond() -> int:
        return sum(widths[name] + 2 for name in columns) - 2 - (width or 10**9)

    for name in _DISPENSABLE:
        if beyond() > 0 and beyond() > widths["run"] - _SHORTEST:
            columns.remove(name)
    if beyond() > 0:
        widths["run"] = max(_SHORTEST, widths["run"] - beyond())
        kept = widths["run"] - 1
        cells["run"] = [c if len(c) <= kept + 1 else f"…{c[-kept:]}" for c in cells["run"]]
    return [
        "  ".join(cells[name][index].ljust(widths[name]) for name in columns).rstrip()
        for index in range(len(rows) + 1)
    ]


def _compact(root: Path, out: Path) -> None:
    from lightning_grok.runs.compact import write_compact
    from lightning_grok.runs.run import read_runs

    runs = read_runs([root])
    say_damage(runs)
    names = write_compact(runs, out)
    print(f"{out}: {len(names)} runs, {out.stat().st_size / 1e6:.1f} MB")


def _rows(root: Path) -> list[dict[str, Any]]:
    from lightning_grok.runs.failures import failed_measurements
    from lightning_grok.runs.names import printable
    from lightning_grok.runs.run import read_runs
    from lightning_grok.runs.summary import run_record

    rows = []
    runs = read_runs([root])
    say_damage(runs)
    for run in runs:
        meta = run.meta
        rows.append(
            {
                "run": run.name if run.path == root else printable(run.path.relative_to(root)),
                "dataset": run.dataset,
                "setup": run.setup,
                "seed": run.seed,
                "state": run.state,
                "failed": sorted(failed_measurements(run)),
                "epoch": run.epoch,
                **run_record(run),
                "accuracy": _newest(run.series("test/accuracy")[1]),
                **{key: meta.get(key) for key in ("seconds", "created", *_ORIGIN)},
            }
        )
    return rows


def _newest(values: "np.ndarray") -> float | None:
    return round(float(values[-1]), 6) if len(values) and math.isfinite(values[-1]) else None


def _text(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    match column:
        case "accuracy":
            return f"{100 * value:.1f} %"
        case "seconds":
            return str(timedelta(seconds=round(value)))
        case "created":
            return str(value)[:16].replace("T", " ")
    return f"{value:.0f}" if isinstance(value, float) else str(value)

"""``python -m lightning_grok runs``: the runs below a folder, a line each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_grok.commands import CommandParser, say_damage

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
    table = [_COLUMNS, *(tuple(_text(row[column]) for column in _COLUMNS) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_COLUMNS))]
    for line in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


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
                "run": printable(run.path.relative_to(root)),
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

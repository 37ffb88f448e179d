"""``python -m lightning_grok verdict``: the paper's claims on runs, held, failed or undecided."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_grok.commands import CommandParser, say_damage

if TYPE_CHECKING:
    from lightning_grok.paper.claims.table import Row

_WIDTH = 100
_COLUMNS = ("claim", "verdict", "estimate [interval]", "seeds", "figure")
_WIDTHS = (8, 11, 34, 7, 40)


def main(arguments: Sequence[str]) -> None:
    """Print a table, or with ``--json`` one object keyed by claim."""
    parser = CommandParser(
        "verdict",
        description="Test the paper's claims over the seeds of runs: held, failed or undecided, "
        "with an estimate, its interval over seeds, the number of seeds, the paper's figure and "
        "ours to look at, and why. Only logged series are read.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories or folders of runs")
    parser.add_argument("--json", action="store_true", help="one JSON object, keyed by claim")
    parser.add_argument("--published", type=Path, help="CSV of published values, for C16")
    parser.add_argument("--claims", type=Path, help="claims instead of the package's claims.yaml")
    options = parser.parse_args(arguments)
    from lightning_grok.paper.claims.forecast import forecast_runs
    from lightning_grok.paper.claims.table import verdict_rows
    from lightning_grok.paper.claims.verdict import verdict
    from lightning_grok.runs.run import read_runs

    runs = read_runs(options.runs)
    say_damage(runs)
    found = verdict(runs, claims=options.claims, published=options.published)
    coming = forecast_runs(runs)
    if options.json:
        print(json.dumps({**found, "forecast": coming}, indent=1, allow_nan=False))
        return
    for line in table(verdict_rows(found, coming)):
        print(line)


def table(rows: "Sequence[Row]") -> list[str]:
    """The lines of the table: a line a claim, its statement and its reason under it."""
    lines = [_line(_COLUMNS)]
    for row in rows:
        lines.append(_line((row.claim, row.verdict, row.estimate, row.seeds, row.figure)))
        lines += [*_indented(row.statement), *_indented(row.reason)]
    return lines


def _line(cells: Sequence[str]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    return " ".join(padded)[:_WIDTH].rstrip()


def _indented(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )

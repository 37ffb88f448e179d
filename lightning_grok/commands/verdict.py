"""``python -m lightning_grok verdict``: claims on runs, held, failed or undecided."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_grok.commands import CommandParser, say_damage

if TYPE_CHECKING:
    from lightning_grok.claims.table import Row

_WIDTH = 100
_COLUMNS = ("claim", "verdict", "estimate [interval]", "seeds", "figure")


def main(arguments: Sequence[str]) -> None:
    """Print a table, or with ``--json`` one object keyed by claim."""
    parser = CommandParser(
        "verdict",
        description="Test claims over the seeds of runs, the paper's or those of a file of your "
        "own: held, failed or undecided, with an estimate, its interval over seeds, the number of "
        "seeds, the figure to look at, and why. Only logged series are read.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories or folders of runs")
    parser.add_argument("--json", action="store_true", help="one JSON object, keyed by claim")
    parser.add_argument("--published", type=Path, help="CSV of published values, for C16")
    parser.add_argument(
        "--claims", type=Path, help="your own (docs/claims-of-your-own.md) instead of the paper's"
    )
    parser.add_argument(
        "--arm", default="", help="which runs count: a name in the claims, or KEY=VALUE"
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="what each outcome would be by the other definitions that the claims name",
    )
    options = parser.parse_args(arguments)
    from lightning_grok.claims.content import read_claims, read_variants
    from lightning_grok.claims.forecast import forecast_runs
    from lightning_grok.claims.table import variant_lines, verdict_rows
    from lightning_grok.claims.verdict import judge
    from lightning_grok.paper.claims.verdict import CLAIMS, FORECAST_LAYERS
    from lightning_grok.paper.published import Published
    from lightning_grok.runs.run import read_runs

    path = options.claims or CLAIMS
    content = read_claims(path)
    curves = None if options.published is None else Published(options.published)
    content.of_arm(options.arm)
    runs = read_runs(options.runs)
    say_damage(runs)
    found = judge(content, runs, curves=curves, arm=options.arm)
    others = {
        name: judge(each, runs, curves=curves, arm=options.arm)
        for name, each in (read_variants(path) if options.variants else {}).items()
    }
    coming = forecast_runs(runs, FORECAST_LAYERS) if options.claims is None else None
    definitions = {"version": content.version, "hash": content.digest}
    definitions |= {"arm": options.arm or content.arm}
    if options.json:
        more = {"forecast": coming} if coming else {}
        more |= {"definitions": definitions} | ({"variants": others} if others else {})
        print(json.dumps(found | more, indent=1, allow_nan=False))
        return
    for line in [*verdict_lines(verdict_rows(found, coming)), *variant_lines(found, others)]:
        print(line)
    print(", ".join(f"{key} {value}" for key, value in definitions.items() if value))


def verdict_lines(rows: "Sequence[Row]") -> list[str]:
    """The lines of the table: a line a claim, its statement and its reason under it."""
    table = [_COLUMNS, *(row[: len(_COLUMNS)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    head, *lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
    found = [head]
    for row, line in zip(rows, lines, strict=True):
        found += [line, *_indented(row.statement), *_indented(row.reason)]
    return found


def _indented(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )

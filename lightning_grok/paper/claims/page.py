"""The verdict as a table in the report."""

import html
from collections.abc import Sequence
from pathlib import Path

from lightning_grok.claims.content import read_claims
from lightning_grok.claims.forecast import forecast_runs
from lightning_grok.claims.table import Row, verdict_rows
from lightning_grok.claims.verdict import concerned
from lightning_grok.paper.claims.verdict import CLAIMS, FORECAST_LAYERS, verdict
from lightning_grok.runs.run import Run

_HEAD = ("Claim", "Verdict", "Estimate [interval]", "Seeds", "Paper's figure, ours")


def verdict_table(
    runs: Sequence[Path], figures: Sequence[Path], published: Path | None = None
) -> str:
    """The claims of the paper on `runs` as HTML, with links to our figures among `figures`.

    Empty where no claim is about any of them; the others are passed over.

    Raises:
        InputError: `published` can't be read.
    """
    read = concerned([Run(path) for path in runs], read_claims(CLAIMS))
    if not read:
        return ""
    rows = verdict_rows(verdict(read, published=published), forecast_runs(read, FORECAST_LAYERS))
    of = f"{len(read)} runs" if len(read) > 1 else "this run"
    counts = ", ".join(
        f"{sum(row.verdict == word for row in rows[:-1])} {word}"
        for word in ("held", "failed", "undecided")
    )
    head = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in _HEAD)
    body = "".join(_rows(row, figures) for row in rows)
    return (
        f"<h2>The paper's claims on {of}: {counts}</h2>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{body}</table></div>'
    )


def _rows(row: Row, figures: Sequence[Path]) -> str:
    """One body of two lines: the cells, and the statement with its reason."""
    cells = [
        f'<th scope="row">{html.escape(row.claim)}</th>',
        f'<td><span class="{row.verdict.split()[0]}">{html.escape(row.verdict)}</span></td>',
        f"<td>{html.escape(row.estimate)}</td>",
        f"<td>{html.escape(row.seeds)}</td>",
        f"<td>{_linked(row.figure, figures)}</td>",
    ]
    reason = f"<p>{html.escape(row.statement)}</p><p>{html.escape(row.reason)}</p>"
    first = f"<tr>{''.join(cells)}</tr>"
    return f'<tbody>{first}<tr><td></td><td colspan="4">{reason}</td></tr></tbody>'


def _linked(names: str, figures: Sequence[Path]) -> str:
    """`names`, with a link where it ends in one of our figures; of several runs the first's."""
    panels, comma, ours = names.rpartition(", ")
    found = next((figure for figure in figures if figure.name == ours), None)
    if found is None:
        return html.escape(names)
    link = f'<a href="{html.escape(found.as_posix())}">{html.escape(ours)}</a>'
    return f"{html.escape(panels)}{comma}{link}"

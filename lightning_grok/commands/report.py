"""``python -m lightning_grok report``: runs as one HTML file, with their figures."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lightning_grok.commands import CommandParser, say_damage


def main(arguments: Sequence[str]) -> None:
    """Write the report and say where it is."""
    parser = CommandParser(
        "report",
        description="Write the views of the live page and the verdict on the paper's claims as one "
        "HTML file that opens from disk with no network, and the figures of the runs as PNG and "
        "PDF. A run in progress is shown as far as it is.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write into (default: the run's own; report/ for several)",
    )
    parser.add_argument("--published", type=Path, help="CSV of published values, for claim C16")
    options = parser.parse_args(arguments)
    from lightning_grok.dashboard.report import write_report
    from lightning_grok.paper.claims.page import verdict_table
    from lightning_grok.paper.published import Published
    from lightning_grok.runs.run import Run

    if options.published is not None:
        Published(options.published)  # refused before any figure is drawn
    say_damage(map(Run, options.runs))
    alone = options.runs[0] if len(options.runs) == 1 else Path("report")
    verdict = partial(verdict_table, published=options.published)
    report, *_ = write_report(options.runs, options.out or alone, verdict, print)
    print(report)

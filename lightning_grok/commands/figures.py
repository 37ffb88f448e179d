"""``python -m lightning_grok figures``: the figures of runs, and the paper's, written anew."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_grok.commands import CommandParser, say_damage
from lightning_grok.errors import InputError


def main(arguments: Sequence[str]) -> None:
    """Write the figures of every run that is named, or with ``--paper`` those of the paper."""
    parser = CommandParser(
        "figures",
        description="Write the figures of runs (the paper's Figure 2 of each, and its panels) "
        "into their directories, a run with branches beside it together with these. A run in "
        "progress is drawn as far as it is. With --paper, Figures 1 to 15 and Table 1 of the paper "
        "from all runs together, seeds of one setup as medians and bands; a figure whose runs are "
        "missing says what makes them.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs, or of many")
    parser.add_argument("--paper", action="store_true", help="the paper's figures, by number")
    parser.add_argument("--only", metavar="2,10", help="some of them: numbers, 15b, table1")
    parser.add_argument("--out", type=Path, help="folder to write into (figures/paper)")
    parser.add_argument("--published", type=Path, help="CSV of published numbers, laid over ours")
    parser.add_argument("--format", default="png,pdf", help="png, pdf, svg (png,pdf)")
    parser.add_argument("--width", type=float, help="in inches; text keeps its size")
    parser.add_argument("--no-captions", action="store_true", help="panels alone")
    options = parser.parse_args(arguments)
    from lightning_grok.figures.printing import Printing, printing

    formats = tuple(dict.fromkeys(options.format.lower().split(",")))
    with printing(Printing(options.width, not options.no_captions, formats)):
        _write(options)


def _write(options: argparse.Namespace) -> None:
    if options.paper:
        _write_paper(options)
        return
    for name in ("only", "out", "published"):
        if getattr(options, name) is not None:
            raise InputError(f"expected --paper with --{name}, received none")
    from lightning_grok.figures import write_branches_figure, write_run_figures
    from lightning_grok.runs.run import Run

    say_damage(map(Run, options.runs))
    for run in options.runs:
        write_run_figures(run, wrote=print)
        for path in write_branches_figure(run):
            print(path)


def _write_paper(options: argparse.Namespace) -> None:
    from lightning_grok.paper.figures.drawing import write_paper_figures
    from lightning_grok.paper.figures.runs import PaperRuns
    from lightning_grok.paper.published import Published

    published = None if options.published is None else Published(options.published)
    runs = PaperRuns(options.runs, published)
    say_damage(runs.runs)

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    out = options.out or Path("figures/paper")
    if not write_paper_figures(runs, out, options.only, say, print):
        raise InputError("expected runs for a figure, received none")

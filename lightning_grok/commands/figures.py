"""``python -m lightning_grok figures``: the figures of runs, written anew."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str]) -> None:
    """Write the figures of every run that is named, finished or in progress."""
    parser = argparse.ArgumentParser(
        prog="python -m lightning_grok figures",
        description="Write the figures of runs (the paper's Figure 2 of each, and its panels) as "
        "PNG and PDF into their directories. A run in progress is drawn as far as it is.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs")
    options = parser.parse_args(arguments)
    from lightning_grok.figures import write_run_figures

    for run in options.runs:
        for path in write_run_figures(run):
            print(path)

"""``python -m lightning_grok measures``: what ``--measure NAME`` takes."""

import json
import sys
from collections.abc import Sequence
from textwrap import fill

from lightning_grok.commands import CommandParser
from lightning_grok.runs.measures import GROUP, Measure, known_measures

_OF = {"layer": "every layer", "weight": "every weight matrix", "model": "the network"}
_WIDTH = 90  # characters of a line


def main(arguments: Sequence[str]) -> None:
    """Print every measure with what it says, its unit, cost and source."""
    parser = CommandParser(
        "measures",
        description="List the measures that fit and measure take by --measure NAME[,NAME]: ours, "
        f"and those of packages with entry points of the group {GROUP}. The measurements with "
        "options of their own (kernel_distance, manifold_capacity, ...) are groups of fit.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    known, problems = known_measures()
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    for measure in known.values():
        print(json.dumps(measure._asdict()) if options.json else _described(measure))


def _described(measure: Measure) -> str:
    unit = f" ({measure.unit})" if measure.unit else ""
    text = f"of {_OF[measure.of]}: {measure.words}{unit}. Cost: {measure.cost}. {measure.source}."
    indent = " " * 22
    return fill(f"{measure.name:22}{text}", _WIDTH, subsequent_indent=indent)

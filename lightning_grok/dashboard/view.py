"""What the page shows: views, each one figure with its words."""

from pathlib import Path
from typing import Any, NamedTuple

TALL = 430
"""Height in pixels of a view that is as tall as wide."""

SYMBOLS = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down",
    "P": "cross", "X": "x",
}  # fmt: skip
"""Matplotlib's markers in Plotly's words."""


class View(NamedTuple):
    """One figure of the page.

    Attributes:
        id: its name among the views of a page.
        title, note: what it shows, in words; plain text.
        kind: ``epoch`` (x is the epoch axis), ``pairs`` (both are) or ``plane`` (frames by epoch).
        figure: data and layout for Plotly, in colors for a light background.
        legend: what the colors mean, each ``label``, ``group`` (of traces), ``color`` and, as in
            the figure, ``dash`` or ``symbol``.
        height: in pixels.
        frames: of a plane: epoch -> a tag that changes when the frame does.
        sources: of curves: label, directory of the run and logged key of every line.
    """

    id: str
    title: str
    note: str
    kind: str
    figure: dict[str, Any]
    legend: list[dict[str, str]]
    height: int = 220
    frames: dict[int, str] | None = None
    sources: tuple[tuple[str, Path, str], ...] = ()

"""What figures are made of: parts as wide as a column of a journal, their titles, their style."""

import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lightning_grok.errors import InputError
from lightning_grok.extras import named_extra
from lightning_grok.figures.printing import captioned, page_width
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure

COLUMN, PAGE = 3.4, 7.0
"""Widths of one and of two columns, in inches."""

_STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 2.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "legend.borderpad": 0.2,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "svg.hashsalt": "lightning_grok",  # else names of clips differ from file to file
    "pdf.fonttype": 42,  # text stays text in the PDF
}
_DIGITS = 6  # of places, in parts of a figure: well below a pixel
_TWO_ABREAST = 5.0  # inches: parts on a narrower page stand one below the other
_GAP = 0.03  # between tick labels, in inches
_SMALL, _LARGE = 7.0, 8.0  # sizes of titles, in points
LINE_HEIGHT = 0.14
"""Height of a line of text, in inches."""
_INDENT = 0.07  # of titles, in inches
_CHARACTERS = 131  # of a title of one point in one inch
_NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"
_SETUP = re.compile(rf"(\w+)-{_NUMBER}-(\d+)-{_NUMBER}-{_NUMBER}(?:-(.+))?")


class Part(NamedTuple):
    """One part of a figure: some panels below a heading.

    Attributes:
        heading: what it shows.
        height: in inches.
        draw: draws it into an empty figure or a part of one.
    """

    heading: str
    height: float
    draw: Callable[["Figure | SubFigure"], None]


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults with the style of all figures on top; both are put back."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        yield


@named_extra()
def part_figure(run: Runs, part: Part | None, missing: str) -> "Figure":
    """One part as a figure of its own, a column wide, below its heading and the run's title.

    Raises:
        InputError: there is no part; `missing` says what a run needs for it.
    """
    from matplotlib.figure import Figure

    if part is None:
        raise InputError(f"expected {missing} in {run.path}, received none")
    width = page_width(COLUMN)
    with style():
        figure = Figure(figsize=(width, part.height), dpi=200, layout="constrained")
        put_caption(figure, f"{part.heading}\n{run_title(run)}")
        part.draw(figure)
        settle(figure)
    return figure


@named_extra()
def page_figure(run: Runs, rows: list[list[Part]], prefix: str = "") -> "Figure":
    """Rows of one or two parts, lettered in reading order, below the run's title."""
    from matplotlib.figure import Figure

    width = page_width(PAGE)
    if width < _TWO_ABREAST:
        rows = [[part] for row in rows for part in row]
    said = [[wrapped(part.heading, width / len(row) - 0.1, 7.5) for part in row] for row in rows]
    heights = [
        max(part.height for part in row)
        + 0.2
        + LINE_HEIGHT * max(each.count("\n") for each in headings)
        for row, headings in zip(rows, said, strict=True)
    ]
    letters = iter("abcdefghijklmnop")
    with style():
        figure = Figure(figsize=(width, sum(heights) + 0.1), dpi=200, layout="constrained")
        put_caption(figure, prefix + run_title(run), _LARGE)
        places = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for place, row, headings in zip(places, rows, said, strict=True):
            cells = place.subfigures(1, len(row), squeeze=False)[0]
            for cell, part, heading in zip(cells, row, headings, strict=True):
                cell.suptitle(
                    f"$\\mathbf{{{next(letters)}}}$  {heading}",
                    x=_INDENT * len(row) / width,
                    ha="left",
                    size=7.5,
                )
                part.draw(cell)
        settle(figure)
    return figure


def put_caption(figure: "Figure", text: str, size: float = _SMALL) -> None:
    """Make the figure higher by its caption, and put that on top; nothing where none is wanted."""
    if not captioned():
        return
    width, height = figure.get_size_inches()
    lines = wrapped(text, width, size)
    figure.suptitle(lines, x=_INDENT / width, ha="left", size=size, parse_math=False)
    figure.set_size_inches(width, height + LINE_HEIGHT * (1 + lines.count("\n")))


def settle(figure: "Figure") -> None:
    """Place everything now and for good.

    Matplotlib makes ticks late, in the style that holds by then, and would lay out at every save.
    """
    from matplotlib.figure import SubFigure

    for axes in figure.axes:  # else the number of ticks would follow the reader's settings
        axes.tick_params(labelsize=_STYLE["xtick.labelsize"])
    _lay_out(figure)
    labeled = [axes.xaxis for axes in figure.axes if _shows_epochs(axes)]
    once = {id(each.major): each for each in labeled}.values()  # of shared ones
    thinned = [_thin_out(axis) for axis in once]
    if any(thinned):
        _lay_out(figure)  # with the ticks that fit the first layout
    figure.set_layout_engine("none")
    # The layout's solver varies in the last bit from one call to the next, and so would the files.
    for part in figure.findobj(SubFigure):
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(_DIGITS))
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        axes.set_position(tuple(round(each, _DIGITS) for each in bounds))
        _show_whole_markers(axes)


def _lay_out(figure: "Figure") -> None:
    """Make ticks and place everything, as a drawing would before it draws."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)


def _shows_epochs(axes: "Axes") -> bool:
    """Whether an epoch axis is labeled below it."""
    shown = any(tick.label1.get_visible() for tick in axes.xaxis.get_major_ticks())
    return shown and any(line.get_gid() == "break" for line in axes.lines)


def _thin_out(axis: "Axis") -> bool:
    """Label as many decades of an epoch axis as have room, and return whether that is not all."""
    from matplotlib.ticker import FixedLocator

    low, high = axis.get_view_interval()
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [tick.label1.get_window_extent() for tick in ticks]
    gap = _GAP * axis.axes.figure.dpi
    zero, *decades = range(len(ticks))
    for step in range(1, len(ticks)):
        for first in range(min(step, 2)):
            kept = [zero, *decades[first::step]]
            if all(boxes[i].x1 + gap <= boxes[j].x0 for i, j in pairwise(kept)):
                axis.set_major_locator(FixedLocator([ticks[i].get_loc() for i in kept]))
                return len(kept) < len(ticks)
    return False


def _show_whole_markers(axes: "Axes") -> None:
    """Published points within the axes are drawn over their edges, those beyond not at all."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for line in axes.lines:
        if str(line.get_gid()).startswith("published/"):
            x, y = np.asarray(line.get_xydata(), dtype=float).T
            inside = (left <= x) & (x <= right) & (low <= y) & (y <= high)
            line.set(clip_on=False, markevery=inside.tolist())


def run_title(run: Runs) -> str:
    """Data set, setup and seed in words, and how far a run has come that is not at its end."""
    parts = [run.dataset or run.name, *setup_in_words(run.setup)]
    if isinstance(run, Seeds):
        parts.append(run.in_words)
    elif run.seed is not None:
        parts.append(f"seed {run.seed}")
    last = run.meta.get("max_epochs") or -1
    if run.epoch < last:
        parts.append(f"up to epoch {run.epoch:,} of {last:,}")
    return ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def setup_in_words(setup: str) -> list[str]:
    """The parts of a setup's published name in words; a name of another kind stands as it is."""
    match = _SETUP.fullmatch(setup)
    if match is None:
        return [setup] if setup else []
    optimizer, weight_scale, train_size, output_scale, weight_decay, rest = match.groups()
    return [
        f"{int(train_size):,} training images",
        optimizer,
        f"weight scale {weight_scale}",
        f"output scale {output_scale}",
        f"weight decay {weight_decay}",
        *(_rest_in_words(part) for part in (rest or "").split("-") if part),
    ]


def _rest_in_words(part: str) -> str:
    if part == "mse":
        return "mean squared error"
    if part.startswith("permuted"):
        return f"{part.removeprefix('permuted')} of labels permuted"
    if re.fullmatch(r"\d+(x\d+)*", part):
        return f"hidden widths {part.replace('x', ', ')}"
    return part


def wrapped(text: str, width: float, size: float) -> str:
    """`text` in lines that fit `width` inches at `size` points; its own line ends are kept."""
    characters = int(_CHARACTERS * width / size)
    return "\n".join(textwrap.fill(line, characters) for line in text.split("\n"))

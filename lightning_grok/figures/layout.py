"""What figures are made of: parts as wide as a column of a journal, their titles, their style."""

import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lightning_grok.errors import InputError
from lightning_grok.extras import named_extra
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
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
    "pdf.fonttype": 42,  # text stays text in the PDF
}
_DIGITS = 6  # of places, in parts of a figure: well below a pixel
_SMALL, _LARGE = 7.0, 8.0  # sizes of titles, in points
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
    title = wrapped(f"{part.heading}\n{run_title(run)}", COLUMN, _SMALL)
    height = part.height + 0.14 * (1 + title.count("\n"))
    with style():
        figure = Figure(figsize=(COLUMN, height), dpi=200, layout="constrained")
        figure.suptitle(title, x=_INDENT / COLUMN, ha="left", size=_SMALL, parse_math=False)
        part.draw(figure)
        settle(figure)
    return figure


@named_extra()
def page_figure(run: Runs, rows: list[list[Part]], prefix: str = "") -> "Figure":
    """Rows of one or two parts, lettered in reading order, below the run's title."""
    from matplotlib.figure import Figure

    title = wrapped(prefix + run_title(run), PAGE, _LARGE)
    heights = [max(part.height for part in row) + 0.2 for row in rows]
    top = 0.1 + 0.14 * (1 + title.count("\n"))
    letters = iter("abcdefghijklmnop")
    with style():
        figure = Figure(figsize=(PAGE, sum(heights) + top), dpi=200, layout="constrained")
        figure.suptitle(title, x=_INDENT / PAGE, ha="left", size=_LARGE, parse_math=False)
        places = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for place, row in zip(places, rows, strict=True):
            for cell, part in zip(
                place.subfigures(1, len(row), squeeze=False)[0], row, strict=True
            ):
                cell.suptitle(
                    f"$\\mathbf{{{next(letters)}}}$  {part.heading}",
                    x=_INDENT * len(row) / PAGE,
                    ha="left",
                    size=7.5,
                )
                part.draw(cell)
        settle(figure)
    return figure


def settle(figure: "Figure") -> None:
    """Place everything now and for good.

    Matplotlib makes ticks late, in the style that holds by then, and would lay out at every save.
    """
    from matplotlib.figure import SubFigure

    for axes in figure.axes:  # else the number of ticks would follow the reader's settings
        axes.tick_params(labelsize=_STYLE["xtick.labelsize"])
    for _ in range(2):  # the second time with the ticks that fit the first layout
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    # The layout's solver varies in the last bit from one call to the next, and so would the files.
    for part in figure.findobj(SubFigure):
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(_DIGITS))
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        axes.set_position(tuple(round(each, _DIGITS) for each in bounds))


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

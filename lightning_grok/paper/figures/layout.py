"""Pages of the paper's figures: panels in a grid, one legend for all, a caption above."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    draw_series,
    event_style,
    find_events,
    published_handles,
)
from lightning_grok.figures.kernel_distance import draw_pairs, pairs_of
from lightning_grok.figures.layout import LINE_HEIGHT, PAGE, put_caption, settle, style
from lightning_grok.figures.palette import TOTAL, layer_color
from lightning_grok.figures.panel import draw_panel
from lightning_grok.figures.printing import page_width
from lightning_grok.figures.seeds import QUANTILES, Seeds
from lightning_grok.paper.figures.distance import draw_distance
from lightning_grok.runs.panels import panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Handles = dict[str, Any]
"""What a legend says: its lines, by whatever tells them apart."""

_EVENTS = {
    "memorization": "memorization: train ≥ 99 %",
    "onset": "onset: a tenth of the test rise",
    "generalization": "half of the test rise",
}
_WIDE = 5.0  # times the least value: from here on an axis of radii is logarithmic
_COLUMN = 1.75  # inches that a column of a grid needs
_HANDLE, _CHARACTER = 0.4, 0.049  # of legends, in inches


class PageColumn(NamedTuple):
    """A column of a page.

    Attributes:
        heading: what it shows.
        seeds: the runs; None where there are none.
    """

    heading: str
    seeds: Seeds | None


def paper_page(
    title: str,
    size: tuple[float, float],
    draw: Callable[["Figure"], Mapping[str, Any]],
    notes: Sequence[str] = (),
    least: float | None = None,
) -> "Figure":
    """A page that `draw` fills, between its caption and one legend of all that `draw` returns.

    Args:
        title: the first sentence of the caption.
        size: width and height of what `draw` draws, in inches.
        draw: draws into the figure and returns the handles; of those with one label one is named.
        notes: further sentences.
        least: the narrowest it can be, in inches; None: as wide as it is.
    """
    from matplotlib.figure import Figure

    width, height = page_width(size[0], size[0] if least is None else least), size[1]
    with style():
        figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
        named = {each.get_label(): each for each in draw(figure).values()}
        rows = 0
        if named:
            rows = legend_rows(list(named), width)
            columns = -(-len(named) // rows)
            figure.legend(handles=named.values(), loc="outside lower center", ncols=columns)
        figure.set_size_inches(width, height + LINE_HEIGHT * rows)
        put_caption(figure, " ".join(filter(None, [title, *notes])))
        settle(figure)
    return figure


def legend_rows(labels: Sequence[str], width: float) -> int:
    """The fewest rows at which columns, filled one after the other, fit into `width` inches."""
    for rows in range(1, len(labels)):
        columns = [labels[i : i + rows] for i in range(0, len(labels), rows)]
        wide = [_HANDLE + _CHARACTER * max(len(label) for label in column) for column in columns]
        if sum(wide) <= width:
            return rows
    return len(labels)


def seeds_note(columns: Sequence[PageColumn]) -> str:
    """What lines and bands are."""
    if all(column.seeds is None or len(column.seeds.runs) == 1 for column in columns):
        return "One seed: lines have no band."
    low, high = (round(100 * each) for each in QUANTILES)
    return f"Lines are medians over seeds, bands {low} to {high} % of them."


def steps_note(columns: Sequence[PageColumn]) -> str:
    """Where the axis counts steps: how many an epoch, and that the paper's step 1 is left out."""
    counted = [c.seeds for c in columns if c.seeds is not None and c.seeds.unit == "step"]
    if not counted:
        return ""
    an_epoch = counted[0].factor
    return f"{an_epoch} steps an epoch; the paper's step 1 lies within an epoch and is left out."


def datasets(columns: Sequence[PageColumn]) -> str:
    """The data that were really used."""
    names = dict.fromkeys(c.seeds.dataset for c in columns if c.seeds is not None)
    return ", ".join(names)


def on_one_axis(columns: Sequence[PageColumn]) -> list[PageColumn]:
    """The same columns, with axes that end at the last epoch of them all."""
    ends = [column.seeds.axis_end for column in columns if column.seeds is not None]
    return [
        column if column.seeds is None else column._replace(seeds=column.seeds.until(max(ends)))
        for column in columns
    ]


def column_title(letter: str, column: PageColumn, between: str = "\n") -> str:
    """Its letter and heading; behind them how many seeds, and how far they are if not at the end.

    Without a letter the heading stands alone.
    """
    about = ""
    if column.seeds is not None:
        runs = column.seeds.runs
        about = f"seed {runs[0].seed}" if len(runs) == 1 else f"{len(runs)} seeds"
        last = int(column.seeds.meta.get("max_epochs") or 0) * column.seeds.factor
        if column.seeds.epoch < last:
            about += f", to {column.seeds.unit} {column.seeds.epoch:,} of {last:,}"
    lettered = f"$\\mathbf{{{letter}}}$  " if letter else ""
    return f"{lettered}{column.heading}{between}{about or 'no run'}"


def grid_page(
    title: str, columns: Sequence[PageColumn], panels: Sequence[str], width: float = PAGE
) -> "Figure":
    """A column a setup, a row a quantity: names of `PANELS`. Rows share their vertical axis."""
    notes = [f"{datasets(columns)}.", seeds_note(columns), steps_note(columns)]
    columns = on_one_axis(columns)
    letters = "abcdefgh" if len(columns) > 1 else " "
    heights = [PANELS[name][0] for name in panels]

    def draw(figure: "Figure") -> Handles:
        grid = figure.subplots(
            len(panels), len(columns), sharex="col", sharey="row", squeeze=False,
            height_ratios=heights,
        )  # fmt: skip
        handles: Handles = {}
        for row, name in zip(grid, panels, strict=True):
            handles |= _draw_row(row, name, columns)
        for axes, letter, column in zip(grid[0], letters, columns, strict=False):
            axes.set_title(column_title(letter.strip(), column), loc="left")
        figure.align_ylabels(grid[:, 0])
        return handles | shared_handles(columns)

    size = (width, sum(heights) + 0.45)
    return paper_page(title, size, draw, notes, _COLUMN * len(columns))


def _draw_row(row: Sequence["Axes"], name: str, columns: Sequence[PageColumn]) -> Handles:
    handles: Handles = {}
    draw = PANELS[name][1]
    if draw is not None and name == "radius" and _spread(name, columns) > _WIDE:
        draw = partial(draw, log=True)
    label = ""
    for axes, column in zip(row, columns, strict=True):
        if column.seeds is None:
            no_run(axes)
            continue
        if draw is not None:
            handles |= draw(axes, column.seeds)
        axes.label_outer()
        label = label or axes.get_ylabel()
        axes.set_ylabel("")
    if draw is None:
        label = _draw_pairs(row, columns)
    row[0].set_ylabel(label)
    return handles


def no_run(axes: "Axes", text: str = "no run of this setup") -> None:
    """An empty panel that says so."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=TOTAL,
        gid="no run",
    )  # fmt: skip
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", left=False, bottom=False, labelleft=False, labelbottom=False)


def shared_handles(columns: Sequence[PageColumn]) -> Handles:
    """The events that occur in a column, and published points."""
    from matplotlib.lines import Line2D

    shown = [column.seeds for column in columns if column.seeds is not None]
    found = [find_events(seeds)._asdict() for seeds in shown]
    handles: Handles = {
        name: Line2D([], [], label=label, **event_style(name))
        for name, label in _EVENTS.items()
        if any(events[name] is not None for events in found)
    }
    named = [handle for seeds in shown for handle in published_handles(seeds)]
    return handles | ({"published": named[0]} if named else {})


def _draw_pairs(row: Sequence["Axes"], columns: Sequence[PageColumn]) -> str:
    """Heatmaps of all columns on one color scale; the name of their axes."""
    shown = [(axes, c.seeds) for axes, c in zip(row, columns, strict=True) if c.seeds is not None]
    found = [pairs_of(seeds) for _, seeds in shown]
    highest = max((float(np.nanmax(each["distance"])) for each in found if each), default=None)
    unit, drawn = "", None
    for (axes, seeds), pairs in zip(shown, found, strict=True):
        unit = seeds.unit
        if not pairs or len(pairs["epochs"]) < 2:
            no_run(axes, "no distances of pairs")
            continue
        drawn = axes, draw_pairs(axes, seeds, pairs, highest)
        axes.label_outer()
        axes.set_ylabel("")
    if drawn is not None:
        axes, mesh = drawn
        scale = axes.inset_axes((1.03, 0.0, 0.03, 1.0))
        bar = axes.figure.colorbar(mesh, cax=scale, label="kernel distance $S$, full kernel")
        bar.outline.set_linewidth(0.6)
    return unit


def draw_norm(axes: "Axes", seeds: Seeds, key: str, color: str, label: str) -> Handles:
    """One panel with a norm of the weights."""
    draw_epoch_axis(axes, seeds)
    draw_events(axes, find_events(seeds))
    line = draw_series(axes, seeds, key, color=color, label=label)
    return {} if line is None else {key: line}


def _total_norm(axes: "Axes", seeds: Seeds) -> Handles:
    axes.set_ylabel("norm of all\nweights $‖θ‖$")
    return draw_norm(axes, seeds, "weight_norm/total", TOTAL, "all weights")


def _last_norm(axes: "Axes", seeds: Seeds) -> Handles:
    axes.set_ylabel("norm of the last\nlayer's weights")
    names = seeds.meta.get("layer_names") or ["layers.4"]
    color = layer_color(len(names) - 1, len(names))
    return draw_norm(axes, seeds, f"weight_norm/{names[-1]}", color, f"{names[-1]} (linear)")


def _start(axes: "Axes", seeds: Seeds) -> Handles:
    handles = draw_distance(axes, seeds, ("full",), "own", label="full kernel, to the own start")
    handles |= draw_distance(axes, seeds, ("full",), "foreign", alone=False)
    axes.set_ylabel("kernel distance $S$\nof the full kernel")
    return handles


def _catalogued(name: str, axes: "Axes", seeds: Seeds, *, log: bool = False) -> Handles:
    """The panel `name` of the catalogue, on a logarithmic axis if `log`."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    panel = panel_of(seeds, name)
    if panel is None:
        return {}
    handles = draw_panel(axes, seeds, panel._replace(log=panel.log or log))
    if log:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    return handles


def _spread(name: str, columns: Sequence[PageColumn]) -> float:
    """How many times its least value the greatest of a row is."""
    values = [
        seeds.series(line.key)[1]
        for seeds in (column.seeds for column in columns)
        if seeds is not None and (panel := panel_of(seeds, name)) is not None
        for line in panel.lines
    ]
    shown = np.concatenate(values) if values else np.ones(1)
    return float(np.nanmax(shown) / np.nanmin(shown))


PANELS: dict[str, tuple[float, Callable[..., Handles] | None]] = {
    "accuracy": (1.15, partial(_catalogued, "accuracy")),
    "loss": (1.15, partial(_catalogued, "loss")),
    "capacity": (1.1, partial(_catalogued, "capacity")),
    "radius": (1.0, partial(_catalogued, "radius")),
    "dimension": (1.0, partial(_catalogued, "dimension")),
    "distance": (1.15, _start),
    "pairs": (2.3, None),
    "total_norm": (1.0, _total_norm),
    "last_norm": (1.0, _last_norm),
}
"""Name of a row -> its height in inches and what draws its panels."""

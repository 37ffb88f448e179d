"""Geometry of training beside that of test images: Figures 13 and 14."""

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lightning_grok.analysis.correlation import concordance, correlation
from lightning_grok.analysis.lag import at_shared_epochs
from lightning_grok.errors import InputError
from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    draw_series,
    find_events,
)
from lightning_grok.figures.layout import PAGE
from lightning_grok.figures.palette import TEST, TRAIN
from lightning_grok.figures.panel import axis_label, line_style, matplotlib_style
from lightning_grok.figures.seeds import Runs, Seeds
from lightning_grok.paper.figures.layout import (
    Handles,
    PageColumn,
    datasets,
    paper_page,
    shared_handles,
)
from lightning_grok.paper.figures.runs import PaperRuns, command_for, comparable_runs
from lightning_grok.paper.figures.training import GROKKING
from lightning_grok.runs.panels import panel_of
from lightning_grok.runs.quantities import GEOMETRY, Panel
from lightning_grok.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUP = re.compile(r"(manifold_capacity\w*)/train/")
COMMAND = f"{command_for(GROKKING)} --config configs/measurements/both_splits.yaml"
"""Makes a run with the geometry of both splits."""


class Splits(NamedTuple):
    """Runs with both splits.

    Attributes:
        seeds: the runs.
        group: what stands first in their keys.
        per_class: images a class at most, as configured or, behind an underscore, in the name of
            the group; None where neither says.
    """

    seeds: Seeds
    group: str
    per_class: int | None


def find_splits(runs: PaperRuns) -> Splits:
    """The runs of Figure 2's setup whose geometry was measured on both splits.

    Raises:
        InputError: there are none.
    """
    held: dict[str, list[Run]] = {}
    for run in runs.every(GROKKING):
        for group in {match[1] for key in run.keys if (match := _GROUP.match(key))}:
            if _panel(run, group, "capacity") is not None:
                held.setdefault(group, []).append(run)
    if not held:
        raise InputError(
            f"expected geometry of training and of test images, received none; to run: {COMMAND}"
        )
    group = max(held, key=lambda name: (len(held[name]), name))
    kept, _ = comparable_runs(held[group])
    options = kept[0].config.get("manifold_capacity", {})
    number = group.removeprefix("manifold_capacity").removeprefix("_")
    per_class = int(number) if number.isdigit() else None if number else options.get("per_class")
    seeds = runs.shown(GROKKING, kept)
    seeds.published = {}  # the paper's numbers of these few images are not published
    return Splits(seeds, group, per_class)


def _images(splits: Splits) -> str:
    return "" if splits.per_class is None else f", at most {splits.per_class} images a class"


def figure_13(runs: PaperRuns) -> "Figure":
    """Figure 13: a column a layer, with its geometry over training and over test images."""
    splits = find_splits(runs)
    column = PageColumn("", splits.seeds)
    title = (
        f"Figure 13. Geometry of the class manifolds of training and of test images in each layer "
        f"({datasets([column])}{_images(splits)}; {splits.seeds.in_words})."
    )
    return paper_page(title, (PAGE, 3.4), lambda figure: _draw_layers(figure, splits))


def _draw_layers(figure: "Figure", splits: Splits) -> Handles:
    seeds, group, _ = splits
    panels = [panel for each in GEOMETRY if (panel := _panel(seeds, group, each)) is not None]
    lines = panels[0].lines
    grid = figure.subplots(len(panels), len(lines), sharex=True, sharey="row", squeeze=False)
    handles: Handles = {}
    for row, panel in zip(grid, panels, strict=True):
        for axes, line in zip(row, panel.lines, strict=True):
            draw_epoch_axis(axes, seeds)
            draw_events(axes, find_events(seeds))
            trained = line.key.replace(group, f"{group}/train", 1)
            for key, label, color in (
                (trained, "training images", TRAIN),
                (line.key, "test images", TEST),
            ):
                drawn = draw_series(axes, seeds, key, color=color, label=label)
                handles |= {} if drawn is None else {label: drawn}
            axes.set_xlabel("")
            axes.label_outer()
        row[0].set_ylabel(axis_label(panel))
    for axes, line in zip(grid[0], lines, strict=True):
        name = line_style(seeds.runs[0], panels[0], line).label
        axes.set_title(name.replace(" (", "\n("), loc="left")
    grid[-1, len(lines) // 2].set_xlabel(seeds.unit)
    figure.align_ylabels(grid[:, 0])
    return handles | shared_handles([PageColumn("", seeds)])


def figure_14(runs: PaperRuns) -> "Figure":
    """Figure 14: training against test images, with r and Lin's concordance of each layer."""
    splits = find_splits(runs)
    columns = [PageColumn("", splits.seeds)]
    title = (
        f"Figure 14. Geometry of training against that of test images, a point a measured epoch "
        f"({datasets(columns)}{_images(splits)}). On the diagonal both are equal. r: Pearson's, as "
        "in the paper; ρ: Lin's concordance, 1 only on the diagonal; both the mean over layers and "
        "seeds."
    )

    def draw(figure: "Figure") -> Handles:
        row = figure.subplots(1, 3)
        handles: Handles = {}
        for axes, letter, quantity in zip(row, "abc", GEOMETRY, strict=True):
            panel = _panel(splits.seeds, splits.group, quantity)
            if panel is None:
                continue
            handles |= _draw_scatter(axes, splits, quantity, panel)
            label = " ".join(axis_label(panel).split())
            r, agreement = agreements(splits, quantity)
            said = f"$\\mathbf{{{letter}}}$  {label}\nr = {r:.2f}, ρ = {agreement:.2f}"
            axes.set_title(said.replace("-", "−"), loc="left")
            axes.set(xlabel="test images", ylabel="training images" if letter == "a" else "")
            axes.set_box_aspect(1)
        return handles

    notes = [] if len(splits.seeds.runs) > 1 else [f"Seed {splits.seeds.seed}."]
    return paper_page(title, (PAGE, 2.6), draw, notes)


def agreements(splits: Splits, quantity: str) -> tuple[float, float]:
    """Pearson's r and Lin's concordance of a quantity, each the mean over layers and seeds."""
    panel = _panel(splits.seeds, splits.group, quantity)
    layers = [] if panel is None else [line.layer for line in panel.lines]
    pairs = [
        (correlation(test, train), concordance(test, train))
        for run in range(len(splits.seeds.runs))
        for layer in layers
        for test, train in [both_splits(splits, run, layer, quantity)]
    ]
    r, rho = np.array([pair for pair in pairs if np.isfinite(pair).all()]).reshape(-1, 2).T
    return (float(r.mean()), float(rho.mean())) if len(r) else (np.nan, np.nan)


def both_splits(
    splits: Splits, run: int, layer: str, quantity: str
) -> tuple[np.ndarray, np.ndarray]:
    """A run's values (T,) on test and on training images at the epochs of both."""
    source = splits.seeds.runs[run]
    keys = (f"{splits.group}/{part}{layer}/{quantity}" for part in ("", "train/"))
    _, test, train = at_shared_epochs(*map(source.series, keys))
    return test, train


def _panel(run: Runs, group: str, quantity: str) -> Panel | None:
    """A quantity of one group of keys, on test images."""
    images = group.removeprefix("manifold_capacity").removeprefix("_")
    panel = panel_of(run, "-".join(filter(None, (quantity, images))))
    return panel and panel.without_floors


def _draw_scatter(axes: "Axes", splits: Splits, quantity: str, panel: Panel) -> Handles:
    seeds = splits.seeds
    handles: Handles = {}
    for line in panel.lines:
        parts = [both_splits(splits, run, line.layer, quantity) for run in range(len(seeds.runs))]
        test, train = (np.concatenate(each) for each in zip(*parts, strict=True))
        style = matplotlib_style(seeds.runs[0], panel, line) | {"linestyle": ""}
        gid = f"{line.layer}/{quantity}"
        (handles[line.layer],) = axes.plot(test, train, gid=gid, **style)
    low, high = np.nanmin(axes.dataLim.get_points()), np.nanmax(axes.dataLim.get_points())
    axes.axline((low, low), slope=1, color="black", linewidth=0.6, zorder=1)
    margin = 0.04 * (high - low)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    return handles

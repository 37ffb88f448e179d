"""How far the neural tangent kernel moves: from its start, and between all measured epochs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_grok.figures.epoch_axis import (
    BREAK,
    Events,
    draw_epoch_axis,
    event_handles,
    event_style,
    find_events,
    first_place,
    limits,
    published_handles,
)
from lightning_grok.figures.layout import Part, part_figure
from lightning_grok.figures.palette import HEAT
from lightning_grok.figures.panel import draw_panel, level_handles
from lightning_grok.figures.seeds import Runs, Seeds
from lightning_grok.runs.panels import panel_of
from lightning_grok.runs.quantities import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure, SubFigure

_FOREIGN = "kernel_distance/full/foreign"


def kernel_distance_figure(run: Runs) -> "Figure":
    """Heatmap of the kernel distance over pairs of measured epochs: exact, or the estimate so far.

    Raises:
        InputError: the run has no distances of pairs.
    """
    part = pairwise_part(run, name_events=True)
    return part_figure(run, part, "kernel distances of pairs of epochs")


def start_part(run: Runs) -> Part | None:
    """Distance of both kernels to the run's own start; None where it wasn't logged."""
    panel = panel_of(run, "kernel")
    if panel is None:
        return None
    published = isinstance(run, Seeds) and bool(run.published)
    height = 3.0 if published else 2.6  # with the paper's reference
    heading = "Kernel distance to the initialization"
    return Part(heading, height, lambda parent: _draw_start(parent, run, panel))


def pairwise_part(run: Runs, *, name_events: bool = False) -> Part | None:
    """Heatmap of the full kernel's distances; None for fewer than two epochs.

    Args:
        run: the run.
        name_events: whether a legend names memorization and generalization.
    """
    found = pairs_of(run)
    heading = "Kernel distance between epochs"
    if "standard_error" in found:
        heading += f" (estimate, s.e. ≤ {np.max(found['standard_error']):.2g})"
    if not found or len(found["epochs"]) < 2:
        return None
    height = 2.95 if name_events else 2.6
    return Part(heading, height, lambda parent: _draw_pairs(parent, run, found, name_events))


def _draw_start(parent: "Figure | SubFigure", run: Runs, panel: Panel) -> None:
    axes = parent.subplots()
    handles = [*draw_panel(axes, run, panel).values(), *level_handles(run, panel)]
    foreign = _published_foreign(run)
    if foreign is not None:
        handles += draw_panel(axes, run, foreign, alone=False).values()
    axes.set_ylabel("kernel distance $S$ to epoch 0")
    handles += published_handles(run, _FOREIGN)
    parent.legend(handles=handles, loc="outside lower center", ncols=1 if len(handles) > 3 else 2)


def _published_foreign(run: Runs) -> Panel | None:
    """The full kernel's distance to another network, where points of it are published."""
    panel = (
        panel_of(run, "foreign") if isinstance(run, Seeds) and _FOREIGN in run.published else None
    )
    return None if panel is None else panel._replace(lines=panel.lines[:1])


def _draw_pairs(
    parent: "Figure | SubFigure", run: Runs, found: dict[str, np.ndarray], name_events: bool
) -> None:
    axes = parent.subplots()
    mesh = draw_pairs(axes, run, found)
    axes.set_box_aspect(1)
    bar = parent.colorbar(mesh, ax=axes, shrink=0.9, label="kernel distance $S$, full kernel")
    bar.outline.set_linewidth(0.6)
    handles = event_handles(run)
    if name_events and handles:
        parent.legend(handles=handles, loc="outside lower center", ncols=2)


def pairs_of(run: Runs) -> dict[str, np.ndarray]:
    """``epochs`` (T,) and ``distance`` (T, T): exact, else the estimate so far, else empty."""
    found = run.array("kernel_distance", "pairwise")
    return found or run.array("kernel_distance", "pairwise_estimate")


def draw_pairs(
    axes: "Axes", run: Runs, found: dict[str, np.ndarray], highest: float | None = None
) -> "QuadMesh":
    """One heatmap with its events; `highest` is the end of the color scale, by default its own."""
    first = first_place(run)
    edges, distance = cells(found["epochs"], found["distance"], limits(run), first)
    style: dict[str, Any] = {"cmap": HEAT, "vmin": 0, "vmax": highest, "rasterized": True}
    mesh = axes.pcolormesh(edges, edges, distance, gid="kernel_distance/pairwise", **style)
    draw_epoch_axis(axes, run, "x")
    draw_epoch_axis(axes, run, "y")
    _draw_events_on_both(axes, find_events(run))
    return mesh


def _draw_events_on_both(axes: "Axes", events: Events) -> None:
    for name, epoch in events._asdict().items():
        if epoch is not None:
            for draw in (axes.axvline, axes.axhline):
                draw(epoch, color="white", linewidth=1.7)  # seen on dark and on light cells
                draw(epoch, gid=name, **event_style(name))


def cells(
    epochs: np.ndarray, values: np.ndarray, ends: tuple[float, float], first: float = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a heatmap on the epoch axis: each epoch's reaches half way to its neighbors.

    Args:
        epochs: (T,) increasing, from 0 on.
        values: (T, T).
        ends: of the axis.
        first: where it begins.

    Returns:
        Edges (K + 1,) and values (K, K). K = T, or T + 1 with 0 among the epochs: the break of the
        axis between 0 and the first trained epoch is then a row and a column of NaN.
    """
    trained = epochs[epochs > 0].astype(float)
    middle = np.sqrt(trained[1:] * trained[:-1])
    reach = trained[0] / middle[0] if len(middle) else 0.8
    last = trained[-1] / middle[-1] if len(middle) else 1.25
    low = max(trained[0] * reach, BREAK[1] * first)
    edges = np.array([low, *middle, min(trained[-1] * last, ends[1])])
    if epochs[0] > 0:
        return edges, values
    edges = np.concatenate([[ends[0], BREAK[0] * first], edges])
    return edges, np.insert(np.insert(values, 1, np.nan, axis=0), 1, np.nan, axis=1)

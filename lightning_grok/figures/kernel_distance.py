"""How far the neural tangent kernel moves: from its start, and between all measured epochs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_grok.figures.epoch_axis import (
    BREAK,
    Events,
    draw_epoch_axis,
    draw_events,
    draw_series,
    event_handles,
    event_style,
    find_events,
    first_place,
    limits,
    published_handles,
)
from lightning_grok.figures.layout import View, view_figure
from lightning_grok.figures.palette import FULL_KERNEL, HEAT, TOTAL, TRACE_KERNEL
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_KERNELS = {"full": ("full kernel", FULL_KERNEL), "trace": ("trace kernel", TRACE_KERNEL)}
_FLOOR: dict[str, Any] = {"linestyle": ":", "linewidth": 0.8}


def kernel_distance_figure(run: Runs) -> "Figure":
    """Heatmap of the kernel distance over pairs of measured epochs: exact, or the estimate so far.

    Raises:
        InputError: the run has no distances of pairs.
    """
    view = pairwise_view(run, name_events=True)
    return view_figure(run, view, "kernel distances of pairs of epochs")


def start_view(run: Runs) -> View | None:
    """Distance of both kernels to the run's own start; None where it wasn't logged."""
    if not any(run.series(f"kernel_distance/{kind}/own")[0].size for kind in _KERNELS):
        return None
    published = isinstance(run, Seeds) and bool(run.published)
    height = 3.0 if published else 2.6  # with the paper's reference
    return View("Kernel distance to the initialization", height, lambda p: _draw_start(p, run))


def pairwise_view(run: Runs, *, name_events: bool = False) -> View | None:
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
    return View(heading, height, lambda p: _draw_pairs(p, run, found, name_events))


def _draw_start(parent: "Figure | SubFigure", run: Runs) -> None:
    axes = parent.subplots()
    handles = draw_distance(axes, run)
    foreign = "kernel_distance/full/foreign"
    if isinstance(run, Seeds) and foreign in run.published:
        handles |= draw_distance(axes, run, ("full",), "foreign")
    axes.set_ylabel("kernel distance $S$ to epoch 0")
    named = [*handles.values(), *published_handles(run, foreign)]
    parent.legend(handles=named, loc="outside lower center", ncols=1 if len(named) > 3 else 2)


def draw_distance(
    axes: "Axes",
    run: Runs,
    kinds: tuple[str, ...] = ("full", "trace"),
    reference: str = "own",
    group: str = "kernel_distance",
    *,
    alone: bool = False,
    **line: Any,
) -> "dict[str, Line2D]":
    """One panel: distances to the own start (with their floors) or to another network.

    Args:
        axes: to draw into.
        run: the run.
        kinds: kernels, ``full`` and ``trace``.
        reference: ``own`` or ``foreign``.
        group: what stands first in the keys.
        alone: leave out events and floors, which another call draws.
        line: style of the lines, and ``label``.

    Returns:
        The lines by what they are.
    """
    from matplotlib.lines import Line2D

    draw_epoch_axis(axes, run)
    axes.set_autoscaley_on(True)  # a call before this one has set the lower end
    if not alone:
        draw_events(axes, find_events(run))
    looks: dict[str, Any] = {} if isinstance(run, Seeds) else {"marker": "o"}
    if reference == "foreign":
        looks["linestyle"] = "--"
    handles: dict[str, Line2D] = {}
    for kind in kinds:
        label, color = _KERNELS[kind]
        if reference == "foreign":
            label += ", to another network"
        style = {"color": color, "label": label} | looks | line
        drawn = draw_series(axes, run, f"{group}/{kind}/{reference}", **style)
        if drawn is not None:
            handles[f"{group}/{kind}/{reference}"] = drawn
        if reference == "own" and not alone:
            _draw_floor(axes, run, kind, group)
    axes.set_ylim(bottom=-0.01)
    if reference == "own" and not alone and run.series(f"{group}/full/floor")[0].size:
        label = "fresh networks, mean ± s.d."
        handles["floor"] = Line2D([], [], color=TOTAL, label=label, **_FLOOR)
    return handles


def _draw_floor(axes: "Axes", run: Runs, kind: str, group: str) -> None:
    """The distance between fresh initializations, mean and one standard deviation as a band."""
    key = f"{group}/{kind}/floor"
    levels, deviations = run.series(key)[1], run.series(f"{key}_sd")[1]
    if not len(levels):
        return
    color = _KERNELS[kind][1]
    axes.axhline(levels[0], color=color, gid=key, **_FLOOR)
    if len(deviations) and np.isfinite(deviations[0]):
        low, high = levels[0] - deviations[0], levels[0] + deviations[0]
        axes.axhspan(low, high, color=color, alpha=0.25, linewidth=0, gid=f"{key}_sd")


def _draw_pairs(
    parent: "Figure | SubFigure", run: Runs, found: dict[str, np.ndarray], name_events: bool
) -> None:
    axes = parent.subplots()
    mesh = draw_pairs(axes, run, found)
    axes.set_box_aspect(1)
    bar = parent.colorbar(mesh, ax=axes, shrink=0.9, label="kernel distance $S$, full kernel")
    bar.outline.set_linewidth(0.6)
    handles = event_handles(find_events(run))
    if name_events and handles:
        parent.legend(handles=handles, loc="outside lower center", ncols=2)


def pairs_of(run: Runs) -> dict[str, np.ndarray]:
    """``epochs`` (T,) and ``distance`` (T, T): exact, else the estimate so far, else empty."""
    found = run.array("kernel_distance", "pairwise")
    return found or run.array("kernel_distance", "pairwise_estimate")


def draw_pairs(
    axes: "Axes", run: Runs, found: dict[str, np.ndarray], highest: float | None = None
) -> "QuadMesh":
    """One heatmap with its events; `highest` is the end of the colour scale, by default its own."""
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
    """Cells of a heatmap on the epoch axis: each epoch's reaches half way to its neighbours.

    Args:
        epochs: (T,) increasing, from 0 on.
        values: (T, T).
        ends: of the axis.
        first: where epoch 1 stands on it.

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

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
    limits,
)
from lightning_grok.figures.layout import View, view_figure
from lightning_grok.figures.palette import FULL_KERNEL, HEAT, TOTAL, TRACE_KERNEL
from lightning_grok.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_KERNELS = {"full": ("full kernel", FULL_KERNEL), "trace": ("trace kernel", TRACE_KERNEL)}
_FLOOR: dict[str, Any] = {"linestyle": ":", "linewidth": 0.8}


def kernel_distance_figure(run: Run) -> "Figure":
    """Heatmap of the kernel distance over pairs of measured epochs: exact, or the estimate so far.

    Raises:
        InputError: the run has no distances of pairs.
    """
    view = pairwise_view(run, name_events=True)
    return view_figure(run, view, "kernel distances of pairs of epochs")


def start_view(run: Run) -> View | None:
    """Distance of both kernels to the run's own start; None where it wasn't logged."""
    if not any(run.series(f"kernel_distance/{kind}/own")[0].size for kind in _KERNELS):
        return None
    return View("Kernel distance to the initialization", 2.6, lambda p: _draw_start(p, run))


def pairwise_view(run: Run, *, name_events: bool = False) -> View | None:
    """Heatmap of the full kernel's distances; None for fewer than two epochs.

    Args:
        run: the run.
        name_events: whether a legend names memorization and generalization.
    """
    found = run.array("kernel_distance", "pairwise")
    heading = "Kernel distance between epochs"
    if not found:
        found = run.array("kernel_distance", "pairwise_estimate")
        if found:
            heading += f" (estimate, s.e. ≤ {np.max(found['standard_error']):.2g})"
    if not found or len(found["epochs"]) < 2:
        return None
    height = 2.95 if name_events else 2.6
    return View(heading, height, lambda p: _draw_pairs(p, run, found, name_events))


def _draw_start(parent: "Figure | SubFigure", run: Run) -> None:
    from matplotlib.lines import Line2D

    axes = parent.subplots()
    draw_epoch_axis(axes, run)
    draw_events(axes, find_events(run))
    handles: list[Line2D] = []
    for kind, (label, color) in _KERNELS.items():
        key = f"kernel_distance/{kind}"
        line = draw_series(axes, run, f"{key}/own", color=color, label=label, marker="o")
        handles += [] if line is None else [line]
        _draw_floor(axes, run, kind)
    axes.set_ylim(bottom=-0.01)
    axes.set_ylabel("kernel distance $S$ to epoch 0")
    if run.series("kernel_distance/full/floor")[0].size:
        label = "between fresh networks, mean ± s.d."
        handles.append(Line2D([], [], color=TOTAL, label=label, **_FLOOR))
    parent.legend(handles=handles, loc="outside lower center", ncols=2)


def _draw_floor(axes: "Axes", run: Run, kind: str) -> None:
    """The distance between fresh initializations, mean and one standard deviation as a band."""
    levels, deviations = (
        run.series(f"kernel_distance/{kind}/{each}")[1] for each in ("floor", "floor_sd")
    )
    if not len(levels):
        return
    color = _KERNELS[kind][1]
    key = f"kernel_distance/{kind}/floor"
    axes.axhline(levels[0], color=color, gid=key, **_FLOOR)
    if len(deviations) and np.isfinite(deviations[0]):
        low, high = levels[0] - deviations[0], levels[0] + deviations[0]
        axes.axhspan(low, high, color=color, alpha=0.25, linewidth=0, gid=f"{key}_sd")


def _draw_pairs(
    parent: "Figure | SubFigure", run: Run, found: dict[str, np.ndarray], name_events: bool
) -> None:
    axes = parent.subplots()
    edges, distance = cells(found["epochs"], found["distance"], limits(run))
    mesh = axes.pcolormesh(
        edges, edges, distance, cmap=HEAT, vmin=0, rasterized=True, gid="kernel_distance/pairwise"
    )
    draw_epoch_axis(axes, run, "x")
    draw_epoch_axis(axes, run, "y")
    axes.set_box_aspect(1)
    events = find_events(run)
    _draw_events_on_both(axes, events)
    bar = parent.colorbar(mesh, ax=axes, shrink=0.9, label="kernel distance $S$, full kernel")
    bar.outline.set_linewidth(0.6)
    handles = event_handles(events)
    if name_events and handles:
        parent.legend(handles=handles, loc="outside lower center", ncols=2)


def _draw_events_on_both(axes: "Axes", events: Events) -> None:
    for name, epoch in events._asdict().items():
        if epoch is not None:
            for draw in (axes.axvline, axes.axhline):
                draw(epoch, color="white", linewidth=1.7)  # seen on dark and on light cells
                draw(epoch, gid=name, **event_style(name))


def cells(
    epochs: np.ndarray, values: np.ndarray, ends: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a heatmap on the epoch axis: each epoch's reaches half way to its neighbours.

    Args:
        epochs: (T,) increasing, from 0 on.
        values: (T, T).
        ends: of the axis.

    Returns:
        Edges (K + 1,) and values (K, K). K = T, or T + 1 with 0 among the epochs: the break of the
        axis between 0 and the first trained epoch is then a row and a column of NaN.
    """
    trained = epochs[epochs > 0].astype(float)
    middle = np.sqrt(trained[1:] * trained[:-1])
    reach = trained[0] / middle[0] if len(middle) else 0.8
    last = trained[-1] / middle[-1] if len(middle) else 1.25
    low = max(trained[0] * reach, BREAK[1])
    edges = np.array([low, *middle, min(trained[-1] * last, ends[1])])
    if epochs[0] > 0:
        return edges, values
    edges = np.concatenate([[ends[0], BREAK[0]], edges])
    return edges, np.insert(np.insert(values, 1, np.nan, axis=0), 1, np.nan, axis=1)

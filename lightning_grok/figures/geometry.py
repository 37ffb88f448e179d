"""Manifold capacity, radius and dimension of every layer."""

import re
from typing import TYPE_CHECKING, Any

from lightning_grok.figures.breakdown import leave_off_scale
from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    draw_series,
    event_handles,
    find_events,
    published_handles,
)
from lightning_grok.figures.layout import View, view_figure
from lightning_grok.figures.palette import layer_color
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

QUANTITIES = {
    "capacity": "capacity $α_C$\n(classes/dimension)",
    "radius": "radius $R_M$\n(center norms)",
    "dimension": "dimension $D_M$\n",
}
_MARKERS = ("o", "s", "^", "D", "v")


def geometry_figure(run: Runs) -> "Figure":
    """Capacity, radius and dimension of every layer, with their standard errors as bands.

    Raises:
        InputError: the run has no manifold capacity.
    """
    return view_figure(run, geometry_view(run, name_events=True), "manifold capacities")


def geometry_view(run: Runs, *, name_events: bool = False) -> View | None:
    """A panel a quantity; None where none was logged.

    Layers are those of the test split, or of the train split where it alone was measured.

    Args:
        run: the run.
        name_events: whether the legend names memorization and generalization, too.
    """
    groups = [
        g for g in ("manifold_capacity", "manifold_capacity/train") if measured_layers(run, g)
    ]
    if not groups:
        return None
    group = groups[0]
    layers = measured_layers(run, group)
    logged = set(run.keys)
    quantities = [q for q in QUANTITIES if any(f"{group}/{each}/{q}" in logged for each in layers)]
    images = f"{'train' if group.endswith('/train') else 'test'} images"
    about = images if isinstance(run, Seeds) else f"{images}, bands ± s.e."
    over_seeds = isinstance(run, Seeds)
    entries = len(layers) + 2 * name_events + over_seeds
    rows = -(-entries // _legend_columns(name_events or over_seeds))
    return View(
        f"Geometry of the class manifolds ({about})",
        0.35 + 1.1 * len(quantities) + 0.14 * rows,
        lambda parent: _draw(parent, run, quantities, group, name_events),
    )


def measured_layers(run: Runs, group: str = "manifold_capacity") -> list[str]:
    """Layers whose geometry was logged, in the order of the network.

    Args:
        run: the run.
        group: what stands before the layer in the keys, with the split where it is not test.
    """
    key = re.compile(rf"{re.escape(group)}/(?!train/)(.+)/({'|'.join(QUANTITIES)})")
    found = {match[1] for each in run.keys if (match := key.fullmatch(each))}
    names = run.meta.get("layer_names") or []
    return sorted(found, key=lambda name: _order(name, names))


def _draw(
    parent: "Figure | SubFigure",
    run: Runs,
    quantities: list[str],
    group: str,
    name_events: bool,
) -> None:
    column = parent.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
    handles: dict[str, Line2D] = {}
    for axes, quantity in zip(column, quantities, strict=True):
        handles |= draw_geometry(axes, run, quantity, group)
        axes.label_outer()
    parent.align_ylabels(column)
    named = event_handles(find_events(run)) if name_events else []
    parent.legend(
        handles=[*handles.values(), *named, *published_handles(run, group)],
        loc="outside lower center",
        ncols=_legend_columns(name_events or isinstance(run, Seeds)),
    )


def draw_geometry(
    axes: "Axes", run: Runs, quantity: str, group: str = "manifold_capacity"
) -> "dict[str, Line2D]":
    """One panel: ``capacity``, ``radius`` or ``dimension`` of every layer; the lines by layer."""
    draw_epoch_axis(axes, run)
    axes.set_ylabel(QUANTITIES[quantity])
    draw_events(axes, find_events(run))
    layers = measured_layers(run, group)
    handles = {}
    for layer in layers:
        key = f"{group}/{layer}/{quantity}"
        line = draw_series(axes, run, key, **layer_style(run, layer, layers))
        if line is not None:
            handles[layer] = line
    leave_off_scale(axes, run, [f"{group}/{layer}/{quantity}" for layer in handles])
    return handles


def _legend_columns(name_events: bool) -> int:
    return 2 if name_events else 3  # names of events and of published points are long


def layer_style(run: Runs, layer: str, others: list[str]) -> dict[str, Any]:
    """Label, colour and marker of a layer: the same wherever it is drawn.

    They follow the layer's place in the network, or among `others` where the run doesn't name its
    layers. Two layers share a shape of marker, of which the second, an MLP's activation, is hollow.
    Over seeds, where open markers are published points, its line is dotted and none has markers.
    """
    names = run.meta.get("layer_names") or others
    position = names.index(layer) if layer in names else 0
    color = layer_color(position, len(names))
    kind = _kind(run, position)
    label = f"{layer} ({kind})" if kind else layer
    if isinstance(run, Seeds):
        dashes = (0, (1.2, 0.9)) if position % 2 else "-"
        return {"label": label, "color": color, "linestyle": dashes}
    return {
        "label": label,
        "color": color,
        "marker": _MARKERS[position // 2 % len(_MARKERS)],
        "markerfacecolor": "white" if position % 2 else color,
        "markeredgewidth": 0.7,
    }


def _kind(run: Runs, position: int) -> str:
    """What an MLP's layer is; empty for another network."""
    activation = run.meta.get("network", {}).get("activation")
    if activation is None:
        return ""
    return {"relu": "ReLU"}.get(activation, activation) if position % 2 else "linear"


def _order(name: str, names: list[str]) -> tuple[Any, ...]:
    known = names.index(name) if name in names else len(names)
    # layers.10 stands behind layers.9
    return (known, *((0, int(p), "") if p.isdigit() else (1, 0, p) for p in name.split(".")))

"""Manifold capacity, radius and dimension of every layer."""

import re
from typing import TYPE_CHECKING, Any

from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    draw_series,
    event_handles,
    find_events,
)
from lightning_grok.figures.layout import View, view_figure
from lightning_grok.figures.palette import layer_color
from lightning_grok.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_LABELS = {
    "capacity": "capacity $α_C$\n(classes/dimension)",
    "radius": "radius $R_M$\n(center norms)",
    "dimension": "dimension $D_M$\n",
}
_MARKERS = ("o", "s", "^", "D", "v")
_KEY = re.compile(r"manifold_capacity/(?:(train)/)?(.+)/(capacity|radius|dimension)")


def geometry_figure(run: Run) -> "Figure":
    """Capacity, radius and dimension of every layer, with their standard errors as bands.

    Raises:
        InputError: the run has no manifold capacity.
    """
    return view_figure(run, geometry_view(run, name_events=True), "manifold capacities")


def geometry_view(run: Run, *, name_events: bool = False) -> View | None:
    """A panel a quantity; None where none was logged.

    Layers are those of the test split, or of the train split where it alone was measured.

    Args:
        run: the run.
        name_events: whether the legend names memorization and generalization, too.
    """
    found = [match for key in run.keys if (match := _KEY.fullmatch(key))]
    split = "train" if found and all(match[1] for match in found) else None
    found = [match for match in found if match[1] == split]
    if not found:
        return None
    quantities = [each for each in _LABELS if each in {match[3] for match in found}]
    names = run.meta.get("layer_names") or []
    layers = sorted({match[2] for match in found}, key=lambda name: _order(name, names))
    rows = -(-(len(layers) + 2 * name_events) // _legend_columns(name_events))
    return View(
        f"Geometry of the class manifolds ({split or 'test'} images, bands ± s.e.)",
        0.35 + 1.1 * len(quantities) + 0.14 * rows,
        lambda parent: _draw(parent, run, quantities, layers, split, name_events),
    )


def _draw(
    parent: "Figure | SubFigure",
    run: Run,
    quantities: list[str],
    layers: list[str],
    split: str | None,
    name_events: bool,
) -> None:
    events = find_events(run)
    column = parent.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
    prefix = f"manifold_capacity/{split}" if split else "manifold_capacity"
    handles: dict[str, Any] = {}
    for axes, quantity in zip(column, quantities, strict=True):
        draw_epoch_axis(axes, run)
        axes.label_outer()
        axes.set_ylabel(_LABELS[quantity])
        draw_events(axes, events)
        for layer in layers:
            key = f"{prefix}/{layer}/{quantity}"
            line = draw_series(axes, run, key, **layer_style(run, layer, layers))
            if line is not None:
                handles[layer] = line
    parent.align_ylabels(column)
    named = event_handles(events) if name_events else []
    parent.legend(
        handles=[*handles.values(), *named],
        loc="outside lower center",
        ncols=_legend_columns(name_events),
    )


def _legend_columns(name_events: bool) -> int:
    return 2 if name_events else 3  # the names of events are longer than those of layers


def layer_style(run: Run, layer: str, others: list[str]) -> dict[str, Any]:
    """Label, colour and marker of a layer: the same wherever it is drawn.

    They follow the layer's place in the network, or among `others` where the run doesn't name its
    layers. Two layers share a shape of marker, of which the second, an MLP's activation, is hollow.
    """
    names = run.meta.get("layer_names") or others
    position = names.index(layer) if layer in names else 0
    color = layer_color(position, len(names))
    kind = _kind(run, position)
    label = f"{layer} ({kind})" if kind else layer
    return {
        "label": label,
        "color": color,
        "marker": _MARKERS[position // 2 % len(_MARKERS)],
        "markerfacecolor": "white" if position % 2 else color,
        "markeredgewidth": 0.7,
    }


def _kind(run: Run, position: int) -> str:
    """What an MLP's layer is; empty for another network."""
    activation = run.meta.get("network", {}).get("activation")
    if activation is None:
        return ""
    return {"relu": "ReLU"}.get(activation, activation) if position % 2 else "linear"


def _order(name: str, names: list[str]) -> tuple[Any, ...]:
    known = names.index(name) if name in names else len(names)
    # layers.10 stands behind layers.9
    return (known, *((0, int(p), "") if p.isdigit() else (1, 0, p) for p in name.split(".")))

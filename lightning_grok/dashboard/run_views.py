"""The views of one run: each a function of the run and its events, returning a `View` or None.

Epochs stand on the axis that all of them share; what was not measured has no view.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from lightning_grok.dashboard.epoch_axis import axis, break_mark, event_lines_on_heat, limits
from lightning_grok.dashboard.traces import epoch_figure, heatmap, level, line
from lightning_grok.dashboard.umap_view import umap_view
from lightning_grok.dashboard.view import SYMBOLS, TALL, View
from lightning_grok.figures.epoch_axis import Events
from lightning_grok.figures.geometry import layer_style
from lightning_grok.figures.kernel_distance import cells
from lightning_grok.figures.palette import (
    FULL_KERNEL,
    PAPER_PROBE,
    SOUND_PROBE,
    TEST,
    TOTAL,
    TRACE_KERNEL,
    TRAIN,
)
from lightning_grok.runs.run import Run

_LOSSES = {"cross_entropy": "cross-entropy (nats)", "mse": "mean squared error"}
_KERNELS = {"full": ("full kernel", FULL_KERNEL), "trace": ("trace kernel", TRACE_KERNEL)}
_PROBES = {
    "sound": ("converged, held-out digits", SOUND_PROBE, "solid"),
    "sound_stored": ("the same, upright digits", SOUND_PROBE, "dot"),
    "paper": ("paper's: 100 steps, its own training digits", PAPER_PROBE, "solid"),
    "direct": ("the network's own digit outputs", TOTAL, "dash"),
}
_GEOMETRY = {
    "capacity": (
        "Manifold capacity α_C",
        "Classes that a layer can separate per dimension",
        "classes per dimension",
    ),
    "radius": ("Manifold radius R_M", "Spread of a class about its center", "center norms"),
    "dimension": ("Manifold dimension D_M", "Directions in which a class spreads", "dimensions"),
}
_KEY = re.compile(r"manifold_capacity/(?:(train)/)?(.+)/(capacity|radius|dimension)")
_FRACTION = {"range": [-0.03, 1.03], "title": {"text": "accuracy (fraction)"}}


def run_views(run: Run, events: Events) -> list[View]:
    """All views of what was measured in a run, in reading order."""
    made = (build(run, events) for build in _VIEWS)
    return [view for view in made if view is not None]


def accuracy_view(run: Run, events: Events) -> View | None:
    """Train and test accuracy."""
    note = "Share of training images and of unseen test images named correctly."
    return _performance(run, events, "accuracy", "Accuracy", note, _FRACTION)


def loss_view(run: Run, events: Events) -> View | None:
    """Train and test loss on a logarithmic axis."""
    loss = _LOSSES.get(str((run.config.get("model") or {}).get("loss", "")), "loss")
    y = {"type": "log", "title": {"text": loss}, "exponentformat": "power", "dtick": 2}
    note = "On training images and on test images; logarithmic axis."
    return _performance(run, events, "loss", "Loss", note, y)


def start_view(run: Run, events: Events) -> View | None:
    """Distance of both kernels to the run's own start, over the floor between fresh networks."""
    traces, legend, floors = [], [], []
    for kind, (label, color) in _KERNELS.items():
        key = f"kernel_distance/{kind}"
        found = line(run, f"{key}/own", label=label, color=color)
        if not found:
            continue
        legend.append({"label": label, "group": label, "color": color})
        values, spreads = run.series(f"{key}/floor")[1], run.series(f"{key}/floor_sd")[1]
        if len(values):
            floor = {"color": color, "group": f"{kind} floor"}
            spread = spreads[0] if len(spreads) else np.nan
            traces += level(values[0], spread, limits(run.epoch)[1], **floor)
            note = f"{kind}: between fresh networks, mean ± s.d."
            floors.append({"label": note, "dash": "dot", "band": "true", **floor})
        traces += found
    if not traces:
        return None
    y = {"title": {"text": "kernel distance S"}, "rangemode": "tozero"}
    note = "How far the neural tangent kernel has moved from epoch 0; 0 means not at all."
    figure = epoch_figure(traces, events, run.epoch, y)
    return View("kernel", "Kernel distance to the start", note, "epoch", figure, legend + floors)


def geometry_views(quantity: str) -> Callable[[Run, Events], View | None]:
    """The function that draws a quantity of `_GEOMETRY` for every layer."""
    title, note, unit = _GEOMETRY[quantity]

    def build(run: Run, events: Events) -> View | None:
        split, layers = measured_layers(run)
        traces, legend = [], []
        for layer in layers:
            prefix = f"manifold_capacity/{split}/" if split else "manifold_capacity/"
            look = _layer_look(run, layer, layers)
            found = line(run, f"{prefix}{layer}/{quantity}", group=layer, **look)
            traces += found
            legend += [{**look, "group": layer}] if found else []
        if not traces:
            return None
        of = f" ({split or 'test'} images, bands ± s.e.)."
        figure = epoch_figure(traces, events, run.epoch, {"title": {"text": unit}})
        return View(quantity, title, note + of, "epoch", figure, legend)

    return build


def pairs_view(run: Run, events: Events) -> View | None:
    """Kernel distance between all measured epochs: exact, or the estimate so far."""
    found = run.array("kernel_distance", "pairwise")
    note = "Full kernel: dark blocks are stretches in which it stands still."
    if not found:
        found = run.array("kernel_distance", "pairwise_estimate")
        if found:
            error = np.max(found["standard_error"])
            note += f" Estimate while training goes on, standard error up to {error:.2g}."
    count = len(found.get("epochs", ()))
    if count < 2 or found["distance"].shape != (count, count):
        return None
    edges, distance = cells(found["epochs"], found["distance"], limits(run.epoch))
    cell = heatmap(edges, edges, distance, unit="kernel distance S", hover="%{z:.3f}", zmin=0)
    layout = {
        "xaxis": axis(run.epoch, title={"text": "epoch"}, constrain="domain"),
        "yaxis": axis(run.epoch, title={"text": "epoch"}),
        "shapes": event_lines_on_heat(events, "xy"),
        "annotations": [break_mark(), break_mark("y")],
    }
    figure = {"data": [cell], "layout": layout}
    title = "Kernel distance between epochs"
    return View("pairs", title, note, "pairs", figure, [], TALL)


def probe_view(run: Run, events: Events) -> View | None:
    """Linear readouts of digits that the network was not trained on."""
    transfer = run.meta.get("transfer") or {}
    same = bool(transfer.get("same_distribution"))
    traces, legend = [], []
    for name, (label, color, dash) in _PROBES.items():
        if same and name == "sound_stored":  # its digits are stored upright either way
            continue
        key = f"linear_probe/{name}/accuracy"
        look = {"label": label, "color": color, "dash": dash}
        found = line(run, key, error=f"{key}_sd", **look)
        traces += found
        legend += [{**look, "group": label}] if found else []
    if not traces:
        return None
    digits = transfer.get("name", "digits")
    note = f"What linear readouts of the features know of {digits} (chance 0.1; bands ± s.d.)"
    note += ", here digits like those it was trained on." if same else ", which it never saw."
    figure = epoch_figure(traces, events, run.epoch, _FRACTION)
    return View("probe", "Linear probes", note, "epoch", figure, legend)


def weight_view(run: Run, events: Events) -> View | None:
    """Norms of all parameters and of every layer's."""
    look = {"label": "all parameters", "color": TOTAL, "dash": "dash"}
    traces = line(run, "weight_norm/total", **look)
    legend = [{**look, "group": "all parameters"}] if traces else []
    layers = [key.split("/", 1)[1] for key in run.keys if key.startswith("weight_norm/layers.")]
    for layer in layers:
        look = _layer_look(run, layer, layers)
        traces += line(run, f"weight_norm/{layer}", group=layer, **look)
        legend.append({**look, "group": layer})
    if not traces:
        return None
    y = {"title": {"text": "norm ‖θ‖"}, "rangemode": "tozero"}
    figure = epoch_figure(traces, events, run.epoch, y)
    note = "Euclidean norm of the parameters of every layer, biases included."
    return View("weights", "Weight norms", note, "epoch", figure, legend)


def measured_layers(run: Run) -> tuple[str | None, list[str]]:
    """The split (None: test) and the layers whose geometry was measured, in network order."""
    found = [match for key in run.keys if (match := _KEY.fullmatch(key))]
    split = "train" if found and all(match[1] for match in found) else None
    layers = {match[2] for match in found if match[1] == split}
    known = [str(name) for name in run.meta.get("layer_names") or []]
    return split, [*(k for k in known if k in layers), *sorted(layers.difference(known))]


def _performance(
    run: Run, events: Events, quantity: str, title: str, note: str, y: dict[str, Any]
) -> View | None:
    traces, legend = [], []
    for part, color in (("train", TRAIN), ("test", TEST)):
        found = line(run, f"{part}/{quantity}", label=part, color=color)
        traces += found
        legend += [{"label": part, "group": part, "color": color}] if found else []
    if not traces:
        return None
    figure = epoch_figure(traces, events, run.epoch, y)
    return View(quantity, title, note, "epoch", figure, legend)


def _layer_look(run: Run, layer: str, others: list[str]) -> dict[str, str]:
    """Label, colour and marker as in all figures."""
    style = layer_style(run, layer, others)
    hollow = "-open" if style["markerfacecolor"] == "white" else ""
    symbol = SYMBOLS[style["marker"]] + hollow
    return {"label": style["label"], "color": style["color"], "symbol": symbol}


_VIEWS: tuple[Callable[[Run, Events], View | None], ...] = (
    accuracy_view,
    loss_view,
    start_view,
    geometry_views("capacity"),
    geometry_views("radius"),
    geometry_views("dimension"),
    pairs_view,
    umap_view,
    probe_view,
    weight_view,
)

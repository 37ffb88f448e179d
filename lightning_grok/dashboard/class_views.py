"""Which classes generalize first: accuracy and capacity of every class."""

from typing import Any, NamedTuple

import numpy as np

from lightning_grok.analysis.accuracy import Counted
from lightning_grok.analysis.onset import counted_on
from lightning_grok.analysis.transition import Transition, find_transition
from lightning_grok.dashboard.colors import harmless
from lightning_grok.dashboard.epoch_axis import (
    axis,
    break_mark,
    event_lines_on_heat,
    shown_epochs,
)
from lightning_grok.dashboard.traces import epoch_figure, heatmap, numbers
from lightning_grok.dashboard.view import View
from lightning_grok.figures.epoch_axis import Events, limits
from lightning_grok.figures.kernel_distance import cells
from lightning_grok.figures.palette import SOUND_PROBE, TEST
from lightning_grok.figures.umap import class_name
from lightning_grok.runs.panels import measured_layers
from lightning_grok.runs.run import Run

_ROW = 15  # pixels a class
_LEAST = 330
_MOST = 1000  # classes


class ClassSeries(NamedTuple):
    """A quantity of every class: epochs (T,), values (T, C)."""

    epochs: np.ndarray
    values: np.ndarray


def class_views(run: Run, events: Events, layer: str | None) -> list[View]:
    """Order of generalization, test accuracy and capacity, classes in the same order in all."""
    accuracy = class_series(run, "evaluation", "test/accuracy_per_class")
    if accuracy is None:
        return []
    onsets = _accuracy_onsets(run, events, accuracy)
    order = generalization_order(onsets, accuracy)
    rows = [class_name(run, label) for label in order]
    made = [
        _map(run, events, accuracy, order, rows, "class-accuracy", _ACCURACY),
        _capacity_map(run, events, layer, order, rows),
    ]
    views = [view for view in made if view is not None]
    return [_order_view(run, events, onsets, order, rows, layer), *views]


def class_series(run: Run, event: str, name: str) -> ClassSeries | None:
    """An array of every class at (a choice of) the epochs of an event; None for none."""
    found = {e: run.array_of(event, e, name) for e in shown_epochs(run.epochs_of(event))}
    kept = {e: v for e, v in found.items() if v is not None and _is_of_classes(v)}
    if not kept:
        return None
    count = max(len(values) for values in kept.values())
    epochs = [epoch for epoch, values in kept.items() if len(values) == count]
    return ClassSeries(np.array(epochs), np.array([kept[e] for e in epochs], dtype=np.float64))


def _is_of_classes(values: np.ndarray) -> bool:
    """Whether they are numbers, one a class, of as many classes as can be drawn."""
    return values.ndim == 1 and len(values) <= _MOST and values.dtype.kind in "biuf"


def class_onsets(series: ClassSeries, start: float, of: Counted | None = None) -> list[Transition]:
    """Crossing times of every class that rises from `start` on.

    Of accuracies, only of those that rise by what counts among the samples `of` one class.
    """
    found = [find_transition(series.epochs, column, start=start).rise for column in series.values.T]
    return [
        each if of is None or each.final >= of.least(each.plateau) else each.unseen
        for each in found
    ]


def _accuracy_onsets(run: Run, events: Events, accuracy: ClassSeries) -> list[Transition]:
    """Of every class; in a network that has not generalized no class comes first."""
    whole, classes = counted_on(run.meta), accuracy.values.shape[1]
    samples = None if whole.samples is None else max(1, whole.samples // classes)
    onsets = class_onsets(accuracy, _start(events), whole._replace(samples=samples))
    return onsets if events.generalization is not None else [each.unseen for each in onsets]


def _start(events: Events) -> float:
    """Where classes begin to rise: at memorization, or before where the network did not wait."""
    memorization, generalization = events.memorization, events.generalization
    if memorization is None or generalization is None or generalization < memorization:
        return 1.0
    return memorization


def generalization_order(onsets: list[Transition], accuracy: ClassSeries) -> list[int]:
    """Classes by their t_half; those without one behind, the most accurate first."""
    times = [each.t_half for each in onsets]
    final = np.nan_to_num(accuracy.values[-1], nan=-1.0)
    return sorted(range(len(onsets)), key=lambda k: (times[k], -final[k]))


def _order_view(
    run: Run,
    events: Events,
    onsets: list[Transition],
    order: list[int],
    rows: list[str],
    layer: str | None,
) -> View:
    label = "test accuracy"
    traces = _times(onsets, order, rows, label=label, color=TEST, symbol="circle")
    legend = [{"label": label, "group": label, "color": TEST, "symbol": "circle"}]
    capacity = _capacity(run, layer)
    if capacity is not None:
        label = f"capacity in {layer}"
        of = class_onsets(capacity, _start(events))
        traces += _times(of, order, rows, label=label, color=SOUND_PROBE, symbol="diamond-open")
        legend.append(
            {"label": label, "group": label, "color": SOUND_PROBE, "symbol": "diamond-open"}
        )
    figure = epoch_figure(traces, events, run.epoch, _class_axis(rows), run.first)
    first = [row for row, k in zip(rows, order, strict=True) if np.isfinite(onsets[k].t_half)][:3]
    note = "Mark: half of a class's rise; line: from a tenth to nine tenths of it."
    if first:
        note = f"First{_so_far(run)} {', '.join(first)}. {note}"
    elif events.generalization is None:
        note = f"The network has not generalized{_so_far(run)}: no class comes first."
    title = "Which classes generalize first"
    return View("order", title, note, "epoch", figure, legend, _height(rows))


def _so_far(run: Run) -> str:
    return "" if run.state == "finished" else " so far"


def _times(
    onsets: list[Transition],
    order: list[int],
    rows: list[str],
    *,
    label: str,
    color: str,
    symbol: str,
) -> list[dict[str, Any]]:
    """A mark at t_half and a line from t_10 to t_90 for every class that rises."""
    x, y, ends, names = [], [], [], []
    spans: list[float | None] = []
    for row, k in enumerate(order):
        onset = onsets[k]
        if onset.censored:
            continue
        x.append(onset.t_half)
        y.append(row)
        names.append(harmless(rows[row]))
        last = onset.t_90 if np.isfinite(onset.t_90) else onset.last
        spans += [onset.t_10, last, None]
        ends += [row, row, None]
    plain = {"type": "scatter", "legendgroup": label, "name": harmless(label)}
    widths = {"mode": "lines", "line": {"color": color, "width": 1.2}, "hoverinfo": "skip"}
    marks = {"mode": "markers", "marker": {"color": color, "symbol": symbol, "size": 8}}
    hover = "%{text}: half of the rise at epoch %{x:,.0f}"
    return [
        {**plain, **widths, "x": [None if s is None else round(s, 1) for s in spans], "y": ends},
        {**plain, **marks, "x": numbers(x), "y": y, "text": names, "hovertemplate": hover},
    ]


_Words = tuple[str, str, dict[str, float]]
_ACCURACY: _Words = ("Test accuracy of every class", "accuracy (fraction)", {"zmin": 0, "zmax": 1})


def _capacity_map(
    run: Run, events: Events, layer: str | None, order: list[int], rows: list[str]
) -> View | None:
    capacity = _capacity(run, layer)
    if capacity is None or capacity.values.shape[1] != len(order):
        return None
    words: _Words = (f"Capacity of every class in {layer}", "classes per dimension", {})
    return _map(run, events, capacity, order, rows, "class-capacity", words)


def _capacity(run: Run, layer: str | None) -> ClassSeries | None:
    if layer is None:
        return None
    split = measured_layers(run)[0]
    prefix = f"{split}/{layer}" if split else layer
    return class_series(run, "manifold_capacity", f"{prefix}/capacity_per_class")


def _map(
    run: Run,
    events: Events,
    series: ClassSeries,
    order: list[int],
    rows: list[str],
    name: str,
    words: _Words,
) -> View | None:
    if len(series.epochs) < 2:
        return None
    title, unit, options = words
    # The columns of a heatmap over pairs of epochs have the edges that are needed here.
    pairs = np.zeros((len(series.epochs), len(series.epochs)))
    edges, gap = cells(series.epochs, pairs, limits(run), run.first)
    values = series.values[:, order].T  # (C, T)
    if len(gap) > values.shape[1]:
        values = np.insert(values, 1, np.nan, axis=1)
    heights = np.arange(len(rows) + 1) - 0.5
    hover = "class %{text}: %{z:.3f}"
    text = [[harmless(row)] * values.shape[1] for row in rows]
    cell = heatmap(edges, heights, values, unit=unit, hover=hover, text=text, **options)
    figure = {
        "data": [cell],
        "layout": {
            "xaxis": axis(run.epoch, run.first, title={"text": "epoch"}),
            "yaxis": _class_axis(rows),
            "shapes": event_lines_on_heat(events),
            "annotations": [break_mark(first=run.first)],
        },
    }
    note = "Rows as in the order of generalization, first at the top."
    return View(name, title, note, "epoch", figure, [], _height(rows))


def _class_axis(rows: list[str]) -> dict[str, Any]:
    return {
        "range": [len(rows) - 0.4, -0.6],
        "tickvals": list(range(len(rows))),
        "ticktext": [harmless(row, 28) for row in rows],
        "title": {"text": "class"},
        "showgrid": len(rows) <= 20,
        "zeroline": False,
    }


def _height(rows: list[str]) -> int:
    return max(_LEAST, _ROW * len(rows) + 70)

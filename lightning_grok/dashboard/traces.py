"""Lines, bands and heatmaps as Plotly's plain dicts, from the series of a run."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from lightning_grok.analysis.lag import at_shared_epochs
from lightning_grok.dashboard.colors import faint, harmless
from lightning_grok.dashboard.epoch_axis import axis, break_mark, event_lines, in_json, thin
from lightning_grok.figures.epoch_axis import INITIALIZATION, Events
from lightning_grok.figures.palette import HEAT
from lightning_grok.runs.run import Run

_MARKED = 60  # more points than this are drawn as a line alone


def numbers(values: Iterable[Any], digits: int = 5) -> list[float | None]:
    """Values for JSON: so many significant digits, None for what is not finite."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in map(float, values)]


def on_axis(epochs: np.ndarray, first: float = 1) -> list[float]:
    """Where epochs stand on an axis that begins at `first`, exactly."""
    return [epoch or INITIALIZATION * first for epoch in in_json(epochs)]


def line(
    run: Run,
    key: str,
    *,
    label: str,
    color: str,
    group: str = "",
    dash: str = "solid",
    symbol: str = "circle",
    error: str | None = None,
) -> list[dict[str, Any]]:
    """A logged key against the epoch, over the band of its error; empty where nothing was logged.

    The error is what was logged under `error`, by default ``<key>_se``.
    """
    epochs, values = run.series(key)
    if not len(epochs):
        return []
    style = {"label": label, "color": color, "group": group or label}
    traces = []
    spread = run.series(error or f"{key}_se")
    if len(spread[0]):
        both, errors, middle = at_shared_epochs(spread, (epochs, values))
        traces.append(band(both, middle - errors, middle + errors, first=run.first, **style))
    return [*traces, curve(epochs, values, run.first, dash=dash, symbol=symbol, **style)]


def curve(
    epochs: np.ndarray,
    values: np.ndarray,
    first: float = 1,
    *,
    label: str,
    color: str,
    group: str,
    dash: str = "solid",
    symbol: str = "circle",
) -> dict[str, Any]:
    """A line right of the break (the axis begins at `first`); epoch 0 is a point of its own."""
    epochs, values = thin(epochs, values)
    start = 1 if len(epochs) and epochs[0] == 0 else 0
    alone = len(epochs) - start == 1
    size = 5 if alone or len(epochs) <= _MARKED else 0
    x = [*on_axis(epochs[:start], first), *[None] * start, *on_axis(epochs[start:])]
    shown = numbers(values)
    at = in_json(epochs)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": [*shown[:start], *[None] * start, *shown[start:]],
        "customdata": [*at[:start], *at[:start], *at[start:]],
        "name": harmless(label),
        "legendgroup": group,
        "line": {"color": color, "dash": dash, "width": 1.8},
        "marker": {
            "color": color,
            "symbol": symbol if size else "circle",
            "size": size if size else [6, *[0] * (len(x) - 1)] if start else 0,
            "opacity": 1,
            **({} if size else {"line": {"width": 0}}),  # sizes of their own bring an outline
        },
        "hovertemplate": "%{y:.4g} at epoch %{customdata:,.4~f}",
    }


def band(
    epochs: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    label: str,
    color: str,
    group: str,
    first: float = 1,
) -> dict[str, Any]:
    """An area between two bounds right of the break, and a bar for epoch 0."""
    known = np.isfinite(low) & np.isfinite(high)
    epochs, low, high = epochs[known], low[known], high[known]
    kept = np.isin(epochs, [*thin(epochs, low)[0], *thin(epochs, high)[0]])
    epochs, low, high = epochs[kept], low[kept], high[kept]
    x: list[float | None] = []
    y: list[float | None] = []
    for part in (epochs == 0, epochs > 0):
        if part.any():
            at = on_axis(epochs[part], first)
            x += [None] if x else []
            y += [None] if y else []
            x += [*at, *reversed(at)]
            y += numbers([*high[part], *low[part][::-1]])
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": faint(color),
        "line": {"color": faint(color), "width": 0.5},
        "legendgroup": group,
        "name": harmless(label),
        "hoverinfo": "skip",
    }


def level(
    value: float, spread: float, ends: tuple[float, float], *, color: str, group: str
) -> list[dict]:
    """A dotted line at a constant value with its spread as a band, beyond both ends of the axis."""
    ends = (ends[0] / 2, ends[1] * 10)
    plain = {"type": "scatter", "mode": "lines", "legendgroup": group, "hoverinfo": "skip"}
    traces = []
    if math.isfinite(spread):
        y = [value + spread, value + spread, value - spread, value - spread]
        fill = {"fill": "toself", "fillcolor": faint(color), "line": {"width": 0}}
        traces.append({**plain, **fill, "x": [*ends, *ends[::-1]], "y": numbers(y)})
    dotted = {"color": color, "dash": "dot", "width": 1.4}
    return [*traces, {**plain, "x": ends, "y": numbers([value, value]), "line": dotted}]


def heatmap(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, *, unit: str, hover: str, **options: Any
) -> dict[str, Any]:
    """Cells between the edges `x` (K + 1,) and `y` (L + 1,), colored by `z` (L, K)."""
    bar = {"title": {"text": unit, "side": "right"}, "thickness": 12, "outlinewidth": 0}
    return {
        "type": "heatmap",
        "x": numbers(x),
        "y": numbers(y),
        "z": [numbers(row) for row in z],
        "colorscale": HEAT.capitalize(),
        "colorbar": bar,
        "hovertemplate": f"{hover}<extra></extra>",
        "hoverongaps": False,
        **options,
    }


def epoch_figure(
    traces: list[dict[str, Any]], events: Events, last: int, y: dict[str, Any], first: float = 1
) -> dict[str, Any]:
    """Traces over the axis from `first` to `last` with the events; `y` is the other axis."""
    return {
        "data": traces,
        "layout": {
            "xaxis": axis(last, first, title={"text": "epoch"}),
            "yaxis": y,
            "shapes": event_lines(events),
            "annotations": [break_mark(first=first)],
        },
    }

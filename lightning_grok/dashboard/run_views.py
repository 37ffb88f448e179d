"""The views of one run: every panel of curves, pairs of epochs, maps.

Epochs stand on the axis that all of them share; what was not measured has no view. What a panel is
says the catalogue (`lightning_grok.runs.quantities`); nothing here knows a measurement by name but
for the arrays of pairs and maps.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from lightning_grok.dashboard.colors import harmless
from lightning_grok.dashboard.epoch_axis import axis, break_mark, event_lines_on_heat
from lightning_grok.dashboard.traces import epoch_figure, heatmap, level, line
from lightning_grok.dashboard.umap_view import umap_view
from lightning_grok.dashboard.view import SYMBOLS, TALL, View
from lightning_grok.figures.epoch_axis import Events, limits
from lightning_grok.figures.kernel_distance import cells, pairs_of
from lightning_grok.figures.panel import is_logarithmic, line_style
from lightning_grok.runs.names import printable
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.quantities import Line, Panel
from lightning_grok.runs.run import Run


def run_views(run: Run, events: Events) -> list[View]:
    """All views of what was measured in a run, in reading order."""
    panels = panels_of(run)
    first = [panel for panel in panels if panel.leads]
    rest = [panel for panel in panels if not panel.leads]
    made = (
        *(curves_view(run, events, panel) for panel in first),
        pairs_view(run, events),
        umap_view(run, events),
        *(curves_view(run, events, panel) for panel in rest),
    )
    return [view for view in made if view is not None]


def curves_view(run: Run, events: Events, panel: Panel) -> View:
    """The lines of a panel over epochs, with their bands and the levels they are held against."""
    traces: list[dict[str, Any]] = []
    levels: list[dict[str, Any]] = []
    legend, named = [], []
    for each in panel.lines:
        look = _look(run, panel, each)
        style = {key: look[key] for key in ("label", "color", "dash", "symbol") if key in look}
        error = "" if each.floor and panel.many_floors else f"{each.key}{each.error}"
        traces += line(run, each.key, group=look["group"], error=error, **style)
        legend.append(look)
        if each.level:
            found, entry = _level(run, each, look["color"])
            levels += found
            named += entry
    y = y_axis(panel, (run.series(each.key)[1] for each in panel.lines))
    figure = epoch_figure([*levels, *traces], events, run.epoch, y, run.first)
    sources = tuple((each.key, run.path, each.key) for each in panel.lines)
    words = (panel.id, panel.title, panel.note)
    return View(*words, "epoch", figure, legend + named, sources=sources)


def key_view(run: Run, events: Events, key: str) -> View:
    """A logged key that no panel shows, under its own name."""
    name = f"key-{hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:10]}"
    line = Line(key, printable(key))
    words = (name, line.label, f"As logged: {line.label}.", "", "Own choice")
    return curves_view(run, events, Panel(*words, (line,), known=False))


def y_axis(panel: Panel, series: Iterable[np.ndarray]) -> dict[str, Any]:
    """The vertical axis of a panel of these values, for Plotly."""
    symbol = re.sub(r"\b(\w)_(\w)\b", r"\1<sub>\2</sub>", harmless(panel.symbol))
    described: dict[str, Any] = {"title": {"text": harmless(panel.unit) or symbol}}
    if is_logarithmic(panel, series):
        return described | {"type": "log"}
    if panel.low is not None and panel.high is not None:
        margin = 0.03 * (panel.high - panel.low)
        return described | {"range": [panel.low - margin, panel.high + margin]}
    return described | ({"rangemode": "tozero"} if panel.low == 0 else {})


def _level(run: Run, of: Line, color: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """A constant with its spread, and what the legend says of it; nothing where none is known."""
    values, spreads = run.series(of.level)[1], run.series(f"{of.level}_sd")[1]
    if not len(values):
        return [], []
    look = {"color": color, "group": of.level}
    spread = spreads[0] if len(spreads) else np.nan
    traces = level(values[0], spread, limits(run), **look)
    label = f"{of.label}: {of.level_label}"
    return traces, [{"label": label, "dash": "dot", "band": "true", **look}]


def pairs_view(run: Run, events: Events) -> View | None:
    """Kernel distance between all measured epochs: exact, or the estimate so far."""
    found = pairs_of(run)
    note = "Full kernel: dark blocks are stretches in which it stands still."
    if "standard_error" in found:
        error = np.max(found["standard_error"])
        note += f" Estimate while training goes on, standard error up to {error:.2g}."
    count = len(found.get("epochs", ()))
    if count < 2 or found["distance"].shape != (count, count):
        return None
    edges, distance = cells(found["epochs"], found["distance"], limits(run), run.first)
    cell = heatmap(edges, edges, distance, unit="kernel distance S", hover="%{z:.3f}", zmin=0)
    layout = {
        "xaxis": axis(run.epoch, run.first, title={"text": "epoch"}, constrain="domain"),
        "yaxis": axis(
            run.epoch, run.first, title={"text": "epoch"}, constrain="domain", scaleanchor="x"
        ),
        "shapes": event_lines_on_heat(events, "xy"),
        "annotations": [break_mark(side, run.first) for side in "xy"],
    }
    figure = {"data": [cell], "layout": layout}
    title = "Kernel distance between epochs"
    return View("pairs", title, note, "pairs", figure, [], TALL)


def _look(run: Run, panel: Panel, of: Line) -> dict[str, str]:
    """Label, group, color, dash and marker of a line, as in all figures."""
    style = line_style(run, panel, of)
    look = {"label": style.label, "group": of.layer or style.label, "color": style.color}
    if of.dash != "solid":
        look["dash"] = of.dash
    if style.marker:
        look["symbol"] = SYMBOLS[style.marker] + ("-open" if style.hollow else "")
    return look

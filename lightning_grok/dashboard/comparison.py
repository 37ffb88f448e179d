"""Several runs in the same axes: one line a run, or one a setup with a band over its seeds."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightning_grok.analysis.lag import Series
from lightning_grok.dashboard.colors import harmless, series_style
from lightning_grok.dashboard.run_facts import settings_of
from lightning_grok.dashboard.run_views import y_axis
from lightning_grok.dashboard.traces import band, curve, epoch_figure, numbers
from lightning_grok.dashboard.view import View
from lightning_grok.figures.epoch_axis import Events
from lightning_grok.runs.panels import headlines, panels_of, slug
from lightning_grok.runs.quantities import LAYER, Line, Panel
from lightning_grok.runs.run import Run

MOST = 21
"""Lines that are told apart at all: seven colors by three line styles."""


class RunGroup(NamedTuple):
    """What one line stands for.

    Attributes:
        label: a run's name, or data set and setup with the number of seeds.
        runs: with their events; the seeds of a setup.
    """

    label: str
    runs: list[tuple[Run, Events]]


def groups_of(runs: Iterable[tuple[Run, Events]], by: str) -> list[RunGroup]:
    """Runs one by one (`by` = ``run``), or those of a data set and setup together (``setup``).

    Any other `by` is the dotted key of an option: runs of the same value are together.
    """
    if by == "run":
        return [RunGroup(run.name, [(run, events)]) for run, events in runs]
    found: dict[tuple[str, str], list[tuple[Run, Events]]] = {}
    for run, events in runs:
        if by == "setup":
            place = (run.dataset, run.setup or run.name)
        else:
            place = ("", f"{by} = {json.dumps(settings_of(run).get(by))}")
        found.setdefault(place, []).append((run, events))
    groups = []
    for (dataset, setup), members in found.items():
        count, distinct = len(members), len({str(run.seed) for run, _ in members})
        seeds = "1 seed" if distinct == 1 else f"{distinct} seeds"
        seeds = seeds if count == distinct else f"{count} runs of {seeds}"
        groups.append(RunGroup(f"{dataset}, {setup} ({seeds})".removeprefix(", "), members))
    return groups


def comparison_legend(groups: list[RunGroup]) -> list[dict[str, str]]:
    """The one legend of all views of a comparison."""
    return [
        {"label": group.label, "group": f"series {k}", **series_style(k)}
        for k, group in enumerate(groups)
    ]


def comparison_views(groups: list[RunGroup]) -> list[View]:
    """When the runs memorize and generalize, and a view for every quantity that one of them has."""
    ends = ends_of([run for group in groups for run, _ in group.runs])
    found: dict[tuple[str, str], _Compared] = {}
    for group in groups:
        for run, _ in group.runs:
            for panel, line in headlines(panels_of(run), "compared"):
                of = line.key.replace(line.layer, LAYER) if line.layer else line.key
                compared = found.setdefault((panel.id, of), _Compared(panel, line, {}))
                compared.keys[run.path] = line.key
    views = {"compare-events": _events_view(groups, ends)}
    for compared in found.values():
        view = _quantity_view(groups, ends, compared)
        name = view.id if view.id not in views else f"{view.id}-{len(views)}"
        views[name] = view._replace(id=name)
    return list(views.values())


def ends_of(runs: list[Run]) -> tuple[float, int]:
    """Where the axis of several runs begins right of its break, and their newest epoch."""
    return min((run.first for run in runs), default=1), max((run.epoch for run in runs), default=0)


def over_seeds(series: list[Series]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Epochs (T,), median, lowest and highest value (T,) over seeds.

    An epoch counts where every seed that got so far has a value there: seeds that are still at an
    earlier epoch shorten nothing.
    """
    series = [(epochs, values) for epochs, values in series if len(epochs)]
    if not series:
        nothing = np.array([])
        return nothing, nothing, nothing, nothing
    epochs = np.unique(np.concatenate([each for each, _ in series]))
    table = np.full((len(series), len(epochs)), np.nan)  # (seeds, T)
    for row, (at, values) in zip(table, series, strict=True):
        row[np.searchsorted(epochs, at)] = values
    there = np.sum([epochs <= at[-1] for at, _ in series], axis=0)
    known = np.isfinite(table).sum(axis=0)
    kept = (known > 0) & (known >= there)
    epochs, table = epochs[kept], table[:, kept]
    middle, low, high = np.nanmedian(table, 0), np.nanmin(table, 0), np.nanmax(table, 0)
    return epochs, middle, low, high


class _Compared(NamedTuple):
    """One quantity of many runs: its panel and line in one of them, and the key in each."""

    panel: Panel
    line: Line
    keys: dict[Path, str]


def _quantity_view(groups: list[RunGroup], ends: tuple[float, int], of: _Compared) -> View:
    first, last = ends
    traces: list[dict[str, Any]] = []
    middles = []
    for k, group in enumerate(groups):
        style = series_style(k)
        look = {"label": group.label, "color": style["color"], "group": f"series {k}"}
        read = [run.series(of.keys[run.path]) for run, _ in group.runs if run.path in of.keys]
        epochs, middle, low, high = over_seeds(read)
        if not len(epochs):
            continue
        if len(group.runs) > 1:
            traces.append(band(epochs, low, high, first=first, **look))
        middles.append(middle)
        traces.append(curve(epochs, middle, first, dash=style["dash"], **look))
    panel, line, _ = of
    figure = epoch_figure(traces, Events(None, None), last, y_axis(panel, middles), first)
    name, title = f"compare-{slug(line.key)}", line.name
    if line.layer:
        name, title = f"compare-{panel.id}", f"{panel.title} of the last layer"
    elif panel.known:
        rest = panel.id.partition("-")[2].replace("-", ", ")  # samples, name of a measurement
        title = title[0].upper() + title[1:] + (f" ({rest})" if rest else "")
    members = (run for group in groups for run, _ in group.runs if run.path in of.keys)
    sources = tuple((run.name, run.path, of.keys[run.path]) for run in members)
    return View(name, title, panel.note, "epoch", figure, [], sources=sources)


def _events_view(groups: list[RunGroup], ends: tuple[float, int]) -> View:
    """When every run memorized and generalized: a row a group, two marks a run."""
    first, last = ends
    traces = []
    marks = (("memorization", "circle-open"), ("generalization", "circle"))
    for k, group in enumerate(groups):
        color = series_style(k)["color"]
        for event, symbol in marks:
            times = [getattr(events, event) for _, events in group.runs]
            found = [(t, run.name) for t, (run, _) in zip(times, group.runs, strict=True) if t]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": numbers(t for t, _ in found),
                    "y": [k] * len(found),
                    "text": [harmless(name) for _, name in found],
                    "name": harmless(group.label),
                    "legendgroup": f"series {k}",
                    "marker": {"color": color, "symbol": symbol, "size": 9},
                    "hovertemplate": f"%{{text}}: {event} at epoch %{{x:,.0f}}<extra></extra>",
                }
            )
    y = {
        "range": [len(groups) - 0.4, -0.6],
        "tickvals": list(range(len(groups))),
        "ticktext": [str(k + 1) for k in range(len(groups))],
        "title": {"text": "number in the legend"},
        "zeroline": False,
    }
    figure = epoch_figure(traces, Events(None, None), last, y, first)
    title = "When they memorize and generalize"
    note = "Open: train accuracy holds 99 %. Filled: half of the rise of test accuracy."
    return View("compare-events", title, note, "epoch", figure, [], max(220, 24 * len(groups) + 80))

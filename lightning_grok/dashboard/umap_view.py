"""Maps of the representations: one figure whose points are those of the slider's epoch."""

from typing import Any

import numpy as np

from lightning_grok.dashboard.colors import harmless
from lightning_grok.dashboard.traces import numbers
from lightning_grok.dashboard.view import SYMBOLS, TALL, View
from lightning_grok.figures.epoch_axis import Events
from lightning_grok.figures.palette import class_color, class_marker
from lightning_grok.figures.umap import class_name
from lightning_grok.runs.run import Run
from lightning_grok.runs.snapshots import epoch_stem

_DIGITS = 4  # of a coordinate


def umap_view(run: Run, events: Events) -> View | None:
    """Places for the points of every class; the browser fills in the frame of its epoch."""
    frames = {}
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    labels: set[int] = set()
    for epoch in run.measured("umap"):
        found = _map(run, epoch)
        if found is None:
            continue
        points, of = found
        low, high = np.fmin(low, np.nanmin(points, 0)), np.fmax(high, np.nanmax(points, 0))
        labels |= set(np.unique(of).astype(int).tolist())
        frames[epoch] = _tag(run, epoch)
    if not frames:
        return None
    center, half = (low + high) / 2, 0.53 * float(np.max(high - low)) or 1.0
    legend = [_class_look(run, label) for label in sorted(labels)]
    ends = (numbers((c - half, c + half), _DIGITS) for c in center)
    x, y = ({"range": end, "zeroline": False, "showticklabels": False} for end in ends)
    layout = {
        "xaxis": x | {"title": {"text": "UMAP 1 (no unit)"}, "constrain": "domain"},
        "yaxis": y | {"title": {"text": "UMAP 2 (no unit)"}, "scaleanchor": "x"},
    }
    note = "Test samples as the layer represents them, by class; the epoch slider moves the map."
    if len(labels) < (count := run.meta.get("num_classes", 0)):
        note += f" {len(labels)} of {count} classes are mapped, as umap.classes says: more colors"
        note += " could not be told apart."
    figure = {"data": [_points(look) for look in legend], "layout": layout}
    title = "UMAP of the representations"
    return View("umap", title, note, "plane", figure, legend, TALL, frames)


def umap_frame(run: Run, epoch: int) -> dict[str, Any] | None:
    """The map of one epoch: label -> coordinates ``x`` and ``y``; None for none."""
    found = _map(run, epoch)
    if found is None:
        return None
    points, labels = found
    frame = {}
    for label in np.unique(labels).astype(int).tolist():
        x, y = points[labels == label].T[:2]
        frame[str(label)] = {"x": numbers(x, _DIGITS), "y": numbers(y, _DIGITS)}
    return frame


def _map(run: Run, epoch: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Coordinates (n, 2) and labels (n,); None where there are none, or both not of one moment."""
    points, labels = (run.array_of("umap", epoch, name) for name in ("coordinates", "labels"))
    if points is None or labels is None or len(points) != len(labels):
        return None
    return points, labels


def _class_look(run: Run, label: int) -> dict[str, str]:
    return {
        "label": class_name(run, label),
        "group": f"class {label}",
        "color": class_color(label),
        "symbol": SYMBOLS[class_marker(label)],
        "key": str(label),
    }


def _points(look: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [],
        "y": [],
        "name": harmless(look["label"]),
        "legendgroup": look["group"],
        "meta": look["key"],
        "marker": {"color": look["color"], "symbol": look["symbol"], "size": 4.5},
        "hovertemplate": "%{fullData.name}<extra></extra>",
    }


def _tag(run: Run, epoch: int) -> str:
    signature = run.signature_of(run.path / f"arrays/umap/{epoch_stem(epoch)}.npz")
    return "" if signature is None else f"{signature[1]:x}-{signature[2] % 10**9:x}"

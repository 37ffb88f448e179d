"""Breakdowns of training (`lightning_grok.analysis.breakdown`) are left off the scale of a panel.

They would set it, and hide all else in it.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_grok.analysis.breakdown import breakdown
from lightning_grok.analysis.onset import run_events
from lightning_grok.figures.palette import EVENT
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WORTH = 0.5  # of the span of all other values, by which a value must exceed them to be cut off


def broken_places(run: Runs) -> np.ndarray:
    """Epochs, or steps, of a breakdown in the run, or in one of several."""
    runs, factor = (run.runs, run.factor) if isinstance(run, Seeds) else ((run,), 1)
    broken = (breakdown(*each.series("train/accuracy"), run_events(each).t_mem) for each in runs)
    return np.unique(np.concatenate([factor * epochs for epochs in broken]))


def leave_off_scale(axes: "Axes", run: Runs, keys: Sequence[str]) -> None:
    """Scale a panel with the series `keys` by what they are while training holds.

    Values beyond are cut off, and the farthest of them is written at the edge.
    """
    broken = broken_places(run)
    if not broken.size:
        return
    points = [_points(run, key) for key in keys]
    places, values = (np.concatenate(each) for each in zip(*points, strict=True))
    off = np.isin(places, broken)
    if not off.any() or off.all():
        return
    low, high = values[~off].min(), values[~off].max()
    farthest = int(np.argmax(np.where(off, values, -np.inf)))
    if values[farthest] <= high + _WORTH * (high - low):
        return
    axes.dataLim.intervaly = (low, high)
    axes.autoscale_view()
    right = places[farthest] > math.sqrt(places[places > 0].min() * places.max())
    axes.annotate(
        f"↑ {values[farthest]:.2g}, training breaks down",
        (places[farthest], 0.98),
        (-3 if right else 3, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        size=7,
        color=EVENT,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        gid="off scale",
    ).set_in_layout(False)


def _points(run: Runs, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Places and values of all that is drawn of a key: medians, edges of bands, published."""
    drawn = [run.series(key)]
    if isinstance(run, Seeds):
        places, low, high = run.band(key)
        drawn += [(places, low), (places, high), run.published.get(key, (np.zeros(0),) * 2)]
    places, values = (np.concatenate(each) for each in zip(*drawn, strict=True))
    finite = np.isfinite(values)
    return places[finite], values[finite]

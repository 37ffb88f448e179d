"""The epoch axis of the page: that of all figures (`lightning_grok.figures.epoch_axis`) in Plotly.

Epoch 0 stands at `INITIALIZATION` times where the axis begins (`first`: epoch 1, or the earliest
within it), left of a break; everything right of it is log10(epoch).
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Num

from lightning_grok.figures.epoch_axis import (
    BREAK,
    INITIALIZATION,
    Events,
    axis_ends,
    axis_places,
)
from lightning_grok.figures.palette import EVENT

_WHITE = "#fffffe"  # not among the colors that a dark theme exchanges
_ON_HEAT = {"color": "#14181e", "width": 1.4}
_DASHES = {"memorization": "dash", "generalization": "solid"}


def axis(last: int, first: float = 1, **options: Any) -> dict[str, Any]:
    """A Plotly axis over the epochs 0 to `last`, labeled at powers of ten."""
    low, high = axis_ends(last, first)
    labels, between = axis_places(first, high)
    return {
        "type": "log",
        "range": [float(np.log10(low)), float(np.log10(high))],
        "tickvals": [INITIALIZATION * first, *labels.tolist()],
        "ticktext": ["0", *(f"{each:,.10g}" for each in labels)],
        "minor": {"tickvals": between.tolist()},
        **options,
    }


def break_mark(side: str = "x", first: float = 1) -> dict[str, Any]:
    """Two strokes across the axis between epoch 0 and `first`."""
    place = float(np.log10(first * np.sqrt(BREAK[0] * BREAK[1])))
    at = {"x": place, "y": 0} if side == "x" else {"x": 0, "y": place}
    other = "y" if side == "x" else "x"
    refs = {f"{side}ref": side, f"{other}ref": f"{other} domain"}  # a square plot has less than all
    text = {
        "text": "//",
        "font": {"size": 11},
        "name": "break",
        "textangle": 0 if side == "x" else 90,
    }
    anchors = {"xanchor": "center", "yanchor": "middle"}
    return {**at, **refs, **text, **anchors, "showarrow": False, "borderpad": 0}


def thin(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"], most: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points that look the same on the log axis.

    Of every narrow stretch of the axis the lowest and the highest value stay, so that no spike is
    lost; so do the first point and the last.
    """
    if len(epochs) <= most:
        return epochs, values
    low, high = np.log10(epochs[epochs > 0][[0, -1]])
    edges = 10 ** np.linspace(low, high, most // 2 + 1)[1:-1]
    starts = np.unique([0, *np.searchsorted(epochs, edges)])
    starts = starts[starts < len(epochs)]
    ends = [*starts[1:], len(epochs)]
    if np.isnan(values).any():
        lowest, highest = (np.nan_to_num(values, nan=nan) for nan in (np.inf, -np.inf))
    else:
        lowest = highest = values
    kept = {0, len(epochs) - 1}
    for start, end in zip(starts.tolist(), ends, strict=True):  # sorting them all takes a second
        kept.add(start + int(lowest[start:end].argmin()))
        kept.add(start + int(highest[start:end].argmax()))
    at = sorted(kept)
    return epochs[at], values[at]


def in_json(epochs: Num[np.ndarray, " t"]) -> list[float]:
    """Epochs as numbers of JSON, whole ones without a point."""
    return [int(epoch) if epoch == int(epoch) else epoch for epoch in epochs.tolist()]


def shown_epochs(epochs: Num[np.ndarray, " t"] | list[int], per_decade: int = 24) -> list[float]:
    """At most so many epochs a decade, and the newest: for views that need a file an epoch.

    A list that grows keeps what was chosen before, but for its last epoch.
    """
    if not len(epochs):
        return []
    epochs = np.asarray(epochs)
    ends = np.log10([epochs[epochs > 0].min(initial=1), max(1, epochs[-1])])
    low, high = (
        round(f(end)) * per_decade for f, end in zip((np.floor, np.ceil), ends, strict=True)
    )
    firsts = np.searchsorted(epochs, [0, *10 ** (np.arange(low, high + 2) / per_decade)])
    kept = np.unique([*firsts[firsts < len(epochs)], len(epochs) - 1])
    return in_json(epochs[kept])


def event_lines(events: Events) -> list[dict[str, Any]]:
    """Vertical lines at memorization (dashed) and generalization (solid)."""
    return [
        line_at(epoch, "x") | {"line": {"color": EVENT, "width": 1.3, "dash": _DASHES[name]}}
        for name, epoch in events._asdict().items()
        if epoch is not None
    ]


def event_lines_on_heat(events: Events, sides: str = "x") -> list[dict[str, Any]]:
    """The same on a heatmap, over white lines: seen on dark and on light cells in either theme."""
    return [
        line_at(epoch, side) | {"line": style}
        for name, epoch in events._asdict().items()
        if epoch is not None
        for side in sides
        for style in ({"color": _WHITE, "width": 3.2}, {**_ON_HEAT, "dash": _DASHES[name]})
    ]


def line_at(place: float, side: str) -> dict[str, Any]:
    """A line across the whole plot at a place of one of its axes."""
    other = "y" if side == "x" else "x"
    along = {f"{side}ref": side, f"{side}0": place, f"{side}1": place}
    return {
        "type": "line",
        **along,
        f"{other}ref": f"{other} domain",
        f"{other}0": 0,
        f"{other}1": 1,
    }

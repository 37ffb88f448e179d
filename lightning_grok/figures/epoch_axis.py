"""The epoch axis that all figures share: logarithmic, with the initialization at its left.

Epoch 0 has no logarithm. It stands at a fixed place left of epoch 1, behind a break of the axis,
and no line crosses the break.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lightning_grok.figures.palette import EVENT
from lightning_grok.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

INITIALIZATION = 10**-0.4
"""Where epoch 0 is drawn."""
BREAK = (10**-0.23, 10**-0.17)
"""The gap in the axis between epochs 0 and 1."""

_LEFT = 10**-0.58
_MARGIN = 1.08  # right of the last epoch
_LEAST = 10  # epochs on the axis


class Events(NamedTuple):
    """Epochs of what the accuracies say, or None where it isn't seen (yet).

    Attributes:
        memorization: t_mem, the train accuracy holds 99 % from here on.
        generalization: t_half, the test accuracy is half way from its plateau up to its end.
    """

    memorization: float | None
    generalization: float | None


_LINES = {"memorization": "--", "generalization": "-"}
_MEANING = {"memorization": "train accuracy ≥ 99 %", "generalization": "half of the rise"}


def find_events(run: Run) -> Events:
    """Memorization and generalization as `lightning_grok.analysis.onset` defines them.

    A test accuracy that falls from its plateau is no generalization.
    """
    from lightning_grok.analysis.onset import run_events

    found = run_events(run)
    half = found.test.t_half if found.test.final > found.test.plateau else np.inf
    finite = [float(epoch) if np.isfinite(epoch) else None for epoch in (found.t_mem, half)]
    return Events(*finite)


def places(epochs: np.ndarray) -> np.ndarray:
    """Where epochs (T,) stand on the axis: at themselves, but 0 at `INITIALIZATION`."""
    return np.where(epochs == 0, INITIALIZATION, epochs)


def limits(run: Run) -> tuple[float, float]:
    """Both ends of the axis of a run; the same in all its panels."""
    return _LEFT, _MARGIN * max(run.epoch, _LEAST)


def draw_epoch_axis(axes: "Axes", run: Run, side: Literal["x", "y"] = "x") -> None:
    """Make one side of `axes` the epoch axis of `run`, with its ticks, label and break."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = limits(run)
    axis = axes.xaxis if side == "x" else axes.yaxis
    axes.set(**{f"{side}scale": "log", f"{side}lim": (low, high), f"{side}label": "epoch"})
    powers = 10.0 ** np.arange(np.floor(np.log10(high)) + 1)
    steps = np.outer(powers, np.arange(1, 10)).ravel()
    labeled = powers if len(powers) > 2 else np.outer(powers, (1, 2, 5)).ravel()
    axis.set_major_locator(FixedLocator([INITIALIZATION, *labeled[labeled <= high]]))
    axis.set_major_formatter(FuncFormatter(_tick_label))
    axis.set_minor_locator(FixedLocator(steps[steps <= high].tolist()))
    axis.set_minor_formatter(NullFormatter())
    transform = axes.get_xaxis_transform() if side == "x" else axes.get_yaxis_transform()
    ends: tuple[Any, Any] = (BREAK, (0, 0)) if side == "x" else ((0, 0), BREAK)
    style: dict[str, Any] = {"transform": transform, "clip_on": False, "zorder": 3, "gid": "break"}
    axes.plot(*ends, color="white", linewidth=1.6, solid_capstyle="butt", **style)
    slash = [(-0.5, -1), (0.5, 1)] if side == "x" else [(-1, -0.5), (1, 0.5)]
    axes.plot(*ends, linestyle="", marker=slash, markersize=5, color="black", mew=0.6, **style)


def draw_series(
    axes: "Axes",
    run: Run,
    key: str,
    *,
    color: str,
    label: str,
    error: str | None = None,
    **style: Any,
) -> "Line2D | None":
    """Draw a logged key against the epoch; a value at epoch 0 is a point of its own.

    The line carries the key as its gid, the point ``<key>/0``. What was logged under `error`, by
    default the standard error ``<key>_se``, becomes a band. Returns the line, or None where nothing
    was logged.
    """
    epochs, values = run.series(key)
    if not len(epochs):
        return None
    trained = epochs > 0
    if trained.sum() == 1:  # one point makes no line
        style = {"marker": "o"} | style
    (line,) = axes.plot(
        epochs[trained], values[trained], color=color, label=label, gid=key, **style
    )
    point: dict[str, Any] = (
        {"marker": "o", "markersize": 2.5} | style | {"linestyle": "", "color": color}
    )
    if not trained.all():
        axes.plot([INITIALIZATION], values[~trained], gid=f"{key}/0", clip_on=False, **point)
    _draw_band(axes, run, key, error or f"{key}_se", color)
    return line


def _draw_band(axes: "Axes", run: Run, key: str, error: str, color: str) -> None:
    epochs, errors = run.series(error)
    of_values, values = run.series(key)
    both, i, j = np.intersect1d(epochs, of_values, return_indices=True)
    if not len(both):
        return
    low, high = values[j] - errors[i], values[j] + errors[i]
    late = both > 0
    axes.fill_between(
        both[late], low[late], high[late], color=color, alpha=0.25, linewidth=0, gid=error
    )
    axes.vlines(places(both[~late]), low[~late], high[~late], color=color, linewidth=0.8)


def draw_events(axes: "Axes", events: Events) -> None:
    """A vertical line at each event."""
    for name, epoch in events._asdict().items():
        if epoch is not None:
            axes.axvline(epoch, zorder=1.5, gid=name, **event_style(name))


def event_style(name: str) -> dict[str, Any]:
    """Colour and line style of an event."""
    return {"color": EVENT, "linestyle": _LINES[name], "linewidth": 0.9}


def event_handles(events: Events, *, meaning: bool = False) -> list["Line2D"]:
    """What a legend says of the events, with how they are defined if `meaning`."""
    from matplotlib.lines import Line2D

    handles = []
    for name, epoch in events._asdict().items():
        if epoch is not None:
            what = f"{name}: {_MEANING[name]}" if meaning else name
            label = f"{what}, epoch {epoch:,.0f}"
            handles.append(Line2D([], [], label=label, **event_style(name)))
    return handles


def _tick_label(place: float, _: int) -> str:
    if place < 1:
        return "0"
    power = round(np.log10(place))
    return f"{place:.0f}" if place < 100 or place != 10**power else f"$10^{{{power}}}$"

"""The epoch axis that all figures share: logarithmic, with the initialization at its left.

Epoch 0 has no logarithm. It stands at a fixed place left of epoch 1, or of what was logged before
it was over, behind a break of the axis, and no line crosses the break. Runs over several seeds
(`Seeds`) may count steps instead.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lightning_grok.analysis.lag import at_shared_epochs
from lightning_grok.analysis.onset import GrokkingEvents, run_events
from lightning_grok.figures.palette import EVENT
from lightning_grok.figures.seeds import Runs, Seeds
from lightning_grok.runs.glossary import EVENT_MEANINGS

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
        generalization: t_half, the test accuracy is half way up from its plateau, or from chance in
            a network that did not wait (`lightning_grok.analysis.onset`).
        onset: t_10, a tenth of the way; marked for `Seeds` only.
    """

    memorization: float | None
    generalization: float | None
    onset: float | None = None


_LINES = {"memorization": "--", "onset": (0, (5, 1.5, 1, 1.5)), "generalization": "-"}


def find_events(run: Runs) -> Events:
    """Memorization and generalization as `lightning_grok.analysis.onset` defines them.

    Over seeds an event is the median one, of rises after memorization alone; a run without it
    counts as later than all others.
    """
    if isinstance(run, Seeds):
        times = (
            [each.t_mem for each in run.onsets],
            [each.late.t_half for each in run.onsets],
            [each.late.t_10 for each in run.onsets],
        )
        return Events(*(run.median_event(each) for each in times))
    return events_of(run_events(run))


def events_of(found: GrokkingEvents) -> Events:
    """What the accuracies of one run say, for figures of it."""
    both = (found.t_mem, found.test.t_half)
    return Events(*(float(epoch) if np.isfinite(epoch) else None for epoch in both))


def places(epochs: np.ndarray, first: float = 1) -> np.ndarray:
    """Where epochs (T,) stand on the axis: at themselves, but 0 at `INITIALIZATION`.

    Args:
        epochs: or steps.
        first: where the axis begins, `first_place`.
    """
    return np.where(epochs == 0, INITIALIZATION * first, epochs)


def first_place(run: Runs) -> float:
    """Where the axis begins, right of its break.

    At epoch 1, or the earliest one within it; at the last step of epoch 1 where steps are counted.
    """
    return float(run.factor) if isinstance(run, Seeds) else run.first


def limits(run: Runs) -> tuple[float, float]:
    """Both ends of the axis of a run; the same in all its panels."""
    return axis_ends(run.axis_end if isinstance(run, Seeds) else run.epoch, first_place(run))


def axis_ends(last: float, first: float = 1) -> tuple[float, float]:
    """Both ends of an axis from epoch 0 to `last`, which begins at `first`."""
    return _LEFT * first, _MARGIN * max(last, _LEAST * first)


def axis_places(first: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Where an axis from `first` to `high` has labels, and where ticks between them."""
    powers = 10.0 ** np.arange(np.floor(np.log10(first)), np.floor(np.log10(high)) + 1)
    ticks = (np.outer(powers, digits).ravel() for digits in ((1,), (1, 2, 5), range(1, 10)))
    tens, fives, between = (each[(each >= first) & (each <= high)] for each in ticks)
    return (tens if len(tens) > 2 else fives), between


def draw_epoch_axis(axes: "Axes", run: Runs, side: Literal["x", "y"] = "x") -> None:
    """Make one side of `axes` the epoch axis of `run`, with its ticks, label and break."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = limits(run)
    first = first_place(run)
    axis = axes.xaxis if side == "x" else axes.yaxis
    unit = run.unit if isinstance(run, Seeds) else "epoch"
    axes.set(**{f"{side}scale": "log", f"{side}lim": (low, high), f"{side}label": unit})
    shown, between = axis_places(first, high)
    zero = INITIALIZATION * first
    axis.set_major_locator(FixedLocator([zero, *shown]))
    axis.set_major_formatter(FuncFormatter(lambda at, _: _tick_label(at, first, high)))
    axis.set_minor_locator(FixedLocator(between.tolist()))
    axis.set_minor_formatter(NullFormatter())
    transform = axes.get_xaxis_transform() if side == "x" else axes.get_yaxis_transform()
    gap = (BREAK[0] * first, BREAK[1] * first)
    ends: tuple[Any, Any] = (gap, (0, 0)) if side == "x" else ((0, 0), gap)
    style: dict[str, Any] = {"transform": transform, "clip_on": False, "zorder": 3, "gid": "break"}
    axes.plot(*ends, color="white", linewidth=1.6, solid_capstyle="butt", **style)
    slash = [(-0.5, -1), (0.5, 1)] if side == "x" else [(-1, -0.5), (1, 0.5)]
    axes.plot(*ends, linestyle="", marker=slash, markersize=5, color="black", mew=0.6, **style)


def draw_series(
    axes: "Axes",
    run: Runs,
    key: str,
    *,
    color: str,
    label: str,
    error: str | None = None,
    **style: Any,
) -> "Line2D | None":
    """Draw a logged key against the epoch; a value at epoch 0 is a point of its own.

    The line carries the key as its gid, the point ``<key>/0``. What was logged under `error`, by
    default the standard error ``<key>_se``, becomes a band. Of several seeds the band is over them
    instead; of one among `Seeds` it is `error` alone, where it is given. Published points are open
    markers with the gid ``published/<key>``. Returns the line, or None where nothing was logged.
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
        zero = INITIALIZATION * first_place(run)
        axes.plot([zero], values[~trained], gid=f"{key}/0", clip_on=False, **point)
    _draw_band(axes, run, key, error, color)
    _draw_published(axes, run, key, color)
    return line


def published_handles(run: Runs, gid: str = "") -> list["Line2D"]:
    """What a legend says of published points, where keys that begin with `gid` have some."""
    from matplotlib.lines import Line2D

    if not isinstance(run, Seeds) or not any(key.startswith(gid) for key in run.published):
        return []
    return [Line2D([], [], color=EVENT, label="published, one seed", **published_style())]


def _draw_published(axes: "Axes", run: Runs, key: str, color: str) -> None:
    if isinstance(run, Seeds) and key in run.published:
        at, values = run.published[key]
        first = first_place(run)
        on = (at == 0) | (at >= first)  # the paper's step 1 lies within an epoch
        style = published_style(run.marker) | {"color": color, "gid": f"published/{key}"}
        axes.plot(places(at[on], first), values[on], zorder=2.5, **style)


def published_style(marker: str = "o") -> dict[str, Any]:
    """Open markers, which nothing of ours has on a figure over seeds."""
    return {"linestyle": "", "marker": marker, "markersize": 2.8, "mfc": "none", "mew": 0.6}


def _draw_band(axes: "Axes", run: Runs, key: str, error: str | None, color: str) -> None:
    gid, (both, low, high) = _band(run, key, error)
    if not len(both):
        return
    late = both > 0
    if axes.get_yscale() == "log":  # an edge at 0 has no place: the band goes to the least that has
        positive = np.concatenate([low[low > 0], high[high > 0]])
        floor = positive.min(initial=np.inf)
        low, high = np.maximum(low, floor), np.maximum(high, floor)
    axes.fill_between(
        both[late], low[late], high[late], color=color, alpha=0.25, linewidth=0, gid=gid
    )
    start = places(both[~late], first_place(run))
    axes.vlines(start, low[~late], high[~late], color=color, linewidth=0.8)


def _band(
    run: Runs, key: str, error: str | None
) -> tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The band's gid; places (T,), lower and upper edges (T,)."""
    if isinstance(run, Seeds) and (len(run.runs) > 1 or error is None):
        return f"{key}/seeds", run.band(key)
    error = error or f"{key}_se"
    both, errors, values = at_shared_epochs(run.series(error), run.series(key))
    return error, (both, values - errors, values + errors)


def draw_events(axes: "Axes", events: Events) -> None:
    """A vertical line at each event."""
    for name, epoch in events._asdict().items():
        if epoch is not None:
            axes.axvline(epoch, zorder=1.5, gid=name, **event_style(name))


def event_style(name: str) -> dict[str, Any]:
    """Color and line style of an event."""
    return {"color": EVENT, "linestyle": _LINES[name], "linewidth": 0.9}


def event_handles(run: Runs, *, meaning: bool = False) -> list["Line2D"]:
    """What a legend says of the events, with how they are defined if `meaning`."""
    from matplotlib.lines import Line2D

    bound = "" if isinstance(run, Seeds) else run_events(run).bound
    handles = []
    for name, epoch in find_events(run)._asdict().items():
        if epoch is not None:
            what = f"{name}: {EVENT_MEANINGS[name]}" if meaning else name
            label = f"{what}, epoch {bound if name == 'generalization' else ''}{epoch:,.0f}"
            handles.append(Line2D([], [], label=label, **event_style(name)))
    return handles


def _tick_label(place: float, first: float, high: float) -> str:
    """In full where the axis ends below 10,000, else powers of ten from 100 on."""
    if place < first:
        return "0"
    power = round(np.log10(place))
    full = high < 10**4 or place < 100 or place != 10**power
    return f"{place:.10g}" if full else f"$10^{{{power}}}$"

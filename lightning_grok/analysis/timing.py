"""Statistics of claims that time one series of a run against another, or its own course.

They belong to the language of `lightning_grok.analysis.statistics`.
"""

import math
from typing import Annotated, Literal

import msgspec
import numpy as np

from lightning_grok.analysis.lag import (
    Arrival,
    Level,
    Series,
    arrival,
    on_common_epochs,
    settled,
)
from lightning_grok.analysis.moment import When, check_moment, epoch_of
from lightning_grok.analysis.reading import Reading, Subject
from lightning_grok.analysis.statistics import Quantity, log_or_nan


class Timed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which moment of a series is meant: when it is part of the way to its final level.

    Attributes:
        key: of the series.
        part: of the way: 0.1, 0.5 or 0.9.
        start: the moment from which the plateau counts and the search begins.
        plateau: the level to leave, where it is known; ``first`` is the first measurement.
        direction: a change the other way is no arrival.
        final: ``lowest`` or ``highest`` take that for the final level, whatever comes after it.
        least: with such a final level, the part of the plateau that it must lie away from it.
    """

    key: str
    part: float = 0.5
    start: When = msgspec.field(name="from", default="memorization")
    plateau: float | Literal["first"] | None = None
    direction: Literal["rise", "fall"] = "rise"
    final: Literal["closing", "lowest", "highest"] = "closing"
    least: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a moment that is none, and parts that no transition has."""
        check_moment(self.start)
        if self.part not in (0.1, 0.5, 0.9):
            raise ValueError(f"expected a part of 0.1, 0.5 or 0.9, received {self.part}")


class Lag(Quantity, tag="lag", frozen=True, kw_only=True):
    """x(of) − x(behind), decades: above 0 where `of` comes later.

    A key alone is the half-rise from the plateau after memorization. Where `behind` comes less than
    0.3 decades before the end of the run there is no value; where only `of` does, the lag is a
    lower bound, and the end of the run at most.
    """

    of: str | Timed
    behind: str | Timed

    @property
    def moments(self) -> list[When]:
        """Where the plateaus begin."""
        return [_timed(each).start for each in (self.of, self.behind)]

    def number(self, run: Subject) -> Reading:
        """The lag of one run."""
        return _lag(run, _timed(self.of), _timed(self.behind))


class LagDifference(Quantity, tag="lag_difference", frozen=True, kw_only=True):
    """|lag of `of`| − |lag of `than`|, both behind the same series: which is the better clock."""

    of: str | Timed
    than: str | Timed
    behind: str | Timed

    @property
    def moments(self) -> list[When]:
        """Where the plateaus begin."""
        return [_timed(each).start for each in (self.of, self.than, self.behind)]

    def number(self, run: Subject) -> Reading:
        """Below 0 where `of` is nearer to it in time."""
        behind = _timed(self.behind)
        own, other = (_lag(run, _timed(each), behind) for each in (self.of, self.than))
        if other.at_least:  # the difference would be an upper bound
            reason = f"{_timed(self.than).key} was not there by the end"
            return Reading(math.nan, reason=own.reason if math.isnan(own.value) else reason)
        # A lower bound of a lag is one of its size only if it is above 0.
        value = max(own.value, 0.0) if own.at_least else abs(own.value)
        most = max(abs(own.value), own.at_most)
        return own._replace(
            value=value - abs(other.value),
            at_most=most - abs(other.value),
            reason=own.reason if math.isnan(own.value) else other.reason,
        )


class TimeBetween(Quantity, tag="time_between", frozen=True, kw_only=True):
    """Decades from one moment to another: above 0 where `end` comes later."""

    start: When = msgspec.field(name="from")
    end: When = msgspec.field(name="to")

    @property
    def moments(self) -> list[When]:
        """The first."""
        return [self.start]

    def number(self, run: Subject) -> Reading:
        """A lower bound where `end` never came."""
        start, end = (epoch_of(run, each) for each in (self.start, self.end))
        if not start > 0 or not end > 0:
            return Reading(math.nan, reason="epoch 0 is no number of decades away")
        if math.isinf(end):
            return Reading(log_or_nan(run.last / start), at_least=True)
        return Reading(math.log10(end / start))


class Width(Quantity, tag="width", frozen=True, kw_only=True):
    """Decades that a series takes from a tenth to nine tenths of its rise.

    The rise is that from `start` to the epoch `until`; against controls, up to the last epoch that
    all runs reached.
    """

    of: str
    start: When = msgspec.field(name="from", default="start")
    until: When = "end"

    def number(self, run: Subject) -> Reading:
        """The width; a lower bound where nine tenths were not reached."""
        epochs, values = run.series(self.of)
        kept = epochs <= epoch_of(run, self.until)
        series, start = (epochs[kept], values[kept]), epoch_of(run, self.start)
        first, last = (
            arrival(series, Level(part, start=start, direction="rise")) for part in (0.1, 0.9)
        )
        if first.censored or math.isnan(first.x):
            return Reading(math.nan, reason=f"{self.of} never rose")
        return Reading(last.x - first.x, last.censored)


class SpeedRatio(Quantity, tag="speed_ratio", frozen=True, kw_only=True):
    """Largest speed of a series of steps about a moment over its median speed before it.

    Each value is the distance from the measurement before; its speed is per decade. About the
    moment is within `window` decades; before it is from `start` to there.
    """

    of: str
    at: When = "onset"
    start: When = msgspec.field(name="from", default="2 memorization")
    window: Annotated[float, msgspec.Meta(gt=0)] = 0.3

    def number(self, run: Subject) -> Reading:
        """Above 1 where it jumps."""
        epochs, step = run.series(self.of)
        measured, _ = run.whole(self.of)  # breakdowns among them: each step is from the one before
        at = np.searchsorted(measured, epochs)
        before = measured[np.maximum(at - 1, 0)]
        known = (at > 0) & (before > 0)  # no speed from epoch 0, which has no log
        known &= ~np.isin(before, run.breakdown)
        start, end = np.log10(measured[at[known] - 1]), np.log10(epochs[known])
        speed = step[known] / (end - start)
        moment, first = (log_or_nan(epoch_of(run, each)) for each in (self.at, self.start))
        about = np.abs((start + end) / 2 - moment) <= self.window
        quiet = (start >= first) & (end <= moment - self.window)
        if not about.any() or not quiet.any() or not np.median(speed[quiet]) > 0:
            reason = f"{self.of} was not measured both there and in the plateau before it"
            return Reading(math.nan, reason=reason)
        return Reading(float(speed[about].max() / np.median(speed[quiet])))


def _timed(given: str | Timed) -> Timed:
    return Timed(key=given) if isinstance(given, str) else given


def _lag(run: Subject, of: Timed, behind: Timed) -> Reading:
    full, other_full = run.series(of.key), run.series(behind.key)
    first, second = on_common_epochs(full, other_full)
    one = _arrival(run, first, of, full)
    other = _arrival(run, second, behind, other_full)
    if other.censored:
        return Reading(math.nan, reason=f"{behind.key} never got there")
    reason = "too few measurements to time it"
    found = Reading(one.x - other.x, one.censored, spacing=one.spacing, reason=reason)
    if not math.isfinite(found.value):
        return found
    x = _arrival(run, other_full, behind, other_full).x  # as well as it is known
    if behind.final == "closing" and not settled(x, run.last):
        return Reading(math.nan, reason=f"{behind.key} came too late to know its final level")
    if found.at_least or of.final != "closing" or settled(x + found.value, run.last):
        return found
    # What it has still to rise would put the half-rise later: up to the last epoch, unless that is
    # more than all that it has risen.
    return found._replace(at_least=True, at_most=math.log10(run.last) - x)


def _arrival(run: Subject, series: Series, timed: Timed, full: Series) -> Arrival:
    """When a series, read at the epochs of another, is there."""
    plateau = float(full[1][0]) if timed.plateau == "first" else timed.plateau
    start = epoch_of(run, timed.start)
    level = Level(timed.part, start=start, plateau=plateau, direction=timed.direction)
    if timed.final == "closing":
        return arrival(series, level)
    epochs, values = series
    if not len(epochs):
        return Arrival(math.nan, False, math.nan)
    end = int(np.argmin(values) if timed.final == "lowest" else np.argmax(values))
    base = float(values[0]) if plateau is None else plateau
    if abs(values[end] - base) < timed.least * abs(base) or (
        (values[end] < base) != (timed.direction == "fall")
    ):
        return Arrival(math.log10(epochs[-1]), True, math.nan)
    return arrival((epochs[: end + 1], values[: end + 1]), level)

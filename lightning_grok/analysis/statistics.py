"""The language of claims: what a quantity can be, one number a run, of any logged series.

Each class is one statistic; its fields are what stands beside it in a claims file, and `read` gives
the number of one run. ``{layer}`` in a key stands for each of the claim's layers, ``{each}`` for
those that the statistic itself goes over, ``{last}`` for the layer that gives the logits. Moments
are those of `lightning_grok.analysis.moment`, lags and slopes in decades of epoch. Those that time
one series against another are in `lightning_grok.analysis.timing`.
"""

import math
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np

from lightning_grok.analysis.correlation import (
    concordance,
    correlation,
    fisher_z_difference,
    rank_correlation,
    rates,
    slope,
)
from lightning_grok.analysis.lag import Series, at_shared_epochs, on_common_epochs
from lightning_grok.analysis.moment import When, check_moment, epoch_of
from lightning_grok.analysis.reading import Reading, Subject
from lightning_grok.analysis.rule import Rule
from lightning_grok.analysis.transition import Transition, find_transition

_MOMENTS = ("at", "to_at", "start", "end", "until")

Keys = Annotated[list[str], msgspec.Meta(min_length=1)]


class Quantity(Rule, tag_field="statistic", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number a run, and what it must be."""

    extremes: ClassVar[tuple[str, ...]] = ()
    """What may stand in place of a moment."""

    def read(self, run: Subject) -> Reading:
        """The number of one run; none where a moment that it needs never came.

        Raises:
            NotMeasuredError: it lacks a series.
        """
        for when in self.moments:
            if math.isinf(epoch_of(run, when)):
                return Reading(math.nan, reason=f"{when} never came")
        found = self.number(run)
        if self.scale == "log" and found.value <= 0:
            return Reading(math.nan, reason="it is not above 0 and has no logarithm")
        if self.test == "share" and found.value not in (0, 1) and math.isfinite(found.value):
            return Reading(math.nan, reason="it is neither 0 nor 1, which a share is of")
        return found

    def number(self, run: Subject) -> Reading:
        """The same, of a run in which all `moments` came."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Refuse moments that are none."""
        super().__post_init__()
        for name in (*_MOMENTS, "event", "before"):
            when = getattr(self, name, None)
            if when is not None and when not in self.extremes:
                check_moment(when)

    @property
    def moments(self) -> list[When]:
        """Those that must come in a run."""
        given = [getattr(self, name, None) for name in _MOMENTS]
        return [when for when in given if when is not None and when not in self.extremes]

    @property
    def keys(self) -> list[str]:
        """The series that it reads."""
        names = ("of", "to", "than", "beside", "behind", "others")
        given = [getattr(self, name, None) for name in names]
        flat = [key for each in given for key in (each if isinstance(each, list) else [each])]
        return [getattr(key, "key", key) for key in flat if key]


class Value(Quantity, tag="value", frozen=True, kw_only=True):
    """The level of a series at a moment, on a straight line in log(epoch) between measurements."""

    of: str
    at: When

    def number(self, run: Subject) -> Reading:
        """The level; none beyond the measurements."""
        value = level_at(run, self.of, epoch_of(run, self.at))
        return Reading(value, reason=f"{self.of} was not measured there")


class Ratio(Quantity, tag="ratio", frozen=True, kw_only=True):
    """A series at a moment over a series (the same, where no other is named) at another one.

    At a moment is the last measurement up to it; ``largest`` and ``smallest`` are of the whole run.
    """

    of: str
    at: When
    to: str = ""
    to_at: When
    extremes: ClassVar[tuple[str, ...]] = ("largest", "smallest")

    def number(self, run: Subject) -> Reading:
        """The ratio; none without a measurement by then, or over what is not above 0."""
        upper = _newest(run, self.of, self.at)
        lower = _newest(run, self.to or self.of, self.to_at)
        for key, level in ((self.of, upper), (self.to or self.of, lower)):
            if math.isnan(level):
                return Reading(math.nan, reason=f"{key} was not measured by then")
        if not lower > 0:
            return Reading(math.nan, reason=f"{self.to or self.of} is not above 0 there")
        return Reading(upper / lower)


class Change(Quantity, tag="change", frozen=True, kw_only=True):
    """The level of a series at `end` less that at `start`.

    With a `window`, in decades, the median of that long after `end` less that of that long before
    `start`.
    """

    of: str
    start: When = msgspec.field(name="from")
    end: When = msgspec.field(name="to")
    window: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def number(self, run: Subject) -> Reading:
        """The difference."""
        start, end = (epoch_of(run, each) for each in (self.start, self.end))
        if not self.window:
            change = level_at(run, self.of, end) - level_at(run, self.of, start)
            return Reading(change, reason=f"{self.of} was not measured at both epochs")
        epochs, values = _positive(run.series(self.of))
        x = np.log10(epochs)
        low, high = log_or_nan(start), log_or_nan(end)
        before = values[(x < low) & (x >= low - self.window)]
        after = values[(x >= high) & (x <= high + self.window)]
        if not len(after) or not len(before):
            return Reading(math.nan, reason=f"{self.of} was not measured on both sides")
        return Reading(float(np.median(after) - np.median(before)))


class Growth(Quantity, tag="growth", frozen=True, kw_only=True):
    """(f − p) / |p|: by which part a series changes from its plateau at `start` to its end."""

    of: str
    start: When = msgspec.field(name="from", default="memorization")

    def number(self, run: Subject) -> Reading:
        """The relative change; below 0 for one that falls, none from a plateau of 0."""
        found = _passage(run, self.of, self.start)
        if not abs(found.plateau) > 0:
            reason = "has no plateau" if math.isnan(found.plateau) else "begins at 0"
            return Reading(math.nan, reason=f"{self.of} {reason}")
        return Reading((found.final - found.plateau) / abs(found.plateau))


class AllChange(Quantity, tag="all_change", frozen=True, kw_only=True):
    """1 where every series, for `each` of some names, ends on that side of its plateau, else 0."""

    of: Keys
    each: Keys
    direction: Literal["rise", "fall"]
    start: When = msgspec.field(name="from", default="memorization")

    def number(self, run: Subject) -> Reading:
        """1 or 0; none where one of them has no plateau."""
        keys = [key.replace("{each}", name) for name in self.each for key in self.of]
        found = [_passage(run, key, self.start) for key in keys]
        changes = np.array([each.final - each.plateau for each in found])
        if np.isnan(changes).any():
            return Reading(math.nan, reason="a series has no plateau")
        sign = 1 if self.direction == "rise" else -1
        return Reading(float((sign * changes > 0).all()))


class Order(Quantity, tag="order", frozen=True, kw_only=True):
    """Spearman's ρ between the place in `each` and the growth of a series, log(f / p)."""

    of: str
    each: Annotated[list[str], msgspec.Meta(min_length=3)]
    start: When = msgspec.field(name="from", default="memorization")

    def number(self, run: Subject) -> Reading:
        """In [−1, 1]; 1 where the later ones grow more. None where one of them is not above 0."""
        found = [_passage(run, self.of.replace("{each}", name), self.start) for name in self.each]
        growth = np.array([log_or_nan(each.final) - log_or_nan(each.plateau) for each in found])
        reason = "a series is not above 0, or none grows more than another"
        return Reading(rank_correlation(growth, np.arange(len(growth), dtype=float)), reason=reason)


class Slope(Quantity, tag="slope", frozen=True, kw_only=True):
    """Least-squares slope of a series per decade of epoch between two moments."""

    of: str
    start: When = msgspec.field(name="from")
    end: When = msgspec.field(name="to", default="end")

    def number(self, run: Subject) -> Reading:
        """The slope; none for fewer than three measurements."""
        epochs, values = _positive(run.series(self.of))
        inside = (epochs >= epoch_of(run, self.start)) & (epochs <= epoch_of(run, self.end))
        return Reading(slope(epochs[inside], values[inside]), reason="too few measurements")


class Excursion(Quantity, tag="excursion", frozen=True, kw_only=True):
    """(largest − smallest value between two moments) / (f − p), p the plateau from `start` on."""

    of: str
    start: When = msgspec.field(name="from", default="memorization")
    until: When = "0.5 onset"

    def number(self, run: Subject) -> Reading:
        """How far it strays, as a part of its whole rise."""
        low, high = epoch_of(run, self.start), epoch_of(run, self.until)
        epochs, values = run.series(self.of)
        inside = (epochs >= low) & (epochs <= high)
        found = find_transition(epochs, values, start=low).rise
        if inside.sum() < 2:
            return Reading(math.nan, reason=f"too few values of {self.of} before")
        if found.censored:
            return Reading(math.nan, reason=f"{self.of} never rose")
        return Reading(float(np.ptp(values[inside]) / (found.final - found.plateau)))


class Correlation(Quantity, tag="correlation", frozen=True, kw_only=True):
    """Pearson's r of two series over the epochs of one run, of levels or of rates of change."""

    of: str
    beside: str = msgspec.field(name="with")
    changes: bool = False

    def number(self, run: Subject) -> Reading:
        """In [−1, 1]."""
        pair = _together(run, self.of, self.beside)
        first, second = _as_asked(pair, self.changes)
        return Reading(correlation(first, second), reason=_why_none(first))


class CorrelationDifference(Quantity, tag="correlation_difference", frozen=True, kw_only=True):
    """artanh r(of, with) − artanh r(than, with), of levels or of rates of change per decade."""

    of: str
    than: str
    beside: str = msgspec.field(name="with")
    changes: bool = False

    def number(self, run: Subject) -> Reading:
        """Above 0 where `of` goes more with it than `than` does."""
        all_three = _together(run, self.of, self.than, self.beside)
        asked = _as_asked(all_three, self.changes)
        return Reading(fisher_z_difference(*asked), reason=_why_none(asked[0]))


class Concordance(Quantity, tag="concordance", frozen=True, kw_only=True):
    """Lin's concordance of two series over the epochs that both were measured at."""

    of: str
    beside: str = msgspec.field(name="with")

    def number(self, run: Subject) -> Reading:
        """In [−1, 1]; 1 where they are equal."""
        _, first, second = at_shared_epochs(run.series(self.of), run.series(self.beside))
        return Reading(concordance(first, second), reason="too few common epochs")


class LargestDifference(Quantity, tag="largest_difference", frozen=True, kw_only=True):
    """The largest |difference| over epochs between a series and any of `others`."""

    of: str
    others: Keys

    def number(self, run: Subject) -> Reading:
        """0 or more."""
        worst = 0.0
        for key in self.others:
            _, first, second = at_shared_epochs(run.series(self.of), run.series(key))
            if not len(first):
                return Reading(math.nan, reason="no common epoch")
            worst = max(worst, float(np.abs(first - second).max()))
        return Reading(worst)


class Happens(Quantity, tag="happens", frozen=True, kw_only=True):
    """1 where a moment comes at all, or before another one, else 0; for a share of seeds."""

    event: When
    before: When | None = None

    def number(self, run: Subject) -> Reading:
        """1 or 0."""
        limit = math.inf if self.before is None else epoch_of(run, self.before)
        return Reading(float(epoch_of(run, self.event) < limit))


def level_at(run: Subject, key: str, epoch: float) -> float:
    """The value at an epoch, a straight line in x between two above 0; NaN beyond them."""
    epochs, values = run.series(key)
    if epoch == 0 and len(epochs) and epochs[0] == 0:
        return float(values[0])
    epochs, values = _positive((epochs, values))
    if not len(epochs) or not epochs[0] <= epoch <= epochs[-1]:
        return math.nan
    return float(np.interp(math.log10(epoch), np.log10(epochs), values))


def _positive(series: Series) -> Series:
    epochs, values = series
    return epochs[epochs > 0], values[epochs > 0]


def log_or_nan(value: float) -> float:
    """log10 of an epoch or of a ratio; NaN of what has none."""
    return math.log10(value) if value > 0 else math.nan


def _newest(run: Subject, key: str, when: When) -> float:
    """The last value up to a moment, or an extreme; NaN where there is none."""
    epochs, values = run.series(key)
    if when in ("largest", "smallest"):
        return float(values.max() if when == "largest" else values.min())
    before = values[epochs <= epoch_of(run, when)]
    return float(before[-1]) if len(before) else math.nan


def _passage(run: Subject, key: str, start: When) -> Transition:
    epochs, values = run.series(key)
    return find_transition(epochs, values, start=epoch_of(run, start))


def _together(run: Subject, *keys: str) -> list[Series]:
    """Some series at the epochs of the coarsest, within reach of all."""
    read = [run.series(key) for key in keys]
    coarsest = read[0]
    for other in read[1:]:
        coarsest, _ = on_common_epochs(coarsest, other)
    x = np.log10(coarsest[0])
    placed = [_positive(each) for each in read]
    if not all(len(epochs) for epochs, _ in placed):
        return [(epochs[:0], values[:0]) for epochs, values in placed]
    return [(coarsest[0], np.interp(x, np.log10(epochs), values)) for epochs, values in placed]


def _why_none(values: np.ndarray) -> str:
    """Why there is no correlation."""
    return "a series is constant" if len(values) >= 3 else "too few common epochs"


def _as_asked(series: list[Series], changes: bool) -> list[np.ndarray]:
    return [rates(*each) if changes else each[1] for each in series]

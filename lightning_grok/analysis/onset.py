"""When a network memorizes and when it generalizes, read from its accuracies.

Everything is measured on the axis x = log10(epoch); epoch 0, the initialization, has no place on it
and is left out, and so are values that are NaN.

- t_mem: the first evaluated epoch with train accuracy >= 0.99 at three evaluations in a row.
- Plateau p: the median test accuracy over [t_mem, 2 t_mem]. Final level f: the median over the last
  5 % of the axis from epoch 1 to the end, x >= 0.95 x_end.
- t_10, t_half, t_90: the first time after t_mem at which the metric reaches p + q (f − p) for
  q = 0.1, 0.5, 0.9 and holds it for three evaluations. Between the evaluation before and the first
  of the three, the metric is taken as linear in x. t_10 is called the onset. A metric that falls
  (f < p) is mirrored.
- Width x_90 − x_10, in decades of epoch.
- Grokked: t_half >= 5 t_mem and p <= f / 2.

What is never reached is right-censored: its time is infinite, and `Onset.last` says until when it
was looked for. A metric that changes by less than three times the noise of one evaluation has not
changed. Where evaluations are dense, a running median over 51 epochs comes first; it is narrower
below epoch 250, so that it never covers more than a tenth of the epoch to either side.

`OnsetDetector` says the same while the network trains, as far as that needs no look ahead.
"""

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Num

from lightning_grok.analysis.change_point import ChangePoint, find_change_point
from lightning_grok.analysis.crossing import (
    HOLD,
    crossing,
    evaluation_noise,
    first_held,
    on_log_axis,
    running_median,
)

MEMORIZED = 0.99
DELAY = 5.0
CONTRAST = 0.5
_CHANGED = 3.0  # noise standard deviations between plateau and final level
_LEAST_RISE = 0.05


class Onset(NamedTuple):
    """When a metric passes from its plateau to its final level.

    Attributes:
        plateau, final: p and f; NaN where nothing was measured there.
        t_10, t_half, t_90: epochs; infinite where never reached.
        t_10_range, t_half_range, t_90_range: earliest and latest epoch of the crossing: from the
            evaluation before it reaches the level less two noise standard deviations to the one at
            which it reaches the level plus two.
        width: x_90 − x_10 in decades; infinite where t_90 is never reached.
        change_point: see `find_change_point`; None where there is no change.
        noise: standard deviation of a single evaluation about its neighbours (robust).
        last: the last epoch looked at.
    """

    plateau: float
    final: float
    t_10: float
    t_half: float
    t_90: float
    t_10_range: tuple[float, float]
    t_half_range: tuple[float, float]
    t_90_range: tuple[float, float]
    width: float
    change_point: ChangePoint | None
    noise: float
    last: float

    @property
    def censored(self) -> bool:
        """Whether the half-way level was never reached."""
        return math.isinf(self.t_half)

    @property
    def rise(self) -> "Onset":
        """This, of a metric that rises; of one that falls, the same levels and no crossing."""
        if self.final > self.plateau:
            return self
        return _nothing_found(self.plateau, self.final, self.noise, self.last)


class GrokkingEvents(NamedTuple):
    """What the accuracies of a run say.

    Attributes:
        t_mem: epoch of memorization; infinite where it never came.
        test: plateau, final level and crossing times of the rise of test accuracy; all times are
            infinite where it fell.
        grokked: whether generalization came late and was large.
        reason: why it is not called grokking; empty where it is.
    """

    t_mem: float
    test: Onset
    grokked: bool
    reason: str


class RunLike(Protocol):
    """Anything that hands out logged series by key, such as a `lightning_grok.runs.run.Run`."""

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs (T,) and values (T,)."""
        ...


def find_onset(
    epochs: Num[np.ndarray, " t"],
    values: Num[np.ndarray, " t"],
    *,
    start: float = 1.0,
    plateau: float | None = None,
) -> Onset:
    """Crossing times of one metric, as defined at the head of this module.

    Args:
        epochs: strictly increasing, 0 allowed and left out.
        values: one an epoch, of any unit, rising or falling; NaN is left out.
        start: t_mem: where the plateau begins and the search for crossings with it.
        plateau: the level to rise from, where it is known (0 for a distance to the own start).

    Returns:
        The crossings. All times are infinite where fewer than three values stand at or after
        `start`, which leaves no plateau but a final level, or where the change from p to f is
        within three noise standard deviations.

    Raises:
        ValueError: the epochs are negative or out of order, or the lengths differ.
    """
    at, raw = on_log_axis(epochs, values)
    last = float(at[-1]) if len(at) else 0.0
    if len(at) < HOLD:
        return _nothing_found(math.nan, math.nan, math.nan, last)
    smooth = running_median(at, raw)
    high = float(np.median(smooth[np.log10(at) >= 0.95 * math.log10(last)]))
    noise = evaluation_noise(at, raw)
    if np.count_nonzero(at >= start) < HOLD:
        return _nothing_found(math.nan, high, noise, last)
    low = plateau_level(at, smooth, start) if plateau is None else plateau
    if not abs(high - low) > _CHANGED * noise:
        return _nothing_found(low, high, noise, last)
    sign = math.copysign(1.0, high - low)
    crossings = [
        crossing(at, sign * smooth, sign * (low + part * (high - low)), noise=noise, start=start)
        for part in (0.1, 0.5, 0.9)
    ]
    (t_10, range_10), (t_half, range_half), (t_90, range_90) = crossings
    width = math.log10(t_90 / t_10) if math.isfinite(t_10) else math.nan
    late = at >= start
    return Onset(
        low, high, t_10, t_half, t_90, range_10, range_half, range_90, width,
        find_change_point(at[late], smooth[late]), noise, last,
    )  # fmt: skip


def grokking_events(
    epochs: Num[np.ndarray, " t"],
    train_accuracy: Num[np.ndarray, " t"],
    test_accuracy: Num[np.ndarray, " t"],
) -> GrokkingEvents:
    """Memorization, generalization and whether the run grokked.

    Args:
        epochs: strictly increasing.
        train_accuracy, test_accuracy: one an epoch, in [0, 1]; NaN is left out.

    Raises:
        ValueError: an accuracy is outside [0, 1] (percent?), or the epochs are out of order.
    """
    for name, accuracy in (("train", train_accuracy), ("test", test_accuracy)):
        if np.any((accuracy < 0) | (accuracy > 1)):
            worst = accuracy[(accuracy < 0) | (accuracy > 1)][0]
            raise ValueError(f"expected {name} accuracies in [0, 1], received {worst}")
    t_mem = memorization_epoch(epochs, train_accuracy)
    test = find_onset(epochs, test_accuracy, start=t_mem).rise
    reason = _why_not(t_mem, test)
    return GrokkingEvents(t_mem, test, not reason, reason)


def run_events(run: RunLike) -> GrokkingEvents:
    """`grokking_events` of the logged accuracies of a run, at the epochs where both stand."""
    train_epochs, train = run.series("train/accuracy")
    test_epochs, test = run.series("test/accuracy")
    epochs, i, j = np.intersect1d(train_epochs, test_epochs, return_indices=True)
    return grokking_events(epochs, train[i], test[j])


def memorization_epoch(
    epochs: Num[np.ndarray, " t"], train_accuracy: Num[np.ndarray, " t"]
) -> float:
    """t_mem, an evaluated epoch; infinite where it never came. No running median is taken."""
    at, accuracy = on_log_axis(epochs, train_accuracy)
    first = first_held(accuracy >= MEMORIZED)
    return math.inf if first is None else float(at[first])


def plateau_level(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"], start: float
) -> float:
    """p: the median over [start, 2 start]; with no value there, interpolated at √2 start in x."""
    inside = (epochs >= start) & (epochs <= 2 * start)
    if inside.any():
        return float(np.median(values[inside]))
    return float(np.interp(math.log10(start * math.sqrt(2)), np.log10(epochs), values))


class OnsetEvent(NamedTuple):
    """An event seen live: ``memorization`` or ``generalization``.

    Attributes:
        name: which.
        epoch: when it happened: the first of the three evaluations that show it.
        known_at: the evaluation at which it was known: the third of them.
    """

    name: str
    epoch: int
    known_at: int


class OnsetDetector:
    """Tells of memorization and generalization as soon as they are certain.

    Memorization is t_mem exactly. Generalization can't wait for the final level f. It is the first
    evaluation after 2 t_mem (when the plateau p is known) at which test accuracy has reached
    p + max(p / 2, 0.05), and holds it for three. A run that groks has f >= 2 p, so its half-way
    level is 1.5 p or more: for f >= p + 0.1 this event never comes after t_half (but for the grid).
    It is no proof of grokking: a run that generalizes without delay shows it too. From a plateau
    above 2/3 it can't happen, and neither can grokking.

    The state is a plain dict, for checkpoints.
    """

    def __init__(self) -> None:
        self.memorization: int | None = None
        self.generalization: int | None = None
        self._plateau: list[float] = []
        self._streak: list[tuple[int, float]] = []  # epochs and test accuracies

    @property
    def level(self) -> float | None:
        """The test accuracy that counts as generalization; None before there is a plateau."""
        known = [value for value in self._plateau if not math.isnan(value)]
        if not known:
            return None
        plateau = float(np.median(known))
        return plateau + max(plateau / 2, _LEAST_RISE)

    def update(self, epoch: int, train_accuracy: float, test_accuracy: float) -> list[OnsetEvent]:
        """Take one evaluation in; the events that it makes known, mostly none.

        Args:
            epoch: completed epochs, larger at every call; 0 is passed over.
            train_accuracy, test_accuracy: in [0, 1]; NaN ends a streak.
        """
        if epoch == 0 or self.generalization is not None:
            return []
        if self.memorization is not None:
            return self._look_for_generalization(epoch, test_accuracy)
        if not self._held(epoch, test_accuracy, train_accuracy >= MEMORIZED):
            return []
        streak, self._streak = self._streak, []
        self.memorization = streak[0][0]
        for seen, test in streak:  # the plateau begins with them
            self._look_for_generalization(seen, test)
        return [OnsetEvent("memorization", self.memorization, epoch)]

    def _look_for_generalization(self, epoch: int, test_accuracy: float) -> list[OnsetEvent]:
        assert self.memorization is not None
        if epoch <= 2 * self.memorization:
            self._plateau.append(test_accuracy)
            return []
        level = self.level
        if level is None or not self._held(epoch, test_accuracy, test_accuracy >= level):
            return []
        self.generalization = self._streak[0][0]
        return [OnsetEvent("generalization", self.generalization, epoch)]

    def _held(self, epoch: int, test_accuracy: float, reached: bool) -> bool:
        self._streak = [*self._streak, (epoch, test_accuracy)] if reached else []
        return len(self._streak) >= HOLD

    def state_dict(self) -> dict[str, Any]:
        """All that was seen so far, as plain numbers and lists."""
        return {
            "memorization": self.memorization,
            "generalization": self.generalization,
            "plateau": list(self._plateau),
            "streak": [list(seen) for seen in self._streak],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.memorization = state["memorization"]
        self.generalization = state["generalization"]
        self._plateau = list(state["plateau"])
        self._streak = [(epoch, test) for epoch, test in state["streak"]]


def _nothing_found(plateau: float, final: float, noise: float, last: float) -> Onset:
    inf, never = math.inf, (math.inf, math.inf)
    return Onset(
        plateau, final, inf, inf, inf, never, never, never, math.nan, None, noise, last
    )  # fmt: skip


def _why_not(t_mem: float, test: Onset) -> str:
    if math.isinf(t_mem):
        return f"train accuracy never held {MEMORIZED:g}"
    if test.censored:
        return "test accuracy never rose from its plateau"
    if test.t_half < DELAY * t_mem:
        return f"generalized without delay: t_half < {DELAY:g} t_mem"
    if test.plateau > CONTRAST * test.final:
        return "small rise: plateau above half of the final test accuracy"
    return ""

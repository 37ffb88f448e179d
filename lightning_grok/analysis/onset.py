"""When a network memorizes and when it generalizes, read from its accuracies.

Plateau p, final level f and the times t_10, t_half, t_90 of a series, on the axis log10(epoch), are
those of `lightning_grok.analysis.transition`. Of accuracies:

- t_mem, **memorized**: the first evaluated epoch with train accuracy >= 0.99 at three evaluations
  in a row. It is the `start` of what comes after it.
- A rise of test accuracy after memorization counts where f exceeds p by what
  `lightning_grok.analysis.accuracy` says of the test set (3 points, a tenth of what is possible,
  counting noise; all of it above chance c too), and by as much as p exceeds chance: else the larger
  part was there at memorization. Its t_10 is called the onset, its t_half **half**.
- **Begins**: the time after 2 t_mem from which on test accuracy stays above half of the least rise
  that counts, until it has held the whole of it for three evaluations. It needs no final level, so
  that it never moves; half, which does, can't come before it where p is above chance.
- Where no such rise counts, the rise from chance at epoch 1 may: the network generalized as it
  memorized, or without.
- **Still rising** (or falling), so that there is no final level: at the pace of the end of the run
  (`crossing.gain_to_come`) a doubling of the training would change test accuracy by more than
  3 points and more than a tenth of its rise, and that much is left to gain. Half is then a bound: a
  higher final level puts it later.
- **Grokked**: a rise after memorization counts; t_half >= 5 t_mem, less being no delay beside the
  time that memorizing itself takes; and its level is known well enough to say so: a doubling would
  change it by less than a third of the rise.

What is never reached is right-censored: its time is infinite.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Num

from lightning_grok.analysis.accuracy import (
    LEAST_PART,
    LEAST_POINTS,
    MEMORIZED,
    Counted,
    counting_noise,
    samples_as_noisy,
)
from lightning_grok.analysis.crossing import HOLD, evaluation_noise, gain_to_come, on_log_axis
from lightning_grok.analysis.detector import OnsetDetector
from lightning_grok.analysis.lag import at_shared_epochs
from lightning_grok.analysis.transition import Transition, find_transition

DELAY = 5.0
_UNDER_WAY = 1 / 3  # of the rise, that a doubling would bring


class GrokkingEvents(NamedTuple):
    """What the accuracies of a run say.

    Attributes:
        t_mem: epoch of memorization; infinite where it never came.
        begins: epoch at which the rise after memorization begins; infinite where there is none.
        plateau: p of test accuracy after memorization; NaN where there is none.
        test: plateau, final level and crossing times of the rise of test accuracy that counts; all
            times are infinite where none does.
        delayed: whether that is the rise after memorization, not that from chance.
        gain: by how much a doubling of the training would change test accuracy at the pace of its
            end; 0 where it has come to its final level.
        lost: whether test accuracy had risen by what counts, and half of that or more is gone.
        grokked: whether generalization came late, and is no longer under way.
        reason: why it is not called grokking; empty where it is.
        train_accuracy, test_accuracy: the last that were evaluated; NaN without any.
        best: the highest test accuracy that was held for three evaluations; NaN where none was.
        chance: accuracy of guessing; None where it is not known.
    """

    t_mem: float
    begins: float
    plateau: float
    test: Transition
    delayed: bool
    gain: float
    lost: bool
    grokked: bool
    reason: str
    train_accuracy: float
    test_accuracy: float
    best: float
    chance: float | None

    @property
    def late(self) -> Transition:
        """`test`, if it is the rise after memorization; else the same levels and no crossing."""
        return self.test if self.delayed else self.test.unseen

    @property
    def moving(self) -> Literal["", "rising", "falling"]:
        """What test accuracy still does at the end of the run."""
        return "rising" if self.gain > 0 else "falling" if self.gain < 0 else ""

    @property
    def bound(self) -> Literal["", "≥ ", "≤ "]:
        """What stands before a half that the final level will move."""
        return "≥ " if self.gain > 0 else "≤ " if self.gain < 0 else ""


class RunLike(Protocol):
    """Anything that hands out logged series by key, such as a `lightning_grok.runs.run.Run`."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """What describes the run: ``test_samples`` and ``num_classes`` are looked for."""

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs (T,) and values (T,)."""


def grokking_events(
    epochs: Num[np.ndarray, " t"],
    train_accuracy: Num[np.ndarray, " t"],
    test_accuracy: Num[np.ndarray, " t"],
    of: Counted | None = None,
) -> GrokkingEvents:
    """Memorization, generalization and whether the run grokked.

    Args:
        epochs: strictly increasing.
        train_accuracy, test_accuracy: one an epoch, in [0, 1]; NaN is left out.
        of: the test set. Where its chance is not known, the first evaluation stands for it; where
            its size is not, the number of samples whose counting noise would be that of the series.

    Raises:
        ValueError: an accuracy is outside [0, 1] (percent?), or the epochs are out of order.
    """
    of = of or Counted()
    for name, accuracy in (("train", train_accuracy), ("test", test_accuracy)):
        if np.any((accuracy < 0) | (accuracy > 1)):
            worst = accuracy[(accuracy < 0) | (accuracy > 1)][0]
            raise ValueError(f"expected {name} accuracies in [0, 1], received {worst}")
    at, test = on_log_axis(epochs, test_accuracy)
    if of.samples is None:
        of = of._replace(samples=samples_as_noisy(test, evaluation_noise(at, test)))
    detector = OnsetDetector(of)
    for row in zip(epochs.tolist(), train_accuracy.tolist(), test_accuracy.tolist(), strict=True):
        detector.update(*row)
    t_mem = math.inf if detector.memorization is None else float(detector.memorization)
    begins = math.inf if detector.generalization is None else float(detector.generalization)
    start = of.chance if of.chance is not None else _first(test_accuracy)
    rise, delayed = _rise(at, test, detector, of, start)
    gain = _gain(at, test, rise, of, max(start, rise.plateau if delayed else start))
    best = _best(test)
    fallen = best >= of.least(start) and rise.final - start <= (best - start) / 2
    lost = (math.isfinite(begins) and not delayed) or (rise.censored and fallen)
    found = GrokkingEvents(
        t_mem=t_mem,
        begins=begins,
        plateau=math.nan if detector.plateau is None else detector.plateau,
        test=rise,
        delayed=delayed,
        gain=gain,
        lost=lost,
        grokked=False,
        reason="",
        train_accuracy=_last(train_accuracy),
        test_accuracy=_last(test_accuracy),
        best=best,
        chance=of.chance,
    )
    reason = _why_not(found)
    return found._replace(grokked=not reason, reason=reason)


def run_events(run: RunLike) -> GrokkingEvents:
    """`grokking_events` of the logged accuracies of a run, at the epochs where both stand."""
    both = at_shared_epochs(run.series("train/accuracy"), run.series("test/accuracy"))
    return grokking_events(*both, counted_on(run.meta))


def counted_on(meta: Mapping[str, Any]) -> Counted:
    """The test set that run.json describes, as far as it does."""
    samples, classes = (meta.get(key) for key in ("test_samples", "num_classes"))
    return Counted(
        samples if type(samples) is int and samples > 0 else None,
        1 / classes if type(classes) is int and classes > 1 else None,
    )


def _rise(
    at: np.ndarray, test: np.ndarray, detector: OnsetDetector, of: Counted, start: float
) -> tuple[Transition, bool]:
    """The rise that counts, and whether it is the one after memorization."""
    plateau, level = detector.plateau, detector.level
    after = None
    if plateau is not None and level is not None and detector.generalization is not None:
        mem = float(detector.memorization or 1)
        after = find_transition(at, test, start=mem, plateau=plateau, least=level - plateau).rise
        if not after.censored:
            return after, True
    whole = find_transition(at, test, plateau=start, least=of.least(start) - start).rise
    return (whole, False) if not whole.censored or after is None else (after, False)


def _gain(at: np.ndarray, test: np.ndarray, rise: Transition, of: Counted, base: float) -> float:
    """`GrokkingEvents.gain` of a test accuracy that has risen from `base` by anything at all."""
    if len(test) < HOLD:
        return 0.0
    end = max(rise.final, float(np.median(test[-HOLD:])))
    if end < base + max(LEAST_POINTS, counting_noise(base, of.samples)):
        return 0.0
    if rise.censored and rise.final >= of.least(base):  # risen, and not yet for three evaluations
        return 1 - base
    worth = max(LEAST_POINTS, LEAST_PART * (end - base))
    noise = evaluation_noise(at, test)  # mostly of the plateau, where less of it may be
    counted = samples_as_noisy(test, noise)
    noise = max(noise, math.sqrt(end * (1 - end) / counted)) if counted else noise
    gain = gain_to_come(at, test, worth, noise)
    return gain if gain < 0 or 1 - rise.final > worth else 0.0


def _why_not(events: GrokkingEvents) -> str:
    test, t_mem = events.test, events.t_mem
    if math.isinf(t_mem):
        return f"train accuracy never held {MEMORIZED:g}"
    if events.moving and not abs(events.gain) < _UNDER_WAY * (test.final - test.plateau):
        return f"no final level yet: test accuracy still {events.moving}"
    if events.lost:
        return "generalized and lost it again"
    if test.censored:
        return "test accuracy never rose from its plateau"
    if test.t_half < DELAY * t_mem:
        return f"half of the rise came before {DELAY:g} times the epoch of memorization"
    if not events.delayed:
        return "small rise: the larger part of the test accuracy was there at memorization"
    return ""


def _best(values: np.ndarray) -> float:
    if len(values) < HOLD:
        return math.nan
    return float(np.lib.stride_tricks.sliding_window_view(values, HOLD).min(axis=1).max())


def _first(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known[0]) if len(known) else 0.0


def _last(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else math.nan

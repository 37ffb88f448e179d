"""What the number format and the optimizer do to a run that has memorized, read from its series.

- **Collapse**: the first evaluation at which half of the training samples have no loss left: it is
  exactly 0 in the dtype of the loss (`lightning_grok.geometry.losses`).
- **Instability**: after memorization the training loss rises at least a thousandfold within 0.05
  decades of epochs (12 %), or from one evaluation to the next where they are further apart. Losses
  below 1e-9 count as that. It is over at the first evaluation at which half of the rise, on a log
  axis, is undone. The noise of a constant learning rate stays below: in the runs of this study on
  MNIST with the squared error, whose loss wanders over three decades, it reaches a factor of 725;
  the jumps of AdamW with cross-entropy in float32 have 2,300 to 2e8.
- **Ungrokking**: test accuracy is lost for good while the training set is not: the first evaluation
  from which on test accuracy stays at most half of the best one before, and ten points below it,
  with train accuracy of at least 0.99, until the epoch has doubled (the third phase of Prakash &
  Martin, arXiv 2602.02859, falls to chance).

All are causal: what is known of a series does not change when it goes on.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from lightning_grok.analysis.crossing import first_held, on_log_axis
from lightning_grok.analysis.onset import GrokkingEvents, RunLike

COLLAPSED = 0.5
"""Share of training samples without a loss."""

_RISE, _FLOOR, _WINDOW, _NEAR = 1e3, 1e-9, 0.05, 0.1
_LARGEST = float(np.finfo(float).max)
_HOLDS = 0.99  # train accuracy
_LOST, _LEAST_LOST = 0.5, 0.1  # part of the best test accuracy, and its least difference


class Instability(NamedTuple):
    """A jump of the training loss after memorization.

    Attributes:
        before: the evaluated epoch with the lowest loss just before.
        epoch: the first at which the loss has risen a thousandfold.
        after: the first at which half of the rise is undone; the last one where that never was.
        low, high: the loss at `before`, and the largest from there to `after`.
    """

    before: int
    epoch: int
    after: int
    low: float
    high: float


def collapse_epoch(epochs: Num[np.ndarray, " t"], share: Num[np.ndarray, " t"]) -> float:
    """The first epoch at which half of the samples have no loss; infinite where there is none.

    Args:
        epochs: increasing.
        share: of training samples whose loss is exactly 0; NaN counts as less.
    """
    found = np.flatnonzero(share >= COLLAPSED)
    return float(epochs[found[0]]) if len(found) else math.inf


def find_instabilities(
    epochs: Num[np.ndarray, " t"], loss: Num[np.ndarray, " t"], start: float
) -> list[Instability]:
    """All instabilities of a training loss, as defined at the head of this module.

    Args:
        epochs: increasing.
        loss: on the whole training set; NaN is left out, infinity counts as the largest number.
        start: epoch of memorization; earlier evaluations don't count. Infinite finds none.
    """
    losses = np.asarray(loss, dtype=float)
    keep = ~np.isnan(losses) & (epochs >= max(start, 1))
    at, values = np.asarray(epochs)[keep], np.clip(losses[keep], _FLOOR, _LARGEST)
    found: list[Instability] = []
    if not len(at):
        return found
    # Most runs have none: only what stands high above all before it is looked at.
    risen = np.flatnonzero(values[1:] >= _RISE * np.minimum.accumulate(values)[:-1]) + 1
    end = 0
    for i in map(int, risen):
        if i <= end:  # a part of the one before
            continue
        first = min(int(np.searchsorted(at, at[i] / 10**_WINDOW)), i - 1)
        low = first + int(np.argmin(values[first:i]))
        if values[i] < _RISE * values[low]:
            continue
        end, high = i, values[i]
        while end < len(at) and values[end] > math.sqrt(values[low]) * math.sqrt(high):
            high = max(high, values[end])
            end += 1
        after = at[min(end, len(at) - 1)]
        span = (int(at[low]), int(at[i]), int(after))
        found.append(Instability(*span, float(values[low]), float(high)))
    return found


def ungrokking_epoch(
    epochs: Num[np.ndarray, " t"],
    train_accuracy: Num[np.ndarray, " t"],
    test_accuracy: Num[np.ndarray, " t"],
) -> float:
    """When test accuracy was lost for good; infinite where it never was.

    Args:
        epochs: increasing.
        train_accuracy, test_accuracy: in [0, 1]; NaN is no accuracy that holds or is lost.
    """
    start, best = -1, 0.0  # index of the first evaluation at which it was lost
    for i, (train, test) in enumerate(zip(train_accuracy, test_accuracy, strict=True)):
        limit = min(_LOST * best, best - _LEAST_LOST)
        if not (train >= _HOLDS and test <= limit):
            best, start = max(best, 0.0 if math.isnan(test) else float(test)), -1
        elif start < 0:
            start = i
        elif epochs[i] >= 2 * epochs[start]:
            return float(epochs[start])
    return math.inf


def stability_events(
    epochs: Num[np.ndarray, " t"],
    loss: Num[np.ndarray, " t"],
    train_accuracy: Num[np.ndarray, " t"],
    test_accuracy: Num[np.ndarray, " t"],
    zero_loss_share: Num[np.ndarray, " t"],
) -> list[tuple[str, int]]:
    """All events ``collapse``, ``instability`` and ``ungrokking``, with their epochs."""
    memorized = _memorized(epochs, train_accuracy)
    found = [
        ("collapse", collapse_epoch(epochs, zero_loss_share)),
        ("ungrokking", ungrokking_epoch(epochs, train_accuracy, test_accuracy)),
    ]
    events = [(name, int(epoch)) for name, epoch in found if math.isfinite(epoch)]
    jumps = find_instabilities(epochs, loss, memorized)
    return [*events, *(("instability", each.epoch) for each in jumps)]


def run_instabilities(run: RunLike) -> list[Instability]:
    """`find_instabilities` of the logged training loss of a run."""
    return find_instabilities(*run.series("train/loss"), _memorized(*run.series("train/accuracy")))


def _memorized(epochs: Num[np.ndarray, " t"], train_accuracy: Num[np.ndarray, " t"]) -> float:
    """The first of three evaluations in a row with the training set learned; infinite if none."""
    at, accuracy = on_log_axis(epochs, train_accuracy)
    first = first_held(accuracy >= _HOLDS)
    return math.inf if first is None else float(at[first])


def onset_instability(run: RunLike, events: GrokkingEvents) -> str:
    """`onset_sentence` of a run's onset, t_10 of test accuracy."""
    onset = events.test.t_10
    return onset_sentence(onset, run_instabilities(run)) if math.isfinite(onset) else ""


def onset_in_words(run: RunLike, events: GrokkingEvents) -> str:
    """`onset_instability`; that there is none is said of runs that grok."""
    inside = onset_instability(run, events)
    if inside or not events.grokked or not run.series("train/loss")[0].size:
        return inside
    return "no instability of the optimizer is seen at its onset"


def onset_sentence(onset: float, instabilities: Sequence[Instability]) -> str:
    """In words, that an onset lies inside an instability; empty where it does not.

    Inside is from the evaluation before the jump to the end of the instability, and at most a tenth
    of a decade (26 %) past the jump, since some never end.

    Args:
        onset: an epoch, infinite where there was none.
        instabilities: of the same run.
    """
    for each in instabilities:
        if each.before <= onset <= min(each.after, each.epoch * 10**_NEAR):
            return (
                f"the onset, epoch {onset:,.0f}, lies inside an instability of the optimizer: from "
                f"epoch {each.before:,} to {each.epoch:,} the training loss rose from "
                f"{each.low:.1e} to {each.high:.1e}"
            )
    return ""

"""Moments of a run by name: an epoch, an event, a part of one, or a level that a series reaches.

- a number: that epoch;
- ``start`` (epoch 1), ``end``, ``memorization``, ``begins``, ``onset`` (t_10 of test accuracy),
  ``half`` (its t_half) and ``grokked`` (t_half of a run that grokked), as defined in
  `lightning_grok.analysis.onset`; ``collapse``, the first ``instability`` and ``ungrokking``, as in
  `lightning_grok.analysis.instability`;
- ``2 memorization``, ``0.5 onset``: a multiple of one;
- ``train/loss <= 0.01``, ``test/accuracy >= 0.9``: the first of three measurements in a row.
"""

import math
import re
from collections.abc import Callable

from lightning_grok.analysis.crossing import first_held
from lightning_grok.analysis.instability import (
    collapse_epoch,
    find_instabilities,
    ungrokking_epoch,
)
from lightning_grok.analysis.lag import on_common_epochs
from lightning_grok.analysis.onset import GrokkingEvents
from lightning_grok.analysis.reading import NotMeasuredError, Subject

When = int | float | str

_EVENTS: dict[str, Callable[[Subject], float]] = {
    "start": lambda run: 1.0,
    "end": lambda run: float(run.last),
    "memorization": lambda run: _of_accuracies(run).t_mem,
    "begins": lambda run: _of_accuracies(run).begins,
    "onset": lambda run: _of_accuracies(run).test.t_10,
    "half": lambda run: _of_accuracies(run).test.t_half,
    "grokked": lambda run: run.events.test.t_half if _of_accuracies(run).grokked else math.inf,
    "collapse": lambda run: collapse_epoch(*run.series("stability/zero_loss_share")),
    "instability": lambda run: _first_instability(run),
    "ungrokking": lambda run: _ungrokking(run),
}
EVENTS = tuple(_EVENTS)
"""Names of events."""

_NUMBER = re.compile(r"[0-9.]+(?:e[+-]?[0-9]+)?")
_MULTIPLE = re.compile(rf"(?:({_NUMBER.pattern}) )?([a-z]+)")
_LEVEL = re.compile(r"(\S|\S.*\S) (>=|<=) ([-+0-9.e]+)")


def check_moment(when: When) -> None:
    """Refuse what is no moment.

    Raises:
        ValueError: in one line, what was expected and received.
    """
    _parse(when)


def epoch_of(run: Subject, when: When) -> float:
    """The epoch of a moment in a run; infinite where it never came.

    Raises:
        ValueError: it is no moment.
        NotMeasuredError: the run lacks the series that would tell.
    """
    factor, event, series = _parse(when)
    if series is not None:
        return _reached(run, *series)
    return factor * _EVENTS[event](run) if event else factor


def _parse(when: When) -> tuple[float, str, tuple[str, str, float] | None]:
    """A factor, the event that it multiplies (empty: it is an epoch), or a series and its level."""
    try:
        if not isinstance(when, str) or _NUMBER.fullmatch(when):
            epoch = float(when)
            if epoch >= 0 and math.isfinite(epoch):
                return epoch, "", None
        elif (found := _MULTIPLE.fullmatch(when)) and found[2] in _EVENTS:
            return float(found[1] or 1), found[2], None
        elif found := _LEVEL.fullmatch(when):
            return 1.0, "", (found[1], found[2], float(found[3]))
    except ValueError:
        pass
    raise ValueError(
        f"expected an epoch, an event of {', '.join(EVENTS)}, a multiple of one (`0.5 onset`) or a "
        f"level (`KEY >= 0.9`), received {when!r}"
    )


def _reached(run: Subject, key: str, sign: str, level: float) -> float:
    epochs, values = run.series(key)
    first = first_held(values >= level if sign == ">=" else values <= level)
    return math.inf if first is None else float(epochs[first])


def _of_accuracies(run: Subject) -> GrokkingEvents:
    """What the accuracies say, of a run that has both: of another it is not known what came."""
    if math.isnan(run.events.test_accuracy):
        raise NotMeasuredError("train/accuracy beside test/accuracy")
    return run.events


def _first_instability(run: Subject) -> float:
    found = find_instabilities(*run.series("train/loss"), _of_accuracies(run).t_mem)
    return float(found[0].epoch) if found else math.inf


def _ungrokking(run: Subject) -> float:
    train, test = run.series("train/accuracy"), run.series("test/accuracy")
    (epochs, first), (_, second) = on_common_epochs(train, test)
    if not len(epochs):
        raise NotMeasuredError("train/accuracy beside test/accuracy")
    return ungrokking_epoch(epochs, first, second)

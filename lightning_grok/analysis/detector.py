"""Memorization and the beginning of generalization, told as soon as they are certain."""

import math
import statistics
from typing import Any, NamedTuple

from lightning_grok.analysis.accuracy import MEMORIZED, Counted
from lightning_grok.analysis.crossing import HOLD


class OnsetEvent(NamedTuple):
    """An event seen live: ``memorization`` or ``generalization``.

    Attributes:
        name: which.
        epoch: when it happened: the first of the evaluations that show it, or for a beginning where
            the line from the evaluation before came to its level.
        known_at: the evaluation at which it was known.
    """

    name: str
    epoch: int
    known_at: int


class OnsetDetector:
    """Tells of memorization and of the beginning of generalization, from one evaluation at a time.

    Both are as `lightning_grok.analysis.onset` defines them, need no look ahead and never move:
    t_mem, and the time after 2 t_mem from which on test accuracy stays above half of the least rise
    that counts, until it has held the whole of it for three evaluations.

    The least rise is that of `Counted.least`, and as much as the network had above chance at its
    plateau: what is less than that was there at memorization, for the larger part. A network that
    generalizes without delay is therefore not told of.

    The state is a plain dict, for checkpoints.

    Args:
        of: the test set.
    """

    def __init__(self, of: Counted | None = None) -> None:
        self.of = of or Counted()
        self.memorization: int | None = None
        self.generalization: int | None = None
        self._plateau: list[float] = []
        self._streak: list[tuple[float, float]] = []  # epochs and test accuracies
        self._before: tuple[float, float] | None = None  # the newest evaluation below a streak
        self._levels: tuple[float, float] | None = None  # begun, held: once the plateau is over

    @property
    def plateau(self) -> float | None:
        """p: the median test accuracy over [t_mem, 2 t_mem]; None before there is one."""
        known = [value for value in self._plateau if not math.isnan(value)]
        return float(statistics.median(known)) if known else None

    @property
    def level(self) -> float | None:
        """The test accuracy that counts as generalization; None before there is a plateau."""
        plateau = self.plateau
        if plateau is None:
            return None
        return max(self.of.least(plateau), 2 * plateau - (self.of.chance or 0.0))

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
        self._extend_streak(epoch, test_accuracy, train_accuracy >= MEMORIZED)
        if len(self._streak) < HOLD:
            return []
        streak, self._streak = self._streak, []
        self.memorization = round(streak[0][0])
        for seen, test in streak:  # the plateau begins with them
            self._look_for_generalization(round(seen), test)
        return [OnsetEvent("memorization", self.memorization, epoch)]

    def _look_for_generalization(self, epoch: int, test_accuracy: float) -> list[OnsetEvent]:
        assert self.memorization is not None
        if epoch <= 2 * self.memorization:
            self._plateau.append(test_accuracy)
            self._before = (epoch, test_accuracy)
            return []
        if self._levels is None:
            level, plateau = self.level, self.plateau
            if level is None or plateau is None:
                return []
            self._levels = (max(plateau, self.of.chance or 0.0) + level) / 2, level
        begun, level = self._levels
        reached = test_accuracy >= begun
        start = epoch if self._streak else self._reaches(begun, epoch, test_accuracy)
        self._extend_streak(start, test_accuracy, reached)
        if not reached:
            self._before = (epoch, test_accuracy)
        newest = self._streak[-HOLD:]
        if len(newest) < HOLD or min(test for _, test in newest) < level:
            return []
        self.generalization = round(self._streak[0][0])
        return [OnsetEvent("generalization", self.generalization, epoch)]

    def _reaches(self, level: float, epoch: int, test_accuracy: float) -> float:
        """Where the line in log(epoch) from the evaluation before comes to `level`."""
        if self._before is None or not self._before[1] < level <= test_accuracy:
            return epoch
        at, before = self._before
        return float(at * (epoch / at) ** ((level - before) / (test_accuracy - before)))

    def _extend_streak(self, epoch: float, test_accuracy: float, reached: bool) -> None:
        # The first evaluation, which the event is dated to, and the newest that must hold.
        self._streak = [*self._streak[:1], *self._streak[1:][1 - HOLD :]] if reached else []
        if reached:
            self._streak.append((epoch, test_accuracy))

    def state_dict(self) -> dict[str, Any]:
        """All that was seen so far, as plain numbers and lists."""
        return {
            "memorization": self.memorization,
            "generalization": self.generalization,
            "plateau": list(self._plateau),
            "streak": [list(seen) for seen in self._streak],
            "before": self._before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.memorization = state["memorization"]
        self.generalization = state["generalization"]
        self._plateau = list(state["plateau"])
        self._streak = [(epoch, test) for epoch, test in state["streak"]]
        before = state.get("before")  # of a checkpoint that knew no such thing
        self._before = None if before is None else (before[0], before[1])
        self._levels = None

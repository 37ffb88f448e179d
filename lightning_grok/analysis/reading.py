"""What a statistic reads one run by, and the number it says of it."""

import math
from typing import NamedTuple, Protocol

import numpy as np

from lightning_grok.analysis.lag import Series
from lightning_grok.analysis.onset import GrokkingEvents


class NotMeasuredError(Exception):
    """A run does not hold a series that a statistic needs."""


class Reading(NamedTuple):
    """What a statistic says of one run.

    Attributes:
        value: the number; NaN where it does not exist.
        at_least: it is a lower bound: something was not reached by the end of the run, or so late
            that its final level is not known.
        at_most: where `at_least` holds, the largest that the number can be.
        spacing: decades between the measurements that it rests on; 0 where that plays no part.
        reason: why there is no value, in words that go on from "in 2 seeds".
    """

    value: float
    at_least: bool = False
    at_most: float = math.inf
    spacing: float = 0.0
    reason: str = ""


class Subject(Protocol):
    """One run as statistics see it."""

    @property
    def events(self) -> GrokkingEvents:
        """Memorization and generalization."""

    @property
    def last(self) -> int:
        """The last epoch."""

    @property
    def breakdown(self) -> np.ndarray:
        """Epochs at which the training set was lost (`lightning_grok.analysis.breakdown`)."""

    def series(self, key: str) -> Series:
        """Epochs and values of a key, without NaN and without what was measured in a breakdown.

        Raises:
            NotMeasuredError: it was never logged, or as NaN only.
        """

    def whole(self, key: str) -> Series:
        """The same with NaN and breakdowns among them; empty where it was never logged."""

"""When to evaluate, to measure and to keep weights: after epochs, after steps, evenly in the log.

Epoch e means that e epochs are completed, step s that s optimizer steps are taken; 0 of either is
the initialization. Points of interest are spaced evenly in their logarithm, because everything in
grokking happens on that axis. Nothing here knows a trainer: a `Schedule` serves any training loop.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

OPEN_END = 10**6
"""Where the schedule of a run ends that has no last epoch."""

ROUND_EPOCHS: tuple[int, ...] = (
    *range(6), *range(10, 60, 10), *range(100, 600, 100), *range(1000, 4500, 500),
    *range(5000, 11_000, 1000), *range(20_000, 60_000, 10_000),
    *range(100_000, 600_000, 100_000), OPEN_END,
)  # fmt: skip
"""What is looked at where nobody says when: the start, and 1 to 5 in every power of ten."""

EpochPoints = Sequence[int] | int | None
"""Listed, or so many evenly in the logarithm a decade, or none."""


@dataclass(frozen=True)
class Schedule:
    """Points of a training, in epochs or in steps; several kinds add up.

    Args:
        epochs: completed epochs, increasing from 0 on; a number takes 0 and so many a decade.
        steps: the same of optimizer steps.
        every_n_epochs: every so many epochs, and the initialization.
        every_n_steps: every so many steps.

    Raises:
        ValueError: a list is negative, out of order or empty, or a number is below 1.

    Examples:
        >>> [step for step in range(200) if Schedule(steps=4).at_step(step)]
        [0, 1, 2, 3, 6, 10, 18, 32, 56, 100, 178]
    """

    epochs: EpochPoints = None
    steps: EpochPoints = None
    every_n_epochs: int | None = None
    every_n_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for kind in ("epochs", "steps"):
            points = getattr(self, kind)
            if isinstance(points, Sequence):
                object.__setattr__(self, kind, validate_epochs(points, kind))
            elif points is not None:
                log_spaced(1, points)
        for kind in ("every_n_epochs", "every_n_steps"):
            number = getattr(self, kind)
            if number is not None and number < 1:
                raise ValueError(f"expected {kind} of at least 1, received {number}")

    def at_epoch(self, epoch: int) -> bool:
        """Whether something is due after `epoch` completed epochs."""
        return _is_due(epoch, self.epochs, self.every_n_epochs)

    def at_step(self, step: int) -> bool:
        """Whether something is due after `step` optimizer steps."""
        return _is_due(step, self.steps, self.every_n_steps)


def _is_due(point: int, listed: EpochPoints, every: int | None) -> bool:
    if every is not None and point % every == 0:
        return True
    return _is_log_spaced(point, listed) if isinstance(listed, int) else point in (listed or ())


def _is_log_spaced(point: int, per_decade: int) -> bool:
    """Whether `log_spaced` takes it, or it is 0."""
    if point <= 0:
        return point == 0
    nearest = round(per_decade * math.log10(point))
    return any(round(10 ** (k / per_decade)) == point for k in range(nearest - 1, nearest + 2))


def log_spaced(last: int, per_decade: int) -> list[int]:
    """Points 1..last, at most `per_decade` a decade, evenly spaced in their logarithm.

    Where the grid is finer than whole numbers every one is taken.

    Raises:
        ValueError: `last` or `per_decade` is below 1.
    """
    if last < 1 or per_decade < 1:
        raise ValueError(
            f"expected last and per_decade of at least 1, received {last} and {per_decade}"
        )
    points, exponent = set(), 0
    while (point := round(10 ** (exponent / per_decade))) <= last:
        points.add(point)
        exponent += 1
    return sorted(points)


def evaluation_epochs(
    last: int, per_decade: int, also: Iterable[int] = ROUND_EPOCHS
) -> frozenset[int]:
    """The log-spaced grid, the epochs of `also` up to `last`, the start 0 and the end `last`."""
    return frozenset({0, last, *log_spaced(last, per_decade), *(e for e in also if e <= last)})


def validate_epochs(epochs: Iterable[int], what: str = "epochs") -> tuple[int, ...]:
    """`epochs` as a tuple, if they are a strictly increasing list from 0 on.

    Raises:
        ValueError: one is negative, repeated or out of order, or the list is empty.
    """
    listed = tuple(epochs)
    if not listed:
        raise ValueError(f"expected at least one of {what}, received an empty list")
    if listed[0] < 0 or any(b <= a for a, b in pairwise(listed)):
        raise ValueError(f"expected strictly increasing {what} from 0 on, received {list(listed)}")
    return listed

"""When to evaluate and when to measure: lists of epochs.

Epoch e means that e epochs are completed; 0 is the initialization. Epochs of interest are spaced
evenly in log(epoch), because everything in grokking happens on that axis.
"""

from collections.abc import Iterable
from itertools import pairwise

PAPER_EPOCHS: tuple[int, ...] = (
    *range(6), *range(10, 60, 10), *range(100, 600, 100), *range(1000, 4500, 500),
    *range(5000, 11_000, 1000), *range(20_000, 60_000, 10_000),
)  # fmt: skip
"""The paper's checkpoints (28 to epoch 10,000, 32 to 50,000), preceded by the initialization."""

OPEN_END = 10**6
"""Where the schedule of a run ends that has no last epoch."""

Schedule = frozenset[int]


def log_spaced(last: int, per_decade: int) -> list[int]:
    """Epochs 1..last, at most `per_decade` a decade, evenly spaced in log(epoch).

    Where the grid is finer than whole epochs every epoch is taken.

    Raises:
        ValueError: `last` or `per_decade` is below 1.
    """
    if last < 1 or per_decade < 1:
        raise ValueError(
            f"expected last and per_decade of at least 1, received {last} and {per_decade}"
        )
    epochs, exponent = set(), 0
    while (epoch := round(10 ** (exponent / per_decade))) <= last:
        epochs.add(epoch)
        exponent += 1
    return sorted(epochs)


def evaluation_epochs(last: int, per_decade: int, also: Iterable[int] = PAPER_EPOCHS) -> Schedule:
    """The log-spaced grid, the epochs of `also` up to `last`, the start 0 and the end `last`."""
    return frozenset({0, last, *log_spaced(last, per_decade), *(e for e in also if e <= last)})


def validate_epochs(epochs: Iterable[int]) -> tuple[int, ...]:
    """`epochs` as a tuple, if they are a strictly increasing list of epochs from 0 on.

    Raises:
        ValueError: an epoch is negative, repeated or out of order, or the list is empty.
    """
    listed = tuple(epochs)
    if not listed:
        raise ValueError("expected at least one epoch, received an empty list")
    if listed[0] < 0 or any(b <= a for a, b in pairwise(listed)):
        raise ValueError(f"expected strictly increasing epochs from 0 on, received {list(listed)}")
    return listed

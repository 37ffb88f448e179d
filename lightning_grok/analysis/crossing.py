"""When a series on a log-epoch axis reaches a level: the mechanics below the definitions.

The axis is x = log10(epoch). `lightning_grok.analysis.onset` says which levels matter and why.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Num

HOLD = 3
"""Evaluations in a row for which a level must be held."""

_HALF_WINDOW, _WIDEST = 25, 0.1  # of the running median: epochs, and part of the epoch
_BAND = 2.0  # noise standard deviations about a level, for the range of a crossing


def on_log_axis(
    epochs: Num[np.ndarray, " t"], values: Num[np.ndarray, " t"]
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Epochs and values without epoch 0, which has no logarithm, and without NaN.

    Raises:
        ValueError: the lengths differ, or the epochs are negative or out of order.
    """
    at, y = np.asarray(epochs, dtype=float), np.asarray(values, dtype=float)
    if at.shape != y.shape or at.ndim != 1:
        raise ValueError(
            f"expected as many values as epochs, received shapes {y.shape}, {at.shape}"
        )
    if len(at) and (at[0] < 0 or np.any(np.diff(at) <= 0)):
        raise ValueError(f"expected strictly increasing epochs from 0 on, received {at[:8]} ...")
    keep = (at > 0) & np.isfinite(y)
    return at[keep], y[keep]


def running_median(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """Median over the evaluations within 25 epochs, and within a tenth of the epoch, of each one.

    As many before as after it, so that a trend is not bent, neither at the ends nor on a log-spaced
    schedule. Evaluations further apart than that are left as they are.
    """
    reach = np.minimum(_HALF_WINDOW, _WIDEST * epochs)
    index = np.arange(len(epochs))
    before = index - np.searchsorted(epochs, epochs - reach, side="left")
    after = np.searchsorted(epochs, epochs + reach, side="right") - 1 - index
    smooth, sides = values.copy(), np.minimum(before, after)
    for side in np.unique(sides[sides > 0]):  # all windows of one width at once
        windows = np.lib.stride_tricks.sliding_window_view(values, 2 * side + 1)
        here = sides == side
        smooth[here] = np.median(windows[index[here] - side], axis=1)
    return smooth


def evaluation_noise(epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"]) -> float:
    """Standard deviation of one evaluation about the line (in x) between its two neighbours.

    1.4826 times the median absolute deviation, so that the few evaluations within a transition
    don't count. 0 for fewer than three values.
    """
    if len(values) < 3:
        return 0.0
    x = np.log10(epochs)
    right = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    left = 1 - right
    deviation = values[1:-1] - left * values[:-2] - right * values[2:]
    return float(1.4826 * np.median(np.abs(deviation / np.sqrt(1 + left**2 + right**2))))


def first_held(reached: Bool[np.ndarray, " t"]) -> int | None:
    """Index of the first of HOLD successive True, or None."""
    if len(reached) < HOLD:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(reached, HOLD).all(axis=1)
    return int(np.argmax(runs)) if runs.any() else None


def crossing(
    at: Float[np.ndarray, " t"],
    rising: Float[np.ndarray, " t"],
    level: float,
    *,
    noise: float,
    start: float,
) -> tuple[float, tuple[float, float]]:
    """Epoch at which `rising` reaches `level` and holds it, and the range it may lie in.

    Args:
        at: epochs, increasing, above 0.
        rising: the metric, mirrored if it falls.
        level: the level to reach.
        noise: standard deviation of one evaluation.
        start: earlier evaluations don't count; one beyond the level at once crosses there.

    Returns:
        The epoch, interpolated in x, and (earliest, latest): from the evaluation before the metric
        reaches ``level - 2 noise`` to the first at which it holds ``level + 2 noise``. Infinite
        where never reached.
    """
    first = int(np.searchsorted(at, start))

    def reached(target: float) -> int | None:
        index = first_held(rising[first:] >= target)
        return None if index is None else first + index

    index = reached(level)
    if index is None:
        return math.inf, (math.inf, math.inf)
    earliest, latest = reached(level - _BAND * noise), reached(level + _BAND * noise)
    assert earliest is not None  # what reaches a level reaches every lower one
    low = max(start, float(at[earliest - 1])) if earliest > first else start
    high = math.inf if latest is None else float(at[latest])
    return max(start, _interpolated(at, rising, level, index)), (low, high)


def _interpolated(at: np.ndarray, rising: np.ndarray, level: float, index: int) -> float:
    """Where the line in x through evaluations index − 1 and index reaches the level."""
    if index == 0 or rising[index - 1] >= level:  # there already at the first one looked at
        return float(at[index])
    part = (level - rising[index - 1]) / (rising[index] - rising[index - 1])
    epoch = at[index - 1] * (at[index] / at[index - 1]) ** part
    return float(min(epoch, at[index]))  # round-off must not carry it past the evaluation

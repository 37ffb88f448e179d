"""When a series on a log-epoch axis reaches a level: the mechanics below the definitions.

The axis is x = log10(epoch). `lightning_grok.analysis.transition` says which levels matter and why.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Num

HOLD = 3
"""Evaluations in a row for which a level must be held."""

_HALF_WINDOW, _WIDEST = 25, 0.1  # of the running median: epochs, and part of the epoch
_PACE, _PACED = (0.1, 0.2, 0.3, 0.5, 1.0), 5  # decades, and evaluations at least
_SHOWN, _DESCRIBED = 3.0, 1.5  # standard errors of a gain; noise standard deviations about a line
_PAIRED = 60  # of whose pairs slopes are taken: more evaluations are averaged before


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
    """Standard deviation of one evaluation about the line (in x) between its two neighbors.

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
    at: Float[np.ndarray, " t"], rising: Float[np.ndarray, " t"], level: float, *, start: float
) -> float:
    """Epoch at which `rising` reaches `level` and holds it; infinite where it never does.

    Args:
        at: epochs, increasing, above 0.
        rising: the metric, mirrored if it falls.
        level: the level to reach.
        start: earlier evaluations don't count; one beyond the level at once crosses there.
    """
    first = int(np.searchsorted(at, start))
    index = first_held(rising[first:] >= level)
    if index is None:
        return math.inf
    return max(start, _interpolated(at, rising, level, first + index))


def closing(epochs: Num[np.ndarray, " t"], reach: float, least: int) -> slice:
    """The evaluations of the last `reach` decades, and at least the last `least` of them."""
    first = int(np.searchsorted(np.log10(epochs), math.log10(epochs[-1]) - reach))
    return slice(max(min(first, len(epochs) - least), 0), None)


def gain_to_come(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"], worth: float, noise: float
) -> float:
    """What doubling the training would change at the pace of its end; 0 where that is not shown.

    The pace is the median of the slopes between all pairs of evaluations (Theil 1950, Sen 1968: an
    outlier in five does not tilt it) of the last tenth of a decade, 5 at least. Where these can't
    tell a gain of `worth` from noise, by three standard errors, it is that of the last 0.2, 0.3,
    0.5 or 1 decades, as far as one line describes them, and as the last tenth goes on by half of
    `worth`: a step that is over is no pace.

    Args:
        epochs: increasing, above 0.
        values: one an epoch, finite.
        worth: the smallest gain worth mentioning, in the unit of the values.
        noise: standard deviation of one evaluation at the end.
    """
    gain = error = first = 0.0
    for reach in _PACE:
        end = closing(epochs, reach, _PACED)
        x, y = np.log10(epochs[end]), values[end]
        if len(x) < _PACED:
            return 0.0
        slope, residual = _line(x, y)
        if error and residual > _DESCRIBED * noise:
            break
        gain = math.log10(2) * slope
        first = first if error else gain
        error = _SHOWN * math.log10(2) * noise / math.sqrt(float(np.sum((x - x.mean()) ** 2)))
        if error <= worth:
            break
    shown = abs(gain) > max(worth, error) and math.copysign(1, gain) * first > worth / 2
    return gain if shown else 0.0


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Median slope over all pairs, and the root mean square about the line of that slope."""
    blocks = np.array_split(np.arange(len(x)), min(len(x), _PAIRED))
    u, v = (np.array([each[block].mean() for block in blocks]) for each in (x, y))
    i, j = np.triu_indices(len(u), 1)
    slope = float(np.median((v[j] - v[i]) / (u[j] - u[i])))
    rest = y - slope * x
    return slope, float(np.sqrt(np.mean((rest - np.median(rest)) ** 2)))


def _interpolated(at: np.ndarray, rising: np.ndarray, level: float, index: int) -> float:
    """Where the line in x through evaluations index − 1 and index reaches the level."""
    if index == 0 or rising[index - 1] >= level:  # there already at the first one looked at
        return float(at[index])
    part = (level - rising[index - 1]) / (rising[index] - rising[index - 1])
    epoch = at[index - 1] * (at[index] / at[index - 1]) ** part
    return float(min(epoch, at[index]))  # round-off must not carry it past the evaluation

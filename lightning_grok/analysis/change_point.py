"""One change of level in a series on a log-epoch axis.

The series is split in two stretches of constant level by least squares; whether the split is worth
its two parameters (a second level and a place) is decided by BIC against one level for all
(Schwarz 1978; Bai and Perron 1998 for one break). Unlike the crossing times of
`lightning_grok.analysis.onset` it uses no threshold, and serves as a check on them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

_LIKELY = 3.841  # 95 % quantile of chi-squared with one degree of freedom


class ChangePoint(NamedTuple):
    """A change of level.

    Attributes:
        epoch: between the two evaluations where the level changes, their geometric mean.
        low, high: where the change may lie as well: the places whose log-likelihood ratio to the
            best one is within the 95 % quantile of chi-squared with one degree of freedom.
        before, after: the two levels.
        bic_gain: BIC of no change minus BIC of the change; positive.
    """

    epoch: float
    low: float
    high: float
    before: float
    after: float
    bic_gain: float


def find_change_point(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"], *, margin: int = 3
) -> ChangePoint | None:
    """The change point of `values`, or None where BIC prefers no change.

    Minimizes Σ w_i (y_i − m_side(i))² over the place of the change and both levels m. The weights
    w_i are the distances of neighbours in log10(epoch), scaled to mean 1: a stretch of the axis
    counts by its length, however densely it was evaluated. With n points and residual sum RSS,
    BIC = n log(RSS / n) + k log n, k = 1 for one level and 3 for two levels and a place.

    Args:
        epochs: increasing, above 0.
        values: one an epoch, finite.
        margin: evaluations on either side, at least.

    Returns:
        The change, or None: too few points, a constant series, or none that pays by BIC. A step
        without any noise has RSS = 0 and an infinite ``bic_gain``.
    """
    count = len(values)
    if count < 2 * margin or np.ptp(values) == 0:
        return None
    x = np.log10(epochs)
    weights = np.gradient(x)
    weights *= count / weights.sum()
    residual, before, after = _residuals(values - values.mean(), weights)
    places = np.arange(margin, count - margin + 1)  # the second stretch begins there
    split = residual[places]
    best = places[np.argmin(split)]
    # Round-off of the cumulative sums, not noise, is what remains of a perfect step.
    tiny = 1e-12 * residual[0]
    smallest = float(residual[best])
    with np.errstate(divide="ignore"):
        gain = count * np.log(residual[0] / (smallest if smallest > tiny else 0.0))
        ratio = count * np.log(np.maximum(split, tiny) / max(smallest, tiny))
    gain -= 2 * np.log(count)
    if gain <= 0:
        return None
    likely = places[ratio <= _LIKELY]
    return ChangePoint(
        epoch=float(10 ** ((x[best - 1] + x[best]) / 2)),
        low=float(epochs[likely[0] - 1]),
        high=float(epochs[likely[-1]]),
        before=float(before[best] + values.mean()),
        after=float(after[best] + values.mean()),
        bic_gain=float(gain),
    )


def _residuals(
    values: Float[np.ndarray, " t"], weights: Float[np.ndarray, " t"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For a second stretch from i on: weighted residual sum and both levels; i = 0 is no split."""
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    first = np.concatenate([[0.0], np.cumsum(weights * values)])
    total, mean = mass[-1], first[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        before = first / mass
        after = (mean - first) / (total - mass)
    explained = np.nan_to_num(before * first) + np.nan_to_num(after * (mean - first))
    residual = np.maximum(np.sum(weights * values**2) - explained, 0.0)
    return residual, before, after

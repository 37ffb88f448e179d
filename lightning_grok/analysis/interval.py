"""Confidence intervals and p-values over seeds.

A seed is the unit: initialization, order of batches and training subset are drawn anew with each.
The mean over seeds has Student's interval, which for Gaussian values covers the true mean as often
as it says at any number of seeds; a bootstrap of five seeds covers it in 83 % of cases where 95 %
are meant. Medians, which may be of values known from one side only, are bootstrapped.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

_RESAMPLES = 10_000


class Interval(NamedTuple):
    """An estimate over seeds.

    Attributes:
        estimate: the mean, unless the function that made it says otherwise.
        low, high: the interval; NaN with fewer than two seeds, infinite where it is open.
        level: its nominal coverage.
        seeds: how many.
    """

    estimate: float
    low: float
    high: float
    level: float
    seeds: int


def mean_interval(
    values: Sequence[float] | Float[np.ndarray, " n"], *, level: float = 0.95
) -> Interval:
    """Mean of `values` with Student's interval.

    Args:
        values: one a seed, finite.
        level: nominal coverage, in (0, 1).

    Returns:
        The interval. Values that are equal up to rounding give an interval of no width.

    Raises:
        ValueError: a value is not finite.
    """
    from scipy.stats import t

    sample = _finite(values)
    estimate = float(np.mean(sample)) if len(sample) else np.nan
    if len(sample) < 2:
        return Interval(estimate, np.nan, np.nan, level, len(sample))
    error = 0.0 if is_constant(sample) else sample.std(ddof=1) / np.sqrt(len(sample))
    reach = float(t.isf((1 - level) / 2, len(sample) - 1) * error)
    return Interval(estimate, estimate - reach, estimate + reach, level, len(sample))


def mean_p_value(
    values: Sequence[float] | Float[np.ndarray, " n"],
    threshold: float,
    side: Literal["above", "below"],
) -> float:
    """One-sided p-value for a mean above (or below) `threshold`, by Student's t.

    It is below α exactly where the `mean_interval` of level 1 − 2 α leaves the threshold out.

    Args:
        values: one a seed, finite; at least two.
        threshold: what the mean is compared with.
        side: the alternative that a small p-value speaks for.

    Returns:
        p in [0, 1]. Values equal up to rounding give 0 or 1.

    Raises:
        ValueError: fewer than two values, or one is not finite.
    """
    from scipy.stats import ttest_1samp

    sample = _finite(values)
    if len(sample) < 2:
        raise ValueError(f"expected at least two values, received {len(sample)}")
    if is_constant(sample):
        beyond = sample.mean() > threshold if side == "above" else sample.mean() < threshold
        return 0.0 if beyond else 1.0
    alternative = "greater" if side == "above" else "less"
    return float(ttest_1samp(sample, threshold, alternative=alternative).pvalue)


def equivalence_p_value(values: Sequence[float] | Float[np.ndarray, " n"], margin: float) -> float:
    """p-value for a mean within ±`margin`: the larger of two one-sided ones (Schuirmann 1987).

    It is below α exactly where the `mean_interval` of level 1 − 2 α lies within the margins.

    Raises:
        ValueError: the margin is not positive, fewer than two values, or one is not finite.
    """
    if not margin > 0:
        raise ValueError(f"expected a margin above 0, received {margin}")
    return max(mean_p_value(values, -margin, "above"), mean_p_value(values, margin, "below"))


def median_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    level: float = 0.95,
) -> Interval:
    """Median of `first` less the median of `second`, two independent sets of seeds.

    The bootstrap interval is the percentile one: the acceleration of BCa comes from the jackknife,
    which is inconsistent for medians (Efron 1979, section 3). ``seeds`` is the smaller set. One of
    the sets may hold +∞, for a value that is larger than all that was seen.

    Raises:
        ValueError: a value is NaN, or infinite in both sets.
    """
    a, b = _one_finite(first, second)
    count = min(len(a), len(b))
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, level, 0)
    tail = (1 - level) / 2
    differences = _median_differences(a, b)
    low = np.quantile(differences, tail, method="lower")
    high = np.quantile(differences, 1 - tail, method="higher")
    if count == 1:
        low = high = np.nan
    return Interval(float(np.median(a) - np.median(b)), float(low), float(high), level, count)


def median_difference_p_value(
    first: Sequence[float],
    second: Sequence[float],
    side: Literal["above", "below"],
) -> float:
    """One-sided p-value for a difference of medians above (or below) 0.

    The share of bootstrap differences on the other side: below α where the percentile interval of
    level 1 − 2 α of `median_difference` leaves 0 out.

    Raises:
        ValueError: fewer than two values in a set, one is NaN, or infinite in both sets.
    """
    a, b = _one_finite(first, second)
    if min(len(a), len(b)) < 2:
        raise ValueError(f"expected at least two values each, received {len(a)} and {len(b)}")
    differences = _median_differences(a, b)
    return float(np.mean(differences <= 0 if side == "above" else differences >= 0))


def wilson_interval(successes: int, count: int, *, level: float = 0.95) -> Interval:
    """Share of successes with Wilson's score interval (Wilson 1927), for example of runs that grok.

    Raises:
        ValueError: successes outside 0..count.
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= count:
        raise ValueError(f"expected successes from 0 to {count}, received {successes}")
    if count == 0:
        return Interval(np.nan, 0.0, 1.0, level, 0)
    found = binomtest(successes, count).proportion_ci(level, method="wilson")
    return Interval(successes / count, float(found.low), float(found.high), level, count)


def holm(p_values: Sequence[float]) -> Float[np.ndarray, " m"]:
    """p-values adjusted for testing all of them (Holm 1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _median_differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    first, second = (
        np.median(part[random.integers(0, len(part), (_RESAMPLES, len(part)))], axis=1)
        for part in (a, b)
    )
    return first - second


def _one_finite(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(values, dtype=float) for values in (first, second))
    if np.isnan(a).any() or np.isnan(b).any() or (np.isinf(a).any() and np.isinf(b).any()):
        raise ValueError(f"expected numbers, infinite in one set at most, received {a} and {b}")
    return a, b


def is_constant(sample: np.ndarray) -> bool:
    """Whether values differ by rounding only, which is no spread."""
    return float(np.ptp(sample)) <= 1e-12 * float(np.abs(sample).max())


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    sample = np.asarray(values, dtype=float)
    if not np.isfinite(sample).all():
        raise ValueError(f"expected finite values, received {sample[~np.isfinite(sample)][0]}")
    return sample

import math

import numpy as np
import pytest
import scipy.stats

from lightning_grok.analysis.interval import (
    bootstrap_interval,
    bootstrap_p_value,
    equivalence_p_value,
    holm,
    mean_interval,
    mean_p_value,
    median_difference,
    median_difference_p_value,
    survival_median,
    wilson_interval,
)


def test_bca_by_hand() -> None:
    """Efron's endpoints from an own resampling, his jackknife acceleration and bias correction."""
    sample = np.random.default_rng(3).exponential(size=15)
    random = np.random.default_rng(11)
    means = sample[random.integers(0, 15, (200_000, 15))].mean(axis=1)
    from scipy.stats import norm

    leave_out = np.array([np.delete(sample, k).mean() for k in range(15)])
    deviation = leave_out.mean() - leave_out
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    bias = norm.ppf(np.mean(means < sample.mean()))
    ends = []
    for z in norm.ppf([0.025, 0.975]):
        level = norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        ends.append(np.quantile(means, level))
    found = bootstrap_interval(sample, resamples=100_000)
    assert found.estimate == pytest.approx(sample.mean())
    assert [found.low, found.high] == pytest.approx(ends, abs=0.01)
    assert found.high - sample.mean() > sample.mean() - found.low  # skewed as the sample is


@pytest.mark.parametrize(("count", "least", "most"), [(5, 0.72, 0.92), (20, 0.88, 0.98)])
def test_coverage(count: int, least: float, most: float) -> None:
    """300 Gaussian samples: about 83 % at n = 5 and 93 % at n = 20, within 4 standard errors."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        found = bootstrap_interval(random.normal(size=count), resamples=1000)
        covered += found.low <= 0 <= found.high
    assert least < covered / 300 < most


def test_p_value_inverts_the_interval() -> None:
    random = np.random.default_rng(1)
    for _ in range(5):
        sample = random.exponential(size=12) - 0.5
        for level in (0.9, 0.95):
            found = bootstrap_interval(sample, level=level)
            tail = (1 - level) / 2
            assert bootstrap_p_value(sample, found.low, "above") == pytest.approx(tail, abs=2e-3)
            assert bootstrap_p_value(sample, found.high, "below") == pytest.approx(tail, abs=2e-3)


def test_p_values_of_both_sides_add_up() -> None:
    sample = np.random.default_rng(2).normal(size=10)
    above, below = (bootstrap_p_value(sample, 0.1, side) for side in ("above", "below"))
    assert above + below == pytest.approx(1, abs=0.02)
    assert bootstrap_p_value(sample + 5, 0.1, "above") == 1e-4  # resolved no further


def test_degenerate_samples() -> None:
    assert math.isnan(bootstrap_interval([]).estimate)
    one = bootstrap_interval([2.0])
    assert (one.estimate, one.seeds) == (2.0, 1)
    assert math.isnan(one.low)
    same = bootstrap_interval([2.0, 2.0, 2.0])
    assert (same.low, same.high) == (2.0, 2.0)
    rounded = mean_interval([1.0, 1.0, 1.0, 1.0, 1.0 - 1e-16])
    assert (rounded.low, rounded.high) == (1.0, 1.0)
    assert mean_p_value([1.0, 1.0, 1.0 - 1e-16], 0.5, "above") == 0
    assert bootstrap_p_value([2.0, 2.0], 1.0, "above") == 0
    assert bootstrap_p_value([2.0, 2.0], 2.0, "above") == 1
    for bad in ([1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="expected"):
            bootstrap_p_value(bad, 0.0, "above")


def test_the_mean_is_judged_by_the_more_careful_of_two_methods() -> None:
    for sample in (np.arange(5.0), np.array([0, 0, 0, 0, 10.0]), np.exp(np.arange(12.0) / 3)):
        found, boot = mean_interval(sample), bootstrap_interval(sample)
        reach = np.array(scipy.stats.ttest_1samp(sample, 0).confidence_interval(0.95))
        assert (found.low, found.high) == pytest.approx(
            (min(boot.low, reach[0]), max(boot.high, reach[1]))
        )
        for end, side in ((found.low, "above"), (found.high, "below")):
            # Resamples of few values make steps.
            assert 0.02 < mean_p_value(sample, end, side) < 0.04
    assert mean_interval([2.0, 2.0]).low == 2
    assert math.isnan(mean_interval([2.0]).low)
    assert mean_p_value([2.0, 2.0], 1.0, "above") == 0


def test_medians_may_be_compared_with_what_was_never_reached() -> None:
    open_ended, seen = [1.0, 2.0, math.inf, math.inf, math.inf], [1.0, 2.0, 3.0]
    found = median_difference(open_ended, seen)
    assert found.estimate == found.high == math.inf
    assert math.isfinite(found.low)
    assert median_difference_p_value(open_ended, seen, "below") > 0.5
    assert median_difference([1.0, 2.0, 3.0, 4.0, math.inf], seen).estimate == 1
    with pytest.raises(ValueError, match="in one set at most"):
        median_difference(open_ended, open_ended)


def test_equivalence_is_the_90_percent_interval_within_the_margin() -> None:
    sample = np.random.default_rng(4).normal(0.02, 0.05, size=10)
    found = mean_interval(sample, level=0.9)
    reach = max(abs(found.low), abs(found.high))
    assert (
        equivalence_p_value(sample, reach * 1.05) < 0.05 < equivalence_p_value(sample, reach * 0.95)
    )
    with pytest.raises(ValueError, match="margin"):
        equivalence_p_value(sample, 0.0)


def test_wilson_by_its_formula() -> None:
    z, n, share = 1.959964, 10, 0.3
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    found = wilson_interval(3, 10)
    assert [found.low, found.high] == pytest.approx([center - half, center + half], abs=1e-6)
    assert wilson_interval(0, 5).low == 0
    assert wilson_interval(0, 0)[:3] == pytest.approx((math.nan, 0, 1), nan_ok=True)
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(6, 5)


def test_kaplan_meier_by_hand() -> None:
    # Curve: 4/5 at 1, 3/5 at 2, 2 censored there, 3/5 * 1/2 = 0.3 at 4.
    found = survival_median([1, 2, 3, 4, 5], [False, False, True, False, True])
    assert found.estimate == 4
    assert found.low <= 4 <= found.high
    assert survival_median([3, 1, 2], [False] * 3).estimate == 2
    assert math.isinf(survival_median([1, 2, 3], [True] * 3).estimate)
    assert math.isnan(survival_median([], []).estimate)
    with pytest.raises(ValueError, match="flags"):
        survival_median([1], [])


def test_a_censored_median_is_nearer_than_one_without_the_censored() -> None:
    """Exponential times cut at the true median: Kaplan-Meier finds it, dropping them does not."""
    random = np.random.default_rng(5)
    times = random.exponential(size=2000)
    limit = 1.0
    censored = times > limit
    seen = np.minimum(times, limit)
    assert survival_median(seen, censored).estimate == pytest.approx(math.log(2), abs=0.05)
    assert np.median(seen[~censored]) < 0.5


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_medians_of_two_groups() -> None:
    random = np.random.default_rng(6)
    first, second = random.normal(1, 0.1, 9).tolist(), random.normal(2, 0.1, 7).tolist()
    found = median_difference(first, second)
    assert found.estimate == pytest.approx(np.median(first) - np.median(second))
    assert found.low < found.estimate < found.high < 0
    assert found.seeds == 7
    assert median_difference_p_value(first, second, "below") == 0
    assert median_difference_p_value(first, second, "above") == 1
    assert math.isnan(median_difference([1.0], second).low)
    assert median_difference([], second).seeds == 0
    with pytest.raises(ValueError, match="two values"):
        median_difference_p_value([1.0], second, "above")

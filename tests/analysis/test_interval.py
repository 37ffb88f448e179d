import math

import numpy as np
import pytest

from lightning_grok.analysis.interval import (
    equivalence_p_value,
    holm,
    mean_interval,
    mean_p_value,
    median_difference,
    median_difference_p_value,
    wilson_interval,
)


@pytest.mark.parametrize("count", [3, 5, 20])
def test_coverage(count: int) -> None:
    """2,000 Gaussian samples: 95 % of the intervals hold the mean, within 4 standard errors."""
    random = np.random.default_rng(0)
    intervals = [mean_interval(random.normal(size=count)) for _ in range(2000)]
    covered = np.mean([found.low <= 0 <= found.high for found in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_the_interval_is_students() -> None:
    """Gosset's own data: the extra sleep of ten patients, 0.70 to 2.46 hours at 95 %."""
    sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = mean_interval(sleep)
    assert found.estimate == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001, 2.4599), abs=1e-4)
    assert 2 * mean_p_value(sleep, 0, "above") == pytest.approx(0.002833, abs=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_p_values_invert_the_interval(level: float) -> None:
    sample = np.random.default_rng(1).exponential(size=12)
    found = mean_interval(sample, level=level)
    for end, side in ((found.low, "above"), (found.high, "below")):
        assert mean_p_value(sample, end, side) == pytest.approx((1 - level) / 2)
    assert mean_p_value(sample, 1, "above") + mean_p_value(sample, 1, "below") == pytest.approx(1)


def test_degenerate_samples() -> None:
    assert math.isnan(mean_interval([]).estimate)
    one = mean_interval([2.0])
    assert (one.estimate, one.seeds) == (2.0, 1)
    assert math.isnan(one.low)
    rounded = mean_interval([1.0, 1.0, 1.0, 1.0, 1.0 - 1e-16])
    assert (rounded.low, rounded.high) == (1.0, 1.0)
    assert mean_p_value([1.0, 1.0, 1.0 - 1e-16], 0.5, "above") == 0
    assert mean_p_value([2.0, 2.0], 2.0, "above") == 1
    assert mean_p_value([2.0, 2.0], 2.0, "below") == 1
    for bad in ([1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="expected"):
            mean_p_value(bad, 0.0, "above")


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

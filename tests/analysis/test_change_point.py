"""The change point against an exhaustive search, and when there is none."""

import math

import numpy as np
import pytest

from lightning_grok.analysis.change_point import find_change_point

EPOCHS = np.unique(np.round(np.logspace(0, 4, 60)).astype(int))


def exhaustive(epochs, values, margin=3):
    """Best split by weighted least squares, written from the definition."""
    weights = np.gradient(np.log10(epochs))
    weights /= weights.mean()

    def residual(part):
        level = np.average(values[part], weights=weights[part])
        return np.sum(weights[part] * (values[part] - level) ** 2)

    count = len(values)
    costs = {
        k: residual(slice(0, k)) + residual(slice(k, None))
        for k in range(margin, count - margin + 1)
    }
    best = min(costs, key=costs.get)
    gain = count * math.log(residual(slice(None)) / costs[best]) - 2 * math.log(count)
    return best, gain


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_exhaustive_search(seed):
    random = np.random.default_rng(seed)
    values = 5 + 0.1 * (np.log10(EPOCHS) > 2.5 + 0.2 * seed) + random.normal(0, 0.05, len(EPOCHS))
    best, gain = exhaustive(EPOCHS, values)
    found = find_change_point(EPOCHS, values)
    assert found.epoch == pytest.approx(math.sqrt(EPOCHS[best - 1] * EPOCHS[best]))
    assert found.bic_gain == pytest.approx(gain, rel=1e-9)
    assert found.low <= found.epoch <= found.high


def test_a_perfect_step():
    found = find_change_point(EPOCHS, np.where(EPOCHS > 300, 2.0, 1.0))
    after = int(np.argmax(EPOCHS > 300))
    assert found.epoch == pytest.approx(math.sqrt(EPOCHS[after - 1] * EPOCHS[after]))
    assert (found.before, found.after) == pytest.approx((1, 2))
    assert (found.low, found.high) == (EPOCHS[after - 1], EPOCHS[after])
    assert found.bic_gain == math.inf


def test_interval_covers_the_true_place():
    random = np.random.default_rng(1)
    clean, covered = np.where(EPOCHS > 300, 1.0, 0.0), 0
    for _ in range(200):
        found = find_change_point(EPOCHS, clean + random.normal(0, 0.5, len(EPOCHS)))
        covered += found is not None and found.low <= 300 <= found.high
    # The likelihood ratio of a place is no chi-squared: about 90 % here, not 95 %.
    assert covered >= 170


def test_noise_alone_rarely_has_a_change():
    random = np.random.default_rng(2)
    found = [find_change_point(EPOCHS, random.normal(size=len(EPOCHS))) for _ in range(200)]
    # The place is searched for, so BIC's two parameters are passed more often than they would be.
    assert sum(change is not None for change in found) <= 50


@pytest.mark.parametrize("values", [np.ones(60), np.arange(5.0)], ids=["constant", "short"])
def test_nothing_to_find(values):
    assert find_change_point(EPOCHS[: len(values)], values[: len(EPOCHS)]) is None

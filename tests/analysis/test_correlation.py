import math

import numpy as np
import pytest
from scipy import stats

from lightning_grok.analysis.correlation import (
    concordance,
    correlation,
    fisher_z,
    fisher_z_difference,
    rank_correlation,
    rates,
    slope,
)

RANDOM = np.random.default_rng(0)
A, B, C = RANDOM.normal(size=(3, 30))
B = A + 0.5 * B


def test_against_scipy() -> None:
    assert correlation(A, B) == pytest.approx(stats.pearsonr(A, B).statistic)
    ranks = stats.rankdata(A), stats.rankdata(B)
    assert rank_correlation(A, B) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    epochs = np.arange(1.0, 31)
    assert slope(epochs, B) == pytest.approx(stats.linregress(np.log10(epochs), B).slope)


def test_concordance_is_agreement_not_correlation() -> None:
    assert concordance(A, A) == pytest.approx(1)
    assert concordance(A, -A + 2 * A.mean()) == pytest.approx(-1)
    # A shift by d lowers it to 2 s² / (2 s² + d²), though r stays 1.
    for shift in (0.5, 2.0):
        expected = 2 * A.var() / (2 * A.var() + shift**2)
        assert concordance(A, A + shift) == pytest.approx(expected)
    assert concordance(A, 3 * A - 2 * A.mean()) == pytest.approx(6 / 10)
    assert abs(concordance(A, B)) < correlation(A, B)
    assert concordance(np.ones(3), np.ones(3)) == 1


def test_fisher_z_differences() -> None:
    assert fisher_z(0.5) == pytest.approx(0.5 * math.log(3))
    assert fisher_z_difference(A, B, C) == -fisher_z_difference(B, A, C)
    assert fisher_z_difference(A, C, B) > 0
    assert fisher_z(1.0) == pytest.approx(8.4, abs=0.1)  # finite
    # A line through a correlation of A with itself is invariant to scale and shift.
    assert fisher_z_difference(A, 3 * A + 1, B) == pytest.approx(0, abs=1e-9)


def test_rates_are_per_decade() -> None:
    epochs = np.array([1, 10, 1000])
    assert rates(epochs, np.array([0.0, 1.0, 5.0])).tolist() == [1.0, 2.0]
    assert slope(epochs, 3 * np.log10(epochs) + 1) == pytest.approx(3)


def test_what_does_not_exist_is_nan() -> None:
    constant, short = np.ones(30), np.ones(2)
    assert math.isnan(correlation(A, constant))
    assert math.isnan(rank_correlation(A, constant))
    assert math.isnan(fisher_z_difference(A, constant, B))
    for function in (correlation, rank_correlation, concordance, slope):
        assert math.isnan(function(short, short))

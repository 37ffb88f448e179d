"""Effective dimensions against closed forms, eigenvalues and sums over all quadruples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from reference import unbiased_traces

from lightning_grok.geometry import (
    effective_rank,
    numerical_rank,
    participation_ratio,
    spectral_entropy,
)


def gaussian(n: int, scales: list[float], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, len(scales))) * scales


def test_the_vertices_of_a_simplex_or_cross_use_all_their_dimensions() -> None:
    for d in (2, 3, 7):
        simplex = np.eye(d)  # d points in d - 1 dimensions
        assert participation_ratio(simplex, corrected=False) == pytest.approx(d - 1)
        cross = np.vstack([np.eye(d), -np.eye(d)])
        assert participation_ratio(cross, corrected=False) == pytest.approx(d)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 1000))
def test_plugged_in_it_is_the_covariances_eigenvalues(n: int, d: int, seed: int) -> None:
    points = gaussian(n, list(1.0 + np.arange(d)), seed) + 5
    eigenvalues = np.linalg.eigvalsh(np.atleast_2d(np.cov(points.T)))
    expected = eigenvalues.sum() ** 2 / np.sum(eigenvalues**2)
    assert participation_ratio(points, corrected=False) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [4, 5, 7])
def test_corrected_it_is_the_mean_over_distinct_quadruples(n: int) -> None:
    points = gaussian(n, [3.0, 2.0, 1.0, 1.0], seed=n)
    squares, traces = unbiased_traces(points)
    if traces <= 0:
        with pytest.raises(ValueError, match="estimated as negative"):
            participation_ratio(points)
    else:
        assert participation_ratio(points) == pytest.approx(squares / traces, rel=1e-9)


def test_the_correction_removes_the_bias_of_few_samples() -> None:
    scales = [1.0] * 40
    plain, corrected = (
        np.mean([participation_ratio(gaussian(30, scales, s), corrected=c) for s in range(30)])
        for c in (False, True)
    )
    assert plain < 20  # n - 1 = 29 dimensions at most
    assert corrected == pytest.approx(40, abs=3)


@pytest.mark.parametrize("corrected", [False, True])
def test_motions_and_scales_change_nothing(corrected: bool) -> None:
    points = gaussian(20, [3.0, 2.0, 1.0, 0.5])
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    expected = participation_ratio(points, corrected=corrected)
    for scale in (1e-200, 1.0, 1e200):
        moved = torch.from_numpy(scale * (points @ rotation + 3))
        found = participation_ratio(moved, corrected=corrected)
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_effective_rank_of_known_spectra() -> None:
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    for k in range(1, 7):
        projection = (rotation[:, :k] @ rotation[:, :k].T) * 1e-5
        assert effective_rank(projection) == pytest.approx(k, rel=1e-6)
    shares = np.array([0.5, 0.25, 0.125, 0.125])  # an entropy of 1.75 bits
    assert effective_rank(np.diag(shares)) == pytest.approx(2**1.75)
    # A rectangular matrix has its singular values, whatever is on the other side.
    stretched = np.vstack([np.diag(3 * shares), np.zeros((5, 4))])
    assert effective_rank(torch.from_numpy(stretched)) == pytest.approx(2**1.75)


def test_the_effective_rank_is_the_entropy_of_the_eigenvalues() -> None:
    points = gaussian(15, [5.0, 2.0, 1.0])
    eigenvalues = np.linalg.eigvalsh(points @ points.T)
    shares = eigenvalues[eigenvalues > 1e-9] / eigenvalues.sum()
    expected = np.exp(-np.sum(shares * np.log(shares)))
    for scale in (1e-200, 1e200):
        assert effective_rank(scale * (points @ points.T)) == pytest.approx(expected, rel=1e-6)


def test_clouds_without_a_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 points, received 3"):
        participation_ratio(np.eye(3))
    with pytest.raises(ValueError, match="at least 2 points, received 1"):
        participation_ratio(np.ones((1, 3)), corrected=False)
    with pytest.raises(ValueError, match="copies of one point"):
        participation_ratio(np.full((5, 3), 0.1))
    with pytest.raises(ValueError, match="not zero"):
        effective_rank(np.zeros((2, 2)))
    for function in (participation_ratio, effective_rank):
        with pytest.raises(ValueError, match="expected finite"):
            function(np.full((5, 3), np.nan))
        with pytest.raises(ValueError, match="empty array"):
            function(np.zeros((0, 3)))


def test_four_equal_directions_of_eight_have_two_thirds_of_the_entropy() -> None:
    cross = np.vstack([np.eye(8)[:4], -np.eye(8)[:4]])
    assert spectral_entropy(cross) == pytest.approx(2 / 3)
    turned = cross @ np.linalg.qr(gaussian(8, [1.0] * 8))[0] * 1e5 + 7
    assert spectral_entropy(turned) == pytest.approx(2 / 3, abs=1e-6)
    assert spectral_entropy(np.vstack([np.eye(5), -np.eye(5)])) == pytest.approx(1)
    assert spectral_entropy(np.outer([1.0, 2, 4], [1.0, 1])) == pytest.approx(0, abs=1e-9)


def test_the_numerical_rank_counts_what_is_above_a_fraction() -> None:
    points = np.vstack([np.diag([1.0, 1e-2, 2e-3, 5e-4]), -np.diag([1.0, 1e-2, 2e-3, 5e-4])])
    assert [numerical_rank(points + 3, threshold) for threshold in (0.1, 1e-3, 1e-4)] == [1, 3, 4]
    assert numerical_rank(100 * points @ np.linalg.qr(gaussian(4, [1.0] * 4))[0]) == 3
    few = gaussian(4, [1.0, 1.0, 1e-2, 1e-5, 1e-5, 1e-5])
    assert [numerical_rank(few, threshold) for threshold in (1e-3, 1e-6)] == [3, 3]


@pytest.mark.parametrize("n", [9, 300])
def test_spectra_are_those_of_the_singular_values(n: int) -> None:
    points = gaussian(n, list(10.0 ** -np.arange(12))) + 1
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    for threshold in (1e-1, 1e-3, 3e-6):
        expected = np.count_nonzero(singular > threshold * singular[0])
        assert numerical_rank(points, threshold) == expected
    shares = singular[singular > 0] ** 2 / np.sum(singular**2)
    entropy = -np.sum(shares * np.log(shares)) / np.log(12)
    assert spectral_entropy(points) == pytest.approx(entropy, abs=1e-13)


def test_spectra_of_nothing_are_refused() -> None:
    for measure in (spectral_entropy, numerical_rank):
        with pytest.raises(ValueError, match="points that differ"):
            measure(np.ones((5, 3)))
    with pytest.raises(ValueError, match="at least 2 features, received 1"):
        spectral_entropy(gaussian(5, [1.0]))
    with pytest.raises(ValueError, match="at least 1e-6 and below 1, received 1"):
        numerical_rank(gaussian(5, [1.0, 2.0]), 1.0)

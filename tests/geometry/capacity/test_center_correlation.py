"""The removal of center correlations: its objective, its minima, its rules and its edges."""

import numpy as np
import pytest
from reference_capacity import mean_correlation, squared_correlation
from scipy.optimize import minimize
from scipy.stats import ortho_group

from lightning_grok.geometry.capacity import center_correlation, subspace_descent
from lightning_grok.geometry.capacity.center_correlation import center_structure


def unit_rows(seed: int, count: int, size: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def correlated_centers(seed: int, classes: int, dimensions: int, shared: int) -> np.ndarray:
    """Orthogonal private parts of length one, and strong parts in a shared subspace."""
    generator = np.random.default_rng(seed)
    axes = ortho_group.rvs(dimensions, random_state=seed)
    loads = 3 * generator.standard_normal((classes, shared))
    return axes[:classes] + loads @ axes[classes : classes + shared]


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_gradient_is_that_of_finite_differences(rank: int) -> None:
    rows = unit_rows(0, 9, 8)
    weights = np.random.default_rng(1).standard_normal((rank, 8))
    gradient = np.empty_like(weights)
    space = subspace_descent._allocate(rows, rank)
    cost, norm = subspace_descent._evaluate(space, weights, gradient)
    assert cost == pytest.approx(squared_correlation(rows, weights), rel=1e-12)
    numeric = np.empty_like(weights)
    for index in np.ndindex(*weights.shape):
        step = np.zeros_like(weights)
        step[index] = 1e-5
        change = squared_correlation(rows, weights + step)
        numeric[index] = (change - squared_correlation(rows, weights - step)) / 2e-5
    np.testing.assert_allclose(gradient, numeric, atol=1e-7 * np.abs(numeric).max())
    orthonormal = np.linalg.qr(weights.T)[0].T.copy()
    _, at_orthonormal = subspace_descent._evaluate(space, orthonormal, gradient)
    assert norm == pytest.approx(at_orthonormal)
    assert norm == pytest.approx(np.linalg.norm(gradient))


@pytest.mark.parametrize("rank", [1, pytest.param(2, marks=pytest.mark.slow), 4])
def test_minima_are_stationary_and_those_of_scipy(rank: int) -> None:
    rows = unit_rows(3, 8, 7)
    starts = np.random.default_rng(4).standard_normal((12, rank, 7))
    bases, costs, _ = subspace_descent.minimize_squared_correlation(rows, starts, 3000, 1e-7, 1e-14)
    np.testing.assert_allclose(
        bases @ np.swapaxes(bases, 1, 2), np.tile(np.eye(rank), (12, 1, 1)), atol=1e-12
    )
    for basis, cost in zip(bases, costs, strict=True):
        assert cost == pytest.approx(squared_correlation(rows, basis), rel=1e-10)
        descended = minimize(lambda w: squared_correlation(rows, w.reshape(rank, 7)), basis.ravel())
        assert descended.fun > cost - 1e-8
    found = [
        minimize(lambda w: squared_correlation(rows, w.reshape(rank, 7)), start.ravel()).fun
        for start in starts[:3]
    ]
    assert costs.min() <= min(found) + 1e-6


def test_the_best_direction_in_space_is_that_of_a_grid() -> None:
    rows = unit_rows(7, 4, 3)
    azimuth, height = np.meshgrid(np.linspace(0, np.pi, 60), np.linspace(-1, 1, 60))
    flat = np.sqrt(1 - height**2)
    grid = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], axis=-1)
    best = min(squared_correlation(rows, direction[None]) for direction in grid.reshape(-1, 3))
    starts = np.random.default_rng(0).standard_normal((20, 1, 3))
    _, costs, _ = subspace_descent.minimize_squared_correlation(rows, starts, 1000, 1e-6, 1e-12)
    assert costs.min() <= best
    assert costs.min() == pytest.approx(best, abs=0.02)


def test_a_planted_subspace_is_found() -> None:
    centers = correlated_centers(0, 20, 60, 3)
    structure = center_structure(centers)
    assert structure.correlation > 0.3
    # The mean over classes is subtracted, so that even private parts are correlated a little.
    assert structure.residual < structure.correlation / 3
    planted = ortho_group.rvs(60, random_state=0)[20:23]
    overlap = np.linalg.svd(planted @ structure.basis, compute_uv=False)
    assert structure.rank >= 3
    assert overlap.min() > 0.95


def test_it_reports_what_it_removes() -> None:
    centers = correlated_centers(1, 15, 40, 2)
    structure = center_structure(centers, restarts=5)
    centered = centers - centers.mean(axis=0)
    left = centered - centered @ structure.basis @ structure.basis.T
    assert structure.basis.shape == (40, structure.rank)
    np.testing.assert_allclose(
        structure.basis.T @ structure.basis, np.eye(structure.rank), atol=1e-12
    )
    assert structure.correlation == pytest.approx(mean_correlation(centered))
    assert structure.residual == pytest.approx(mean_correlation(left))
    shares = np.linalg.norm(left, axis=1) / np.linalg.norm(centered, axis=1)
    assert structure.stability == pytest.approx(shares.min())
    assert structure.iterations.shape == (len(structure.by_rank), 5)
    assert structure.residual_sd >= 0


def test_ranks_follow_the_published_rule() -> None:
    for seed in range(4):
        structure = center_structure(correlated_centers(seed, 20, 60, 3), restarts=3, seed=seed)
        by_rank = structure.by_rank
        assert structure.rank == 1 + np.argmin(by_rank)
        assert structure.residual == by_rank.min()
        rising = np.diff(by_rank) > 0
        stops = [k for k in range(5, len(by_rank) + 1) if rising[k - 4 : k - 1].all()]
        assert stops in ([], [len(by_rank)])


def test_the_shorter_search_for_many_classes_ends_where_the_whole_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    centers = correlated_centers(0, 40, 80, 14) * np.linspace(1, 2, 80)
    whole = [center_structure(centers, restarts=2, seed=seed) for seed in range(3)]
    monkeypatch.setattr(center_correlation, "_WHOLE_SEARCH", 26)
    short = center_structure(centers, restarts=3)
    assert short.rank == 1 + np.nanargmin(short.by_rank)
    assert short.iterations.shape == (len(short.by_rank), 1)  # 3 (26 / 40)^3 starts
    assert np.count_nonzero(np.isnan(short.by_rank)) >= 5
    ranks = [each.rank for each in whole]
    assert min(ranks) - 1 <= short.rank <= max(ranks) + 1
    assert short.residual == pytest.approx(np.mean([each.residual for each in whole]), rel=0.03)


def test_the_most_stable_start_is_kept() -> None:
    rows = unit_rows(11, 12, 11)
    for rank in (2, 5, 8):
        best, residual, _, _ = center_correlation._most_stable(rows, rank, 0, 10)
        starts = np.random.default_rng([0, rank]).standard_normal((10, rank, 11))
        bases, _, _ = subspace_descent.minimize_squared_correlation(
            rows,
            starts,
            center_correlation._MAX_ITERATIONS,
            center_correlation._GRADIENT_TOLERANCE,
            center_correlation._COST_TOLERANCE,
        )
        left = [rows - rows @ basis.T @ basis for basis in bases]
        shortest = [np.linalg.norm(each, axis=1).min() for each in left]
        assert np.array_equal(best, bases[np.argmax(shortest)])
        assert residual == pytest.approx(mean_correlation(left[np.argmax(shortest)]))


def test_it_turns_and_scales_with_the_centers_and_ignores_their_place() -> None:
    centers = correlated_centers(2, 9, 30, 2) * np.linspace(1, 2, 30)
    turn = ortho_group.rvs(30, random_state=5)
    structure = center_structure(centers, restarts=4)
    moved = center_structure(7.5 * (centers @ turn) + 20.0, restarts=4)
    assert moved.rank == structure.rank
    assert moved.residual == pytest.approx(structure.residual, abs=1e-5)
    for scale in (2.0**660, 2.0**-660):  # squares of which are beyond all numbers
        assert center_structure(scale * centers, restarts=4).residual == structure.residual
    projector = turn.T @ structure.basis @ structure.basis.T @ turn
    np.testing.assert_allclose(moved.basis @ moved.basis.T, projector, atol=1e-2)


def test_the_same_seed_gives_the_same_bits() -> None:
    centers = correlated_centers(3, 12, 30, 2)
    first, second = center_structure(centers, seed=4), center_structure(centers, seed=4)
    assert np.array_equal(first.basis, second.basis)
    assert not np.array_equal(first.basis, center_structure(centers, seed=5).basis)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_few_classes_keep_their_centers(classes: int) -> None:
    structure = center_structure(np.random.default_rng(0).standard_normal((classes, 10)))
    assert structure.rank == 0
    assert structure.basis.shape == (10, 0)
    assert np.isnan(structure.correlation) == (classes == 1)


@pytest.mark.parametrize("classes", [4, 5, 6, 7, 8])
def test_removal_never_makes_few_classes_more_correlated_than_they_were(classes: int) -> None:
    centers = np.random.default_rng(classes).standard_normal((classes, 10))
    structure = center_structure(centers, restarts=3)
    assert structure.rank <= classes - 2
    if classes < 7:  # fewer than five ranks to try
        assert structure.residual <= structure.correlation


def test_centers_without_direction_take_no_part() -> None:
    centers = correlated_centers(4, 10, 30, 2)
    with_mean = np.concatenate([centers, centers.mean(axis=0, keepdims=True)])
    structure = center_structure(with_mean, restarts=3)
    assert np.isfinite(structure.residual)
    centered = centers - centers.mean(axis=0)
    assert structure.correlation == pytest.approx(mean_correlation(centered))


@pytest.mark.parametrize(
    "centers",
    [np.zeros((8, 5)), np.ones((8, 5)), np.outer(np.arange(8.0), np.ones(5)), np.eye(8)[:, :1]],
    ids=["zero", "equal", "collinear", "one unit"],
)
def test_degenerate_centers_are_left_alone(centers: np.ndarray) -> None:
    structure = center_structure(centers, restarts=2)
    assert structure.rank == 0


def test_centers_in_few_dimensions_and_repeated_ones() -> None:
    low = np.random.default_rng(6).standard_normal((20, 4))
    assert center_structure(low, restarts=3).rank <= 3
    centers = correlated_centers(5, 12, 40, 2)
    doubled = center_structure(np.concatenate([centers, centers[:3]]), restarts=3)
    assert np.isfinite(doubled.residual)


def test_one_start_has_no_spread() -> None:
    structure = center_structure(correlated_centers(6, 8, 20, 1), restarts=1)
    assert np.isnan(structure.residual_sd)

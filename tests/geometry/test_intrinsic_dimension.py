"""Dimension by two nearest neighbors against what points were drawn from."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from lightning_grok.geometry import intrinsic_dimension


def noise(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_points_have_the_dimension_that_they_were_drawn_in(d: int) -> None:
    uniform = np.random.default_rng(1).uniform(size=(1500, d))
    basis = np.linalg.qr(noise(20, 20))[0][:d]
    found = intrinsic_dimension(1e4 * uniform @ basis + 3)
    assert found.dimension == pytest.approx(d, abs=4 * found.dimension_se + 0.02 * d)  # edges
    assert found.dimension_se < 0.03 * d
    assert found.duplicates == 0


def test_its_error_is_that_of_many_draws() -> None:
    found = [
        intrinsic_dimension(np.random.default_rng(s).uniform(size=(100, 2))) for s in range(80)
    ]
    spread = np.std([each.dimension for each in found])
    assert spread == pytest.approx(np.mean([each.dimension_se for each in found]), rel=0.35)


def test_a_curved_surface_has_its_own_dimension() -> None:
    sphere = noise(1500, 3)
    found = intrinsic_dimension(sphere / np.linalg.norm(sphere, axis=1, keepdims=True))
    assert found.dimension == pytest.approx(2, abs=4 * found.dimension_se)


def test_it_is_the_likeliest_of_the_ratios_by_a_tree_of_points() -> None:
    points = noise(2500, 3)  # more rows than are taken at once
    first, second = KDTree(points).query(points, k=3)[0].T[1:]
    expected = 2499 / np.log(second / first).sum()
    assert intrinsic_dimension(points).dimension == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("far", [0.0, 1e7])
def test_neighbors_too_near_to_be_told_by_products_are_told_by_differences(far: float) -> None:
    """Clusters of twenty within 1e-9 of each other, and all of them far from the origin."""
    centers, near = noise(60, 3), noise(1200, 3, seed=1)
    points = far + np.repeat(centers, 20, axis=0) + 1e-6 * max(far, 1e-3) * near
    first, second = KDTree(points).query(points, k=3)[0].T[1:]
    expected = 1199 / np.log(second / first).sum()
    assert intrinsic_dimension(points).dimension == pytest.approx(expected, rel=1e-9)


def test_equal_points_count_once() -> None:
    points = noise(300, 4)
    repeated = np.vstack([points, points[:50], np.repeat(points[:1], 9, axis=0)])
    assert intrinsic_dimension(repeated) == pytest.approx(
        intrinsic_dimension(points)._replace(duplicates=59)
    )


def test_what_has_no_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 different points, received 2"):
        intrinsic_dimension(np.repeat([[0.0, 1], [1, 0]], 4, axis=0))
    with pytest.raises(ValueError, match="neighbors at different distances"):
        intrinsic_dimension(np.eye(3))

"""Class manifolds against plain NumPy, and triangular factors against their Gram matrices."""

import numpy as np
import pytest
from reference_capacity import golden_files
from scipy.stats import ortho_group

from lightning_grok.geometry.capacity.manifolds import (
    center_augmented,
    normalized_manifold,
    rows_by_label,
)
from lightning_grok.geometry.capacity.triangular import triangular_factor

POINTS = np.random.default_rng(0).standard_normal((12, 5))
NO_BASIS = np.zeros((5, 0))


def test_points_are_split_in_their_order() -> None:
    labels = np.array([7, 2, 7, 2, 7, -1])
    members, classes = rows_by_label(labels)
    assert classes.tolist() == [-1, 2, 7]
    assert [rows.tolist() for rows in members] == [[5], [1, 3], [0, 2, 4]]


@pytest.mark.parametrize(
    ("limit", "sizes"), [(None, [1, 2, 3]), (2, [1, 2, 2]), ("smallest", [1, 1, 1])]
)
def test_classes_are_truncated_as_asked(limit: object, sizes: list[int]) -> None:
    members, _ = rows_by_label(np.array([7, 2, 7, 2, 7, -1]), limit)
    assert [len(rows) for rows in members] == sizes


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_an_error(limit: int) -> None:
    with pytest.raises(ValueError, match=f"received {limit}"):
        rows_by_label(np.zeros(12, dtype=int), limit)


def test_a_manifold_is_projected_centered_and_divided() -> None:
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 2)))[0]
    origin = np.arange(5.0)
    manifold = normalized_manifold(POINTS, origin, basis, 1.0)
    outside = (POINTS - origin) @ (np.eye(5) - basis @ basis.T)
    center = outside.mean(axis=0)
    expected = (outside - center) / np.linalg.norm(center)
    np.testing.assert_allclose(manifold.points, expected, atol=1e-14)
    assert manifold.center_norm == pytest.approx(np.linalg.norm(center))
    spread = np.sqrt(np.mean(np.sum((outside - center) ** 2, axis=1)))
    assert manifold.spread == pytest.approx(spread)


def test_a_center_of_rounding_errors_is_none() -> None:
    manifold = normalized_manifold(POINTS, POINTS.mean(axis=0) + 1e-16, NO_BASIS, 3.0)
    assert manifold.center_norm == 0
    assert np.isnan(manifold.points).all()


def test_equal_points_have_no_spread() -> None:
    equal = np.tile(np.array([0.1, 0.2, 0.3, 0.4, 0.7]), (9, 1))
    manifold = normalized_manifold(equal, np.zeros(5), NO_BASIS, 0.7)
    assert manifold.spread == 0
    assert not manifold.points.any()


@pytest.mark.parametrize("path", golden_files())
def test_coordinates_are_the_published_ones_up_to_a_rotation(path: str) -> None:
    stored = np.load(path)
    manifolds = [stored[f"X{i}"].T for i in range(int(stored["P"]))]
    origin = np.concatenate(manifolds).mean(axis=0)
    scale = max(float(np.abs(manifold).max()) for manifold in manifolds)
    for i, manifold in enumerate(manifolds):
        points = normalized_manifold(manifold, origin, stored["V11"], scale).points
        augmented = center_augmented(points)
        expected = stored[f"S{i}"]
        assert augmented.shape == expected.shape
        np.testing.assert_allclose(augmented.T @ augmented, expected.T @ expected, atol=1e-12)


@pytest.mark.parametrize(("count", "size"), [(12, 5), (5, 12), (7, 7), (1, 3), (30, 200)])
def test_augmented_points_keep_their_products_in_at_most_as_many_coordinates(
    count: int, size: int
) -> None:
    points = np.random.default_rng(2).standard_normal((count, size))
    augmented = center_augmented(points)
    assert augmented.shape == (min(count, size) + 1, count)
    assert np.array_equal(augmented[-1], np.ones(count))
    np.testing.assert_allclose(augmented[:-1].T @ augmented[:-1], points @ points.T, atol=1e-10)


def test_coordinates_of_many_dimensions_do_not_turn_with_the_points() -> None:
    points = np.random.default_rng(3).standard_normal((20, 40))
    turned = points @ ortho_group.rvs(40, random_state=0)
    np.testing.assert_allclose(center_augmented(turned), center_augmented(points), atol=1e-12)


def test_a_triangular_factor_is_choleskys() -> None:
    points = np.random.default_rng(4).standard_normal((30, 60))
    gram = points @ points.T
    np.testing.assert_allclose(triangular_factor(gram), np.linalg.cholesky(gram).T, atol=1e-10)


def test_dependent_points_have_zero_rows() -> None:
    points = np.random.default_rng(5).standard_normal((9, 4))
    points[2] = 0
    points[3] = points[0] - points[1]
    gram = points @ points.T
    factor = triangular_factor(gram)
    assert np.array_equal(factor, np.triu(factor))
    assert np.flatnonzero(np.diag(factor) > 0).tolist() == [0, 1, 4, 5]
    assert not factor[[2, 3, 6, 7, 8]].any()
    np.testing.assert_allclose(factor.T @ factor, gram, atol=1e-12)

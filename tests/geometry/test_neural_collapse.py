"""Neural collapse against closed forms: a simplex with noise, and what it must not depend on."""

import numpy as np
import pytest

from lightning_grok.geometry.collapse import neural_collapse, readout_collapse


def simplex(classes: int, features: int) -> np.ndarray:
    """Unit corners (C, d) of a simplex about 0."""
    centered = np.eye(classes) - 1 / classes
    corners = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    return np.pad(corners, ((0, 0), (0, features - classes)))


def clouds(
    classes: int = 10, features: int = 16, sigma: float = 0.1, per_class: int = 4000
) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(0).normal(size=(classes * per_class, features))
    labels = np.repeat(np.arange(classes), per_class)
    return simplex(classes, features)[labels] + sigma * noise, labels


def test_a_simplex_with_noise_has_its_closed_form() -> None:
    found = neural_collapse(*clouds())
    # S_B has C - 1 eigenvalues 1 / (C - 1); S_W = σ² I; corners are √(2 C / (C - 1)) apart.
    assert found.within_over_between == pytest.approx(0.01 * 81 / 10, rel=0.01)
    assert found.distance_normalized_variance == pytest.approx(16 * 0.01 * 9 / 20, rel=0.01)
    assert found.norm_variation < 0.01
    assert found.angle_deviation < 0.01


def test_points_at_the_corners_have_collapsed() -> None:
    labels = np.repeat(np.arange(5), 3)
    assert max(neural_collapse(simplex(5, 5)[labels], labels)) < 1e-12


def test_rotation_translation_and_scale_change_nothing() -> None:
    points, labels = clouds(classes=4, features=6, sigma=0.5, per_class=50)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    moved = neural_collapse(7 * points @ rotation + 3, labels)
    np.testing.assert_allclose(moved, neural_collapse(points, labels), rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scales_that_squares_do_not_bear_change_nothing(scale: float) -> None:
    points, labels = clouds(classes=4, features=6, sigma=0.5, per_class=50)
    found = neural_collapse(scale * points, labels)
    np.testing.assert_allclose(found, neural_collapse(points, labels), rtol=1e-10)


def test_classes_of_unequal_sizes_count_alike() -> None:
    points, labels = clouds(classes=3, features=4, sigma=0.3, per_class=2000)
    kept = np.concatenate([np.flatnonzero(labels == c)[: 2000 // (c + 1)] for c in range(3)])
    found, whole = neural_collapse(points[kept], labels[kept]), neural_collapse(points, labels)
    np.testing.assert_allclose(found[0], whole[0], rtol=0.1)


def test_the_readout_of_the_means_is_dual_to_them() -> None:
    points, labels = clouds(classes=4, features=6, sigma=0.05, per_class=30)
    means = np.stack([points[labels == c].mean(0) for c in range(4)])
    centered = means - means.mean(0)
    dual = readout_collapse(points, labels, 3 * centered)
    assert dual.self_duality < 1e-12
    assert dual.disagreement == 0
    opposite = readout_collapse(points, labels, -centered)
    assert opposite.self_duality == pytest.approx(2)
    assert opposite.disagreement == 1
    one_class = readout_collapse(points, labels, centered, bias=np.array([100.0, 0, 0, 0]))
    assert one_class.disagreement == pytest.approx(0.75)


def test_what_has_no_classes_is_refused() -> None:
    points = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(ValueError, match="at least 2 classes"):
        neural_collapse(points, np.zeros(6, int))
    with pytest.raises(ValueError, match="different means"):
        neural_collapse(np.repeat(points[:1], 6, axis=0), np.arange(6) % 2)
    with pytest.raises(ValueError, match="finite"):
        neural_collapse(points * np.nan, np.arange(6) % 2)
    with pytest.raises(ValueError, match="every class"):
        readout_collapse(points, np.arange(6) % 2, np.ones((3, 3)))

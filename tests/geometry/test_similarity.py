"""Debiased CKA: 1 for the same up to rotation, 0 for independent points however many features."""

import numpy as np
import pytest

from lightning_grok.geometry.similarity import layer_cka, linear_cka


def noise(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_independent_points_have_none_whatever_the_features() -> None:
    found = [linear_cka(noise(60, 500, seed), noise(60, 400, seed + 100)) for seed in range(40)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert min(found) < 0 < max(found)


def test_rotation_translation_and_scale_change_nothing() -> None:
    first, second = noise(30, 5), noise(30, 5) + noise(30, 5, 1)
    rotation = np.linalg.qr(noise(5, 5, 2))[0]
    expected = linear_cka(first, second)
    assert 0 < expected < 1
    assert linear_cka(first @ rotation * 1e6 + 3, second) == pytest.approx(expected, rel=1e-9)
    assert linear_cka(second, first) == pytest.approx(expected, rel=1e-12)


def test_shared_directions_have_their_closed_form() -> None:
    # X = (s, u), Y = (s, v), all independent and standard: tr(C_xy C_yx) = 1, tr(C_xx²) = 2.
    s, u, v = (noise(20_000, 1, seed) for seed in range(3))
    found = linear_cka(np.hstack([s, u])[:4000], np.hstack([s, v])[:4000])
    assert found == pytest.approx(0.5, abs=0.03)


def test_what_cannot_be_compared_is_refused() -> None:
    for first, second in (
        (noise(3, 2), noise(3, 2)), (noise(5, 2), noise(6, 2)), (np.ones((5, 2)), noise(5, 2)),
        (noise(5, 2) * np.inf, noise(5, 2)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            linear_cka(first, second)


@pytest.mark.parametrize("sizes", [(3, 5), (30, 2), (40, 25)])
def test_it_is_the_unbiased_estimate_of_gram_matrices(sizes: tuple[int, int]) -> None:
    """Song et al. 2012, Eq. 5, entry by entry."""
    first, second = noise(12, sizes[0]), noise(12, sizes[1], 1) + noise(12, 1)
    n, one = 12, np.ones(12)
    grams = [points @ points.T * (1 - np.eye(n)) for points in (first, second)]

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        traces = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return float(traces - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

    expected = hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))
    assert linear_cka(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_layer_is_held_against_its_past_the_labels_and_the_layers_below() -> None:
    labels = np.arange(60) % 3
    points = 5 * np.eye(3)[labels] @ noise(3, 8) + 0.01 * noise(60, 8, 1)
    below = {"first": noise(60, 8, 2), "second": 3 * points + 1}
    found = layer_cka(points, labels + 4, start=noise(60, 8, 3), previous=-points, below=below)
    assert found["previous"] == pytest.approx(1)
    assert found["below"] == pytest.approx(1)
    assert abs(found["start"]) < 0.2
    assert found["layers"] == pytest.approx([linear_cka(points, each) for each in below.values()])
    assert found["labels"] == pytest.approx(linear_cka(points, np.eye(3)[labels]))
    assert list(layer_cka(points, labels, below={})) == ["labels"]

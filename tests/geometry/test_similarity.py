"""Debiased CKA: 1 for the same up to rotation, 0 for independent points however many features."""

import numpy as np
import pytest

from lightning_grok.geometry.similarity import linear_cka


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

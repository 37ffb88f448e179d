"""UMAP maps against scikit-learn, closed forms and invariances, on points of known structure."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from lightning_grok.geometry import align, embed
from lightning_grok.geometry.embedding import nearest_neighbors


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Five clouds of 30 points in 20 dimensions, eight standard deviations apart or more."""
    points, labels = make_blobs(
        150, n_features=20, centers=5, cluster_std=1.0, center_box=(-10, 10), random_state=seed
    )
    return points.astype(np.float32), labels


@pytest.mark.parametrize(("n", "d", "k"), [(1100, 7, 15), (40, 1, 5), (3, 2, 3)])
def test_neighbors_are_those_of_scikit_learn(n: int, d: int, k: int) -> None:
    points = np.random.default_rng(n).normal(size=(n, d)) + 5.0
    found = nearest_neighbors(points, k)
    # The tree takes differences; brute force would round as inner products do.
    others = NearestNeighbors(n_neighbors=k - 1, algorithm="kd_tree").fit(points)
    distances, indices = others.kneighbors()
    assert (found.indices[:, 0] == np.arange(n)).all()
    assert (found.indices[:, 1:] == indices).all()
    np.testing.assert_allclose(found.distances[:, 1:], distances, rtol=1e-9)


def test_copies_are_at_distance_zero_and_a_point_is_its_own_first_neighbor() -> None:
    points = np.repeat(np.random.default_rng(0).normal(size=(4, 30)) + 1e3, 6, axis=0)
    found = nearest_neighbors(points, 6)
    assert (found.indices[:, 0] == np.arange(24)).all()
    assert (np.sort(found.indices, axis=1) // 6 == np.arange(24)[:, None] // 6).all()
    assert (found.distances == 0).all()


def test_a_turned_reflected_and_shifted_copy_comes_back() -> None:
    generator = np.random.default_rng(1)
    reference = generator.normal(size=(50, 2)) * [3.0, 1.0]
    angle = 2.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for motion in (turn, turn @ np.diag([1.0, -1.0])):
        moved = reference @ motion + np.array([7.0, -4.0])
        np.testing.assert_allclose(align(moved, reference), reference, atol=1e-12)
    # The size is kept: half as large stays half as large, about the reference's center.
    center = reference.mean(axis=0)
    halved = center + (reference - center) / 2
    np.testing.assert_allclose(align(halved @ turn, reference), halved, atol=1e-12)


def test_no_rotation_aligns_better() -> None:
    generator = np.random.default_rng(2)
    first, second = generator.normal(size=(2, 30, 2))
    least = np.linalg.norm(align(first, second) - second)
    centered = first - first.mean(axis=0)
    for angle in np.linspace(0, 2 * np.pi, 73):
        c, s = np.cos(angle), np.sin(angle)
        for motion in (np.array([[c, -s], [s, c]]), np.array([[c, s], [s, -c]])):
            turned = centered @ motion + second.mean(axis=0)
            assert np.linalg.norm(turned - second) >= least - 1e-12


def test_separate_clouds_stay_separate() -> None:
    points, labels = blobs()
    result = embed(points)
    assert result.coordinates.dtype == np.float32
    accuracy = cross_val_score(KNeighborsClassifier(5), result.coordinates, labels).mean()
    assert accuracy == 1.0
    assert np.isnan(result.movement)
    noise = np.random.default_rng(0).normal(size=points.shape)
    assert result.preservation > embed(noise).preservation > 14 / 149  # more than chance


def test_preservation_is_the_share_of_common_neighbors() -> None:
    points, _ = blobs()
    result = embed(points, neighbors=10, iterations=20)
    rows = []
    for space in (points.astype(np.float64), result.coordinates):
        neighbors = NearestNeighbors(n_neighbors=9).fit(space).kneighbors(return_distance=False)
        rows.append([set(row) for row in neighbors.tolist()])
    shares = [len(before & after) / 9 for before, after in zip(*rows, strict=True)]
    assert result.preservation == pytest.approx(np.mean(shares), abs=1e-12)


def test_same_arguments_same_bits_and_no_trace_in_global_random_states() -> None:
    points, _ = blobs()
    state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    first = embed(points, iterations=30)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))
    assert torch.equal(torch_state, torch.get_rng_state())
    np.random.seed(5)  # noqa: NPY002
    assert np.array_equal(embed(points, iterations=30).coordinates, first.coordinates)
    other = embed(points, iterations=30, seed=1)
    assert not np.array_equal(other.coordinates, first.coordinates)


def test_an_array_a_tensor_and_another_scale_have_the_same_map() -> None:
    points, _ = blobs()
    expected = embed(points, iterations=20).coordinates
    tensor = torch.from_numpy(points).requires_grad_()
    assert np.array_equal(embed(tensor, iterations=20).coordinates, expected)
    for scale in (2.0**90, 2.0**-60):
        assert np.array_equal(embed(points * scale, iterations=20).coordinates, expected)


def test_a_map_follows_the_one_before() -> None:
    points = load_digits().data[:300]
    first = embed(points)
    moved = points + np.random.default_rng(3).normal(size=points.shape)
    following = embed(moved, first.coordinates, iterations=50)
    displacement = np.linalg.norm(following.coordinates - first.coordinates)
    spread = np.linalg.norm(first.coordinates - first.coordinates.mean(axis=0))
    assert following.movement == pytest.approx(displacement / spread, rel=1e-5)
    anew = align(embed(moved, seed=1).coordinates, first.coordinates)
    assert displacement < np.linalg.norm(anew - first.coordinates) / 2
    assert following.preservation > 0.9 * first.preservation
    # From the very map before, not from one stretched to UMAP's own extent: few steps go not far.
    assert embed(points, first.coordinates, iterations=2).movement < 0.1
    # No turn is left between the two, and they share a center.
    again = align(following.coordinates, first.coordinates)
    np.testing.assert_allclose(again, following.coordinates, atol=1e-4)


def half_dead(points: np.ndarray) -> np.ndarray:
    """Half of the points and half of the features are zero."""
    points[::2] = 0
    points[:, ::2] = 0
    return points


def on_a_line(points: np.ndarray) -> np.ndarray:
    """Rank one."""
    return points[:, :1] * np.ones((1, 6), dtype=np.float32)


def one_outlier(points: np.ndarray) -> np.ndarray:
    """All but one are copies."""
    points[1:] = points[0]
    points[0] += 1
    return points


@pytest.mark.parametrize(
    "spoil",
    [half_dead, on_a_line, one_outlier, lambda p: p[:3], lambda p: p[:4], lambda p: p[:, :1]],
)
def test_degenerate_points_have_a_map(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    points = spoil(np.random.default_rng(4).normal(size=(40, 6)).astype(np.float32))
    first = embed(points, iterations=20)
    second = embed(points, first.coordinates, iterations=20)
    for result in (first, second):
        assert result.coordinates.shape == (len(points), 2)
        assert np.isfinite(result.coordinates).all()
        assert len(np.unique(result.coordinates, axis=0)) == len(points)
        assert 0 <= result.preservation <= 1


def test_copies_of_one_point_are_one_spot_from_which_maps_go_on() -> None:
    points = np.random.default_rng(5).normal(size=(40, 6)).astype(np.float32)
    first = embed(points, iterations=20)
    dead = embed(np.full((40, 6), 0.3, dtype=np.float32), first.coordinates)
    center = first.coordinates.mean(axis=0)
    np.testing.assert_allclose(dead.coordinates, np.tile(center, (40, 1)), rtol=1e-6)
    assert dead.movement == pytest.approx(1.0, rel=1e-5)
    revived = embed(points, dead.coordinates, iterations=20)
    assert np.isfinite(revived.coordinates).all()
    assert np.isnan(revived.movement)
    assert np.ptp(revived.coordinates, axis=0).min() > 1


def test_refusals() -> None:
    points, _ = blobs()
    broken = points.copy()
    broken[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        embed(broken)
    with pytest.raises(ValueError, match="at least 3 points, received 2"):
        embed(points[:2])
    previous = np.zeros((149, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="map of 150 points, received 149"):
        embed(points, previous)


@pytest.mark.slow
def test_pytorch_keeps_its_number_of_threads() -> None:
    code = (
        "import numpy, torch\n"
        "from lightning_grok.geometry import embed\n"
        "embed(numpy.random.default_rng(0).normal(size=(300, 20)))\n"
        "print(torch.get_num_threads())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "1", done.stderr

"""Capacity of a layer: the whole pipeline, its invariances, edges and errors, on real digits."""

import tracemalloc

import numpy as np
import pytest
import torch
from reference_capacity import geometry, golden_files
from scipy.stats import ortho_group
from sklearn.datasets import load_digits
from torch import nn

from lightning_grok.geometry import anchor_geometry, center_structure, manifold_capacity
from lightning_grok.geometry.capacity.manifold_capacity import FLAGGED_RATIO, ManifoldGeometry

SCALARS = ("capacity", "radius", "dimension")


@pytest.fixture(scope="module")
def hidden() -> tuple[np.ndarray, np.ndarray]:
    """(400, 64) activations of the last hidden layer of a trained network, 40 of every digit."""
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32)
    labels = torch.tensor(data.target)
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    model = nn.Sequential(first, nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    rows = np.concatenate([np.flatnonzero(data.target == digit)[:40] for digit in range(10)])
    with torch.no_grad():
        return first(images[rows]).double().numpy(), data.target[rows]


def measure(points: np.ndarray, labels: np.ndarray, **options: object) -> ManifoldGeometry:
    return manifold_capacity(points, labels, **{"num_vectors": 60, "restarts": 4} | options)


def clouds(
    seed: int, classes: int, count: int, size: int, extent: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    centers = generator.standard_normal((classes, size))
    return centers[labels] + extent * generator.standard_normal((len(labels), size)), labels


def same(first: ManifoldGeometry, second: ManifoldGeometry, rtol: float) -> None:
    for key in (*SCALARS, "center_correlation"):
        assert getattr(first, key) == pytest.approx(getattr(second, key), rel=rtol), key


def test_it_is_the_published_pipeline(hidden: tuple[np.ndarray, np.ndarray]) -> None:
    """Every step in plain NumPy, the programs by scipy, with the same basis and vectors."""
    points, labels = hidden
    result = measure(points, labels, num_vectors=12)
    manifolds = [points[labels == digit] for digit in range(10)]
    basis = center_structure(np.stack([each.mean(axis=0) for each in manifolds]), restarts=4).basis
    outside = np.eye(64) - basis @ basis.T
    for index, manifold in enumerate(manifolds):
        centered = (manifold - points.mean(axis=0)) @ outside
        center = centered.mean(axis=0)
        columns = ((centered - center) / np.linalg.norm(center)).T
        # More dimensions than points: any orthonormal basis that spans them; the program is turned
        # with the vectors by matching the triangular factor with positive diagonal.
        gram = columns.T @ columns
        factor = np.linalg.qr(columns)[1]
        factor *= np.sign(np.diag(factor))[:, None]
        np.testing.assert_allclose(factor.T @ factor, gram, atol=1e-10)
        augmented = np.concatenate([factor, np.ones((1, 40))])
        generator = np.random.default_rng(np.random.SeedSequence((0, index)))
        drawn = generator.standard_normal((41, 12))
        vectors = np.concatenate([drawn[1:], drawn[:1]])
        expected = geometry(augmented, vectors, 0.0)
        # The last point is the others' combination, so that its own coordinate is rounding error.
        found = [result.per_class[key][index] for key in SCALARS]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    capacity = 1 / np.mean(1 / result.per_class["capacity"])
    assert result.capacity == pytest.approx(capacity)
    assert result.radius == pytest.approx(result.per_class["radius"].mean())
    assert result.dimension == pytest.approx(result.per_class["dimension"].mean())
    assert result.median_radius == np.median(result.per_class["radius"])
    assert result.classes.tolist() == list(range(10))
    assert (result.failed, result.dropped, result.flagged, result.pointlike) == (0, 0, 0, 0)
    assert result.residual < 1e-10


@pytest.mark.parametrize("path", golden_files())
def test_averages_over_classes_are_the_published_ones(path: str) -> None:
    stored = np.load(path)
    classes = int(stored["P"])
    each = [anchor_geometry(stored[f"S{i}"], stored[f"t{i}"]) for i in range(classes)]
    capacity = classes / sum(1 / one.capacity for one in each)
    assert capacity == pytest.approx(float(stored["alpha_mean"]), rel=1e-8)
    assert np.mean([one.radius for one in each]) == pytest.approx(float(stored["R_mean"]), rel=1e-8)
    assert np.mean([one.dimension for one in each]) == pytest.approx(
        float(stored["D_mean"]), rel=1e-8
    )


def test_both_backends_agree(hidden: tuple[np.ndarray, np.ndarray]) -> None:
    points, labels = hidden
    few = np.concatenate([np.flatnonzero(labels == digit)[:8] for digit in range(4)])
    exact = measure(points[few], labels[few], num_vectors=5)
    oracle = measure(points[few], labels[few], num_vectors=5, backend="cvxpy")
    same(exact, oracle, 1e-4)


def test_rotation_translation_and_scale_change_nothing(
    hidden: tuple[np.ndarray, np.ndarray],
) -> None:
    points, labels = (each[:120] for each in hidden)  # three classes, of which nothing is removed
    turned = points @ ortho_group.rvs(64, random_state=1)
    result = measure(points, labels)
    scaled = [scale * points for scale in (1e4, 1e-9, 1e200, 1e-200)]
    for changed in (points + 5.0, *scaled, turned, 3 - 2 * turned):
        same(measure(changed, labels), result, 1e-8)


def test_invariance_holds_up_to_the_choice_among_local_minima(
    hidden: tuple[np.ndarray, np.ndarray],
) -> None:
    """Rounding may lead a start into another basin; a power of two doesn't round."""
    points, labels = hidden
    result = measure(points, labels)
    turned = points @ ortho_group.rvs(64, random_state=1)
    for changed in (points + 5.0, 1e4 * points, turned):
        other = measure(changed, labels)
        same(other, result, 0.1)
        assert other.center_correlation == pytest.approx(result.center_correlation, rel=1e-9)
    assert measure(2.0**20 * points, labels)[:14] == result[:14]


def test_labels_only_name_the_classes(hidden: tuple[np.ndarray, np.ndarray]) -> None:
    points, labels = hidden
    result = measure(points, labels)
    renamed = measure(points, 3 * labels - 7)
    assert renamed.capacity == result.capacity
    assert renamed.classes.tolist() == (3 * np.arange(10) - 7).tolist()
    # In another order classes get other vectors, and agree within the standard errors.
    reversed_ = measure(points, 9 - labels)
    for key in SCALARS:
        error = np.hypot(getattr(result, f"{key}_se"), getattr(reversed_, f"{key}_se"))
        assert getattr(reversed_, key) == pytest.approx(
            getattr(result, key), abs=5 * error + 0.03 * getattr(result, key)
        )


def test_the_same_seed_gives_the_same_bits(hidden: tuple[np.ndarray, np.ndarray]) -> None:
    points, labels = hidden
    first, second = measure(points, labels, seed=3), measure(points, labels, seed=3)
    assert first[:14] == second[:14]
    for key, values in first.per_class.items():
        assert np.array_equal(values, second.per_class[key])
    assert measure(points, labels, seed=4).capacity != first.capacity


def test_widths_and_checkpoints_share_their_random_numbers() -> None:
    points, labels = clouds(0, 6, 30, 8)
    result = measure(points, labels)
    widened = measure(np.concatenate([points, np.zeros((180, 3))], axis=1), labels)
    assert widened.capacity == pytest.approx(result.capacity, rel=1e-6)
    assert widened.radius == pytest.approx(result.radius, rel=1e-6)
    # A step of training moves the capacity by far less than new vectors would.
    moved = measure(points + 1e-6 * np.random.default_rng(1).standard_normal(points.shape), labels)
    assert abs(moved.capacity - result.capacity) < 0.01 * result.capacity_se


def test_zero_extent_gives_the_capacity_of_points() -> None:
    points, labels = clouds(1, 12, 5, 30, extent=0.0)
    result = measure(points, labels, num_vectors=2000)
    assert result.capacity == pytest.approx(2, abs=5 * result.capacity_se)
    assert (result.radius, result.dimension) == (0, 0)
    assert (result.pointlike, result.failed) == (12, 0)
    assert np.isinf(result.per_class["center_ratio"]).all()


def test_more_extent_lowers_the_capacity_and_raises_the_radius() -> None:
    results = [measure(*clouds(2, 8, 30, 40, extent)) for extent in (0.1, 0.3, 1.0, 3.0)]
    assert (np.diff([result.capacity for result in results]) < 0).all()
    assert (np.diff([result.radius for result in results]) > 0).all()


def test_a_margin_lowers_the_capacity(hidden: tuple[np.ndarray, np.ndarray]) -> None:
    points, labels = hidden
    capacities = [measure(points, labels, kappa=kappa).capacity for kappa in (0.0, 0.5, 2.0)]
    assert (np.diff(capacities) < 0).all()


def test_one_point_or_equal_points_are_kept_and_counted() -> None:
    points, labels = clouds(3, 8, 20, 15)
    points[labels == 2] = points[labels == 2][0]
    keep = (labels != 5) | (np.cumsum(labels == 5) == 1)
    result = measure(points[keep], labels[keep])
    assert (result.pointlike, result.failed) == (2, 0)
    assert result.per_class["radius"][[2, 5]].tolist() == [0, 0]
    assert result.per_class["dimension"][[2, 5]].tolist() == [0, 0]
    assert (result.per_class["capacity"][[2, 5]] > 1).all()


def test_dead_units_and_repeated_points_do_no_harm() -> None:
    points, labels = clouds(4, 8, 20, 15)
    points[:, [0, 7]] = 0
    points[:, 8] = 3.5
    doubled, twice = np.concatenate([points, points]), np.concatenate([labels, labels])
    result, repeated = measure(points, labels), measure(doubled, twice)
    assert result.failed == 0
    assert repeated.capacity == pytest.approx(result.capacity, rel=1e-6)


def test_unequal_classes_are_truncated_if_asked() -> None:
    points, labels = clouds(5, 8, 20, 15)
    keep = np.sort(np.random.default_rng(0).permutation(160)[:110])
    counts = np.bincount(labels[keep])
    unequal = measure(points[keep], labels[keep])
    assert np.isfinite(unequal.capacity)
    assert unequal.failed == 0
    truncated = measure(points[keep], labels[keep], points_per_class="smallest")
    first = np.concatenate(
        [keep[np.flatnonzero(labels[keep] == k)[: counts.min()]] for k in range(8)]
    )
    assert truncated.capacity == measure(points[first], labels[first]).capacity


def test_centers_are_taken_from_the_mean_over_samples_not_over_classes() -> None:
    points, labels = clouds(5, classes=8, count=12, size=20)
    kept = np.concatenate([np.flatnonzero(labels == label)[: 3 + label] for label in range(8)])
    points, labels = points[kept] + 2.0 * (labels[kept] == 7)[:, None], labels[kept]
    manifolds = [points[labels == label] for label in range(8)]
    basis = center_structure(np.stack([each.mean(axis=0) for each in manifolds]), restarts=4).basis
    outside = np.eye(20) - basis @ basis.T
    ratios = []
    for manifold in manifolds:
        center = (manifold.mean(axis=0) - points.mean(axis=0)) @ outside
        deviations = (manifold - manifold.mean(axis=0)) @ outside
        spread = np.sqrt(np.mean(np.sum(deviations**2, axis=1)))
        ratios.append(np.linalg.norm(center) / spread)
    found = measure(points, labels, num_vectors=2).per_class["center_ratio"]
    np.testing.assert_allclose(found, ratios, rtol=1e-10)


def test_memory_beyond_the_input_is_that_of_one_class() -> None:
    generator = np.random.default_rng(0)
    points = generator.standard_normal((60 * 250, 200), dtype=np.float32)
    labels = np.repeat(np.arange(60), 250)
    manifold_capacity(points[:2000], labels[:2000], num_vectors=2, restarts=1)  # compile
    tracemalloc.start()
    manifold_capacity(torch.from_numpy(points), labels, num_vectors=4, restarts=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < points.nbytes


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_few_classes_are_measured(classes: int) -> None:
    result = measure(*clouds(6, classes, 20, 15))
    assert np.isfinite(result[:6]).all()
    assert result.rank <= max(0, classes - 2)


def test_dead_layers_have_no_value() -> None:
    points, labels = clouds(7, 5, 10, 6)
    for layer in (np.zeros_like(points), np.full_like(points, 0.1)):
        result = measure(layer, labels)
        assert np.isnan(result[:7]).all()
        assert result.failed == len(np.unique(labels))
        assert result.dropped == result.pointlike == 0
        assert np.isnan(result.per_class["capacity"]).all()
        assert not np.isinf(result.per_class["center_ratio"]).any()


def test_short_centers_are_flagged_and_move_the_mean_but_not_the_median() -> None:
    points, labels = clouds(8, 3, 30, 20)  # so few classes that nothing is removed
    centers = np.stack([points[labels == k].mean(axis=0) for k in range(3)])
    between = (centers[0] + centers[1]) / 2

    def shortened(factor: float) -> ManifoldGeometry:
        moved = points.copy()
        moved[labels == 2] += (factor - 1) * (centers[2] - between)
        return measure(moved, labels)

    result, outlier = shortened(1.0), shortened(1e-3)
    assert (result.flagged, outlier.flagged) == (0, 1)
    ratios = outlier.per_class["center_ratio"]
    assert np.flatnonzero(ratios < FLAGGED_RATIO).tolist() == [2]
    assert outlier.failed == outlier.dropped == 0
    assert outlier.per_class["radius"][2] > 20 * outlier.median_radius
    assert outlier.radius > 5 * result.radius
    assert outlier.median_radius == pytest.approx(result.median_radius, rel=0.5)
    # The radius grows without bound, the capacity settles.
    further = shortened(1e-5)
    assert further.radius > 50 * outlier.radius
    assert further.capacity == pytest.approx(outlier.capacity, rel=0.05)


def test_standard_errors_are_the_spread_over_seeds() -> None:
    # Few classes, for which nothing is removed, so that only the vectors change.
    points, labels = clouds(9, 3, 25, 12)
    results = [measure(points, labels, seed=seed) for seed in range(60)]
    assert {result.rank for result in results} == {results[0].rank}
    for key in SCALARS:
        spread = np.std([getattr(result, key) for result in results], ddof=1)
        stated = np.mean([getattr(result, f"{key}_se") for result in results])
        assert stated == pytest.approx(spread, rel=0.35), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.full((4, 2), np.nan)}, "finite points"),
        ({"num_vectors": 0}, "num_vectors"),
        ({"restarts": 0}, "restarts"),
        ({"kappa": -1.0}, "kappa"),
        ({"points_per_class": 0}, "points_per_class"),
        (
            {"points": np.ones((0, 2)), "labels": np.ones(0, dtype=int)},
            "expected points, received an empty",
        ),
    ],
)
def test_wrong_input_is_an_error(change: dict[str, object], message: str) -> None:
    points = np.random.default_rng(0).standard_normal((4, 2))
    arguments = {"points": points, "labels": np.array([0, 0, 1, 1])} | change
    with pytest.raises(ValueError, match=message):
        manifold_capacity(**arguments)

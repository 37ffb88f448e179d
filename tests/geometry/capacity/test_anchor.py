"""The anchor program against the published code, an interior-point solver and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from reference_capacity import (
    geometry,
    golden_files,
    random_manifold,
    random_vectors,
)
from scipy.integrate import quad
from scipy.stats import chi, norm, ortho_group

from lightning_grok.geometry import anchor_geometry
from lightning_grok.geometry.capacity.anchor import (
    AnchorGeometry,
    AnchorStatus,
    _validate,
    solve_anchors,
)


def measures(result: AnchorGeometry) -> tuple[float, float, float]:
    return result.capacity, result.radius, result.dimension


@pytest.mark.parametrize("path", golden_files())
def test_it_reproduces_the_published_code(path: str) -> None:
    stored = np.load(path)
    for i in range(int(stored["P"])):
        result = anchor_geometry(stored[f"S{i}"], stored[f"t{i}"], float(stored["kappa"]))
        expected = [stored[key][i] for key in ("alpha", "R", "D")]
        np.testing.assert_allclose(measures(result), expected, rtol=1e-8)
        assert result.failed == 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 20),
    count=st.integers(1, 30),
    extent=st.sampled_from([0.01, 1.0, 30.0]),
    kappa=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_it_agrees_with_a_loop_over_vectors(
    seed: int, size: int, count: int, extent: float, kappa: float
) -> None:
    points = random_manifold(seed, size, count, extent)
    vectors = random_vectors(seed, points, 20)
    result = anchor_geometry(points, vectors, kappa)
    assert result.failed == 0
    expected = geometry(points, vectors, kappa)
    np.testing.assert_allclose(measures(result), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("size", "count"), [(10, 25), (25, 10)])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_the_interior_point_oracle_agrees(size: int, count: int, kappa: float) -> None:
    points = random_manifold(1, size, count)
    vectors = random_vectors(1, points, 15)
    exact = anchor_geometry(points, vectors, kappa)
    oracle = anchor_geometry(points, vectors, kappa, backend="cvxpy")
    np.testing.assert_allclose(measures(oracle), measures(exact), rtol=1e-5)
    assert oracle.failed == 0
    assert exact.residual < 1e-12


@pytest.mark.parametrize("kappa", [0.0, 0.7])
@pytest.mark.parametrize(
    ("size", "count", "extent"), [(50, 200, 1.0), (128, 60, 3.0), (8, 90, 99.0)]
)
def test_solutions_are_optimal(size: int, count: int, extent: float, kappa: float) -> None:
    points = random_manifold(2, size, count, extent)
    vectors = random_vectors(2, points, 40)
    solution = solve_anchors(points, vectors, kappa)
    x, solved = solution.multipliers, solution.status == AnchorStatus.SOLVED
    primal = vectors - points @ x
    primal[-1] += kappa  # v(t) itself is this less kappa along the center
    slack = points.T @ primal / np.linalg.norm(points, axis=0)[:, None]
    assert (x >= 0).all()
    assert slack.max() < 1e-10
    assert np.abs(x * np.linalg.norm(points, axis=0)[:, None] * slack).max() < 1e-9
    np.testing.assert_allclose(solution.combination, points @ x, atol=1e-9)
    assert not x[:, ~solved].any()


def test_multipliers_solve_the_program_as_it_is_written() -> None:
    import cvxpy as cp

    points, kappa = random_manifold(3, 6, 12), 0.4
    vectors = random_vectors(3, points, 6)
    solution = solve_anchors(points, vectors, kappa)
    for column, vector in enumerate(vectors.T):
        primal = cp.Variable(7)
        problem = cp.Problem(
            cp.Minimize(0.5 * cp.sum_squares(primal - vector)), [points.T @ primal <= -kappa]
        )
        problem.solve(solver=cp.CLARABEL)
        expected = vector - solution.combination[:, column]
        np.testing.assert_allclose(primal.value, expected, atol=1e-5)


def test_points_without_extent_have_the_capacity_of_points() -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 20_000))
    for count in (1, 5):
        points = np.concatenate([np.zeros((3, count)), np.ones((1, count))])
        result = anchor_geometry(points, vectors)
        assert result.capacity == pytest.approx(2, abs=5 * result.capacity_se)
        assert result.capacity_se < 0.05
        assert result.radius == 0
        assert result.dimension == 0


def test_a_margin_lowers_the_capacity_of_points_as_gardner_found() -> None:
    kappa = 0.8
    vectors = np.random.default_rng(1).standard_normal((2, 20_000))
    points = np.array([[0.0], [1.0]])
    result = anchor_geometry(points, vectors, kappa)
    inverse = quad(lambda t: norm.pdf(t) * (t + kappa) ** 2, -kappa, 12)[0]
    assert result.capacity == pytest.approx(1 / inverse, abs=5 * result.capacity_se)


@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_a_disc_has_the_capacity_of_a_ball_in_two_dimensions(radius: float) -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    points = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.ones(400)])
    vectors = np.random.default_rng(2).standard_normal((3, 4000))
    result = anchor_geometry(points, vectors)

    def distance(center: float, length: float) -> float:
        """|v - t|^2 from the cone of v . s <= 0, by its three cases."""
        if center + radius * length <= 0:
            return 0.0
        if center * radius >= length:
            return center**2 + length**2
        return (center + radius * length) ** 2 / (1 + radius**2)

    grid = np.linspace(-6, 6, 601)
    lengths = np.linspace(1e-3, 7, 601)
    weight = norm.pdf(grid)[:, None] * chi.pdf(lengths, 2)[None]
    values = np.array([[distance(center, length) for length in lengths] for center in grid])
    inverse = np.sum(weight * values) / np.sum(weight)
    assert result.capacity == pytest.approx(1 / inverse, abs=5 * result.capacity_se)
    # Anchors lie along t, so that the dimension is that of the disc.
    assert result.dimension == pytest.approx(2, rel=1e-3)
    assert result.radius <= radius


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_small_sphere_has_its_own_radius_and_dimension(size: int) -> None:
    generator = np.random.default_rng(size)
    directions = generator.standard_normal((size, 3000))
    radius = 0.05
    points = np.concatenate(
        [radius * directions / np.linalg.norm(directions, axis=0), np.ones((1, 3000))]
    )
    result = anchor_geometry(points, generator.standard_normal((size + 1, 1500)))
    # Where the sphere is small every anchor is the point along t, whose distance is the radius.
    assert result.radius == pytest.approx(radius, rel=0.02)
    assert result.dimension == pytest.approx(size, rel=0.12 if size == 5 else 0.02)


def test_a_small_gaussian_cloud_has_its_farthest_points_as_anchors() -> None:
    size, count, extent = 20, 100, 1e-4
    generator = np.random.default_rng(5)
    cloud = extent * generator.standard_normal((size, count))
    points, vectors = np.concatenate([cloud, np.ones((1, count))]), random_vectors(6, cloud, 2000)
    vectors = np.concatenate([vectors, generator.standard_normal((1, 2000))])
    result = anchor_geometry(points, vectors)
    farthest = cloud[:, np.argmax(cloud.T @ vectors[:-1], axis=0)]
    spread = farthest - farthest.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(farthest, axis=0) * np.linalg.norm(vectors[:-1], axis=0)
    cosine = np.mean((farthest * vectors[:-1]).sum(axis=0) / lengths)
    assert result.radius == pytest.approx(np.sqrt(np.mean((spread**2).sum(axis=0))), rel=5e-3)
    assert result.dimension == pytest.approx(size * cosine**2, rel=5e-3)
    assert result.capacity == pytest.approx(2, abs=5 * result.capacity_se)


def test_interior_vectors_add_nothing_and_take_the_farthest_point() -> None:
    points = random_manifold(4, 2, 5, 0.2)
    vectors = np.array([[0.3, -0.2], [0.1, 0.5], [-50.0, -50.0]])
    solution = solve_anchors(points, vectors)
    assert solution.status.tolist() == [AnchorStatus.INTERIOR] * 2
    result = anchor_geometry(points, vectors)
    assert result.interior == 2
    assert result.capacity == np.inf
    farthest = points[:-1, np.argmax(points[:-1].T @ vectors[:-1], axis=0)]
    spread = farthest - farthest.mean(axis=1, keepdims=True)
    assert result.radius == pytest.approx(np.sqrt(np.mean(np.sum(spread**2, axis=0))))


def test_dead_and_repeated_points_change_nothing() -> None:
    points = random_manifold(5, 10, 20)
    vectors = random_vectors(5, points, 50)
    result = anchor_geometry(points, vectors)
    doubled = anchor_geometry(np.concatenate([points, points[:, :7]], axis=1), vectors)
    np.testing.assert_allclose(measures(doubled), measures(result), rtol=1e-9)
    dead = np.concatenate([points[:3], np.zeros((1, 20)), points[3:]])
    more = np.insert(vectors, 3, np.random.default_rng(0).standard_normal(50), axis=0)
    widened = anchor_geometry(dead, more)
    assert widened.capacity == pytest.approx(result.capacity, rel=1e-9)
    assert widened.radius == pytest.approx(result.radius, rel=1e-9)


def test_a_common_rotation_changes_nothing() -> None:
    points = random_manifold(6, 15, 30)
    vectors = random_vectors(6, points, 60)
    turn = np.eye(16)
    turn[:15, :15] = ortho_group.rvs(15, random_state=0)
    result, turned = (
        anchor_geometry(points, vectors),
        anchor_geometry(turn @ points, turn @ vectors),
    )
    np.testing.assert_allclose(measures(turned), measures(result), rtol=1e-9)


def test_standard_errors_are_the_spread_over_draws() -> None:
    points = random_manifold(7, 12, 25)
    results = [anchor_geometry(points, random_vectors(k, points, 100)) for k in range(150)]
    for key in ("capacity", "radius", "dimension"):
        spread = np.std([getattr(result, key) for result in results], ddof=1)
        stated = np.mean([getattr(result, f"{key}_se") for result in results])
        assert stated == pytest.approx(spread, rel=0.3), key
    assert np.isnan(anchor_geometry(points, random_vectors(0, points, 1)).capacity_se)


def test_more_vectors_come_closer_to_many() -> None:
    points = random_manifold(8, 10, 30)
    many = anchor_geometry(points, random_vectors(0, points, 20_000))
    few = anchor_geometry(points, random_vectors(1, points, 300))
    for key in ("capacity", "radius", "dimension"):
        error = getattr(few, key) - getattr(many, key)
        assert abs(error) < 5 * getattr(few, f"{key}_se")
        ratio = getattr(few, f"{key}_se") / getattr(many, f"{key}_se")
        assert ratio == pytest.approx(np.sqrt(20_000 / 300), rel=0.35)


def test_points_far_beyond_the_center_need_no_gram_matrix() -> None:
    points = random_manifold(9, 6, 12, 1e6)
    vectors = random_vectors(9, points, 20)
    result = anchor_geometry(points, vectors)
    assert result.failed == 0
    assert result.residual < 1e-9
    np.testing.assert_allclose(measures(result), geometry(points, vectors, 0.0), rtol=1e-5)


def test_what_fails_is_counted_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_grok.geometry.capacity import anchor

    points = random_manifold(10, 5, 9)
    vectors = random_vectors(10, points, 8)
    exact = anchor_geometry(points, vectors)
    # A certificate that nothing can reach, for all vectors but the last two.
    certify = anchor.certify

    def refuse(unit: np.ndarray, shifted: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        refused = [bool(np.isclose(vectors[0, :-2], each).any()) for each in shifted[0]]
        return np.where(refused, np.nan, certify(unit, shifted, *rest))

    monkeypatch.setattr(anchor, "certify", refuse)
    partial = anchor_geometry(points, vectors)
    assert partial.failed == 6
    assert measures(partial) == measures(anchor_geometry(points, vectors[:, -2:]))
    assert measures(partial) != measures(exact)
    none = anchor_geometry(points, vectors[:, :-2])
    assert none.failed == 6
    assert np.isnan(measures(none)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.ones((1, 4)), "vectors": np.ones((1, 4))}, "D >= 1"),
        ({"points": np.ones((3, 0))}, "expected points, received an empty"),
        ({"vectors": np.ones((3, 0))}, "expected vectors, received an empty"),
        ({"points": np.full((3, 5), np.nan)}, "finite points"),
        ({"vectors": np.full((3, 2), np.inf)}, "finite vectors"),
        ({"points": np.zeros((3, 5))}, "last row is one"),
        ({"kappa": -0.1}, "margin kappa"),
        ({"kappa": np.nan}, "margin kappa"),
    ],
)
def test_wrong_input_is_an_error(change: dict[str, object], message: str) -> None:
    arguments = {"points": random_manifold(0, 2, 5), "vectors": np.ones((3, 2)), "kappa": 0.0}
    with pytest.raises(ValueError, match=message):
        anchor_geometry(**arguments | change)


def test_shapes_that_do_not_fit_are_an_error() -> None:
    # The shape checker of the tests would refuse them before `anchor_geometry` does.
    with pytest.raises(ValueError, match=r"\(D\+1, m\)"):
        _validate(np.ones((2, 5)), np.ones((3, 2)), 0.0, "numba")


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(ValueError, match="received 'gurobi'"):
        _validate(random_manifold(0, 2, 5), np.ones((3, 2)), 0.0, "gurobi")


def test_the_same_bits_every_time() -> None:
    points = random_manifold(11, 40, 60)
    vectors = random_vectors(11, points, 30)
    assert anchor_geometry(points, vectors) == anchor_geometry(points, vectors)

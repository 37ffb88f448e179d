"""GLUE against closed forms of points and spheres, and against subspaces that separate or don't."""

import inspect
from math import comb
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog

from lightning_grok.geometry.capacity.glue import glue


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def clouds(classes: int, each: int, size: int, spread: float, seed: int = 0) -> tuple[Any, Any]:
    centers = noise(classes, 1, size, seed=seed)
    points = centers + spread * noise(classes, each, size, seed=seed + 1)
    return points.reshape(-1, size), np.repeat(np.arange(classes), each)


def circles(bases: np.ndarray, radius: float, each: int = 60) -> tuple[Any, Any]:
    """Circles about the first row of every basis (3 d) in the plane of the other two."""
    angles = 2 * np.pi * np.arange(each) / each
    rows = np.stack([np.ones(each), radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    return np.concatenate([rows @ basis for basis in bases]), np.repeat(range(len(bases)), each)


def on_circle(radius: float) -> tuple[float, float, float]:
    """Capacity, dimension and radius of a circle by itself, by the angle of t with the center.

    In it t lies inside the cone, beyond it the projection is the edge's, beyond that 0.
    """
    edge = np.arctan(radius)

    def mean(value: Any) -> float:  # E|t|^2 = 3
        parts = ((0, edge), (edge, edge + np.pi / 2))
        return 1.5 * sum(quad(lambda phi: value(phi) * np.sin(phi), *part)[0] for part in parts)

    length = mean(lambda phi: np.cos(max(phi - edge, 0.0)) ** 2)
    b = mean(lambda phi: np.sin(phi) ** 2)
    outside = mean(lambda phi: np.sin(phi) ** 2 / (1 + np.tan(min(phi, edge)) ** 2))
    return 1 / length, b, np.sqrt((b - outside) / outside)


@pytest.mark.parametrize(("classes", "size"), [(8, 5), (7, 7), (5, 20)])
def test_points_have_the_capacity_of_their_number(classes: int, size: int) -> None:
    # Mean statistical dimension of the chambers of a generic arrangement (Klivans & Swartz 2011).
    inner = sum((size - k) * comb(classes, k) for k in range(min(size, classes + 1)))
    exact = classes / (size - inner / 2**classes)
    found = glue(noise(classes, size), np.arange(classes), draws=400)
    assert found.capacity == pytest.approx(exact, abs=4 * found.capacity_se)
    assert found.capacity_se < 0.07 * exact
    assert classes > size or exact == pytest.approx(2)
    assert found.dimension == found.radius == found.utility == found.dropped == 0


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.5])
def test_circles_at_right_angles_have_their_closed_form(radius: float) -> None:
    bases = np.eye(12).reshape(4, 3, 12)
    found = glue(*circles(bases, radius), draws=500)
    capacity, dimension, size = on_circle(radius)
    assert found.capacity == pytest.approx(capacity, abs=4 * found.capacity_se + 0.003)
    assert found.dimension == pytest.approx(dimension, abs=4 * found.dimension_se + 0.01)
    assert found.radius == pytest.approx(size, abs=4 * found.radius_se + 0.02 * size)
    assert found.center_alignment < 0.1


def test_circles_with_random_centers_have_it_in_many_dimensions() -> None:
    bases = noise(5, 3, 1000) / 1000**0.5
    found = glue(*circles(bases, 0.8, each=30), draws=300)
    capacity, dimension, size = on_circle(0.8)
    assert found.capacity == pytest.approx(capacity, rel=0.12)
    assert found.dimension == pytest.approx(dimension, rel=0.12)
    assert found.radius == pytest.approx(size, rel=0.12)


def separable(points: np.ndarray, signs: np.ndarray) -> bool:
    """Whether some w has sign w.x > 0 for all points, by a linear program."""
    rows = -signs[:, None] * points
    done = linprog(
        np.zeros(points.shape[1]), A_ub=rows, b_ub=-np.ones(len(rows)), bounds=(None, None)
    )
    return done.status == 0


@pytest.mark.parametrize("sides", ["random", "one_vs_rest"])
def test_as_many_random_dimensions_separate_the_classes(sides: Any) -> None:
    classes, size = 8, 30
    points, labels = clouds(classes, 6, size, 0.4, seed=3)
    generator = np.random.default_rng(7)
    needed = []
    for _ in range(30):
        signs = generator.choice((-1.0, 1.0), classes)
        if sides == "one_vs_rest":
            signs = np.where(np.arange(classes) == generator.integers(classes), 1.0, -1.0)
        projected = points @ generator.normal(size=(size, size))
        low, high = 0, size  # separable in the first `high` dimensions, not in `low`
        while high - low > 1:
            middle = (low + high) // 2
            if separable(projected[:, :middle], signs[labels]):
                high = middle
            else:
                low = middle
        needed.append(high - 0.5)
    error = float(np.std(needed) / 30**0.5)
    found = glue(points, labels, sides=sides, draws=300)
    assert classes / found.capacity == pytest.approx(np.mean(needed), abs=4 * error)
    assert error < 0.5


@pytest.mark.parametrize("sides", ["random", "one_vs_rest"])
@pytest.mark.parametrize("inactive", ["center", "zero"])
def test_capacity_is_utility_by_dimension_and_radius(sides: Any, inactive: Any) -> None:
    points, labels = clouds(6, 9, 20, 0.7)
    labels[:4] = 1  # classes of different sizes
    found = glue(np.maximum(points, 0), labels, sides=sides, inactive=inactive, draws=60)
    identity = found.utility * (1 + found.radius**-2) / found.dimension
    assert identity == pytest.approx(found.capacity, rel=1e-9)
    assert 0 < found.inactive < 1


def test_rotation_scale_and_names_change_nothing() -> None:
    points, labels = clouds(4, 6, 9, 0.6)
    plain = glue(points, labels, draws=50)
    assert glue(1e6 * points, labels * 3 + 5, draws=50) == pytest.approx(plain, rel=1e-6)
    rotation = np.linalg.qr(noise(40, 40))[0][:9]  # into more dimensions than there are points
    rotated = glue(points @ rotation, labels, draws=300)
    many = glue(points, labels, draws=300)
    for name in ("capacity", "dimension", "radius"):
        error = np.hypot(getattr(rotated, f"{name}_se"), getattr(many, f"{name}_se"))
        assert getattr(rotated, name) == pytest.approx(getattr(many, name), abs=4 * error)


def test_the_choices_differ_where_they_should() -> None:
    points, labels = clouds(6, 9, 20, 0.7)
    plain = glue(points, labels, draws=60)
    ratios = glue(points, labels, draws=60, radius="mean_of_ratios")
    assert ratios._replace(radius=0, radius_se=0) == plain._replace(radius=0, radius_se=0)
    assert ratios.radius != plain.radius
    signed = glue(points, labels, draws=60, alignments="signed")
    for name in ("center_alignment", "axis_alignment", "center_axis_alignment"):
        assert abs(getattr(signed, name)) < getattr(plain, name)
    assert (signed.capacity, signed.radius) == (plain.capacity, plain.radius)
    zero = glue(points, labels, draws=60, inactive="zero")
    assert zero.capacity == plain.capacity
    assert zero.dimension != plain.dimension


def test_centers_that_share_a_direction_are_aligned() -> None:
    points, labels = clouds(5, 8, 30, 0.2)
    shared = glue(points + 20, labels, draws=40, alignments="signed")
    assert shared.center_alignment > 0.98
    assert abs(glue(points, labels, draws=40, alignments="signed").center_alignment) < 0.2


def test_dead_units_repeated_points_and_classes_in_0_are_taken() -> None:
    points, labels = clouds(3, 6, 8, 0.5)
    plain = glue(points, labels, draws=40)
    wide = np.hstack([points, np.zeros((18, 2))])
    twice = glue(np.vstack([wide, wide]), np.tile(labels, 2), draws=400)
    assert twice.capacity == pytest.approx(plain.capacity, rel=0.3)
    assert twice.dropped == 0
    points[labels == 1] = 0
    empty = glue(points, labels, draws=40)
    assert np.isfinite(empty[:7]).all()
    assert empty.inactive > 1 / 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sides": "some"}, "sides of random or one_vs_rest, received 'some'"),
        ({"radius": "mean"}, "radius of ratio_of_means or"),
        ({"draws": 1}, "at least 2 draws, received 1"),
        ({"labels": np.zeros(6, int)}, "at least 2 classes, received 1"),
        ({"points": np.zeros((6, 2))}, "not all 0"),
        ({"points": np.full((6, 2), np.nan)}, "finite"),
    ],
)
def test_what_has_no_capacity_is_refused(changed: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"points": noise(6, 2), "labels": np.arange(6) % 2}
    with pytest.raises(ValueError, match=said):
        inspect.unwrap(glue)(**given | changed)  # from the tests' own check of types


@pytest.mark.slow
def test_every_draw_of_the_digits_and_letters_of_a_layer_is_solved() -> None:
    found = glue(*clouds(47, 50, 128, 0.7), draws=200)
    assert found.dropped == 0

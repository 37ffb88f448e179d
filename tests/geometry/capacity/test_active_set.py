"""The active-set solver against scipy's nonnegative least squares and the optimality conditions."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import nnls

from lightning_grok.geometry.capacity.active_set import solve_nonnegative


def problem(
    seed: int, size: int, count: int, vectors: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Columns S (size, count), which a shift makes alike, and targets (size, vectors)."""
    generator = np.random.default_rng(seed)
    return (
        generator.standard_normal((size, count)) + shift,
        generator.standard_normal((size, vectors)) + shift,
    )


def solve(columns: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return solve_nonnegative(columns.T @ columns, np.ascontiguousarray(targets.T @ columns))[0]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 30),
    count=st.integers(1, 40),
    shift=st.sampled_from([0.0, 1.0, 5.0]),
)
def test_it_finds_the_point_that_scipy_finds(
    seed: int, size: int, count: int, shift: float
) -> None:
    columns, targets = problem(seed, size, count, 5, shift)
    solutions = solve(columns, targets)
    assert (solutions >= 0).all()
    for solution, target in zip(solutions, targets.T, strict=True):
        expected = columns @ nnls(columns, target)[0]
        # Where columns are dependent x isn't unique, S x is.
        np.testing.assert_allclose(columns @ solution, expected, atol=1e-6 * (1 + shift))


@pytest.mark.parametrize(("size", "count"), [(50, 20), (20, 200), (129, 200)])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_gradient_and_complementarity_vanish(size: int, count: int, shift: float) -> None:
    columns, targets = problem(1, size, count, 50, shift)
    solutions = solve(columns, targets)
    gradient = targets.T @ columns - solutions @ (columns.T @ columns)
    scale = np.abs(targets.T @ columns).max()
    assert gradient.max() < 1e-10 * scale
    assert np.abs(gradient[solutions > 0]).max() < 1e-10 * scale


def test_coordinates_that_entered_leave_again() -> None:
    # The second column is nearer to the target, yet the best cone is that of the other two.
    columns = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, -1.0], [0.3, 0.0, 0.3]])
    target = np.array([[1.0], [0.05], [0.4]])
    gram = columns.T @ columns
    generator = np.random.default_rng(0)
    alike = np.ones((6, 30)) + 0.2 * generator.standard_normal((6, 30))
    near = np.ones((6, 100)) + 0.4 * generator.standard_normal((6, 100))
    solutions, entered = solve_nonnegative(alike.T @ alike, np.ascontiguousarray(near.T @ alike))
    assert (entered > (solutions > 0).sum(axis=1)).any()
    for solution, vector in zip(solutions, near.T, strict=True):
        np.testing.assert_allclose(alike @ solution, alike @ nnls(alike, vector)[0], atol=1e-9)
    (solution,), _ = solve_nonnegative(gram, target.T @ columns)
    np.testing.assert_allclose(solution, nnls(columns, target[:, 0])[0], atol=1e-12)


def test_dependent_columns_are_skipped() -> None:
    columns, targets = problem(3, 12, 8, 20)
    repeated = np.concatenate([columns, columns[:, :4], columns[:, :1] + columns[:, 1:2]], axis=1)
    twice = solve(repeated, targets)
    once = solve(columns, targets)
    np.testing.assert_allclose(twice @ repeated.T, once @ columns.T, atol=1e-10)


def test_nothing_enters_where_no_gradient_is_positive() -> None:
    solutions, entered = solve_nonnegative(np.eye(3), np.array([[-1.0, 0.0, -2.0]]))
    assert not solutions.any()
    assert entered.tolist() == [0]


def test_orthogonal_columns_have_a_closed_form() -> None:
    targets = np.random.default_rng(0).standard_normal((50, 7))
    lengths = np.arange(1.0, 8.0)
    solutions, _ = solve_nonnegative(np.diag(lengths), targets)
    np.testing.assert_allclose(solutions, np.maximum(targets, 0) / lengths, rtol=1e-14)


def test_the_same_bits_every_time() -> None:
    columns, targets = problem(5, 40, 60, 30)
    assert np.array_equal(solve(columns, targets), solve(columns, targets))

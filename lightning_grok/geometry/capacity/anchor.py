"""Anchor points of one manifold, and the capacity, radius and dimension they define.

Source: Chung, Lee and Sompolinsky, Classification and Geometry of General Perceptual Manifolds,
Phys. Rev. X 8, 031003 (2018), section III and eqs. 16, 17, 28, 29.

A manifold is the convex hull of m points in center-augmented coordinates: a column (s_i, 1) holds
the D coordinates of a point around the manifold's center, in units of the center's norm, and the
coordinate along the center. For a Gaussian vector t of D + 1 coordinates the program

    v(t) = argmin 1/2 |v - t|^2   subject to   v . (s_i, 1) <= -kappa  for all i

(the published code's sign of the constraint) has the dual min 1/2 |S x|^2 - x . S'(t + kappa e),
x >= 0, with e the last axis: the margin is a shift of t along the center. The anchor is the convex
combination S x / sum(x) of points that t - v is a multiple of; where no constraint binds, v = t
and the anchor is the point of largest projection on t.
"""

from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lightning_grok.extras import named_extra
from lightning_grok.geometry.arrays import Points, finite_array

Backend = Literal["numba", "cvxpy"]

# Certificates accepted: the active set reaches 1e-15, an interior-point method its own tolerance.
ACCEPTED: dict[str, float] = {"numba": 1e-9, "cvxpy": 1e-6}
# Beyond this size of the points in units of the center's norm, the center's coordinate is lost to
# rounding in the Gram matrix, and the program is solved on the points themselves.
_GRAM_LIMIT = 1e4
# |t - v| below which the vector counts as interior, as in the published code.
_INTERIOR = 1e-8


class AnchorStatus(IntEnum):
    """How the program of one vector ended."""

    SOLVED = 0  # some constraints bind; the anchor is their weighted mean
    INTERIOR = 1  # none binds: v = t, and nothing is added to 1 / capacity
    FAILED = 2  # no certified solution: the vector is left out of every mean


class AnchorSolution(NamedTuple):
    """Dual solutions of the programs of one manifold, one column or entry a vector."""

    multipliers: Float[np.ndarray, "m n"]  # x >= 0; 0 unless SOLVED
    combination: Float[np.ndarray, "d1 n"]  # S x = t + kappa e - v
    status: Int[np.ndarray, " n"]  # AnchorStatus
    residual: Float[np.ndarray, " n"]  # the certificate of `certify`, 0 for an exact solution


class AnchorGeometry(NamedTuple):
    """Mean-field geometry of one manifold; NaN where no vector has a certified solution.

    Attributes:
        capacity: 1 / E[max(0, t . s + kappa)^2 / |s|^2], eqs. 16 and 17.
        radius: root mean square distance of the anchors from their mean, eq. 28.
        dimension: D E[cos(t, s)]^2 without the center's coordinate, eq. 29.
        capacity_se, radius_se, dimension_se: standard errors over the vectors, by the delta method.
        interior: vectors with no binding constraint.
        failed: vectors left out because their program has no certified solution.
        residual: the worst certificate among the vectors kept.
    """

    capacity: float
    radius: float
    dimension: float
    capacity_se: float
    radius_se: float
    dimension_se: float
    interior: int
    failed: int
    residual: float


_NAN = float("nan")
UNDEFINED = AnchorGeometry(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, 0, 0, _NAN)
"""Where there is nothing to measure."""


def anchor_geometry(
    points: Points,
    vectors: Points,
    kappa: float = 0.0,
    *,
    backend: Backend = "numba",
) -> AnchorGeometry:
    """Capacity, radius and dimension of one manifold for the given Gaussian vectors.

    Means run over the vectors with a certified solution; `failed` counts the others. Points of no
    extent (one point, or no variance) have radius and dimension 0 and a capacity near 2, the
    capacity of points, at kappa = 0. The standard error is NaN for a single vector.

    Args:
        points: (D+1, m) columns (s_i, 1), finite; D may exceed m or not. Dead coordinates,
            dependent and repeated points are allowed.
        vectors: (D+1, n) columns t ~ N(0, I), finite.
        kappa: margin, at least 0.
        backend: "numba", the exact active-set method, or "cvxpy", the interior-point oracle:
            slower by three orders of magnitude, agreeing to about 1e-6.

    Raises:
        ValueError: a shape doesn't fit, the last row of points isn't one, a value isn't finite,
            the margin is negative, or the backend is unknown.

    Cost: O(m^2 D) once and O(m k^2) a vector for k active constraints of m.
    """
    points = finite_array(points, "points", 2)
    vectors = finite_array(vectors, "vectors", 2)
    solution = solve_anchors(points, vectors, kappa, backend=backend)
    kept = solution.status != AnchorStatus.FAILED
    failed = int(np.count_nonzero(~kept))
    if failed == len(kept):
        return UNDEFINED._replace(failed=failed)
    vectors = vectors[:, kept]
    interior = solution.status[kept] == AnchorStatus.INTERIOR
    anchors = _anchors(points, vectors, solution, kept, interior)
    inverse_capacity, inverse_se = mean_and_error(_inverse_capacity_terms(anchors, vectors, kappa))
    # The last coordinate of an anchor is 1, so that the division by it in eq. 28 is by 1; moving
    # the mean leaves the mean square unchanged to first order, so its error adds nothing.
    deviations = anchors[:-1] - anchors[:-1].mean(axis=1, keepdims=True)
    square, square_se = mean_and_error(np.einsum("dn,dn->n", deviations, deviations))
    cosine, cosine_se = mean_and_error(_cosines(vectors[:-1], anchors[:-1]))
    radius, size = float(np.sqrt(square)), len(points) - 1
    return AnchorGeometry(
        capacity=1 / inverse_capacity if inverse_capacity > 0 else float("inf"),
        radius=radius,
        dimension=size * cosine**2,
        capacity_se=inverse_se / inverse_capacity**2 if inverse_capacity > 0 else float("nan"),
        radius_se=square_se / (2 * radius) if radius > 0 else 0.0 * square_se,
        dimension_se=2 * size * abs(cosine) * cosine_se,
        interior=int(np.count_nonzero(interior)),
        failed=failed,
        residual=float(solution.residual[kept].max()),
    )


def solve_anchors(
    points: Float[np.ndarray, "d1 m"],
    vectors: Float[np.ndarray, "d1 n"],
    kappa: float = 0.0,
    *,
    backend: Backend = "numba",
) -> AnchorSolution:
    """Multipliers of the anchor program for every vector, certified on the points themselves.

    Whatever solved a program, its multipliers are judged by the same residual, and what fails is
    tried again by scipy's nonnegative least squares and then marked FAILED with multipliers 0.
    Arguments and errors as in `anchor_geometry`, which sees to it that they are finite.
    """
    _validate(points, vectors, kappa, backend)
    shifted = vectors.copy()
    shifted[-1] += kappa
    lengths = np.linalg.norm(points, axis=0)
    unit = points / lengths  # multipliers of unit columns are x_i |(s_i, 1)|
    linear = np.ascontiguousarray(shifted.T @ unit)
    binding = linear.max(axis=1) > 0.0  # otherwise x = 0 is the exact solution
    multipliers = np.zeros((unit.shape[1], shifted.shape[1]))
    if backend == "cvxpy":
        multipliers[:, binding] = _solve_cvxpy(unit, shifted[:, binding])
    elif lengths.max() < _GRAM_LIMIT:
        multipliers[:, binding] = _solve_active_set(unit, linear[binding])
    else:
        multipliers[:, binding] = np.nan  # left to the method that needs no Gram matrix
    combination = unit @ multipliers
    residual = certify(unit, shifted, multipliers, combination)
    accepted = ACCEPTED[backend]
    for column in np.flatnonzero(~(residual <= accepted)):
        one = [column]
        multipliers[:, column] = solve_least_squares(unit, shifted[:, column])
        combination[:, column] = unit @ multipliers[:, column]
        residual[one] = certify(unit, shifted[:, one], multipliers[:, one], combination[:, one])
    reach = np.sqrt(np.einsum("dn,dn->n", combination, combination))  # |t - v|
    status = np.where(reach < _INTERIOR, AnchorStatus.INTERIOR, AnchorStatus.SOLVED)
    status[~(residual <= accepted)] = AnchorStatus.FAILED
    unsolved = status != AnchorStatus.SOLVED
    multipliers[:, unsolved] = 0.0
    combination[:, unsolved] = 0.0
    return AnchorSolution(multipliers / lengths[:, None], combination, status, residual)


def _validate(points: np.ndarray, vectors: np.ndarray, kappa: float, backend: str) -> None:
    if not len(points) == len(vectors) >= 2:
        raise ValueError(
            "expected points (D+1, m) and vectors (D+1, n) with D >= 1, "
            f"received {points.shape} and {vectors.shape}"
        )
    if not (points[-1] == 1.0).all():
        raise ValueError(
            "expected center-augmented points, whose last row is one; "
            f"received values from {points[-1].min()} to {points[-1].max()} there"
        )
    if not 0.0 <= kappa < np.inf:
        raise ValueError(f"expected a finite margin kappa of at least 0, received {kappa}")
    if backend not in ACCEPTED:
        raise ValueError(f"expected a backend of {', '.join(ACCEPTED)}; received {backend!r}")


def certify(
    unit: np.ndarray, shifted: np.ndarray, multipliers: np.ndarray, combination: np.ndarray
) -> np.ndarray:
    """The worse of two relative residuals of every column; NaN for multipliers that aren't finite.

    With v = t - S x, stationarity holds by construction. Left are the largest violation of
    v . s_i <= 0 as a cosine-like ratio to |t|, and the duality gap |x . S'v| relative to |t|^2.
    """
    slack = unit.T @ (shifted - combination)
    length = np.linalg.norm(shifted, axis=0)
    length[length == 0] = 1.0
    violation = np.maximum(slack.max(axis=0), 0.0) / length
    gap = np.abs(np.einsum("mn,mn->n", multipliers, slack)) / length**2
    return np.maximum(violation, gap)


def _solve_active_set(unit: np.ndarray, linear: np.ndarray) -> np.ndarray:
    from lightning_grok.geometry.capacity.active_set import solve_nonnegative

    return solve_nonnegative(unit.T @ unit, linear)[0].T


def solve_least_squares(unit: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """min |S x - t| over x >= 0 by scipy, on the points: right where the Gram matrix rounds."""
    from scipy.optimize import nnls

    try:
        return nnls(unit, vector)[0]
    except RuntimeError:  # the iteration limit
        return np.full(unit.shape[1], np.nan)


@named_extra()
def _solve_cvxpy(unit: np.ndarray, shifted: np.ndarray) -> np.ndarray:
    """Duals of the primal program by Clarabel; a column of NaN where it reports no optimum."""
    import cvxpy as cp

    vector = cp.Parameter(len(shifted))
    primal = cp.Variable(len(shifted))
    constraint = unit.T @ primal <= 0
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(primal - vector)), [constraint])
    multipliers = np.full((unit.shape[1], shifted.shape[1]), np.nan)
    for column in range(shifted.shape[1]):
        vector.value = shifted[:, column]
        problem.solve(solver=cp.CLARABEL)
        if problem.status == cp.OPTIMAL:
            multipliers[:, column] = np.maximum(constraint.dual_value, 0.0)
    return multipliers


def _anchors(
    points: np.ndarray,
    vectors: np.ndarray,
    solution: AnchorSolution,
    kept: np.ndarray,
    interior: np.ndarray,
) -> np.ndarray:
    """(D+1, n) anchors of the kept vectors: S x / sum(x), the farthest point where interior."""
    total = solution.multipliers[:, kept].sum(axis=0)
    anchors = solution.combination[:, kept] / np.where(interior, 1.0, total)
    if interior.any():
        farthest = np.argmax(points[:-1].T @ vectors[:-1, interior], axis=0)
        anchors[:, interior] = points[:, farthest]
    return anchors


def _inverse_capacity_terms(
    anchors: np.ndarray, vectors: np.ndarray, kappa: float
) -> Float[np.ndarray, " n"]:
    """max(0, t . s + kappa)^2 / |s|^2, whose mean is 1 / capacity; |s| >= 1."""
    projection = np.maximum(np.einsum("dn,dn->n", vectors, anchors) + kappa, 0.0)
    return projection**2 / np.einsum("dn,dn->n", anchors, anchors)


def _cosines(first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, " n"]:
    """Cosine of the angle between columns, 0 where one of them has no length."""
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    products = np.einsum("dn,dn->n", first, second)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def mean_and_error(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Mean and its standard error, NaN for one value."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))

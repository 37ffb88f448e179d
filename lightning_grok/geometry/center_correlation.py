"""The common structure of class centers, removed before manifolds are taken apart.

Source: Cohen, Chung, Lee and Sompolinsky, Nat. Commun. 11, 746 (2020), methods. Centers of C
classes, around their own mean, share low-dimensional structure. For every rank K an orthonormal
basis V of K columns is sought that minimizes

    f(V) = 1/2 sum over all pairs of corr(x_i - V V'x_i, x_j - V V'x_j)^2

from several random starts; of these the most stable basis counts, whose smallest ratio of a
center's length after and before is largest. K grows until the mean absolute correlation that is
left has risen three times in a row; the K with the smallest one is taken. As published, K stays
below the number of components that hold 95 % of the centers' variance, plus eleven.

f depends on span(V) alone, so that V = W L^-T with L L' = W'W for any W of full rank, and
W is found by L-BFGS without a constraint.

Functions
    center_structure     the basis, its rank and how sure it is
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lightning_grok.geometry.compilation import compiled

_ITERATIONS = 1000
_MEMORY = 8
_GRADIENT_TOLERANCE = 1e-4
_COST_TOLERANCE = 1e-9
_SUFFICIENT = 1e-4  # Armijo's condition
_RISES = 3


class CenterStructure(NamedTuple):
    """What is removed from all points, and what it leaves.

    Attributes:
        basis: (d, K) orthonormal columns.
        correlation: mean absolute correlation of the centers before.
        residual: the same after.
        residual_sd: its standard deviation over the random starts at this K.
    """

    basis: Float[np.ndarray, "d k"]
    correlation: float
    residual: float
    residual_sd: float


def center_structure(
    centers: Float[np.ndarray, "classes d"], *, restarts: int = 10, seed: int = 0
) -> CenterStructure:
    """Find the structure that class centers share.

    Args:
        centers: (C, d) class means, finite; their mean over classes is subtracted here.
        restarts: random starts for every rank.
        seed: of the starts.

    Returns:
        The structure; its basis has no columns for fewer than four classes, where nothing that is
        shared can be told from the centers themselves, and for centers without length.

    Cost: O(C^2 K) an iteration, at most 1,000 iterations a start, one start a restart and rank.
    """
    classes, dimensions = centers.shape
    centered = centers - centers.mean(axis=0)
    none = np.zeros((dimensions, 0))
    lengths = np.linalg.norm(centered, axis=1)
    kept = lengths > 1e-12 * max(float(lengths.max(initial=0.0)), 1e-300)
    if kept.sum() < 2:
        return CenterStructure(none, np.nan, np.nan, np.nan)
    active = centered[kept]
    before = _mean_correlation(active)
    if kept.sum() < 4:
        return CenterStructure(none, before, before, 0.0)
    # Coordinates in the span of the centers: at most C - 1 of them.
    _, singular, axes = np.linalg.svd(active, full_matrices=False)
    rank = int(np.sum(singular > 1e-10 * singular[0]))
    coordinates = np.ascontiguousarray(active @ axes[:rank].T)
    limit = min(_largest_rank(singular), kept.sum() - 2, rank - 1)
    if limit < 1:
        return CenterStructure(none, before, before, 0.0)
    best = _search(coordinates, limit, restarts, seed)
    return CenterStructure(axes[:rank].T @ best[0], before, best[1], best[2])


def _search(
    coordinates: np.ndarray, limit: int, restarts: int, seed: int
) -> tuple[np.ndarray, float, float]:
    found: list[tuple[np.ndarray, float, float]] = []
    for rank in range(1, limit + 1):
        tried = []
        for restart in range(restarts):
            # A start depends on (seed, rank, restart) alone, not on how many came before.
            generator = np.random.default_rng(np.random.SeedSequence((seed, rank, restart)))
            start = generator.standard_normal((coordinates.shape[1], rank))
            basis = _minimize(coordinates, start)
            tried.append((basis, *_judge(coordinates, basis)))
        chosen = max(tried, key=lambda each: each[2])
        spread = float(np.std([each[1] for each in tried], ddof=1)) if restarts > 1 else np.nan
        found.append((chosen[0], chosen[1], spread))
        residuals = [each[1] for each in found[-_RISES - 1 :]]
        if rank > 4 and all(np.diff(residuals) > 0):
            break
    return min(found, key=lambda each: each[1])


def _largest_rank(singular: np.ndarray) -> int:
    share = np.cumsum(singular**2) / np.sum(singular**2)
    below = np.where(share < 0.95, share, 0.0)
    return int(np.argmax(below)) + 11


def _mean_correlation(centers: np.ndarray) -> float:
    unit = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    gram = np.abs(unit @ unit.T)
    classes = len(gram)
    return float((gram.sum() - np.trace(gram)) / (classes * (classes - 1)))


def _judge(coordinates: np.ndarray, basis: np.ndarray) -> tuple[float, float]:
    """Mean absolute correlation that is left, and the smallest share of a center's length."""
    rest = coordinates - (coordinates @ basis) @ basis.T
    lengths = np.linalg.norm(rest, axis=1)
    share = float(np.min(lengths / np.linalg.norm(coordinates, axis=1)))
    return (np.inf, 0.0) if share < 1e-12 else (_mean_correlation(rest), share)


@compiled
def _orthonormal(w):
    """V = W L^-T and L, with L L' = W'W; the pivots are positive for a W of full rank."""
    rank = w.shape[1]
    gram = w.T @ w
    factor = np.zeros((rank, rank))
    for i in range(rank):
        for j in range(i + 1):
            value = gram[i, j]
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            if i == j:
                factor[i, i] = np.sqrt(max(value, 1e-300))
            else:
                factor[i, j] = value / factor[j, j]
    inverse = np.zeros((rank, rank))  # L^-1, by forward substitution
    for i in range(rank):
        inverse[i, i] = 1.0 / factor[i, i]
        for j in range(i):
            value = 0.0
            for k in range(j, i):
                value -= factor[i, k] * inverse[k, j]
            inverse[i, j] = value / factor[i, i]
    return w @ inverse.T, inverse


@compiled
def _cost_and_gradient(x, gram, w):
    """f and its gradient with respect to W; infinite where a center would vanish.

    With c = XV and the left-over products R = XX' - cc', the derivative of
    1/2 sum R_ij^2 / (R_ii R_jj) is 2 X'(diag(b) - A) c with A = R_ij / (R_ii R_jj) and
    b_i = sum_j A_ij R_ij / R_ii.
    """
    classes = x.shape[0]
    v, inverse = _orthonormal(w)
    c = x @ v
    left = gram - c @ c.T
    scale = np.empty(classes)
    for i in range(classes):
        if left[i, i] <= 1e-10 * gram[i, i]:
            return np.inf, w
        scale[i] = 1.0 / left[i, i]
    cost = 0.0
    mixed = np.empty((classes, classes))
    for i in range(classes):
        squares = 0.0
        for j in range(classes):
            value = left[i, j] * scale[i] * scale[j]
            mixed[i, j] = -value
            squares += value * left[i, j]
        cost += squares
        mixed[i, i] += squares * scale[i]
    gradient = 2.0 * (x.T @ (mixed @ c))
    gradient -= v @ (v.T @ gradient)
    return 0.5 * cost, gradient @ inverse


@compiled
def _direction(gradient, steps, changes, curvatures, stored):
    """Minus the L-BFGS inverse Hessian times the gradient; the newest pair is stored last."""
    q = gradient.copy()
    shares = np.zeros(stored)
    for i in range(stored - 1, -1, -1):
        shares[i] = np.sum(steps[i] * q) / curvatures[i]
        q -= shares[i] * changes[i]
    if stored > 0:
        q *= curvatures[stored - 1] / np.sum(changes[stored - 1] ** 2)
    else:
        q /= 10.0 * np.sqrt(np.sum(q * q))
    for i in range(stored):
        q += (shares[i] - np.sum(changes[i] * q) / curvatures[i]) * steps[i]
    return -q


@compiled
def _minimize(x, start):
    """Orthonormal basis of a local minimum of f near `start` (d, K)."""
    gram = x @ x.T
    w, _ = _orthonormal(start)
    cost, gradient = _cost_and_gradient(x, gram, w)
    size, rank = w.shape
    steps = np.zeros((_MEMORY, size, rank))
    changes = np.zeros((_MEMORY, size, rank))
    curvatures = np.zeros(_MEMORY)
    stored = 0
    for _ in range(_ITERATIONS):
        if not np.isfinite(cost) or np.sqrt(np.sum(gradient**2)) < _GRADIENT_TOLERANCE:
            break
        direction = _direction(gradient, steps, changes, curvatures, stored)
        slope = np.sum(gradient * direction)
        if slope >= 0.0:  # a stale history
            stored = 0
            direction = _direction(gradient, steps, changes, curvatures, stored)
            slope = np.sum(gradient * direction)
        length = 1.0
        new_cost, new_gradient = _cost_and_gradient(x, gram, w + direction)
        while not new_cost <= cost + _SUFFICIENT * length * slope and length > 1e-10:
            length *= 0.5
            new_cost, new_gradient = _cost_and_gradient(x, gram, w + length * direction)
        if length <= 1e-10:
            break
        step = length * direction
        change = new_gradient - gradient
        curvature = np.sum(step * change)
        gain = cost - new_cost
        w, cost, gradient = w + step, new_cost, new_gradient
        if curvature > 1e-12 * np.sqrt(np.sum(step**2) * np.sum(change**2)):
            if stored == _MEMORY:
                for i in range(_MEMORY - 1):
                    steps[i] = steps[i + 1]
                    changes[i] = changes[i + 1]
                    curvatures[i] = curvatures[i + 1]
                stored -= 1
            steps[stored], changes[stored], curvatures[stored] = step, change, curvature
            stored += 1
        if gain < _COST_TOLERANCE * max(1.0, abs(cost)):
            break
    basis, _ = _orthonormal(w)
    return basis

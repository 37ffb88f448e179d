"""Subspaces that explain the correlations among a few vectors: L-BFGS in Numba.

For unit rows x_i of X (P, N) and a subspace spanned by orthonormal rows V (K, N), what is left of a
row outside the subspace is x_i - V'V x_i, and with c = V X'

    f(V) = 1/2 sum_ij corr_ij^2,   corr_ij = r_ij / sqrt(r_ii r_jj),   r = X X' - c'c

is half the sum of the squared correlations of what is left, the diagonal included. f depends on
the subspace alone, so that it may be minimized over unconstrained W (K, N) with V = L^-1 W from
the Cholesky factor W W' = L L'.

Directions of V that carry much of nearly vanished rows are stiff: the mean of the Hessian over N is
close to M = c diag(1/r_ii) c' and its eigenvalues differ a hundredfold. Every twenty steps W is
therefore written anew as C V with C'C = M, in which coordinates M is the identity, and the steps
remembered are transformed with it. That takes a third of the iterations.
"""

# Numba infers the types of what it compiles.
# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import numpy as np

from lightning_grok.geometry.capacity.triangular import (
    add_scaled,
    cholesky,
    copy,
    inner,
    multiply,
    solve_lower,
    solve_upper,
)
from lightning_grok.geometry.compilation import compiled, inlined

# Pairs of steps and gradient changes kept by L-BFGS.
_MEMORY = 4
# Sufficient decrease of a step, as a fraction of what the slope promises (Armijo).
_DECREASE = 1e-4
# Length of the first step, in units of an orthonormal W, and the step given up.
_FIRST_STEP = 0.1
_LAST_STEP = 1e-10
# Stop after this many steps in a row that gain less than the tolerance.
_STALLED = 3
# Steps between two choices of coordinates, and what is added to M of its mean eigenvalue.
_PERIOD = 20
_RIDGE = 0.01


class _Space(NamedTuple):
    """The rows, and what `_evaluate` leaves behind at its last W."""

    rows: np.ndarray  # (P, N) X
    columns: np.ndarray  # (N, P) X'
    gram: np.ndarray  # (P, P) X X'
    factor: np.ndarray  # (K, K) L
    basis: np.ndarray  # (K, N) V
    removed: np.ndarray  # (K, P) c
    inverse: np.ndarray  # (P,) 1 / r_ii
    square: np.ndarray  # (P, P) c'c, then r_ij / (r_ii r_jj)
    own: np.ndarray  # (P,) sum_j corr_ij^2 / r_ii
    outer: np.ndarray  # (K, P) scratch, as are the next two
    small: np.ndarray  # (K, K)
    shift: np.ndarray  # (K, N)


@compiled
def _transposed(rows):
    """The transpose, in rows of contiguous numbers again."""
    columns = np.zeros((rows.shape[1], rows.shape[0]))
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            columns[j, i] = rows[i, j]
    return columns


@inlined
def _allocate(rows, rank):
    count, size = rows.shape
    columns, gram = _transposed(rows), np.zeros((count, count))
    np.dot(rows, columns, gram)
    return _Space(
        rows,
        columns,
        gram,
        np.zeros((rank, rank)),
        np.zeros((rank, size)),
        np.zeros((rank, count)),
        np.zeros(count),
        np.zeros((count, count)),
        np.zeros(count),
        np.zeros((rank, count)),
        np.zeros((rank, rank)),
        np.zeros((rank, size)),
    )


@compiled
def _add_and_dot(target, factor, term, other):
    """target += factor term; the product of the result with `other`, in one pass."""
    value = 0.0
    for j in range(target.shape[0]):
        target[j] += factor * term[j]
        value += target[j] * other[j]
    return value


@inlined
def _invert_lengths(gram, removed, inverse):
    """1 / r_ii of every row; False when one has vanished."""
    for i in range(inverse.shape[0]):
        inverse[i] = gram[i, i]
    for k in range(removed.shape[0]):
        for i in range(inverse.shape[0]):
            inverse[i] -= removed[k, i] * removed[k, i]
    for i in range(inverse.shape[0]):
        if not inverse[i] > 0.0:
            return False
        inverse[i] = 1.0 / inverse[i]
    return True


@inlined
def _correlate(gram, square, inverse, own):
    """Turn c'c into r_ij / (r_ii r_jj); the sum of all corr_ij^2."""
    count = inverse.shape[0]
    total = 0.0
    for i in range(count):
        scale = inverse[i]
        row_sum = 0.0
        for j in range(count):
            value = gram[i, j] - square[i, j]
            scaled = value * inverse[j] * scale
            square[i, j] = scaled
            row_sum += scaled * value
        own[i] = row_sum * scale
        total += row_sum
    return total


@compiled
def _evaluate(space, weights, gradient):
    """f at span(W), its gradient with respect to W (K, N), and the gradient's norm at V.

    The cost is infinite, and nothing else is of use, where W has lost its rank or a row vanishes.
    """
    basis, removed, outer = space.basis, space.removed, space.outer
    np.dot(weights, weights.T, space.small)
    if not cholesky(space.small, space.factor):
        return np.inf, 0.0
    copy(basis.ravel(), weights.ravel())
    solve_lower(space.factor, basis)
    np.dot(basis, space.columns, removed)
    if not _invert_lengths(space.gram, removed, space.inverse):
        return np.inf, 0.0
    np.dot(removed.T, removed, space.square)
    total = _correlate(space.gram, space.square, space.inverse, space.own)
    np.dot(removed, space.square, outer)
    for k in range(outer.shape[0]):
        for i in range(outer.shape[1]):
            outer[k, i] = 2.0 * (space.own[i] * removed[k, i] - outer[k, i])
    # The gradient at V without its part inside the subspace, where f is constant.
    np.dot(outer, space.rows, gradient)
    np.dot(outer, removed.T, space.small)
    np.dot(space.small, basis, space.shift)
    add_scaled(gradient.ravel(), -1.0, space.shift.ravel())
    norm = np.sqrt(inner(gradient.ravel(), gradient.ravel()))
    solve_upper(space.factor, gradient)
    return 0.5 * total, norm


@inlined
def _descent_direction(gradient, steps, changes, curvature, stored, direction):
    """Minus the L-BFGS inverse Hessian times the gradient, by the two-loop recursion."""
    for j in range(gradient.shape[0]):
        direction[j] = -gradient[j]
    if stored == 0:
        multiply(direction, _FIRST_STEP / np.sqrt(inner(gradient, gradient)))
        return
    oldest, newest = max(0, stored - _MEMORY), (stored - 1) % _MEMORY
    share = np.empty(_MEMORY)
    product = inner(steps[newest], direction)
    for pair in range(stored - 1, oldest - 1, -1):
        i = pair % _MEMORY
        share[i] = product / curvature[i]
        other = steps[(pair - 1) % _MEMORY] if pair > oldest else changes[i]
        product = _add_and_dot(direction, -share[i], changes[i], other)
    scale = curvature[newest] / inner(changes[newest], changes[newest])
    multiply(direction, scale)
    product *= scale
    for pair in range(oldest, stored):
        i = pair % _MEMORY
        factor = share[i] - product / curvature[i]
        product = _add_and_dot(direction, factor, steps[i], changes[(pair + 1) % _MEMORY])


@inlined
def _recoordinate(space, weights, gradient, steps, changes, stored):
    """W <- C V with C'C = M; gradient, steps and changes as they are for the new W.

    W is mapped by T = C L^-1 and so are steps; gradients and their changes by T'^-1.
    """
    rank = weights.shape[0]
    for k in range(rank):
        for i in range(space.inverse.shape[0]):
            space.outer[k, i] = space.removed[k, i] * space.inverse[i]
    metric = space.small
    np.dot(space.outer, space.removed.T, metric)
    mean = 0.0
    for k in range(rank):
        mean += metric[k, k]
    mean /= rank
    for k in range(rank):
        metric[k, k] += _RIDGE * mean
    root = np.zeros((rank, rank))
    if not cholesky(metric, root):
        return
    for i in range(rank):
        for j in range(i + 1):
            root[i, j] /= np.sqrt(mean)  # C', with W about orthonormal
    backward = _transposed(space.factor)
    solve_lower(root, backward)  # T'^-1 = C'^-1 L'
    np.dot(_transposed(root), space.basis, weights)
    solve_upper(space.factor, root)
    forward = _transposed(root)  # T = (L'^-1 C')'
    shape, scratch = weights.shape, space.shift
    for i in range(min(stored, _MEMORY)):
        np.dot(forward, steps[i].reshape(shape), scratch)
        copy(steps[i], scratch.ravel())
        np.dot(backward, changes[i].reshape(shape), scratch)
        copy(changes[i], scratch.ravel())
    np.dot(backward, gradient, scratch)
    copy(gradient.ravel(), scratch.ravel())


@inlined
def _search_line(space, weights, gradient, cost, direction, trial, trial_gradient):
    """Halve a step until it descends enough; its length, 0 for none, the cost and the norm."""
    slope = inner(gradient.ravel(), direction)
    length = 1.0
    while slope < 0.0 and length > _LAST_STEP:
        copy(trial.ravel(), weights.ravel())
        add_scaled(trial.ravel(), length, direction)
        trial_cost, norm = _evaluate(space, trial, trial_gradient)
        if trial_cost <= cost + _DECREASE * length * slope:
            return length, trial_cost, norm
        length *= 0.5
    return 0.0, cost, 0.0


@inlined
def _minimize(space, weights, max_iterations, gradient_tolerance, cost_tolerance):
    """Leave the basis of a local minimum near span(W) in `space`; cost and iterations."""
    size = weights.size
    gradient, trial_gradient = np.empty(weights.shape), np.empty(weights.shape)
    trial, direction = np.empty(weights.shape), np.empty(size)
    steps, changes = np.zeros((_MEMORY, size)), np.zeros((_MEMORY, size))
    curvature = np.empty(_MEMORY)
    stored, stalled = 0, 0
    cost, norm = _evaluate(space, weights, gradient)
    for iteration in range(max_iterations):
        if norm < gradient_tolerance or stalled >= _STALLED:
            return cost, iteration
        if iteration % _PERIOD == 0:
            _recoordinate(space, weights, gradient, steps, changes, stored)
        _descent_direction(gradient.ravel(), steps, changes, curvature, stored, direction)
        length, trial_cost, trial_norm = _search_line(
            space, weights, gradient, cost, direction, trial, trial_gradient
        )
        if length == 0.0:
            cost, norm = _evaluate(space, weights, gradient)
            if stored == 0:
                return cost, iteration
            stored = 0  # the memory misleads: begin again along the gradient
            continue
        slot = stored % _MEMORY
        copy(steps[slot], direction)
        multiply(steps[slot], length)
        copy(changes[slot], trial_gradient.ravel())
        add_scaled(changes[slot], -1.0, gradient.ravel())
        product = inner(steps[slot], changes[slot])
        norms = inner(steps[slot], steps[slot]) * inner(changes[slot], changes[slot])
        if product > 1e-10 * np.sqrt(norms):
            curvature[slot] = product
            stored += 1
        stalled = stalled + 1 if cost - trial_cost <= cost_tolerance * cost else 0
        copy(weights.ravel(), trial.ravel())
        copy(gradient.ravel(), trial_gradient.ravel())
        cost, norm = trial_cost, trial_norm
    return cost, max_iterations


@compiled
def minimize_squared_correlation(rows, starts, max_iterations, gradient_tolerance, cost_tolerance):
    """Local minima of f over subspaces, one from the span of every start.

    A start ends when the gradient's norm at an orthonormal basis falls below its tolerance, when
    three steps in a row gain less than `cost_tolerance` of the cost, when no step along the
    gradient descends any more, or after `max_iterations`.

    Args:
        rows: (P, N) unit rows, C order.
        starts: (n, K, N) of rank K < N, C order.

    Returns:
        orthonormal bases (n, K, N), costs (n,), iterations (n,).
    """
    number, rank = starts.shape[:2]
    space = _allocate(rows, rank)
    bases = np.empty_like(starts)
    costs, iterations = np.empty(number), np.empty(number, dtype=np.int64)
    for start in range(number):
        weights = bases[start]
        copy(weights.ravel(), starts[start].ravel())
        costs[start], iterations[start] = _minimize(
            space, weights, max_iterations, gradient_tolerance, cost_tolerance
        )
        copy(weights.ravel(), space.basis.ravel())
    return bases, costs, iterations

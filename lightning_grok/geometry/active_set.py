"""Nonnegative quadratic programs that share one Gram matrix, solved exactly by active sets.

    minimize  1/2 x' G x - c' x   subject to  x >= 0

for one positive semidefinite G and many c. The method is Lawson and Hanson's (Solving Least Squares
Problems, 1974, chapter 23) on the Gram matrix: a set of positive coordinates grows by the most
violated one, its Cholesky factor is extended by one row and rebuilt only from the first row that
leaves. Every step costs O(m k + k^2) for k active of m coordinates; k stays far below m.

Functions
    solve_nonnegative    all right-hand sides of one Gram matrix
"""

import numpy as np

from lightning_grok.geometry.compilation import compiled

# A coordinate enters while its gradient exceeds this fraction of max |c|.
_ENTRY_TOLERANCE = 1e-11
# A column depends on the active ones when its Cholesky pivot, what is left of its squared length,
# falls below this fraction of it: rounding in G itself is not far below.
_PIVOT_TOLERANCE = 1e-13


@compiled
def _append_row(gram, factor, active, count, index, forward, linear):
    """Extend the Cholesky factor of the active block by `index`; False when it is dependent."""
    row = factor[count]
    pivot = gram[index, index]
    reduced = linear[index]
    for i in range(count):
        entry = gram[index, active[i]]
        for j in range(i):
            entry -= factor[i, j] * row[j]
        entry /= factor[i, i]
        row[i] = entry
        pivot -= entry * entry
        reduced -= entry * forward[i]
    if pivot <= _PIVOT_TOLERANCE * gram[index, index]:
        return False
    row[count] = np.sqrt(pivot)
    forward[count] = reduced / row[count]
    active[count] = index
    return True


@compiled
def _back_substitute(factor, forward, count, solution):
    """Solve factor' solution = forward, reading the factor along its rows."""
    for i in range(count):
        solution[i] = forward[i]
    for i in range(count - 1, -1, -1):
        value = solution[i] / factor[i, i]
        solution[i] = value
        for j in range(i):
            solution[j] -= factor[i, j] * value


@compiled
def _step_to_boundary(x, target, count):
    """Move x towards the target until a coordinate reaches zero; that one becomes exactly zero."""
    step = 1.0
    leaving = -1
    for i in range(count):
        if target[i] <= 0.0:
            ratio = x[i] / (x[i] - target[i])
            if leaving < 0 or ratio < step:
                step = ratio
                leaving = i
    for i in range(count):
        x[i] += step * (target[i] - x[i])
    x[leaving] = 0.0


@compiled
def _remove_zeros(gram, factor, active, count, forward, linear, x):
    """Drop the active coordinates at zero; rebuild the factor from the first of them on."""
    kept = 0
    rebuild = False
    for i in range(count):
        if x[i] <= 0.0:
            rebuild = True
            continue
        if rebuild and not _append_row(gram, factor, active, kept, active[i], forward, linear):
            continue
        x[kept] = x[i]
        kept += 1
    return kept


@compiled
def _gradient(gram, active, x, count, linear, gradient):
    """gradient = c - G x, the violation of every coordinate."""
    m = linear.shape[0]
    gradient[:] = linear
    for i in range(count):
        row = gram[active[i]]
        value = x[i]
        for j in range(m):
            gradient[j] -= value * row[j]


@compiled
def _most_violated(gradient, barred, tolerance):
    """Index of the largest gradient above the tolerance that isn't barred, or -1."""
    best = -1
    largest = tolerance
    for j in range(gradient.shape[0]):
        if gradient[j] > largest and not barred[j]:
            best = j
            largest = gradient[j]
    return best


@compiled
def _enter(gram, linear, factor, active, count, forward, gradient, barred, tolerance):
    """Add the most violated coordinate whose column is independent; False when none is left."""
    barred[:] = False
    for i in range(count):
        barred[active[i]] = True
    while True:
        entering = _most_violated(gradient, barred, tolerance)
        if entering < 0:
            return False
        if _append_row(gram, factor, active, count, entering, forward, linear):
            return True
        barred[entering] = True


@compiled
def _solve_one(gram, linear, factor, active, forward, x, target, gradient, barred):
    """One program in the given work space; (active count, iterations). x is in active order."""
    m = linear.shape[0]
    tolerance = _ENTRY_TOLERANCE * np.max(np.abs(linear))
    count = 0
    gradient[:] = linear
    for iteration in range(3 * m):
        if not _enter(gram, linear, factor, active, count, forward, gradient, barred, tolerance):
            return count, iteration
        x[count] = 0.0
        count += 1
        while count > 0:
            _back_substitute(factor, forward, count, target)
            if np.min(target[:count]) > 0.0:
                x[:count] = target[:count]
                break
            _step_to_boundary(x, target, count)
            count = _remove_zeros(gram, factor, active, count, forward, linear, x)
        _gradient(gram, active, x, count, linear, gradient)
    return count, 3 * m


@compiled
def solve_nonnegative(gram, linear):
    """Minimize 1/2 x' G x - c' x over x >= 0 for every row c of `linear`.

    Args:
        gram: (m, m) positive semidefinite G, finite; dependent columns are skipped.
        linear: (n, m) one c per row, finite.

    Returns:
        x (n, m), nonnegative, and the number of coordinates that entered (n,). Nothing here judges
        the solution: the caller must.
    """
    n, m = linear.shape
    solution = np.zeros((n, m))
    iterations = np.zeros(n, dtype=np.int64)
    factor = np.empty((m, m))
    active = np.empty(m, dtype=np.int64)
    forward, x, target, gradient = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    barred = np.empty(m, dtype=np.bool_)
    for row in range(n):
        count, iterations[row] = _solve_one(
            gram, linear[row], factor, active, forward, x, target, gradient, barred
        )
        for i in range(count):
            solution[row, active[i]] = x[i]
    return solution, iterations

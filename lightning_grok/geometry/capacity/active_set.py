"""Nonnegative quadratic programs that share one Gram matrix, solved exactly by active sets.

    minimize  1/2 x' G x - c' x   subject to  x >= 0

for one positive semidefinite G = S'S (m, m) and many c = S't. The method is Lawson and Hanson's
(Solving Least Squares Problems, 1974, chapter 23) on the Gram matrix: a set of positive coordinates
grows by the most violated one until no gradient is positive; where the unconstrained solution on
the set isn't positive, a step is taken to the boundary and what is zero there leaves.

With Q an orthonormal basis of the active columns, the rows Q'S of length m are kept: appended by
one step of a Cholesky factorization, turned back into triangular form by plane rotations when a
column leaves. They give the gradient c - G x = S't - (Q'S)'(Q't) by one subtraction an entry, so
that x itself is needed only once for several entries; where that lets one enter that has to leave
again, the next enters alone, which is Lawson and Hanson's step and always descends.

Every step costs O(m k) for k active of m coordinates; k stays far below m.
"""

# Numba infers the types of what it compiles.
# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import numpy as np

from lightning_grok.geometry.capacity.triangular import PIVOT_TOLERANCE, copy, subtract_combination
from lightning_grok.geometry.compilation import compiled, inlined

# A coordinate enters while its gradient exceeds this fraction of max |c|.
_ENTRY_TOLERANCE = 1e-11
# Coordinates that may enter between two solutions for x.
_ENTRIES = 6


class _Work(NamedTuple):
    """State of one program; the first k entries or rows count for k active coordinates."""

    rows: np.ndarray  # (m, m) Q'S
    factor: np.ndarray  # (m, m) row l: column l of the triangular factor of the active block
    share: np.ndarray  # (m,) Q't
    active: np.ndarray  # (m,) coordinates in the order of their columns
    x: np.ndarray  # (m,) in active order, feasible
    target: np.ndarray  # (m,) the unconstrained solution on the active set
    gradient: np.ndarray  # (m,) c - G target, for all coordinates
    barred: np.ndarray  # (m,) active, or dependent on the active ones


@inlined
def _append(gram, work, count, index):
    """Make `index` active; False when its column depends on the active ones."""
    row, gradient = work.rows[count], work.gradient
    copy(row, gram[index])
    subtract_combination(row, work.rows[:count, index], work.rows[:count])
    pivot = row[index]
    if pivot <= PIVOT_TOLERANCE * gram[index, index]:
        return False
    scale = 1.0 / np.sqrt(pivot)
    share = gradient[index] * scale
    for j in range(row.shape[0]):
        row[j] *= scale
        gradient[j] -= share * row[j]
    for i in range(count + 1):
        work.factor[count, i] = work.rows[i, index]
    work.share[count] = share
    work.active[count] = index
    work.x[count] = 0.0
    return True


@compiled
def _rotate(first, second, cosine, sine):
    for j in range(first.shape[0]):
        value = cosine * first[j] + sine * second[j]
        second[j] = cosine * second[j] - sine * first[j]
        first[j] = value


@inlined
def _remove(work, count, place):
    """Drop the active coordinate at `place` of `count`; the others keep their order."""
    rows, factor, share, active = work.rows, work.factor, work.share, work.active
    work.barred[active[place]] = False
    last = count - 1
    for i in range(place, last):
        index = active[i + 1]
        length = np.hypot(rows[i, index], rows[i + 1, index])
        cosine, sine = rows[i, index] / length, rows[i + 1, index] / length
        _rotate(rows[i], rows[i + 1], cosine, sine)
        _rotate(share[i : i + 1], share[i + 1 : i + 2], cosine, sine)
        active[i] = index
        work.x[i] = work.x[i + 1]
    for column in range(place, last):
        for i in range(place):
            factor[column, i] = factor[column + 1, i]
        for i in range(place, column + 1):
            factor[column, i] = rows[i, active[column]]
    for j in range(work.gradient.shape[0]):
        work.gradient[j] += share[last] * rows[last, j]


@inlined
def _most_violated(gradient, barred, tolerance):
    """Coordinate with the largest gradient above the tolerance that isn't barred, or -1."""
    best, largest = -1, tolerance
    for j in range(gradient.shape[0]):
        if gradient[j] > largest and not barred[j]:
            best, largest = j, gradient[j]
    return best


@inlined
def _enter(gram, work, count, limit, tolerance):
    """Let up to `limit` violated coordinates of independent columns enter; the new count."""
    most = min(count + limit, work.gradient.shape[0])
    while count < most:
        index = _most_violated(work.gradient, work.barred, tolerance)
        if index < 0:
            break
        work.barred[index] = True
        if _append(gram, work, count, index):
            count += 1
    return count


@compiled
def _solve_triangular(factor, share, count, target):
    """R target = share, with the columns of R in the rows of `factor`."""
    copy(target[:count], share)
    for column in range(count - 1, -1, -1):
        entries = factor[column]
        value = target[column] / entries[column]
        target[column] = value
        for i in range(column):
            target[i] -= value * entries[i]


@inlined
def _step_to_boundary(work, count):
    """Move x to the target, or to where the first coordinate reaches zero; False for the latter."""
    x, target = work.x, work.target
    step, leaving = 1.0, -1
    for i in range(count):
        if target[i] <= 0.0:
            ratio = x[i] / (x[i] - target[i]) if x[i] > 0.0 else 0.0
            if leaving < 0 or ratio < step:
                step, leaving = ratio, i
    if leaving < 0:
        copy(x[:count], target)
        return True
    for i in range(count):
        x[i] += step * (target[i] - x[i])
    x[leaving] = 0.0
    return False


@inlined
def _solve_one(gram, linear, work):
    """One program; how many coordinates are active at its end and how many entered."""
    tolerance = 0.0
    for j in range(linear.shape[0]):
        tolerance = max(tolerance, _ENTRY_TOLERANCE * abs(linear[j]))
        work.gradient[j] = linear[j]
        work.barred[j] = False
    count, entered, limit = 0, 0, _ENTRIES
    while entered < 3 * linear.shape[0]:
        before = count
        count = _enter(gram, work, count, limit, tolerance)
        if count == before:
            break
        entered += count - before
        limit = min(2 * limit, _ENTRIES)
        _solve_triangular(work.factor, work.share, count, work.target)
        while not _step_to_boundary(work, count):
            limit = 1
            for place in range(count - 1, -1, -1):
                if work.target[place] <= 0.0 and work.x[place] <= 0.0:
                    _remove(work, count, place)
                    count -= 1
            _solve_triangular(work.factor, work.share, count, work.target)
        # What depends on the active columns may have changed.
        for j in range(linear.shape[0]):
            work.barred[j] = False
        for i in range(count):
            work.barred[work.active[i]] = True
    return count, entered


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
    entered = np.zeros(n, dtype=np.int64)
    work = _Work(
        np.empty((m, m)),
        np.empty((m, m)),
        np.empty(m),
        np.empty(m, dtype=np.int64),
        np.empty(m),
        np.empty(m),
        np.empty(m),
        np.empty(m, dtype=np.bool_),
    )
    for row in range(n):
        count, entered[row] = _solve_one(gram, linear[row], work)
        for i in range(count):
            solution[row, work.active[i]] = work.x[i]
    return solution, entered

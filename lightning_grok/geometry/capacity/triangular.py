"""Triangular factors and what is solved with them, in Numba, on rows of contiguous numbers.

Loops over a row stand where NumPy's notation would make temporary arrays.
"""

# Numba infers the types of what it compiles.
# mypy: disable-error-code="no-untyped-def"

import numpy as np

from lightning_grok.geometry.compilation import compiled

# A pivot of `triangular_factor`, what is left of a column's squared length, counts as zero below
# this fraction of it: rounding in the Gram matrix itself is not far below.
PIVOT_TOLERANCE = 1e-13


@compiled
def copy(target, source):
    """target[:] = source, whose notation takes Numba a second to compile wherever it stands."""
    for j in range(target.shape[0]):
        target[j] = source[j]


@compiled
def multiply(target, factor):
    for j in range(target.shape[0]):
        target[j] *= factor


@compiled
def add_scaled(target, factor, term):
    """target += factor term, without the temporary array that NumPy's notation makes."""
    for j in range(target.shape[0]):
        target[j] += factor * term[j]


@compiled
def inner(first, second):
    value = 0.0
    for j in range(first.shape[0]):
        value += first[j] * second[j]
    return value


@compiled
def cholesky(gram, factor):
    """Lower triangular factor of a positive definite matrix; False when it isn't one."""
    for i in range(gram.shape[0]):
        for j in range(i + 1):
            value = gram[i, j]
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = value / factor[j, j]
            elif value > 0.0:
                factor[i, i] = np.sqrt(value)
            else:
                return False
    return True


@compiled
def subtract_combination(target, weights, rows):
    """target -= sum of weights[i] rows[i], whose last numbers count where they are longer.

    Four rows are taken at once, which loads and stores the target a quarter as often.
    """
    start = rows.shape[1] - target.shape[0]
    i, last = 0, rows.shape[0]
    while i + 4 <= last:
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        row_a, row_b = rows[i][start:], rows[i + 1][start:]
        row_c, row_d = rows[i + 2][start:], rows[i + 3][start:]
        for j in range(target.shape[0]):
            target[j] -= a * row_a[j] + b * row_b[j] + c * row_c[j] + d * row_d[j]
        i += 4
    while i < last:
        a, row_a = weights[i], rows[i][start:]
        for j in range(target.shape[0]):
            target[j] -= a * row_a[j]
        i += 1


@compiled
def solve_lower(factor, rows):
    """rows <- L^-1 rows."""
    for k in range(rows.shape[0]):
        # The step of 1 gives the row the type of a column: one function is compiled for both.
        subtract_combination(rows[k], factor[k, :k:1], rows[:k])
        multiply(rows[k], 1.0 / factor[k, k])


@compiled
def solve_upper(factor, rows):
    """rows <- L'^-1 rows."""
    for k in range(rows.shape[0] - 1, -1, -1):
        subtract_combination(rows[k], factor[k + 1 :, k], rows[k + 1 :])
        multiply(rows[k], 1.0 / factor[k, k])


@compiled
def triangular_factor(gram):
    """Upper triangular R with R'R = gram (m, m), diagonal >= 0, zero rows for dependent columns.

    Cost: m^3 / 3 multiplications.
    """
    m = gram.shape[0]
    factor = np.zeros((m, m))
    for i in range(m):
        row = factor[i]
        copy(row[i:], gram[i, i:])
        subtract_combination(row[i:], factor[:i, i], factor[:i])
        pivot = row[i]
        if pivot <= PIVOT_TOLERANCE * gram[i, i]:
            for j in range(i, m):
                row[j] = 0.0
            continue
        scale = 1.0 / np.sqrt(pivot)
        for j in range(i, m):
            row[j] *= scale
    return factor

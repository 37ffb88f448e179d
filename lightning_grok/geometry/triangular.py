"""Triangular factors of Gram matrices that may be singular, and of small blocks, in Numba."""

import numpy as np

from lightning_grok.geometry.compilation import compiled

# A pivot, the squared length of what is left of a column, counts as zero below this fraction of
# the column's own squared length.
_PIVOT_TOLERANCE = 1e-13


@compiled
def triangular_factor(gram):
    """Upper triangular R with R'R = gram (m, m), diagonal >= 0, zero rows for dependent columns.

    Cost: m^3 / 3 multiplications.
    """
    m = gram.shape[0]
    rest = gram.copy()
    factor = np.zeros((m, m))
    for i in range(m):
        pivot = rest[i, i]
        if pivot <= _PIVOT_TOLERANCE * gram[i, i]:
            continue
        row = factor[i]
        scale = 1.0 / np.sqrt(pivot)
        for j in range(i, m):
            row[j] = rest[i, j] * scale
        for k in range(i + 1, m):
            value = row[k]
            target = rest[k]
            for j in range(k, m):
                target[j] -= value * row[j]
    return factor

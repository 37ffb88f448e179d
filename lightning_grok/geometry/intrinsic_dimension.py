"""Intrinsic dimension of a cloud of points, by the two nearest neighbors of each.

The estimator is two lines behind the distances, so that no package for it is worth depending on.
"""

from typing import NamedTuple

import numpy as np

from lightning_grok.geometry.arrays import Points, finite_array

_ROWS = 512  # whose distances to all points are held at once
_CANDIDATES = 8  # neighbors by products, of which two are looked for


class IntrinsicDimension(NamedTuple):
    """Dimension of what points lie on, where their density is about even.

    Attributes:
        dimension: the estimate; low where it is above about 10 and points are few.
        dimension_se: its standard error.
        duplicates: points that equal an earlier one, which are left out.
    """

    dimension: float
    dimension_se: float
    duplicates: int


def intrinsic_dimension(points: Points) -> IntrinsicDimension:
    """(n - 1) / Σ ln(r₂ / r₁) over the distances of each point's two nearest neighbors.

    r₂ / r₁ has the density d r^(-d-1) where neighbors lie at even density in d dimensions (TwoNN:
    Facco et al. 2017); the maximum of the likelihood is taken, without its bias, where they fit a
    line to 90 % of the distribution. Rotation, translation and scale change nothing.

    Args:
        points: (n, d) samples; equal ones, such as those of dead units, count once.

    Returns:
        The estimate. Cost n² d.

    Raises:
        ValueError: an entry is not finite, fewer than three different points, or neighbors that are
            all equally far, as on a grid.

    >>> line = np.random.default_rng(0).uniform(size=(1000, 1)) * [1.0, 2.0, 3.0]
    >>> round(intrinsic_dimension(line).dimension, 1)
    1.0
    """
    values = finite_array(points, "points", 2)
    different = np.unique(values, axis=0)
    n = len(different)
    if n < 3:
        raise ValueError(f"expected at least 3 different points, received {n}")
    _, exponent = np.frexp(np.abs(different).max())
    logarithms = np.log(_second_over_first(np.ldexp(different, -exponent)))
    total = float(logarithms.sum())
    if not total > 0:
        raise ValueError("expected neighbors at different distances, received equal ones")
    dimension = (n - 1) / total
    return IntrinsicDimension(dimension, dimension / np.sqrt(n), len(values) - n)


def _second_over_first(points: np.ndarray) -> np.ndarray:
    """(n,) distance of the second nearest neighbor over that of the nearest.

    Products tell who may be near, fast but not to the last digit; differences how near it is.
    """
    n, d = points.shape
    centered = points - points.mean(axis=0)
    squares = np.einsum("nd,nd->n", centered, centered)
    error = 4 * (d + 2) * np.finfo(float).eps * squares.max()  # of a squared distance, at most
    few = min(_CANDIDATES, n - 1)
    ratios = np.empty(n)
    for start in range(0, n, _ROWS):
        rows = np.arange(start, min(start + _ROWS, n))
        distances = squares[rows, None] + squares - 2 * centered[rows] @ centered.T
        distances[rows - start, rows] = np.inf
        found = np.argpartition(distances, few - 1, axis=1)[:, :few]
        farthest = np.take_along_axis(distances, found[:, -1:], axis=1)[:, 0]
        exact = np.linalg.norm(points[rows, None] - points[found], axis=2)
        exact.partition(1, axis=1)
        ratios[rows] = exact[:, 1] / exact[:, 0]
        unsure = rows[(exact[:, 1] ** 2 >= farthest - error) & (few < n - 1)]
        if len(unsure):
            ratios[unsure] = _by_differences(points[unsure], points)
    return ratios


def _by_differences(some: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The same for some of the points, from all distances: exact, and slow."""
    from scipy.spatial.distance import cdist

    nearest = np.partition(cdist(some, points), (1, 2), axis=1)[:, 1:3]  # behind the point itself
    return nearest[:, 1] / nearest[:, 0]

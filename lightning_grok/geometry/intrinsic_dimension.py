"""Intrinsic dimension of a cloud of points, by the two nearest neighbors of each.

The estimator is two lines behind the distances, so that no package for it is worth depending on.
"""

from typing import NamedTuple

import numpy as np

from lightning_grok.geometry.arrays import Points, finite_array

_ROWS = 1024  # whose distances to all points are held at once


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
    logarithms = np.log(_second_over_first(different / np.abs(different).max()))
    total = float(logarithms.sum())
    if not total > 0:
        raise ValueError("expected neighbors at different distances, received equal ones")
    dimension = (n - 1) / total
    return IntrinsicDimension(dimension, dimension / np.sqrt(n), len(values) - n)


def _second_over_first(points: np.ndarray) -> np.ndarray:
    """(n,) distance of the second nearest neighbor over that of the nearest."""
    from scipy.spatial.distance import cdist  # by differences: exact for near points, unlike x.y

    ratios = []
    for start in range(0, len(points), _ROWS):
        distances = cdist(points[start : start + _ROWS], points)
        nearest = np.partition(distances, (1, 2), axis=1)[:, 1:3]  # behind the point itself
        ratios.append(nearest[:, 1] / nearest[:, 0])
    return np.concatenate(ratios)

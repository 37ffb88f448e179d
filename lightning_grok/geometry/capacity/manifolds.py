"""Class manifolds of a layer: points split by label, centered, in units of their center's norm.

A manifold is the set of a class's activations. Following Cohen, Chung, Lee and Sompolinsky,
Separability and geometry of object manifolds in deep neural networks, Nat. Commun. 11, 746 (2020),
the mean over all samples is subtracted from every point, correlations between class centers are
removed by projecting out a low-dimensional subspace (`center_correlation`), and each manifold is
then taken around its own center, in units of that center's norm. The mean is over samples, that of
the center analysis over classes: they differ when classes are unequal, as published.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Shaped

PointsPerClass = int | Literal["smallest"] | None

# A center shorter than this fraction of the layer's largest activation is rounding error.
_ZERO = 1e-12


class NormalizedManifold(NamedTuple):
    """One class around its center; points is NaN where the center has no length to divide by."""

    points: Float[np.ndarray, "m d"]  # (x - center) / |center|, outside the subspace
    center_norm: float  # |center - origin| outside the subspace
    spread: float  # root mean square distance of the points from the center, before division


def rows_by_label(
    labels: Integer[np.ndarray, " n"], points_per_class: PointsPerClass = None
) -> tuple[list[np.ndarray], Shaped[np.ndarray, " classes"]]:
    """Rows of every class, in ascending order of labels and in the given order inside a class.

    Args:
        labels: (n,) integers.
        points_per_class: None keeps every point; an integer keeps at most the first so many of a
            class; "smallest" truncates every class to the size of the smallest, as the paper does.

    Returns:
        list of C arrays (m_c,) of indices and the C labels.

    Raises:
        ValueError: points_per_class is neither of these.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if points_per_class is None:
        limit = len(labels)
    elif points_per_class == "smallest":
        limit = int(counts.min())
    elif isinstance(points_per_class, int) and points_per_class >= 1:
        limit = points_per_class
    else:
        raise ValueError(
            'expected points_per_class to be None, "smallest" or an integer of at least 1, '
            f"received {points_per_class!r}"
        )
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    return [group[:limit] for group in groups], classes


def normalized_manifold(
    points: Float[np.ndarray, "m d"],
    origin: Float[np.ndarray, " d"],
    basis: Float[np.ndarray, "d k"],
    scale: float,
) -> NormalizedManifold:
    """A class outside a subspace, around its center, in units of the center's norm.

    Args:
        points: (m, d) one class.
        origin: (d,) mean over all samples of the layer, from which centers are measured.
        basis: (d, k) orthonormal columns of the subspace to remove; k = 0 for none.
        scale: largest activation of the layer: a center shorter than 1e-12 of it is no center.
    """
    mean = points.mean(axis=0)
    center = mean - origin
    center -= basis @ (center @ basis)
    deviations = points - mean
    deviations -= (deviations @ basis) @ basis.T
    norm = float(np.linalg.norm(center))
    spread = float(np.linalg.norm(deviations) / np.sqrt(len(points)))
    if spread <= _ZERO * scale:
        deviations[:], spread = 0.0, 0.0
    if norm <= _ZERO * scale:
        return NormalizedManifold(np.full_like(points, np.nan), 0.0, spread)
    deviations /= norm
    return NormalizedManifold(deviations, norm, spread)


def center_augmented(points: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "d1 m"]:
    """(D+1, m) columns (s_i, 1) with D = min(d, m).

    With more dimensions than points, the points are written in an orthonormal basis of m vectors
    that contains their span: the triangular factor R of Gram and Schmidt's process in the given
    order, with a nonnegative diagonal and zero rows for dependent points. It changes continuously
    with the points and not at all under rotation, so that one set of Gaussian vectors serves
    comparable coordinates at every checkpoint.
    """
    coordinates = points.T
    if len(coordinates) > len(points):
        from lightning_grok.geometry.capacity.triangular import triangular_factor

        coordinates = triangular_factor(points @ points.T)
    return np.concatenate([coordinates, np.ones((1, len(points)))])

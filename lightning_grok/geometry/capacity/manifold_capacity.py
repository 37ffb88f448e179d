"""Manifold capacity of a layer: how many class manifolds a dimension can separate linearly.

Sources: Chung, Lee and Sompolinsky, Phys. Rev. X 8, 031003 (2018); Cohen, Chung, Lee and
Sompolinsky, Nat. Commun. 11, 746 (2020), whose pipeline this follows: the mean over all samples is
subtracted, the common structure of the class centers is projected out (`center_correlation`), each
class is taken around its own center in units of that center's norm (`manifolds`), and the anchor
program is solved for Gaussian vectors (`anchor`). Over classes, capacity is averaged harmonically,
radius and dimension arithmetically.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from lightning_grok.geometry.arrays import Labels, Points, labeled
from lightning_grok.geometry.capacity.anchor import (
    UNDEFINED,
    AnchorGeometry,
    Backend,
    anchor_geometry,
)
from lightning_grok.geometry.capacity.center_correlation import center_structure
from lightning_grok.geometry.capacity.manifolds import (
    NormalizedManifold,
    PointsPerClass,
    center_augmented,
    normalized_manifold,
    rows_by_label,
)

FLAGGED_RATIO = 1e-2
"""A center shorter than this fraction of its class's spread makes radius and dimension outliers."""


class ManifoldGeometry(NamedTuple):
    """Geometry of the class manifolds of one layer.

    Means run over the classes that have a value; `failed` counts the others, and `dropped` the
    programs left out. Both are 0 in a layer where nothing is wrong. No anchor is clipped: classes
    whose center is short against their spread, which makes their radius an outlier, are counted in
    `flagged`. Standard errors are over the Gaussian vectors.

    Attributes:
        capacity: alpha_C, harmonic mean over classes.
        radius, dimension: R_M and D_M, arithmetic means; R_M in units of the center's norm.
        capacity_se, radius_se, dimension_se: Monte-Carlo standard errors of the three.
        median_radius: of the classes, which an outlier doesn't move.
        center_correlation: mean absolute correlation of the centers before removal.
        residual_correlation, residual_correlation_sd: after it, and its spread over the restarts.
        rank: K, dimensions removed.
        flagged: classes whose center is shorter than 1 % of their spread.
        pointlike: classes without extent, one point or equal ones: R_M = D_M = 0, capacity near 2.
        failed: classes without a value: no center to divide by, or no certified program.
        dropped: programs, one a class and Gaussian vector, without a certified solution.
        residual: worst certificate of all other programs.
        per_class: arrays (C,) ``capacity``, ``radius``, ``dimension``, their ``..._se``,
            ``interior`` (vectors that no constraint binds), ``dropped``, and ``center_ratio``, the
            center's norm over the spread, infinite for a pointlike class and NaN for dead units.
        classes: (C,) the labels.
    """

    capacity: float
    radius: float
    dimension: float
    capacity_se: float
    radius_se: float
    dimension_se: float
    median_radius: float
    center_correlation: float
    residual_correlation: float
    residual_correlation_sd: float
    rank: int
    flagged: int
    pointlike: int
    failed: int
    dropped: int
    residual: float
    per_class: dict[str, np.ndarray]
    classes: Shaped[np.ndarray, " classes"]


def manifold_capacity(
    points: Points,
    labels: Labels,
    *,
    kappa: float = 0.0,
    num_vectors: int = 200,
    restarts: int = 10,
    seed: int = 0,
    points_per_class: PointsPerClass = None,
    backend: Backend = "numba",
) -> ManifoldGeometry:
    """Capacity, radius and dimension of the classes of one layer.

    The Gaussian vectors of a class depend on the seed and its place among the classes alone, and
    those of fewer dimensions are the first coordinates of those of more: checkpoints and layers
    are compared on common random numbers.

    Args:
        points: (n, d) activations, finite. Constant coordinates and repeated points are allowed.
        labels: (n,) integers; every class should have as many points as the others, since the
            measures grow with their number.
        kappa: margin, at least 0.
        num_vectors: Gaussian vectors a class.
        restarts: random starts of the removal of center correlations, for every rank.
        seed: of vectors and starts.
        points_per_class: at most so many of every class; "smallest" as the paper does.
        backend: of the anchor program.

    Returns:
        The geometry; NaN where no class has a value, as in a layer whose units are all dead.

    Raises:
        ValueError: sizes don't fit, a value isn't finite, there is a single class, or a number is
            out of range.

    Cost: the removal as `center_structure`, the programs as C m^2 (d + num_vectors). Memory beyond
    the input is a few arrays of (C, d + C) and of one class.
    """
    if num_vectors < 1 or restarts < 1:
        raise ValueError(
            "expected num_vectors and restarts of at least 1, "
            f"received {num_vectors} and {restarts}"
        )
    points, labels = labeled(points, labels, classes=2, dtype=None)
    members, classes = rows_by_label(labels, points_per_class)
    sizes = np.array([len(rows) for rows in members])
    # Times a power of two, exactly, so that squares neither overflow nor vanish.
    scale, exponent = np.frexp(max(float(points.max()), -float(points.min())))
    # One class at a time in float64: all of them would be a multiple of the input.
    centers = np.stack([points[rows].mean(axis=0, dtype=np.float64) for rows in members])
    centers = np.ldexp(centers, -exponent)
    structure = center_structure(centers, restarts=restarts, seed=seed)
    origin = sizes @ centers / sizes.sum()
    geometry, ratio = [], np.empty(len(classes))
    for index, rows in enumerate(members):
        manifold = np.ldexp(points[rows].astype(np.float64), -exponent)
        normalized = normalized_manifold(manifold, origin, structure.basis, float(scale))
        spread = normalized.spread
        no_extent = np.nan if normalized.center_norm == 0 else np.inf  # dead units, or one point
        ratio[index] = normalized.center_norm / spread if spread > 0 else no_extent
        geometry.append(_geometry(normalized, index, num_vectors, kappa, seed, backend))
    per_class = {
        key: np.array([float(getattr(each, field)) for each in geometry])
        for key, field in _PER_CLASS.items()
    }
    return ManifoldGeometry(
        *_means(per_class),
        median_radius=float(np.median(_finite(per_class["radius"]))),
        center_correlation=structure.correlation,
        residual_correlation=structure.residual,
        residual_correlation_sd=structure.residual_sd,
        rank=structure.rank,
        flagged=int(np.sum(ratio < FLAGGED_RATIO)),
        pointlike=int(np.sum(np.isinf(ratio))),
        failed=int(np.sum(np.isnan(per_class["capacity"]))),
        dropped=sum(each.failed for each in geometry),
        residual=float(np.max(_finite(np.array([each.residual for each in geometry])))),
        per_class=per_class | {"center_ratio": ratio},
        classes=classes,
    )


_MEASURES = ("capacity", "radius", "dimension", "capacity_se", "radius_se", "dimension_se")
_PER_CLASS = {key: key for key in _MEASURES} | {"interior": "interior", "dropped": "failed"}


def _geometry(
    manifold: NormalizedManifold,
    index: int,
    num_vectors: int,
    kappa: float,
    seed: int,
    backend: Backend,
) -> AnchorGeometry:
    """One class; NaN where it has no center to divide by."""
    if manifold.center_norm == 0:
        return UNDEFINED
    augmented = center_augmented(manifold.points)
    generator = np.random.default_rng(np.random.SeedSequence((seed, index)))
    # The coordinate along the center comes first in the stream, so that it is common to all sizes.
    drawn = generator.standard_normal((len(augmented), num_vectors))
    return anchor_geometry(augmented, np.roll(drawn, -1, axis=0), kappa, backend=backend)


def _means(
    per_class: dict[str, np.ndarray],
) -> tuple[float, float, float, float, float, float]:
    """Harmonic mean of capacity, arithmetic means of the others, and their standard errors."""
    known = ~np.isnan(per_class["capacity"])
    if not known.any():
        return np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
    values = {key: per_class[key][known] for key in _MEASURES}
    count = int(known.sum())
    inverse = float(np.mean(1 / values["capacity"]))
    # The classes' vectors are independent, so that variances add; d alpha = alpha^2 d (1/alpha).
    # A class that no vector's constraints bind has 1/alpha = 0, without any spread.
    finite = np.isfinite(values["capacity"])
    spread = values["capacity_se"][finite] / values["capacity"][finite] ** 2
    capacity = 1 / inverse if inverse > 0 else float("inf")
    return (
        capacity,
        float(values["radius"].mean()),
        float(values["dimension"].mean()),
        capacity**2 * _mean_error(spread, count) if inverse > 0 else float("nan"),
        _mean_error(values["radius_se"], count),
        _mean_error(values["dimension_se"], count),
    )


def _mean_error(errors: np.ndarray, count: int) -> float:
    """Standard error of the mean of `count` independent values."""
    return float(np.sqrt(np.sum(errors**2)) / count)


def _finite(values: np.ndarray) -> np.ndarray:
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.array([np.nan])

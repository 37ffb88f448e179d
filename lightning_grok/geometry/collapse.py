"""Neural collapse: how far classes have shrunk to points at the corners of a simplex.

Papyan, Han and Donoho (2020) define NC1 to NC4 on training points; on held-out ones they say how
far collapse generalizes, which is another claim. Fewer features than classes less one have no
simplex: NC2 then can't vanish.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from lightning_grok.geometry.arrays import Labels, Points, finite_array, labeled, of_moderate_size


class NeuralCollapse(NamedTuple):
    """How far the classes of a representation have collapsed; every number falls to 0.

    Attributes:
        within_over_between: NC1, tr(S_W S_B⁺) / C, of the mean covariance within classes and the
            covariance of the class means.
        norm_variation: NC2, standard deviation over mean of the distances of the class means from
            their center.
        angle_deviation: NC2, mean of |cos + 1 / (C - 1)| over pairs of centered class means.
        distance_normalized_variance: mean of (v_i + v_j) / (2 ‖μ_i - μ_j‖²) over pairs of classes,
            v = E ‖x - μ‖² (Galanti et al. 2021); it needs no inverse.
    """

    within_over_between: float
    norm_variation: float
    angle_deviation: float
    distance_normalized_variance: float


class ReadoutCollapse(NamedTuple):
    """How far a linear readout agrees with the class means; both numbers fall to 0.

    Attributes:
        self_duality: NC3, ‖W / ‖W‖ - M / ‖M‖‖ of the weights W (C, d) and the centered class means
            M (C, d), in Frobenius norms, from 0 to 2.
        disagreement: NC4, share of the points that the readout assigns to another class than that
            of the nearest class mean.
    """

    self_duality: float
    disagreement: float


def neural_collapse(points: Points, labels: Labels) -> NeuralCollapse:
    """NC1, NC2 and the class-distance normalized variance.

    Invariant under rotations, translations and scalings of all points. Cost n d C + d³.

    Args:
        points: (n, d), finite.
        labels: (n,), at least two classes.

    Raises:
        ValueError: an entry is not finite, there are fewer than two classes, or two classes have
            the same mean.
    """
    values, classes, means, members = _by_class(points, labels)
    if values.any():
        values, exponent = of_moderate_size(values)
        means = np.ldexp(means, -exponent)
    count = len(classes)
    centered = means - means.mean(axis=0)
    distances = np.linalg.norm(centered, axis=1)
    gaps = np.linalg.norm(means[:, None] - means[None], axis=-1)
    first, second = np.triu_indices(count, 1)
    if gaps[first, second].min() <= np.finfo(float).eps * np.abs(values).max():
        raise ValueError("expected classes with different means, received two with the same")
    deviations = values - means[members]
    sizes = np.bincount(members)
    variances = np.bincount(members, np.einsum("nd,nd->n", deviations, deviations)) / sizes
    between = centered.T @ centered / count
    eigenvalues, vectors = np.linalg.eigh(between)
    kept = eigenvalues > eigenvalues.max() * 1e-10  # at most C - 1 of them
    weights = 1 / sizes[members] / count  # every class counts alike
    projected = weights @ (deviations @ vectors[:, kept]) ** 2
    cosines = centered @ centered.T / np.maximum(np.outer(distances, distances), 1e-300)
    return NeuralCollapse(
        float((projected / eigenvalues[kept]).sum() / count),
        float(distances.std() / distances.mean()),
        float(np.abs(cosines[first, second] + 1 / (count - 1)).mean()),
        float(((variances[first] + variances[second]) / (2 * gaps[first, second] ** 2)).mean()),
    )


def readout_collapse(
    points: Points,
    labels: Labels,
    weight: Points,
    bias: Any = None,
) -> ReadoutCollapse:
    """NC3 and NC4 of the readout ``points @ weight.T + bias``.

    Args:
        points: (n, d), finite.
        labels: (n,), every class of the readout among them.
        weight: (C, d), row c for label c.
        bias: (C,); None is none.

    Raises:
        ValueError: an entry is not finite, or the labels are not all of 0 to C - 1.
    """
    values, classes, means, _ = _by_class(points, labels)
    readout = finite_array(weight, "weights", 2)
    if not np.array_equal(classes, np.arange(len(readout))):
        raise ValueError(
            f"expected points of every class 0 to {len(readout) - 1} of the readout, received "
            f"labels {classes.tolist()[:10]}"
        )
    centered = means - means.mean(axis=0)
    difference = readout / np.linalg.norm(readout) - centered / np.linalg.norm(centered)
    outputs = values @ readout.T + (0 if bias is None else finite_array(bias))
    squares = (means**2).sum(axis=1) - 2 * values @ means.T  # less ‖x‖², the same for all classes
    return ReadoutCollapse(
        float(np.linalg.norm(difference)),
        float((outputs.argmax(axis=1) != squares.argmin(axis=1)).mean()),
    )


def _by_class(
    points: Points, labels: Labels
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Shaped[np.ndarray, " n"]]:
    """Points (n, d), the classes (C,), their means (C, d), each point's class index (n,)."""
    values, given = labeled(points, labels, classes=2)
    classes, members = np.unique(given, return_inverse=True)
    order, sizes = np.argsort(members, kind="stable"), np.bincount(members)
    sums = np.add.reduceat(values[order], np.cumsum(sizes) - sizes, axis=0)
    return values, classes, sums / sizes[:, None], members

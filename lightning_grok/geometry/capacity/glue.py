"""GLUE, geometry linked to untangling efficiency: capacity of given classes, with its parts.

Source: Chou, Le, Wang and Chung, ICML 2025 (arXiv 2503.18114). A Gaussian t is projected on the
cone of y_i x over all points x of every class i, whose sides y_i are drawn. Some hyperplane through
0 has the classes on these sides in almost all random subspaces of more dimensions than the mean
squared length of the projection, and in almost none of fewer. What class i contributes to a
projection is a multiple of one point s_i of its hull, its anchor.

With rows y_i s_i in S, rows y_i E[s_i] in S0 (the centers), S1 = S - S0 (the axes) and P classes

    c = (S t)' (S S')^+ (S t)          capacity   1 / (E[c] / P)
    b = (S1 t)' (S1 S1')^+ (S1 t)      dimension  E[b] / P
    a = (S1 t)' (S0 S0' + S1 S1')^+ (S1 t)
    radius  (E[a] / E[b - a])^1/2      utility    E[a] / E[c]

so that capacity = utility (1 + radius^-2) / dimension. The papers' own code is not public. Verified
are: capacity against a closed form for points, circular cones and subspaces that separate; radius
and dimension on spheres; the identity. That other choices than these were published with is not.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from lightning_grok.geometry.arrays import Labels, Points, labeled
from lightning_grok.geometry.capacity.anchor import (
    ACCEPTED,
    certify,
    mean_and_error,
    solve_least_squares,
)
from lightning_grok.geometry.capacity.manifolds import rows_by_label

# Relative size, against the largest coordinate or eigenvalue, of what is rounding.
_ZERO = 1e-10
# Of points to be let into the cone's working set, against the length of t.
_VIOLATED = 1e-11


class Glue(NamedTuple):
    """Capacity of the classes as they lie, and what it is made of.

    Attributes:
        capacity: classes that a dimension can separate, 2 for points in more dimensions than there
            are classes; at least classes / dimensions, which is that of classes no hyperplane
            separates.
        dimension: of the anchors about their centers, a class; 0 for points.
        radius: of the anchors about their centers, against the centers' length outside the axes.
        utility: how far the axes' share of the projection exceeds what centers alone would need.
        center_alignment: mean cosine of two classes' centers.
        axis_alignment: of two classes' axes.
        center_axis_alignment: of one class's center and another's axis.
        capacity_se, dimension_se, radius_se: Monte-Carlo standard errors, over the draws.
        inactive: share of classes that a projection didn't touch, which have no anchor there.
        dropped: draws left out for want of a certified projection.
        residual: worst certificate of the others.
    """

    capacity: float
    dimension: float
    radius: float
    utility: float
    center_alignment: float
    axis_alignment: float
    center_axis_alignment: float
    capacity_se: float
    dimension_se: float
    radius_se: float
    inactive: float
    dropped: int
    residual: float


class _Anchors(NamedTuple):
    """Of k draws: t (k d), anchors s_i (k P d), 0 where inactive, and |projection|^2 (k,)."""

    vectors: np.ndarray
    points: np.ndarray
    active: np.ndarray  # (k, P)
    squares: np.ndarray
    residual: float
    dropped: int


def glue(
    points: Points,
    labels: Labels,
    *,
    draws: int = 200,
    seed: int = 0,
    sides: Literal["random", "one_vs_rest"] = "random",
    radius: Literal["ratio_of_means", "mean_of_ratios"] = "ratio_of_means",
    alignments: Literal["absolute", "signed"] = "absolute",
    inactive: Literal["center", "zero"] = "center",
) -> Glue:
    """Capacity, dimension, radius, utility and alignments of the classes of one layer.

    No mean is subtracted: the hyperplanes go through 0. Rotations and one scale for all points
    change nothing. Where public implementations differ there are options; the capacity depends on
    `sides` alone.

    Args:
        points: (n, d) activations.
        labels: (n,) classes, of which there are at least two. With more points a class the
            capacity falls.
        draws: sides and Gaussian vectors.
        seed: of them; checkpoints are compared on the same.
        sides: of every class by itself, or those of one class against the others.
        radius: E[a] / E[b - a], with which the identity holds, or E[a / (b - a)], both under the
            root.
        alignments: mean of the cosines' absolute values or of the cosines, over two different
            classes that both have a length.
        inactive: a class without an anchor has none in the mean and no axis (``center``), or its
            anchor is 0 in both (``zero``).

    Returns:
        The geometry. Points have radius, dimension and utility 0. NaN where no draw is certified.
        Cost of 47 classes of 50 points in 128 dimensions: about 1 s for 200 draws; it grows as
        draws n d.

    Raises:
        ValueError: points and labels don't fit, a value isn't finite, all points are 0, there is a
            single class, fewer than two draws, or an option is unknown.
    """
    chosen = {"sides": sides, "radius": radius, "alignments": alignments, "inactive": inactive}
    for name, value in chosen.items():
        if value not in _OPTIONS[name]:
            raise ValueError(
                f"expected {name} of {' or '.join(_OPTIONS[name])}, received {value!r}"
            )
    if draws < 2:
        raise ValueError(f"expected at least 2 draws, received {draws}")
    values, given = labeled(points, labels, classes=2)
    if not values.any():
        raise ValueError("expected points that are not all 0, received zeros")
    classes = np.unique(given, return_inverse=True)[1]
    coordinates = _coordinates(values / np.abs(values).max())
    anchors = _draw_anchors(coordinates, classes, draws, seed, sides)
    if anchors is None:
        return Glue._make([float("nan")] * 11 + [draws, float("nan")])
    return _geometry(anchors, radius, alignments == "absolute", inactive == "zero")


_OPTIONS = {
    "sides": ("random", "one_vs_rest"),
    "radius": ("ratio_of_means", "mean_of_ratios"),
    "alignments": ("absolute", "signed"),
    "inactive": ("center", "zero"),
}


def _coordinates(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """The points in at most as many coordinates as there are points, up to a rotation the same."""
    if points.shape[1] <= len(points):
        return points
    from lightning_grok.geometry.capacity.triangular import triangular_factor

    return np.ascontiguousarray(triangular_factor(points @ points.T).T)


def _draw_anchors(
    points: Float[np.ndarray, "n d"],
    classes: Integer[np.ndarray, " n"],
    draws: int,
    seed: int,
    sides: str,
) -> _Anchors | None:
    """Project every draw on its cone; what isn't certified is left out."""
    generator = np.random.default_rng(seed)
    count = int(classes.max()) + 1
    lengths = np.linalg.norm(points, axis=1)
    lengths[lengths == 0] = 1.0  # such a point is on no face of a cone
    unit, members = points / lengths[:, None], _members(classes)
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]] = []
    worst = 0.0
    for _ in range(draws):
        signs = generator.choice((-1.0, 1.0), count)
        if sides == "one_vs_rest":
            signs = np.where(np.arange(count) == generator.integers(count), 1.0, -1.0)
        vector = generator.standard_normal(points.shape[1:])
        signed = unit * signs[classes][:, None]
        rows, multipliers, residual = _project(signed, vector, members)
        if not residual <= ACCEPTED["numba"]:
            continue
        worst = max(worst, residual)
        weights = multipliers / lengths[rows]
        total = np.bincount(classes[rows], weights, count)
        anchors = np.zeros((count, points.shape[1]))
        np.add.at(anchors, classes[rows], weights[:, None] * points[rows])
        anchors[total > 0] /= total[total > 0, None]
        kept.append((vector, anchors, total > 0, float(np.sum((multipliers @ signed[rows]) ** 2))))
    if len(kept) < 2:
        return None
    vectors, found, active, squares = (np.array(part) for part in zip(*kept, strict=True))
    return _Anchors(vectors, found, active, squares, worst, draws - len(kept))


def _members(classes: Integer[np.ndarray, " n"]) -> Integer[np.ndarray, "classes most"]:
    """Rows of every class, the first of them again where a class has fewer than the largest."""
    groups, _ = rows_by_label(classes)
    most = max(map(len, groups))
    return np.stack([np.append(rows, np.repeat(rows[0], most - len(rows))) for rows in groups])


def _project(
    unit: Float[np.ndarray, "n d"],
    vector: Float[np.ndarray, " d"],
    members: Integer[np.ndarray, "classes most"],
) -> tuple[Integer[np.ndarray, " k"], Float[np.ndarray, " k"], float]:
    """Rows and positive multipliers of the projection on their cone, and its certificate.

    The program is solved on few points. Of every class the one that is violated most is added, and
    what has multiplier 0 is let go, until no point is violated: each solution is longer than the
    last one, so that it ends.
    """
    from lightning_grok.geometry.capacity.active_set import solve_nonnegative

    length = float(np.linalg.norm(vector))
    rows, multipliers = np.empty(0, dtype=np.intp), np.empty(0)
    reached = 0.0
    while True:
        slack = unit @ (vector - multipliers @ unit[rows])
        worst = members[np.arange(len(members)), slack[members].argmax(axis=1)]
        entering = np.setdiff1d(worst[slack[worst] > _VIOLATED * length], rows)
        if not entering.size:
            break
        trial = np.concatenate([rows, entering])
        chosen = unit[trial]
        solution = solve_nonnegative(chosen @ chosen.T, (chosen @ vector)[None])[0][0]
        square = float(np.sum((solution @ chosen) ** 2))
        if not square > reached:  # rounding: the certificate judges
            break
        reached = square
        rows, multipliers = trial[solution > 0], solution[solution > 0]
    residual = _certificate(unit, vector, rows, multipliers)
    if not residual <= ACCEPTED["numba"]:
        found = solve_least_squares(unit.T, vector)
        rows = np.flatnonzero(found > 0)
        multipliers = found[rows]
        residual = _certificate(unit, vector, rows, multipliers)
    return rows, multipliers, residual


def _certificate(
    unit: np.ndarray, vector: np.ndarray, rows: np.ndarray, multipliers: np.ndarray
) -> float:
    full = np.zeros((len(unit), 1))
    full[rows, 0] = multipliers
    combination = (multipliers @ unit[rows])[:, None]
    return float(certify(unit.T, vector[:, None], full, combination)[0])


def _geometry(anchors: _Anchors, radius: str, absolute: bool, zero: bool) -> Glue:
    """All numbers of the anchors."""
    points, active = anchors.points, anchors.active
    classes = points.shape[1]
    seen = np.full(classes, len(points)) if zero else np.maximum(active.sum(axis=0), 1)
    centers = points.sum(axis=0) / seen[:, None]
    axes = points - centers
    if not zero:
        axes[~active] = 0.0
    axes[np.linalg.norm(axes, axis=2) < _ZERO * np.abs(points).max()] = 0.0
    along = np.einsum("kpd,kd->kp", axes, anchors.vectors)
    gram = axes @ axes.transpose(0, 2, 1)
    b = _quadratic(gram, along)
    a = _quadratic(gram + centers @ centers.T, along)
    capacity, capacity_se = mean_and_error(anchors.squares / classes)
    dimension, dimension_se = mean_and_error(b / classes)
    size, size_se = _radius(a, b, radius)
    utility = float(a.mean() / anchors.squares.mean()) if anchors.squares.any() else np.nan
    return Glue(
        1 / capacity if capacity > 0 else np.inf,
        dimension,
        size,
        utility,
        _alignment(centers[None], centers[None], absolute),
        _alignment(axes, axes, absolute),
        _alignment(centers[None], axes, absolute),
        capacity_se / capacity**2 if capacity > 0 else np.nan,
        dimension_se,
        size_se,
        float(1 - active.mean()),
        anchors.dropped,
        anchors.residual,
    )


def _quadratic(
    gram: Float[np.ndarray, "k p p"], along: Float[np.ndarray, "k p"]
) -> Float[np.ndarray, " k"]:
    """along' gram^+ along of every draw."""
    values, bases = np.linalg.eigh(gram)
    shares = np.einsum("kpq,kp->kq", bases, along) ** 2
    kept = values > _ZERO * values[:, -1:]
    return np.divide(shares, values, out=np.zeros_like(shares), where=kept).sum(axis=1)


def _radius(a: np.ndarray, b: np.ndarray, kind: str) -> tuple[float, float]:
    """The radius and its standard error; infinite where no center has a length of its own."""
    outside = np.maximum(b - a, 0.0)
    if not b.any():
        return 0.0, 0.0
    if kind == "mean_of_ratios":
        ratios = np.divide(a, outside, out=np.full_like(a, np.inf), where=outside > 0)
        square, error = mean_and_error(np.where(b > 0, ratios, 0.0))
    else:
        square = float(a.mean() / outside.mean()) if outside.any() else np.inf
        error = np.nan
        if outside.any():
            error = mean_and_error((a - square * outside) / outside.mean())[1]
    return float(np.sqrt(square)), error / (2 * float(np.sqrt(square))) if square > 0 else 0.0


def _alignment(
    first: Float[np.ndarray, "k p d"], second: Float[np.ndarray, "l p d"], absolute: bool
) -> float:
    """Mean cosine of a row of one class and one of another; NaN where no two have a length."""
    lengths = [np.linalg.norm(each, axis=2) for each in (first, second)]
    products = first @ second.transpose(0, 2, 1)
    norms = lengths[0][:, :, None] * lengths[1][:, None, :]
    known = (norms > 0) & ~np.eye(first.shape[1], dtype=bool)
    cosines = products[known] / norms[known]
    if not cosines.size:
        return float("nan")
    return float((np.abs(cosines) if absolute else cosines).mean())

"""Similarity of two representations of the same samples: debiased linear CKA."""

from collections.abc import Mapping

import numpy as np

from lightning_grok.geometry.arrays import Labels, Points, about_their_mean, finite_array, labeled

_ROWS = 1024  # of a Gram matrix held at once


def linear_cka(
    first: Points,
    second: Points,
) -> float:
    """Centered kernel alignment of two representations under the linear kernel, debiased.

    HSIC(X, Y) / √(HSIC(X, X) HSIC(Y, Y)) with the unbiased estimate of Song et al. (2012, Eq. 5);
    the plug-in of Kornblith et al. (2019) is near 1 for noise of more features than samples, and
    is not offered.

    Args:
        first: (n, d) with n >= 4, rows the same samples as those of `second`.
        second: (n, e); another number of rows is refused.

    Returns:
        1 for representations that agree up to rotation, translation and scale; about 0 for
        independent ones, where it may be negative. Cost n d e, or n² (d + e) where that is less.

    Raises:
        ValueError: fewer than four samples, different numbers of them, an entry that is not finite,
            or a representation that does not vary.

    >>> points = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(linear_cka(points, 2 * points[:, ::-1] + 1), 6)
    1.0
    """
    return _cka(_centered(first), _centered(second))


def layer_cka(
    points: Points,
    labels: Labels,
    *,
    start: Points | None = None,
    previous: Points | None = None,
    below: Mapping[str, Points] | None = None,
) -> dict[str, float | np.ndarray]:
    """Debiased linear CKA of one layer with what it was, what it should know and what it is from.

    Rotation, translation and scale of any of them change nothing.

    Args:
        points: (n, d) activations of n >= 4 samples.
        labels: (n,) classes.
        start: (n, d) the layer's at the initialization of the run.
        previous: (n, d) the layer's at the measurement before.
        below: (n, e) of the layers before it, the nearest last, by name.

    Returns:
        ``start``, ``previous``, ``labels`` (with the one-hot answers), ``below`` (with the nearest
        layer) and ``layers`` (b,), with every layer of `below`; without what isn't given. Cost of
        one `linear_cka` each.

    Raises:
        ValueError: as of `linear_cka`, or there is a single class.
    """
    values, given = labeled(points, labels, classes=2)
    own = _centered(values)
    answers = np.eye(len(np.unique(given)))[np.unique(given, return_inverse=True)[1]]
    past = {"start": start, "previous": previous, "labels": answers}
    found: dict[str, float | np.ndarray] = {
        name: _cka(own, _centered(each)) for name, each in past.items() if each is not None
    }
    if below:
        layers = [_cka(own, _centered(each)) for each in below.values()]
        found |= {"below": layers[-1], "layers": np.array(layers)}
    return found


def _centered(points: Points) -> np.ndarray:
    values = finite_array(points, "points", 2)
    if len(values) < 4:
        raise ValueError(f"expected at least 4 samples (n, d), received {values.shape}")
    return about_their_mean(values)


def _cka(one: np.ndarray, other: np.ndarray) -> float:
    if len(one) != len(other):
        raise ValueError(f"expected the same samples twice, received {len(one)} and {len(other)}")
    own = _hsic(one, one) * _hsic(other, other)
    if own <= 0:
        raise ValueError(f"expected more samples, received {len(one)}: too few to debias")
    return float(_hsic(one, other) / np.sqrt(own))


def _hsic(one: np.ndarray, other: np.ndarray) -> float:
    """Unbiased HSIC of centered points (n, d) and (n, e).

    Rows of a Gram matrix of centered points sum to 0, and without its diagonal to minus that.
    """
    n = len(one)
    rows, columns = (np.einsum("nd,nd->n", each, each) for each in (one, other))
    if max(one.shape[1], other.shape[1]) <= n:
        total = np.sum((one.T @ other) ** 2)
    else:
        parts = (slice(start, start + _ROWS) for start in range(0, n, _ROWS))
        total = sum(np.sum((one[part] @ one.T) * (other[part] @ other.T)) for part in parts)
    shared = rows @ columns
    total += rows.sum() * columns.sum() / ((n - 1) * (n - 2)) - shared - 2 * shared / (n - 2)
    return float(total / (n * (n - 3)))

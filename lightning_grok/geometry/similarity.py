"""Similarity of two representations of the same samples: debiased linear CKA."""

import numpy as np

from lightning_grok.geometry.arrays import Points, finite_array


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
        independent ones, where it may be negative. Cost n² (d + e).

    Raises:
        ValueError: fewer than four samples, different numbers of them, an entry that is not finite,
            or a representation that does not vary.

    >>> points = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(linear_cka(points, 2 * points[:, ::-1] + 1), 6)
    1.0
    """
    grams = []
    for points in (first, second):
        values = finite_array(points, "points", 2)
        if len(values) < 4:
            raise ValueError(f"expected at least 4 samples (n, d), received {values.shape}")
        centered = values - values.mean(axis=0)
        scale = np.abs(centered).max()
        if scale <= np.finfo(float).eps * np.abs(values).max():
            raise ValueError("expected samples that differ, received copies of one")
        grams.append((centered / scale) @ (centered / scale).T)
    if len(grams[0]) != len(grams[1]):
        raise ValueError(
            f"expected the same samples twice, received {len(grams[0])} and {len(grams[1])}"
        )
    for gram in grams:
        np.fill_diagonal(gram, 0)
    own = _hsic(grams[0], grams[0]) * _hsic(grams[1], grams[1])
    if own <= 0:
        raise ValueError(f"expected more samples, received {len(grams[0])}: too few to debias")
    return float(_hsic(*grams) / np.sqrt(own))


def _hsic(one: np.ndarray, other: np.ndarray) -> float:
    """Unbiased HSIC of two Gram matrices (n, n) with zero diagonals."""
    n = len(one)
    rows, columns = one.sum(axis=1), other.sum(axis=1)
    total = np.sum(one * other) + rows.sum() * columns.sum() / ((n - 1) * (n - 2))
    return float((total - 2 * rows @ columns / (n - 2)) / (n * (n - 3)))

"""How many directions a cloud of points or a kernel uses."""

import numpy as np

from lightning_grok.geometry.arrays import Points, about_their_mean, finite_array


def participation_ratio(points: Points, *, corrected: bool = True) -> float:
    """Participation ratio of the covariance's eigenvalues, (Σ λ)² / Σ λ² = (tr Σ)² / tr Σ².

    The plug-in value falls short when samples are few: n points never show more than n - 1
    dimensions. Corrected, both traces are replaced by unbiased estimates, sums over distinct
    samples (U-statistics; samples are corrected for, the d features are taken as all there are,
    where Chun et al., arXiv 2509.26560, correct for both):

        (tr Σ)²: mean of D_ij D_kl over distinct i, j, k, l, with D_ij = ‖x_i - x_j‖² / 2,
        tr Σ²: the unbiased estimate of HSIC of the points with themselves under the linear kernel
        (Song et al. 2012, Eq. 5).

    Args:
        points: n samples of d features; n >= 4 for the correction, which subtracts a mean itself.
        corrected: remove the bias of both traces; their ratio keeps one of higher order.

    Returns:
        The ratio, in [1, d] when not corrected; an estimate may leave that range. Cost
        n d min(n, d), memory that of the points and min(n, d)².

    Raises:
        ValueError: too few points, an entry is not finite, no variance at all, or an estimate of
            tr Σ² that is not positive: too few points to tell.

    >>> participation_ratio(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), corrected=False)
    2.0
    """
    values = finite_array(points, "points", 2)
    n = len(values)
    if n < (4 if corrected else 2):
        raise ValueError(f"expected at least {4 if corrected else 2} points, received {n}")
    centered = about_their_mean(values)
    norms = np.einsum("nd,nd->n", centered, centered)
    squares = float(np.sum(_scatter(centered) ** 2))
    if not corrected:
        return float(norms.sum() ** 2 / squares)
    square_of_trace, trace_of_square = _unbiased_traces(norms, squares)
    if trace_of_square <= 0:
        raise ValueError(f"expected more points, received {n}: tr Σ² is estimated as negative")
    return float(square_of_trace / trace_of_square)


def _unbiased_traces(norms: np.ndarray, squares: float) -> tuple[float, float]:
    """Unbiased (tr Σ)² and tr Σ² of n >= 4 centered points.

    Args:
        norms: (n,) their squared lengths g, the diagonal of the Gram matrix G, whose rows sum to 0.
        squares: sum of all G_ij².
    """
    n, total, fourth = len(norms), norms.sum(), np.sum(norms**2)
    # D_ij = (g_i + g_j) / 2 - G_ij. Ordered quadruples of distinct samples: all, less those that
    # share one index or two.
    rows = (n * norms + total) / 2
    pairs = rows.sum() ** 2 - 4 * np.sum(rows**2) + n * fourth + total**2 + 2 * squares
    quadruples = n * (n - 1) * (n - 2) * (n - 3)
    # Without its diagonal the rows of G sum to -g.
    hsic = squares - fourth + total**2 / ((n - 1) * (n - 2)) - 2 * fourth / (n - 2)
    return float(pairs / quadruples), float(hsic / (n * (n - 3)))


def _scatter(centered: np.ndarray) -> np.ndarray:
    """The smaller of X^T X and X X^T, which have the same eigenvalues but for zeros."""
    n, d = centered.shape
    return centered.T @ centered if d < n else centered @ centered.T


def effective_rank(matrix: Points) -> float:
    """Effective rank exp(H(p)), p = σ / Σ σ over the singular values (Roy & Vetterli 2007).

    Of a representation (samples by features, not centered) it is RankMe (Garrido et al. 2023)
    without that paper's constant added to p, which 0 log 0 = 0 makes unnecessary; of a kernel the
    singular values are its eigenvalues.

    Args:
        matrix: points (n, d) or a kernel (n, n).

    Returns:
        The rank, from 1 to min(n, d). Cost of the singular values, min(n, d)² max(n, d).

    Raises:
        ValueError: an entry is not finite, or all are zero.

    >>> round(effective_rank(np.diag([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    values = finite_array(matrix, "entries", 2)
    if not values.any():
        raise ValueError("expected a matrix that is not zero, received zeros")
    singular = np.linalg.svd(values / np.abs(values).max(), compute_uv=False)
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def spectral_entropy(points: Points) -> float:
    """Entropy of the covariance's eigenvalues over that of d equal ones, -Σ p log p / log d.

    p = λ / Σ λ (early warning: arXiv 2604.13123). Rotation, translation and scale change nothing.

    Args:
        points: (n, d) samples with d >= 2; of fewer samples than features, n - 1 eigenvalues at
            most are not 0, so that the value falls short.

    Returns:
        0 for one direction, 1 for all d alike. Cost n d min(n, d).

    Raises:
        ValueError: fewer than two features, an entry is not finite, or no variance at all.

    >>> square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    >>> round(spectral_entropy(np.hstack([square, np.zeros((4, 2))])), 6)
    0.5
    """
    centered = about_their_mean(finite_array(points, "points", 2))
    features = centered.shape[1]
    if features < 2:
        raise ValueError(f"expected points of at least 2 features, received {features}")
    eigenvalues = np.linalg.eigvalsh(_scatter(centered))
    shares = eigenvalues[eigenvalues > 0] / eigenvalues.sum()
    return float(-np.sum(shares * np.log(shares)) / np.log(features))


def numerical_rank(points: Points, threshold: float = 1e-3) -> int:
    """Directions whose standard deviation is above a fraction of the largest (tunnel effect).

    Masarczyk et al. (2023, arXiv 2305.19753); the points are centered. Rotation, translation and
    scale change nothing.

    Args:
        points: (n, d) samples.
        threshold: the fraction, at least 1e-6, which eigenvalues of a covariance still tell from
            rounding, and below 1.

    Returns:
        1 to min(n - 1, d). Cost n d min(n, d).

    Raises:
        ValueError: the threshold is out of range, an entry is not finite, or no variance at all.

    >>> numerical_rank(np.diag([3.0, 1.0, 1e-5, 0.0]))
    2
    """
    if not 1e-6 <= threshold < 1:
        raise ValueError(
            f"expected a threshold of at least 1e-6 and below 1, received {threshold:g}"
        )
    centered = about_their_mean(finite_array(points, "points", 2))
    eigenvalues = np.linalg.eigvalsh(_scatter(centered))
    return int(np.count_nonzero(eigenvalues > threshold**2 * eigenvalues[-1]))

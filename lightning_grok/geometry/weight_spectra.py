"""Spectra of weight matrices: tail exponent, stable rank, entropy, correlation traps.

All functions take one matrix (out, in); convolutions are flattened to it by the caller.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lightning_grok.geometry.arrays import Points, finite_array, of_moderate_size

LEAST_EIGENVALUES = 50
"""Fewer than these have no tail exponent."""


class WeightSpectrum(NamedTuple):
    """What the eigenvalues of WᵀW / N say, N the longer side of W.

    Attributes:
        tail_exponent: α of the density λ^-α above the best threshold (Clauset et al. 2009); NaN
            below `LEAST_EIGENVALUES` eigenvalues.
        stable_rank: ‖W‖²_F / ‖W‖²₂, from 1 to the rank.
        spectral_norm: ‖W‖₂.
        entropy: of the squared singular values as shares, over the log of their number, in [0, 1].
        largest_over_rms: largest |w| over the root mean square: what makes correlation traps.
        traps: eigenvalues of W with its entries shuffled that lie above the edge of random
            matrices of that variance, by more than its fluctuations; none where the entries are
            alike.
    """

    tail_exponent: float
    stable_rank: float
    spectral_norm: float
    entropy: float
    largest_over_rms: float
    traps: int


def weight_spectrum(weight: Points, *, seed: int = 0) -> WeightSpectrum:
    """All of `WeightSpectrum`. Cost of two singular value decompositions.

    Args:
        weight: (m, n), not all zero.
        seed: of the shuffle that looks for traps.

    Raises:
        ValueError: it is no matrix, all zero or not finite.
    """
    values = finite_array(weight, "weights")
    if values.ndim != 2 or not values.any():
        raise ValueError(f"expected a matrix that is not zero, received shape {values.shape}")
    values, exponent = of_moderate_size(values)
    longer, shorter = max(values.shape), min(values.shape)
    squares = np.linalg.svd(values, compute_uv=False) ** 2
    shares = squares[squares > 0] / squares.sum()
    entropy = -np.sum(shares * np.log(shares)) / np.log(shorter) if shorter > 1 else 0.0
    shuffled = np.random.default_rng(seed).permutation(values.ravel()).reshape(values.shape)
    edge = marchenko_pastur_edge(longer, shorter, float(values.std()))
    # The largest eigenvalue of a random matrix fluctuates about the edge by its N^(-2/3).
    above = edge * (1 + 3 * longer ** (-2 / 3))
    spread = np.linalg.svd(shuffled - values.mean(), compute_uv=False) ** 2 / longer
    return WeightSpectrum(
        tail_exponent(squares / longer),
        float(squares.sum() / squares[0]),
        float(np.ldexp(np.sqrt(squares[0]), exponent)),
        float(entropy),
        float(np.abs(values).max() / np.sqrt(np.mean(values**2))),
        int((spread > above).sum()),
    )


def marchenko_pastur_edge(longer: int, shorter: int, deviation: float) -> float:
    """Largest eigenvalue of WᵀW / N for large independent entries, σ² (1 + √(M / N))².

    >>> marchenko_pastur_edge(400, 100, 2.0)
    9.0
    """
    return float(deviation**2 * (1 + np.sqrt(shorter / longer)) ** 2)


def tail_exponent(eigenvalues: Float[np.ndarray, " n"]) -> float:
    """Exponent α of a power law fitted to the tail, λ >= λ_min, of a sample.

    α = 1 + k / Σ ln(λ_i / λ_min) over the k values above λ_min, with the λ_min whose fit has the
    least Kolmogorov-Smirnov distance (Clauset, Shalizi and Newman 2009). Cost n².

    Returns:
        α > 1; NaN below `LEAST_EIGENVALUES` positive values.
    """
    ordered = np.sort(finite_array(eigenvalues))
    ordered = ordered[ordered > 0]
    if len(ordered) < LEAST_EIGENVALUES:
        return float("nan")
    logarithms = np.log(ordered)
    best, exponent = np.inf, float("nan")
    for start in range(len(ordered) - LEAST_EIGENVALUES // 5):
        tail = logarithms[start:] - logarithms[start]
        total = tail.sum()
        if total <= 0:
            break
        slope = len(tail) / total
        fitted = 1 - np.exp(-slope * tail)
        ranks = np.arange(len(tail) + 1) / len(tail)
        distance = max(np.abs(fitted - ranks[:-1]).max(), np.abs(fitted - ranks[1:]).max())
        if distance < best:
            best, exponent = distance, 1 + slope
    return float(exponent)

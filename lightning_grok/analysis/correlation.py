"""How two series of one run go together, each as one number a seed.

Values along training depend on each other, so a correlation over 28 checkpoints has no 28
observations: its own p-value means nothing. Every function here gives one number for one run, and
the interval is taken over seeds (`lightning_grok.analysis.interval`).
"""

import numpy as np
from jaxtyping import Float, Num

from lightning_grok.analysis.interval import is_constant

_LARGEST = 1 - 1e-7  # a perfect correlation has no finite z


def correlation(first: Float[np.ndarray, " t"], second: Float[np.ndarray, " t"]) -> float:
    """Pearson's r; NaN for fewer than three values or a series that is constant up to rounding."""
    if len(first) < 3 or is_constant(first) or is_constant(second):
        return np.nan
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1, 1))


def fisher_z(r: float) -> float:
    """artanh r (Fisher 1915), with \\|r\\| held below 1 − 10⁻⁷: at most 8.4 in size."""
    return float(np.arctanh(np.clip(r, -_LARGEST, _LARGEST)))


def fisher_z_difference(
    first: Float[np.ndarray, " t"],
    second: Float[np.ndarray, " t"],
    target: Float[np.ndarray, " t"],
) -> float:
    """How much better `first` goes with `target` than `second` does: z(r₁) − z(r₂), signs kept.

    NaN where one of the two correlations does not exist.
    """
    return fisher_z(correlation(first, target)) - fisher_z(correlation(second, target))


def rates(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t-1"]:
    """First differences per decade of epoch: (y_{i+1} − y_i) / (x_{i+1} − x_i), x = log10(epoch).

    Args:
        epochs: increasing, above 0.
        values: one an epoch.
    """
    return np.diff(values) / np.diff(np.log10(epochs))


def slope(epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"]) -> float:
    """Least-squares slope of `values` per decade of epoch; NaN for fewer than three values."""
    if len(values) < 3:
        return np.nan
    return float(np.polyfit(np.log10(epochs), values, 1)[0])


def concordance(first: Float[np.ndarray, " t"], second: Float[np.ndarray, " t"]) -> float:
    """Lin's coefficient of concordance: 2 s₁₂ / (s₁² + s₂² + (m₁ − m₂)²) (Lin 1989).

    Unlike r it is 1 on the line of identity only: a shift or another scale lowers it. Moments are
    over n, as in the paper.

    Returns:
        In [−1, 1]; 1 for two equal constants, NaN for fewer than three values.
    """
    if len(first) < 3:
        return np.nan
    a, b = first - first.mean(), second - second.mean()
    spread = np.mean(a**2) + np.mean(b**2) + (first.mean() - second.mean()) ** 2
    return 1.0 if spread == 0 else float(2 * np.mean(a * b) / spread)


def rank_correlation(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    """Spearman's ρ, ties by mean rank; NaN for fewer than three values or a constant."""
    from scipy.stats import spearmanr

    if len(first) < 3 or is_constant(first) or is_constant(second):
        return np.nan
    return float(spearmanr(first, second).statistic)

"""The common structure of class centers, removed before manifolds are taken apart.

The mean-field capacity assumes that the centers of the manifolds are uncorrelated. Following Cohen,
Chung, Lee and Sompolinsky, Separability and geometry of object manifolds in deep neural networks,
Nat. Commun. 11, 746 (2020), Methods, a subspace of the centers is removed for which the sum of
their squared correlations is smallest. For every rank local minima are sought from several random
starts; the one whose removal leaves the centers longest (the largest smallest ratio of a norm after
to before, the stability) is kept; ranks are tried upwards until the mean absolute correlation has
grown three times in a row, and the rank of the smallest one is chosen. Objective, choice among the
starts, order of ranks and stopping rule are those of the authors' public code; the optimizer
(`subspace_descent`) isn't. Theirs, conjugate gradients broken off
after 1,000 iterations, ends at a cost that is 1e-4 to 1e-3 above the minimum from rank 14 of 47
classes on, and so does ours, 200 iterations of L-BFGS in better coordinates. That is meant: minima
that are followed to their end give smaller capacities, by up to 1 % on real activations, and other
ranks, so that numbers would no longer compare with published ones. Where ranks are nearly tied the
choice differs from seed to seed, in both about equally often (docs/benchmarks.md).

A rank costs C^3 and up to C ranks are tried. Beyond a hundred classes, where the starts of a rank
end at one residual to within 0.3 %, a rank therefore gets as many starts as cost what they cost
there, and the search begins near the rank at which a coarse one ends: one subspace that grows by a
sixteenth at a time, with a few steps after each. Ranks are nearly tied then:
for 150 and 192 Gaussian, rectified and decaying centers the rank so chosen lies within four of
those of the whole search, whose seeds differ by up to four, and the residual within 0.3 %.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lightning_grok.geometry.arrays import Points, finite_array, of_moderate_size

# Centers, or directions among them, below this fraction of the largest are rounding error.
_RANK_TOLERANCE = 1e-10
# The published bound on the rank: components that hold this part of the centers' variance, and ten.
_VARIANCE_PART = 0.95
_EXTRA_RANKS = 10
# Ranks tried before the search may stop; where there aren't as many, rank 0 is a candidate too.
_FIRST_STOP = 5
_MAX_ITERATIONS = 200
# Classes up to which every rank is tried from every start, as published.
_WHOLE_SEARCH = 100
# Beyond: steps of the coarse search after it has grown, and ranks below its end to begin at.
_COARSE_ITERATIONS = 20
_RANKS_BELOW = 3
_GRADIENT_TOLERANCE = 1e-6
_COST_TOLERANCE = 1e-10


class CenterStructure(NamedTuple):
    """What is removed from all points, and what is left of the centers' correlations.

    Attributes:
        basis: (d, K) orthonormal columns, K the rank.
        rank: K.
        correlation: mean |correlation| of two centers before, around the centers' mean; NaN below
            two centers.
        residual: the same after the subspace is removed.
        residual_sd: its standard deviation over the starts at this rank; NaN for one start or rank
            0.
        stability: smallest ratio of a center's norm after to before.
        by_rank: residual of the ranks 1, 2, ...; infinite where a center vanishes, NaN at ranks
            passed over.
        iterations: (ranks, starts) of every start, 0 at ranks passed over.
    """

    basis: Float[np.ndarray, "d k"]
    rank: int
    correlation: float
    residual: float
    residual_sd: float
    stability: float
    by_rank: Float[np.ndarray, " ranks"]
    iterations: Int[np.ndarray, "ranks restarts"]


def center_structure(centers: Points, *, restarts: int = 10, seed: int = 0) -> CenterStructure:
    """The subspace whose removal leaves the class centers least correlated.

    The rank is at most the dimension of the centers around their mean less one, and at most ten
    more than the principal components that hold 95 % of their variance. Rank 0, nothing removed,
    is a candidate only where fewer than five ranks can be tried, which is where the published code
    fails. Centers at the mean have no direction and take no part.

    Args:
        centers: (C, d) class means, finite; their mean over classes is subtracted here.
        restarts: random starts for every rank, at least 1; fewer beyond a hundred classes.
        seed: of the starts.

    Cost: about (ranks x starts x 200) iterations of O(C^2 (C + rank)); beyond a hundred classes
        some ten ranks of restarts (100 / C)^3 starts, at least one.
    """
    centers = finite_array(centers, "centers", 2)
    deviations = centers - centers.mean(axis=0)
    if deviations.any():
        deviations, _ = of_moderate_size(deviations)
    rows, directions, max_rank = _reduced(deviations)
    correlation = float(_mean_correlation(rows))
    nothing = _nothing(centers.shape[1], correlation, restarts)
    if max_rank < 1:
        return nothing
    first, starts = 1, restarts
    if len(rows) > _WHOLE_SEARCH:
        first = max(1, _coarse_rank(rows, max_rank, seed) - _RANKS_BELOW)
        starts = max(1, round(restarts * (_WHOLE_SEARCH / len(rows)) ** 3))
    bases, spreads = [rows[:0]] * (first - 1), [np.nan] * (first - 1)
    residuals, iterations = list(spreads), [np.zeros(starts, dtype=np.int64)] * (first - 1)
    for rank in range(first, max_rank + 1):
        best, residual, spread, steps = _most_stable(rows, rank, seed, starts)
        bases.append(best)
        residuals.append(residual)
        spreads.append(spread)
        iterations.append(steps)
        if _past_minimum(residuals):
            break
    chosen = int(np.nanargmin(residuals))
    by_rank, taken = np.array(residuals), np.array(iterations)
    if max_rank < _FIRST_STOP and correlation <= residuals[chosen]:
        return nothing._replace(by_rank=by_rank, iterations=taken)
    return CenterStructure(
        basis=directions @ bases[chosen].T,
        rank=chosen + 1,
        correlation=correlation,
        residual=residuals[chosen],
        residual_sd=spreads[chosen],
        stability=float(_lengths(_outside(rows, bases[chosen])).min()),
        by_rank=by_rank,
        iterations=taken,
    )


def _past_minimum(residuals: list[float], ranks: int | None = None) -> bool:
    """Three increases in a row, once five ranks are behind."""
    last = np.diff(residuals[-4:])
    return (ranks or len(residuals)) >= _FIRST_STOP and len(last) == 3 and bool(np.all(last > 0))


def _coarse_rank(rows: Float[np.ndarray, "live r"], max_rank: int, seed: int) -> int:
    """About where the search over ranks ends: one subspace, followed while it grows."""
    from lightning_grok.geometry.capacity.subspace_descent import minimize_squared_correlation

    generator = np.random.default_rng([seed, 0])  # no rank's stream
    basis, ranks, residuals = rows[:0], [], []
    while len(basis) < max_rank:
        more = min(max(2, len(basis) // 16), max_rank - len(basis))
        new = generator.standard_normal((more, rows.shape[1]))
        new /= _lengths(new)[:, None]
        start = np.concatenate([basis, new])[None]
        basis = minimize_squared_correlation(
            rows, start, _COARSE_ITERATIONS, _GRADIENT_TOLERANCE, _COST_TOLERANCE
        )[0][0]
        ranks.append(len(basis))
        residuals.append(float(_mean_correlation(_outside(rows, basis))))
        if _past_minimum(residuals, len(basis)):
            break
    return ranks[int(np.argmin(residuals))]


def _nothing(dimensions: int, correlation: float, restarts: int) -> CenterStructure:
    return CenterStructure(
        basis=np.zeros((dimensions, 0)),
        rank=0,
        correlation=correlation,
        residual=correlation,
        residual_sd=float("nan"),
        stability=1.0,
        by_rank=np.zeros(0),
        iterations=np.zeros((0, restarts), dtype=np.int64),
    )


def _reduced(
    deviations: Float[np.ndarray, "classes d"],
) -> tuple[Float[np.ndarray, "live r"], Float[np.ndarray, "d r"], int]:
    """Unit vectors along the centers in a basis of their span, that basis, and the largest rank."""
    left, singular, right = np.linalg.svd(deviations, full_matrices=False)
    size = int(np.count_nonzero(singular > _RANK_TOLERANCE * singular[0]))
    # The sign of a singular vector is arbitrary; fixed, it makes the starts turn with the centers.
    largest = np.argmax(np.abs(left[:, :size]), axis=0)
    signs = np.sign(left[largest, np.arange(size)])
    coordinates = left[:, :size] * signs * singular[:size]
    lengths = _lengths(coordinates)
    live = lengths > _RANK_TOLERANCE * lengths.max(initial=0.0)
    rows = np.ascontiguousarray(coordinates[live] / lengths[live, None])
    if size == 0:
        return rows, right[:0].T, 0
    part = np.cumsum(singular**2) / np.sum(singular**2)
    main = int(np.count_nonzero(part < _VARIANCE_PART))
    return rows, right[:size].T * signs, min(size - 1, max(main, 1) + _EXTRA_RANKS)


def _most_stable(
    rows: Float[np.ndarray, "live r"], rank: int, seed: int, restarts: int
) -> tuple[Float[np.ndarray, "k r"], float, float, Int[np.ndarray, " restarts"]]:
    """The most stable minimum of one rank, its residual, the spread over starts, iterations."""
    from lightning_grok.geometry.capacity.subspace_descent import minimize_squared_correlation

    # One stream a rank: what is tried at one rank doesn't depend on the ranks before.
    starts = np.random.default_rng([seed, rank]).standard_normal((restarts, rank, rows.shape[1]))
    bases, _, iterations = minimize_squared_correlation(
        rows, starts, _MAX_ITERATIONS, _GRADIENT_TOLERANCE, _COST_TOLERANCE
    )
    left = _outside(rows, bases)
    residuals = _mean_correlation(left)
    best = int(np.argmax(_lengths(left).min(axis=-1)))
    finite = residuals[np.isfinite(residuals)]
    spread = float(finite.std(ddof=1)) if len(finite) > 1 else float("nan")
    return bases[best], float(residuals[best]), spread, iterations


def _outside(
    rows: Float[np.ndarray, "live r"], bases: Float[np.ndarray, "*starts k r"]
) -> Float[np.ndarray, "*starts live r"]:
    """What is left of the rows outside every subspace."""
    return rows - (rows @ np.swapaxes(bases, -1, -2)) @ bases


def _lengths(rows: Float[np.ndarray, "*starts live r"]) -> Float[np.ndarray, "*starts live"]:
    return np.sqrt(np.einsum("...i,...i->...", rows, rows))


def _mean_correlation(rows: Float[np.ndarray, "*starts live r"]) -> Float[np.ndarray, "*starts"]:
    """Mean |correlation| of two different rows; NaN below two, infinite where one has vanished."""
    count = rows.shape[-2]
    lengths = _lengths(rows)
    if count < 2:
        return np.full(lengths.shape[:-1], np.nan)
    unit = rows / np.where(lengths > 0, lengths, 1.0)[..., None]
    total = np.abs(unit @ np.swapaxes(unit, -1, -2)).sum(axis=(-1, -2)) - count
    return np.where((lengths > 0).all(axis=-1), total / (count * (count - 1)), np.inf)

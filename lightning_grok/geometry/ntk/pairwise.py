"""Distances between the kernels of checkpoints, from layer factors and without a whole kernel.

<K1, K2>_F is a sum over pairs of samples (i, j) of inner products of c x c blocks. Two exact ways:

- Many checkpoints (`pairwise_kernel_distance`): small tiles of all T kernels are built side by
  side and their T x T products added up. Every tile is built once a checkpoint, T n² c² Σ_l p_l
  multiplications over two, and no kernel ever exists as a whole.
- Two checkpoints (`distance_between`): no block is built at all. With C_i = B1_l,iᵀ B2_m,i,

      <B1_l,i B1_l,jᵀ, B2_m,i B2_m,jᵀ>_F = <C_i, C_j>_F,

  so that <K1, K2> = Σ_lm Σ_ij (G1_l ∘ G2_m)_ij <C_i, C_j>, with G = A Aᵀ + 1: n² Σ_lm p_l p_m
  multiplications at most (`geometry.ntk.contraction` passes over silent units), on the
  processor wherever the factors are. Whichever costs less for the shapes at hand is taken.

Tiles are in the factors' dtype, sums over tiles in float64. The kernels must be those of linear
stacks (`geometry.ntk.factors`); distances of other networks come from `empirical_ntk`
and `kernel_distance`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.ntk.contraction import Units, units_of, weighted_gram_sums
from lightning_grok.geometry.ntk.empirical import kernel_block, trace_kernel, upper_blocks
from lightning_grok.geometry.ntk.factors import NTKFactors, ntk_factors
from lightning_grok.geometry.ntk.kernel import distance_from_products, kernel_distance

PairKind = Literal["full", "trace"]
_TILE = 16  # samples a side of a tile


def distance_between(first: NTKFactors, second: NTKFactors, *, kind: PairKind = "full") -> float:
    """Exact kernel distance of two checkpoints at the same samples (`kernel_distance`).

    The norm of each kernel is kept with its factors, so that the distances of one checkpoint to
    its start and its predecessor cost two products and one norm.

    Args:
        first, second: factors of the two, with the same numbers of samples and outputs.
        kind: ``full`` or ``trace``.

    Returns:
        S in [0, 1] up to rounding. At float32 its error is about 1e-7.

    Raises:
        ValueError: shapes differ, a kernel is zero or not finite, or an unknown kind.
    """
    _check_kind(kind)
    if (first.samples, first.outputs) != (second.samples, second.outputs):
        raise ValueError(
            f"expected factors of the same samples and outputs, received {first.samples} x "
            f"{first.outputs} and {second.samples} x {second.outputs}"
        )
    if kind == "trace":
        return kernel_distance(trace_kernel(first), trace_kernel(second))
    inner = kernel_inner_product(first, second)
    return distance_from_products(inner, _squared_norm(first), _squared_norm(second))


def _squared_norm(factors: NTKFactors) -> float:
    if "squared_norm" not in factors.cache:
        factors.cache["squared_norm"] = kernel_inner_product(factors, factors)
    return factors.cache["squared_norm"]


def _check_kind(kind: str) -> None:
    if kind not in ("full", "trace"):
        raise ValueError(f"expected kind full or trace, received {kind!r}")


def kernel_inner_product(first: NTKFactors, second: NTKFactors) -> float:
    """Exact <K1, K2>_F of the full kernels; ‖K‖² where both are the same object."""
    widths1, widths2 = sum(first.widths), sum(second.widths)
    contracted = widths1 * widths2
    built = first.outputs**2 * (widths1 + widths2)
    if contracted > built:
        factors = [first] if first is second else [first, second]
        products = _tiled_products(factors)
        for each, squared_norm in zip(factors, products.diagonal(), strict=True):
            each.cache.setdefault("squared_norm", float(squared_norm))
        return float(products[0, -1])
    return _contracted_product(first, second)


def _contracted_product(first: NTKFactors, second: NTKFactors) -> float:
    """Σ_lm Σ_ij (G1_l ∘ G2_m)_ij <C_i, C_j>; half of the terms where both are the same object."""
    same = first is second
    layers1, layers2 = _laid_out(first), _laid_out(second)
    terms, counts = [], []
    for one, layer1 in enumerate(layers1):
        for other in range(one if same else 0, len(layers2)):
            layer2 = layers2[other]
            terms.append((layer1.units, layer2.units, layer1.gram * layer2.gram))
            counts.append(2.0 if same and other != one else 1.0)
    sums = weighted_gram_sums(terms)
    return math.fsum(count * value for count, value in zip(counts, sums, strict=True))


class _Layer(NamedTuple):
    gram: np.ndarray  # A Aᵀ + 1 in float64
    units: Units  # of B, in at least float32


def _laid_out(factors: NTKFactors) -> list[_Layer]:
    """Every learning layer as the contraction wants it, kept with the factors."""
    if "laid_out" not in factors.cache:
        whole = slice(None)
        jacobians = (b if b.ndim == 3 else torch.diag_embed(b) for b in factors.jacobians())
        factors.cache["laid_out"] = [
            _Layer(
                layer.gram(whole, whole).double().cpu().numpy(),
                units_of(_at_least_single(b).cpu().numpy()),
            )
            for layer, b in zip(factors.learning, jacobians, strict=True)
        ]
    return factors.cache["laid_out"]


def _at_least_single(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def pairwise_kernel_distance(
    checkpoints: Iterable[Mapping[str, Tensor] | nn.Module],
    model: nn.Module,
    inputs: Float[Tensor, "n *shape"],
    *,
    kind: PairKind = "full",
    dtype: torch.dtype | None = None,
    memory: float = 0.5e9,
) -> Float[np.ndarray, "checkpoints checkpoints"]:
    """Exact kernel distances of all pairs of T checkpoints, streamed over tiles of samples.

    Args:
        checkpoints: state dicts of the model, or modules of its architecture; read one at a time.
        model: the architecture; its own parameters are not used, only which of them learn.
        inputs: n samples as the model takes them.
        kind: ``full`` or ``trace``.
        dtype: floating type of the tiles; the parameters' own by default.
        memory: bytes for the backpropagated Jacobians. Where those of all samples need more,
            they are rebuilt for two blocks of samples at a time. To this come T tiles of
            16 c x 16 c numbers and the factors of T checkpoints, 2 to 3 MB each.

    Returns:
        (T, T), symmetric, zero on the diagonal.

    Raises:
        ValueError: fewer than two checkpoints, one that doesn't fit the model, a kernel that is
            zero or not finite, or a model that is no linear stack.
    """
    _check_kind(kind)
    states = (c.state_dict() if isinstance(c, nn.Module) else c for c in checkpoints)
    factors = [ntk_factors(model, inputs, parameters=state, dtype=dtype) for state in states]
    if len(factors) < 2:
        raise ValueError(f"expected at least two checkpoints, received {len(factors)}")
    if kind == "trace":
        kernels = torch.stack([trace_kernel(each).flatten().double() for each in factors])
        products = (kernels @ kernels.T).cpu().numpy()
    else:
        products = _tiled_products(factors, memory)
    return _distances(products)


def _distances(products: np.ndarray) -> np.ndarray:
    """(T, T) distances from inner products."""
    distance = np.zeros_like(products)
    for s in range(len(products)):
        for t in range(s + 1, len(products)):
            triple = products[s, t], products[s, s], products[t, t]
            distance[s, t] = distance[t, s] = distance_from_products(*triple)
    return distance


def _tiled_products(factors: list[NTKFactors], memory: float = 0.5e9) -> np.ndarray:
    """<K_s, K_t>_F of all pairs, (T, T) in float64."""
    n, c = factors[0].samples, factors[0].outputs
    itemsize = factors[0].layers[0].inputs.element_size()
    a_sample = c * itemsize * sum(sum(each.widths) for each in factors)
    whole = n * a_sample <= memory
    # Whole tiles only, so that all are of one shape and one place in memory serves them.
    block = n if whole else _TILE * max(1, int(memory / (2 * a_sample * _TILE)))
    products = torch.zeros(len(factors), len(factors), dtype=torch.float64)
    tiles: dict[tuple[int, int], Tensor] = {}
    left_start, left = -1, []
    for rows, columns in upper_blocks(n, block):
        if rows.start != left_start:
            left_start, left = rows.start, [each.jacobians(rows) for each in factors]
        right = left if rows == columns else [each.jacobians(columns) for each in factors]
        for i, j in _tile_pairs(rows, columns):
            shape = len(range(n)[i]) * c, len(range(n)[j]) * c
            if shape not in tiles:
                tiles[shape] = left[0][0].new_empty(len(factors), *shape)
            for t, each in enumerate(factors):
                kernel_block(
                    [layer.gram(i, j) for layer in each.learning],
                    [b[i.start - rows.start : i.stop - rows.start] for b in left[t]],
                    [b[j.start - columns.start : j.stop - columns.start] for b in right[t]],
                    out=tiles[shape][t],
                )
            products += (1 if i == j else 2) * _products_within(tiles[shape], c).cpu()
    return products.numpy()


def _tile_pairs(rows: slice, columns: slice) -> Iterator[tuple[slice, slice]]:
    """Tiles of a block of samples; only those on and above the diagonal where it has one."""
    if rows == columns:
        for i, j in upper_blocks(rows.stop - rows.start, _TILE):
            yield _shifted(i, rows.start), _shifted(j, rows.start)
        return
    for top in range(rows.start, rows.stop, _TILE):
        for first in range(columns.start, columns.stop, _TILE):
            bottom, last = min(top + _TILE, rows.stop), min(first + _TILE, columns.stop)
            yield slice(top, bottom), slice(first, last)


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _products_within(tiles: Tensor, outputs: int) -> Tensor:
    """Products of T tiles (T, b c, d c), by one sample's rows at a time: short float32 sums."""
    # (T, b c, d c) -> (b, T, c d c)
    rows = tiles.view(len(tiles), -1, outputs * tiles.shape[2]).transpose(0, 1)
    return torch.bmm(rows, rows.transpose(1, 2)).double().sum(0)


class DistanceFloor(NamedTuple):
    """Kernel distance of two fresh initializations: what no training explains.

    Attributes:
        full, full_sd: mean and standard deviation over pairs, full kernel.
        trace, trace_sd: the same, trace kernel.
    """

    full: float
    full_sd: float
    trace: float
    trace_sd: float


def kernel_distance_floor(
    fresh: Callable[[int], nn.Module],
    inputs: Float[Tensor, "n *shape"],
    *,
    pairs: int = 5,
    seed: int = 0,
    dtype: torch.dtype | None = None,
) -> DistanceFloor:
    """Null floor: distances between independent initializations of one architecture.

    Pairs share no network, so that the standard deviation is over independent values.

    Args:
        fresh: seed -> newly initialized module. The global seed is set to the same number before
            each call and put back afterwards, so that ``lambda seed: MLP()`` will do.
        inputs: n samples as the model takes them.
        pairs: number of pairs, at least two.
        seed: of the seeds handed to `fresh`.
        dtype: as in `ntk_factors`.

    Returns:
        Means and standard deviations (n - 1 in the denominator).

    Raises:
        ValueError: fewer than two pairs, or a network that is no linear stack.
    """
    if pairs < 2:
        raise ValueError(f"expected at least two pairs for a spread, received {pairs}")
    seeds = np.random.default_rng(seed).choice(2**31, size=2 * pairs, replace=False).tolist()
    full, trace = [], []
    for one, other in zip(seeds[::2], seeds[1::2], strict=True):
        first, second = (ntk_factors(_fresh(fresh, s), inputs, dtype=dtype) for s in (one, other))
        full.append(distance_between(first, second))
        trace.append(distance_between(first, second, kind="trace"))
    return DistanceFloor(
        float(np.mean(full)),
        float(np.std(full, ddof=1)),
        float(np.mean(trace)),
        float(np.std(trace, ddof=1)),
    )


def _fresh(make: Callable[[int], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return make(seed)

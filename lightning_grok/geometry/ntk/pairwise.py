"""Distances between the kernels of checkpoints, from layer factors.

<K1, K2>_F is a sum over pairs of samples (i, j) of inner products of c x c blocks, taken exactly in
one of three ways:

- Many checkpoints (`pairwise_kernel_distance`): blocks of all T kernels are built side by side and
  their T x T products added up. Every block is built once a checkpoint and no kernel ever exists as
  a whole.
- Two checkpoints whose layers act at a single position: no block is built at all. With
  C_i = B1_l,iᵀ B2_m,i, B the derivatives by what leaves a layer,

      <B1_l,i B1_l,jᵀ, B2_m,i B2_m,jᵀ>_F = <C_i, C_j>_F,

  so that <K1, K2> = Σ_lm Σ_ij (G1_l ∘ G2_m)_ij <C_i, C_j>, with G = A Aᵀ: n² Σ_lm p_l p_m
  multiplications at most (`geometry.ntk.contraction` passes over silent units), on the
  processor wherever the factors are.
- Two others: both kernels are built and kept, where they are small enough to be.

Whichever costs less for the shapes at hand is taken. Blocks are in the factors' dtype, sums over
blocks in float64.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.ntk.contraction import Units, units_of, weighted_gram_sums
from lightning_grok.geometry.ntk.empirical import (
    check_kind,
    kernel_of,
    trace_kernel,
    upper_blocks,
)
from lightning_grok.geometry.ntk.factors import NTKFactors, ntk_factors
from lightning_grok.geometry.ntk.kernel import distance_from_products, kernel_distance
from lightning_grok.geometry.ntk.network import Output
from lightning_grok.geometry.ntk.terms import Term, add_terms, block_cost, mirror

PairKind = Literal["full", "trace"]
_KINDS = ("full", "trace")
_TOO_MUCH = 2e9  # bytes of two kernels that no exact distance is worth
_KEPT = 256e6  # bytes of a kernel that is kept with its factors


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
    check_kind(kind, _KINDS)
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


def kernel_inner_product(first: NTKFactors, second: NTKFactors) -> float:
    """Exact <K1, K2>_F of the full kernels; ‖K‖² where both are the same object."""
    if is_contracted(first):
        return _contracted_product(first, second)
    if _kernel_bytes(first) <= _KEPT:
        one, other = (_kept_kernel(each).flatten() for each in (first, second))
        parts = zip(one.split(2**20), other.split(2**20), strict=True)
        return math.fsum(float(a.double() @ b.double()) for a, b in parts)
    factors = [first] if first is second else [first, second]
    products = _blockwise_products(factors)
    for each, squared_norm in zip(factors, products.diagonal(), strict=True):
        each.cache.setdefault("squared_norm", float(squared_norm))
    return float(products[0, -1])


def is_contracted(factors: NTKFactors) -> bool:
    """Whether products of two kernels are taken without building them."""
    widths = sum(shape.outputs for shape in factors.shapes)
    return factors.has_one_position and widths <= 2 * factors.outputs**2


def distance_cost(factors: NTKFactors) -> float:
    """Multiplications of one exact distance, by the shapes alone; infinite past 2 GB of memory.

    A kernel that is built costs half of its pairs of samples times what the cheaper way through
    each layer does; a contraction costs n² (Σ q)² / 2 for the product and as much for the norm.
    """
    n, c = factors.samples, factors.outputs
    if is_contracted(factors):
        return float(n**2 * sum(shape.outputs for shape in factors.shapes) ** 2)
    if 2 * _kernel_bytes(factors) > _TOO_MUCH:
        return math.inf
    return n**2 / 2 * sum(min(block_cost(shape, c).values()) for shape in factors.shapes)


def _kernel_bytes(factors: NTKFactors) -> int:
    return (factors.samples * factors.outputs) ** 2 * factors.function.reference.element_size()


def _kept_kernel(factors: NTKFactors) -> Tensor:
    if "kernel" not in factors.cache:
        factors.cache["kernel"] = kernel_of(factors)
    return factors.cache["kernel"]


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
    gram: np.ndarray  # A Aᵀ in float64, with the one of the bias
    units: Units  # of B, in at least float32


def _laid_out(factors: NTKFactors) -> list[_Layer]:
    """Every learning layer as the contraction wants it, kept with the factors."""
    if "laid_out" not in factors.cache:
        factors.cache["laid_out"] = [
            _Layer(
                term.gram(term)[:, 0, :, 0].double().cpu().numpy(),
                units_of(_at_least_single(term.pulled[:, :, 0]).cpu().numpy()),
            )
            for term in factors.terms()
        ]
    return factors.cache["laid_out"]


def _at_least_single(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def pairwise_kernel_distance(
    checkpoints: Iterable[Mapping[str, Tensor] | nn.Module],
    model: nn.Module,
    inputs: Any,
    *,
    kind: PairKind = "full",
    dtype: torch.dtype | None = None,
    output: Output = None,
    memory: int | float = 0.5e9,
    watch: Callable[[float], object] | None = None,
) -> Float[np.ndarray, "checkpoints checkpoints"]:
    """Exact kernel distances of all pairs of T checkpoints, streamed over tiles of samples.

    Args:
        checkpoints: state dicts of the model, or modules of its architecture; read one at a time.
        model: the architecture; its own parameters are not used, only which of them learn.
        inputs, dtype, output: as in `empirical_ntk`.
        kind: ``full`` or ``trace``.
        memory: bytes for factors and blocks of all T kernels together, which settle how many
            samples make a block. To this come T copies of the parameters.
        watch: called with the share that is done, in [0, 1], after every block of a full kernel.

    Returns:
        (T, T), symmetric, zero on the diagonal.

    Raises:
        ValueError: fewer than two checkpoints, one that doesn't fit the model, or a kernel that is
            zero or not finite.
    """
    check_kind(kind, _KINDS)
    states = (c.state_dict() if isinstance(c, nn.Module) else c for c in checkpoints)
    factors = [
        ntk_factors(model, inputs, parameters=state, dtype=dtype, output=output) for state in states
    ]
    if len(factors) < 2:
        raise ValueError(f"expected at least two checkpoints, received {len(factors)}")
    if kind == "trace":
        kernels = torch.stack([trace_kernel(each).flatten().double() for each in factors])
        products = (kernels @ kernels.T).cpu().numpy()
    else:
        products = _blockwise_products(factors, memory, watch)
    return _distances(products)


def _distances(products: np.ndarray) -> np.ndarray:
    """(T, T) distances from inner products."""
    distance = np.zeros_like(products)
    for s in range(len(products)):
        for t in range(s + 1, len(products)):
            triple = products[s, t], products[s, s], products[t, t]
            distance[s, t] = distance[t, s] = distance_from_products(*triple)
    return distance


def _blockwise_products(
    factors: list[NTKFactors],
    memory: int | float = 0.5e9,
    watch: Callable[[float], object] | None = None,
) -> np.ndarray:
    """<K_s, K_t>_F of all pairs, (T, T) in float64."""
    n, c = factors[0].samples, factors[0].outputs
    itemsize = factors[0].function.reference.element_size()
    # Factors of rows and columns take half of the memory, the blocks of the kernels the other.
    a_sample = 2 * sum(each.bytes() for each in factors)
    side = (memory / 2 / (len(factors) * itemsize)) ** 0.5 / c
    size = max(1, min(n, int(memory / 2 / a_sample), int(side)))
    products = torch.zeros(len(factors), len(factors), dtype=torch.float64)
    top, left = -1, list[list[Term]]()
    blocks_of_all = list(upper_blocks(n, size))
    for done, (rows, columns) in enumerate(blocks_of_all, 1):
        if rows.start != top:
            top, left = rows.start, [each.terms(rows) for each in factors]
        same = rows == columns
        shape = len(range(n)[rows]) * c, len(range(n)[columns]) * c
        blocks = factors[0].function.reference.new_zeros(len(factors), *shape)
        for t, each in enumerate(factors):
            add_terms(blocks[t], left[t], left[t] if same else each.terms(columns))
            if same:
                mirror(blocks[t])
        products += (1 if same else 2) * _products_within(blocks, c).cpu()
        if watch is not None:
            watch(done / len(blocks_of_all))
    return products.numpy()


def _products_within(blocks: Tensor, outputs: int) -> Tensor:
    """Products of T blocks (T, b c, d c), by one sample's rows at a time: short float32 sums."""
    # (T, b c, d c) -> (b, T, c d c)
    rows = blocks.view(len(blocks), -1, outputs * blocks.shape[2]).transpose(0, 1)
    return torch.bmm(rows, rows.transpose(1, 2)).double().sum(0)

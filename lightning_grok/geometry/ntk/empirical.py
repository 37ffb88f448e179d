"""The empirical neural tangent kernel K = J Jᵀ of a network at given samples.

J (n c, P) holds the derivatives of all outputs by all parameters that require a gradient. Rows and
columns of K are sample-major, (i, a) -> i c + a. Three kernels are on offer:

- ``full``, (n c, n c): the block kernel; the one whose movement the paper measures.
- ``trace``, (n, n): tr K_ij / c, the mean over outputs of each output's own kernel.
- ``sum``, (n, n): the kernel of Σ_a f_a / √c, which is 1ᵀ K_ij 1 / c: the pseudo-NTK of Mohamadi,
  Bae & Sutherland (ICML 2023), an estimate of the trace kernel from one backward pass.

All are exact, for any network: they are multiplied out of `lightning_grok.geometry.ntk.factors`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.ntk.factors import NTKFactors, ntk_factors
from lightning_grok.geometry.ntk.network import Output
from lightning_grok.geometry.ntk.terms import Kind, Term, add_terms, mirror

MEMORY = 1e9
"""Bytes that factors and blocks may take beside the kernel, unless told otherwise."""


def empirical_ntk(
    model: nn.Module,
    inputs: Any,
    kind: Kind = "full",
    *,
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    output: Output = None,
    memory: int | float = MEMORY,
) -> Float[Tensor, "rows rows"]:
    """Empirical neural tangent kernel of a model at the inputs.

    Args:
        model: any module that answers each sample by itself; evaluated in evaluation mode, so that
            dropout and batch statistics play no part, and left as it was. Where samples depend on
            each other even so, the derivatives are those of the whole batch, at the cost of one
            backward pass an output and sample.
        inputs: n samples as ``forward`` takes them: a tensor; a tuple or list of arguments; a dict
            of keywords. Integers stay integers.
        kind: ``full`` (n c, n c), or ``trace`` or ``sum``, both (n, n).
        parameters: values to use instead of the model's own, a whole ``state_dict()``: buffers such
            as running statistics belong to the parameters that they were taken with.
        dtype: floating type of all computations; the parameters' own by default, in half
            precision float32.
        output: which (n, c) of the network's answer: None where it is one, the position t of
            (n, T, c), or a function of the answer.
        memory: bytes that the factors of all samples may take; where they would take more, they
            are made for blocks of samples, again and again. The kernel comes on top, and 256 MB.

    Returns:
        The kernel, symmetric and positive semidefinite up to rounding.

    Raises:
        ValueError: no samples, non-finite inputs or outputs, outputs that are not (n, c), no
            parameter that requires a gradient, an unknown kind, or a state that is not the model's.

    >>> empirical_ntk(nn.Linear(1, 1), torch.tensor([[0.0], [2.0]]))
    tensor([[1., 1.],
            [1., 5.]])
    """
    check_kind(kind)
    factors = ntk_factors(model, inputs, parameters=parameters, dtype=dtype, output=output)
    return kernel_of(factors, kind, memory)


def layer_ntk(
    model: nn.Module,
    inputs: Any,
    kind: Kind = "full",
    *,
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    output: Output = None,
    memory: int | float = MEMORY,
) -> dict[str, Float[Tensor, "rows rows"]]:
    """The kernel of each layer's own parameters, by layer name; they add up to `empirical_ntk`.

    Arguments and errors are those of `empirical_ntk`. A layer is the module that owns the
    parameters (``layers.0``), for a tied parameter the first one; a parameter of the network itself
    goes by its own name. A layer without a learning parameter is left out.
    """
    check_kind(kind)
    factors = ntk_factors(model, inputs, parameters=parameters, dtype=dtype, output=output)
    layers = dict.fromkeys(shape.layer for shape in factors.shapes)
    return {layer: kernel_of(factors, kind, memory, layer) for layer in layers}


def check_kind(kind: str, kinds: Sequence[str] = get_args(Kind)) -> None:
    """Refuse a kernel that there is not."""
    if kind not in kinds:
        raise ValueError(f"expected kind {', '.join(kinds)}; received {kind!r}")


def kernel_of(
    factors: NTKFactors, kind: Kind = "full", memory: int | float = MEMORY, layer: str | None = None
) -> Tensor:
    """The kernel of all layers, or of one."""
    n = factors.samples
    width = factors.outputs if kind == "full" else 1
    kernel = factors.function.reference.new_zeros(n * width, n * width)
    for rows, columns, left, right in blocks_of_terms(factors, memory):
        if layer is not None:
            left, right = ([each for each in side if each.layer == layer] for side in (left, right))
        place = (slice(part.start * width, part.stop * width) for part in (rows, columns))
        add_terms(kernel[tuple(place)], left, right, kind)
    mirror(kernel)
    return kernel


def trace_kernel(factors: NTKFactors) -> Float[Tensor, "n n"]:
    """Trace kernel tr K_ij / c of a checkpoint, kept with its factors."""
    if "trace_kernel" not in factors.cache:
        factors.cache["trace_kernel"] = kernel_of(factors, "trace")
    return factors.cache["trace_kernel"]


def blocks_of_terms(
    factors: NTKFactors, memory: int | float
) -> Iterator[tuple[slice, slice, list[Term], list[Term]]]:
    """Blocks on and above the diagonal with the terms of their rows and columns.

    One block where the terms of all samples fit into `memory`.
    """
    n, a_sample = factors.samples, factors.bytes()
    size = n if n * a_sample <= memory else max(1, int(memory / (2 * a_sample)))
    top, left = -1, []
    for rows, columns in upper_blocks(n, size):
        if rows.start != top:
            top, left = rows.start, factors.terms(rows)
        yield rows, columns, left, left if rows == columns else factors.terms(columns)


def upper_blocks(n: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks (rows, columns) of an n x n square on and above its diagonal."""
    for top in range(0, n, size):
        for left in range(top, n, size):
            yield slice(top, min(top + size, n)), slice(left, min(left + size, n))

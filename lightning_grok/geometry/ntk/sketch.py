"""Estimated kernel distances from a few megabytes a checkpoint.

A sketch holds K V for k fixed columns V of independent signs. As E[v vᵀ] = I, each column gives
unbiased estimates vᵀ K1 K2 v of <K1, K2>_F and of both squared norms (Hutchinson 1989), and any
two sketches of the same V give a distance without their kernels. What comes out is an estimate:
its standard error is returned with it, and `pairwise_kernel_distance` is the exact quantity.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.ntk.empirical import kernel_of
from lightning_grok.geometry.ntk.factors import ntk_factors
from lightning_grok.geometry.ntk.network import (
    NetworkFunction,
    Output,
    differentiable,
    network_function,
)


@dataclass(frozen=True)
class KernelSketch:
    """K V of one checkpoint.

    Attributes:
        image: K V, (n c, k); 3 MB for 256 samples, 47 outputs and 64 probes.
        seed: of V. Sketches compare only with those of the same seed, samples and probes.
    """

    image: Float[Tensor, "rows probes"]
    seed: int


class DistanceEstimate(NamedTuple):
    """A kernel distance that was estimated by random probes.

    Attributes:
        estimate: of S in [0, 1].
        standard_error: of it, over the probes.
    """

    estimate: float
    standard_error: float


def kernel_sketch(
    model: nn.Module,
    inputs: Any,
    *,
    probes: int = 64,
    seed: int = 0,
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    output: Output = None,
) -> KernelSketch:
    """K V of the full kernel for k seeded columns of signs, of any network.

    K v = J (Jᵀ v): one product with the transposed Jacobian and one with the Jacobian a column,
    each about two forward passes over all samples. No kernel and no Jacobian; memory is that of
    the graph of a gradient step over all samples.

    Args:
        model, inputs, parameters, dtype, output: as in `empirical_ntk`.
        probes: k, at least two.
        seed: of V.

    Returns:
        The sketch, in the parameters' dtype.

    Raises:
        ValueError: fewer than two probes, and as `empirical_ntk`.
    """
    if probes < 2:
        raise ValueError(f"expected at least two probes, received {probes}")
    function = network_function(model, inputs, parameters=parameters, dtype=dtype, output=output)
    with differentiable(model):
        try:
            return KernelSketch(_image(function, probes, seed), seed)
        except RuntimeError:
            # oneDNN's recurrent layers have no second derivative; those of PyTorch do.
            with torch.backends.mkldnn.flags(enabled=False), suppress(RuntimeError):
                return KernelSketch(_image(function, probes, seed), seed)
    # Some operations have none anywhere (sums of embeddings): by the whole kernel.
    factors = ntk_factors(model, inputs, parameters=parameters, dtype=dtype, output=output)
    vectors = signs(factors.samples, factors.outputs, probes, seed).flatten(0, 1)
    return KernelSketch(kernel_of(factors) @ vectors.to(function.reference), seed)


def _image(function: NetworkFunction, probes: int, seed: int) -> Tensor:
    """J (Jᵀ V): the second factor is the derivative of Jᵀ v by v, transposed.

    It agrees with gradients where PyTorch's forward derivatives don't (padding of embeddings).
    """
    leaves = [value.clone().requires_grad_() for value in function.learned.values()]
    learned = dict(zip(function.learned, leaves, strict=True))
    outputs = function(learned, function.inputs)
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError("expected finite outputs, received NaN or infinity from the model")
    direction = torch.zeros_like(outputs, requires_grad=True)

    def pulled(vector: Tensor, graph: bool = False) -> list[Tensor]:
        return list(
            torch.autograd.grad(
                outputs, leaves, vector, retain_graph=True, create_graph=graph,
                materialize_grads=True,
            )
        )  # fmt: skip

    linear = pulled(direction, graph=True)
    used = [k for k, value in enumerate(linear) if value.requires_grad]
    vectors = signs(len(outputs), outputs.shape[1], probes, seed).to(outputs)  # (n, c, k)
    image = []
    for k in range(probes):
        pull = pulled(vectors[:, :, k])
        (pushed,) = torch.autograd.grad(
            [linear[i] for i in used], direction, [pull[i] for i in used], retain_graph=True
        )
        image.append(pushed.flatten())
    return torch.stack(image, 1)


def signs(samples: int, outputs: int, probes: int, seed: int) -> Float[Tensor, "n c k"]:
    """V, independent signs: the same for equal sizes and seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, (samples, outputs, probes), generator=generator) * 2.0 - 1.0


def sketched_kernel_distance(first: KernelSketch, second: KernelSketch) -> DistanceEstimate:
    """Estimate of the kernel distance of two checkpoints from their sketches.

    The estimate is the distance of the two images K1 V and K2 V, a ratio of unbiased means; bias
    is of order 1/k. The standard error is the jackknife over the k probes. Equal kernels give 0
    with no error, and for 64 probes it is typically 0.003 to 0.01 on the paper's network.

    Args:
        first, second: sketches of the same samples, probes and seed.

    Returns:
        Estimate and standard error.

    Raises:
        ValueError: sketches of other probes, or of a zero or non-finite kernel.
    """
    if first.seed != second.seed or first.image.shape != second.image.shape:
        raise ValueError(
            f"expected sketches of the same probes, received seeds {first.seed} and {second.seed}, "
            f"shapes {tuple(first.image.shape)} and {tuple(second.image.shape)}"
        )
    x, y = (sketch.image.double() for sketch in (first, second))
    columns = np.stack([(a * b).sum(0).cpu().numpy() for a, b in ((x, y), (x, x), (y, y))])
    totals = columns.sum(axis=1)
    if not np.isfinite(totals).all():
        raise ValueError("expected finite sketches, received NaN or infinity")
    # K1 V = 0 for random V means K1 = 0; without one probe it stays so.
    if (totals[1:] <= 0).any():
        raise ValueError("expected kernels that are not zero, received one of zeros")
    estimate = _distance(totals)
    left_out = _distance(totals[:, None] - columns)
    probes = columns.shape[1]
    spread = np.sum((left_out - left_out.mean()) ** 2) * (probes - 1) / probes
    return DistanceEstimate(float(estimate), float(np.sqrt(spread)))


def _distance(products: np.ndarray) -> np.ndarray | np.float64:
    inner, squares1, squares2 = products
    return 1.0 - np.clip(inner / np.sqrt(squares1 * squares2), -1.0, 1.0)

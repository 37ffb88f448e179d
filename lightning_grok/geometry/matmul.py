"""Which backend multiplies the matrices, and a ReLU network that spends its time on nothing else.

On x86 processors PyTorch multiplies float32 matrices with Intel's MKL. On AMD's processors MKL runs
AVX2 code; oneDNN, which comes with PyTorch too, runs AVX-512 code there. Since Zen 5 AMD's units
are 512 bits wide, and the network of the study trains in 0.7 of the time. On Zen 4 both backends
reach the processor's limit, MKL a twentieth earlier; on Intel's processors MKL runs AVX-512 too.
"""

import platform
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

Backend = Literal["default", "onednn"]
Matmul = Literal["auto", "default", "onednn"]


@cache
def has_onednn() -> bool:
    """Whether this PyTorch offers oneDNN's linear map."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def resolve(matmul: str) -> Backend:
    """The backend that `matmul` means on this machine; ``auto`` never times anything.

    Raises:
        ValueError: ``onednn`` is asked for but is not in this PyTorch, or the name is unknown.
    """
    if matmul == "auto":
        wide = torch.backends.cpu.get_cpu_capability() == "AVX512" and _is_zen5(_processor())
        return "onednn" if wide and has_onednn() else "default"
    if matmul == "default":
        return "default"
    if matmul != "onednn":
        raise ValueError(f"expected matmul to be auto, default or onednn; received {matmul!r}")
    if not has_onednn():
        raise ValueError("expected a PyTorch with oneDNN for matmul onednn, received one without")
    return "onednn"


_resolved = cache(resolve)


def multiply_transposed(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """left rightᵀ, (n, k) times (m, k), by the backend that ``auto`` means here; outside any graph.

    Returns:
        (n, m): `out`, unless the backend takes memory of its own.
    """
    suits = left.dtype == torch.float32 and left.device.type == "cpu"
    if suits and _resolved("auto") == "onednn":
        return _onednn_affine(left, right, None)
    return torch.mm(left, right.T, out=out)


def _processor() -> str:
    """What the operating system says of the processor; empty where it says nothing."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux; Windows: "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD"
        return platform.processor()


def _is_zen5(processor: str) -> bool:
    """Whether AMD made the processor, in its family 26 (Zen 5) or a later one."""
    family = re.search(r"family\W*(\d+)", processor, re.IGNORECASE)
    return "AuthenticAMD" in processor and family is not None and int(family[1]) >= 26


def relu_network(
    inputs: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], backend: Backend
) -> Tensor:
    """Linear maps with ReLU between them, the same numbers as the layers one by one, in less time.

    Fewer operations and fewer arrays: the bias is added inside the product, ReLU writes over its
    input, and one node stands in the graph. It may be differentiated once: a backward pass with
    ``create_graph=True`` is an error. It knows neither ``torch.func`` nor forward-mode
    differentiation.

    Args:
        inputs: (n, d0).
        weights: of layer l: (d_l, d_(l-1)).
        biases: of layer l: (d_l,).
        backend: what multiplies the matrices; ``onednn`` takes float32 on the CPU only.

    Returns:
        (n, d_L) outputs of the last linear map.
    """
    if torch.is_grad_enabled():
        return _ReLUNetwork.apply(backend, len(weights), inputs, *weights, *biases)
    return _activations(_AFFINE[backend], inputs, weights, biases)[-1]


def _activations(
    affine: Callable[[Tensor, Tensor, Tensor], Tensor],
    inputs: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
) -> list[Tensor]:
    """Inputs, outputs of each ReLU and outputs of the network: (n, d_l) for l = 0 to L."""
    found = [inputs]
    for weight, bias in zip(weights, biases, strict=True):
        if len(found) > 1:
            found[-1].relu_()
        found.append(affine(found[-1], weight, bias))
    return found


def relu_activations(
    inputs: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], backend: Backend
) -> list[Tensor]:
    """What `relu_network` passes through, for `relu_gradients`; outside any graph.

    Returns:
        Inputs, outputs of each ReLU and outputs of the network: (n, d_l) for l = 0 to L.
    """
    with torch.no_grad():
        return _activations(_AFFINE[backend], inputs, weights, biases)


def relu_gradients(
    gradient: Tensor, hidden: Sequence[Tensor], weights: Sequence[Tensor], backend: Backend
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Derivatives by weights and biases from that by the outputs, the last layer first.

    Args:
        gradient: derivative by the outputs, (n, d_L).
        hidden: what `relu_activations` returned, without the outputs.
        weights, backend: as given there.

    Returns:
        Layer l, derivative by its weight (d_l, d_(l-1)) and by its bias (d_l,).
    """
    product = _PRODUCT[backend]
    with torch.no_grad():
        for layer, delta in _deltas(product, gradient, hidden, weights):
            yield layer, product(delta.t(), hidden[layer]), delta.sum(0)


def _deltas(
    product: Callable[..., Tensor],
    gradient: Tensor,
    hidden: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> Iterator[tuple[int, Tensor]]:
    """Derivatives (n, d_l) by each layer's outputs before its ReLU, the last layer first."""
    for layer in reversed(range(len(weights))):
        yield layer, gradient
        if layer > 0:
            # The derivative of ReLU is 1 where its output is positive, else 0.
            gradient = product(gradient, weights[layer])
            gradient = torch.ops.aten.threshold_backward(gradient, hidden[layer], 0)


def _default_affine(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.addmm(bias, inputs, weight.t())


def _onednn_affine(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def _onednn_product(left: Tensor, right: Tensor) -> Tensor:
    """left (n, k) times right (k, m); the operator wants its second factor transposed."""
    return _onednn_affine(left, right.t(), None)


_AFFINE: dict[Backend, Callable[..., Tensor]] = {
    "default": _default_affine,
    "onednn": _onednn_affine,
}
_PRODUCT: dict[Backend, Callable[[Tensor, Tensor], Tensor]] = {
    "default": torch.mm,
    "onednn": _onednn_product,
}


class _ReLUNetwork(torch.autograd.Function):
    """`relu_network` as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, backend: Backend, depth: int, inputs: Tensor, *flat: Tensor) -> Tensor:
        weights, biases = flat[:depth], flat[depth:]
        *hidden, outputs = _activations(_AFFINE[backend], inputs, weights, biases)
        ctx.backend = backend
        ctx.save_for_backward(*hidden, *weights)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # torch's once_differentiable would let it pass where `gradient` is a constant.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "expected a first derivative, received create_graph=True; a network in evaluation "
                "mode has derivatives of derivatives"
            )
        product = _PRODUCT[ctx.backend]
        depth = len(ctx.saved_tensors) // 2
        hidden, weights = ctx.saved_tensors[:depth], ctx.saved_tensors[depth:]
        of_inputs = None
        of_weights: list[Tensor | None] = [None] * depth
        of_biases: list[Tensor | None] = [None] * depth
        for layer, delta in _deltas(product, gradient, hidden, weights):
            if ctx.needs_input_grad[3 + layer]:
                of_weights[layer] = product(delta.t(), hidden[layer])
            if ctx.needs_input_grad[3 + depth + layer]:
                of_biases[layer] = delta.sum(0)
            if layer == 0 and ctx.needs_input_grad[2]:
                of_inputs = product(delta, weights[layer])
        return None, None, of_inputs, *of_weights, *of_biases

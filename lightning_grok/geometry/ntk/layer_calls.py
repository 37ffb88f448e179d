"""Which layers a forward pass calls: what enters them, and a place to shift what leaves them.

The derivative by the weight of y = W x is the outer product of x with the derivative by y, and the
derivative by y is that by a shift that is added to it. So a forward pass is watched for the
functions that multiply by a parameter: linear maps (also ``x @ W``), convolutions and embeddings,
whichever module calls them. All other uses of parameters are left to automatic differentiation.
"""

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_PRODUCTS = (torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__)


class Layout(NamedTuple):
    """What is known of a call before its values.

    Attributes:
        kind: of the function; ``product`` is x @ W, whose weight lies transposed.
        weight, bias: names of the parameters that learn; None where one is frozen or missing.
        out_shape: of one sample's outputs.
        weight_shape: of the weight, learning or not.
        options: stride, padding, dilation and groups of a convolution, (padding_idx,) of an
            embedding.
    """

    kind: Literal["linear", "product", "convolution", "embedding"]
    weight: str | None
    bias: str | None
    out_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    options: tuple[Any, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those that learn."""
        return tuple(name for name in (self.weight, self.bias) if name is not None)


class LayerCalls(TorchFunctionMode):
    """Inside, calls of layers are noted in `layouts` and `inputs`, and shifted by `shifts`.

    Args:
        learned: parameters to look for, by name.
        frozen: tensors that may stand beside them as weight or bias.
        shifts: one for every call, in order, to add to its outputs; None adds nothing.
    """

    def __init__(
        self,
        learned: Mapping[str, Tensor],
        frozen: Mapping[str, Tensor],
        shifts: Sequence[Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.layouts: list[Layout] = []
        self.inputs: list[Tensor] = []
        self._names = {id(value): name for name, value in learned.items()}
        self._constants = {id(value) for value in frozen.values()}
        self._shifts = shifts

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self:
                return _attention(*args, **kwargs)
        call = _CALLS.get(func)
        found = None if call is None else call(*args, **kwargs)
        if found is None or not self._is_known(found):
            return func(*args, **kwargs)
        # Without a path of their own to weight and bias, all that is left shows their other uses.
        weight, bias = found.weight.detach(), None if found.bias is None else found.bias.detach()
        outputs = found.run(weight, bias)
        bias_name = None if found.bias is None else self._names.get(id(found.bias))
        self.layouts.append(
            Layout(
                found.kind,
                self._names.get(id(found.weight)),
                bias_name,
                tuple(outputs.shape),
                tuple(weight.shape),
                found.options,
            )
        )
        self.inputs.append(found.inputs)
        return outputs if self._shifts is None else outputs + self._shifts[len(self.inputs) - 1]

    def _is_known(self, call: "_Call") -> bool:
        own = [tensor for tensor in (call.weight, call.bias) if tensor is not None]
        learns = any(id(tensor) in self._names for tensor in own)
        return learns and all(
            id(tensor) in self._names or id(tensor) in self._constants for tensor in own
        )


class _Call(NamedTuple):
    kind: Literal["linear", "product", "convolution", "embedding"]
    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    options: tuple[Any, ...]
    run: Callable[[Tensor, Tensor | None], Tensor]


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> _Call | None:
    if weight.ndim != 2:
        return None
    run = lambda w, b: functional.linear(input, w, b)  # noqa: E731
    return _Call("linear", input, weight, bias, (), run)


def _product(input: Tensor, other: Any = None, **options: Any) -> _Call | None:
    if options or not isinstance(other, Tensor) or other.ndim != 2:
        return None
    return _Call("product", input, other, None, (), lambda w, _: input @ w)


def _convolution(convolve: Callable[..., Tensor]) -> Callable[..., _Call]:
    def call(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> _Call:
        options = (stride, padding, dilation, groups)
        run = lambda w, b: convolve(input, w, b, *options)  # noqa: E731
        return _Call("convolution", input, weight, bias, options, run)

    return call


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> _Call | None:
    if max_norm is not None or scale_grad_by_freq:
        return None  # a sparse gradient is the same one in another form
    run = lambda w, _: functional.embedding(input, w, padding_idx)  # noqa: E731
    return _Call("embedding", input, weight, None, (padding_idx,), run)


# PyTorch hands its attention over as one function; the copy, which doesn't, shows what it calls.
_attention = FunctionType(
    functional.multi_head_attention_forward.__code__,
    {**vars(functional), "has_torch_function": lambda _: False},
    argdefs=functional.multi_head_attention_forward.__defaults__,
)

_CALLS: dict[Any, Callable[..., _Call | None]] = {
    functional.linear: _linear,
    functional.embedding: _embedding,
    **dict.fromkeys(_PRODUCTS, _product),
    **{convolve: _convolution(convolve) for convolve in _CONVOLUTIONS},
}

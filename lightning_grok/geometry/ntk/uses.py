"""From calls of layers to terms of the kernel: tied parameters, biases, patches of convolutions.

Calls that share their parameters are one layer at more positions. Where a parameter stands in
calls of different kinds, as the embedding that is the readout too, their gradients are added.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lightning_grok.geometry.ntk.layer_calls import Layout
from lightning_grok.geometry.ntk.network import layer_of
from lightning_grok.geometry.ntk.terms import Term, TermShape


class Group(NamedTuple):
    """Calls that make one term.

    Attributes:
        parameters: a weight, a bias, or both of one layer.
        calls: numbers of the calls.
        explicit: whether gradients are made, rather than kept as factors.
    """

    parameters: tuple[str, ...]
    calls: tuple[int, ...]
    explicit: bool


def grouped(layouts: Sequence[Layout]) -> tuple[Group, ...]:
    """Which calls make a term: those of the same parameters."""
    apart = _apart([layout.parameters for layout in layouts])
    calls: dict[tuple[str, ...], list[int]] = {}
    for number, layout in enumerate(layouts):
        together = not apart.intersection(layout.parameters)
        keys = [layout.parameters] if together else [(name,) for name in layout.parameters]
        for key in keys:
            calls.setdefault(key, []).append(number)
    return tuple(
        Group(key, tuple(numbers), _is_explicit(key, [layouts[k] for k in numbers]))
        for key, numbers in calls.items()
    )


def _apart(keys: Sequence[tuple[str, ...]]) -> set[str]:
    """Parameters that must be terms of their own, since others stand beside them elsewhere."""
    distinct = set(keys)
    apart: set[str] = set()
    while True:
        more = {
            name
            for key in distinct
            if apart.intersection(key) or any(sum(n in k for k in distinct) > 1 for n in key)
            for name in key
        }
        if more == apart:
            return apart
        apart = more


def _is_explicit(parameters: tuple[str, ...], layouts: Sequence[Layout]) -> bool:
    if parameters[0] != layouts[0].weight:  # biases alone add up over positions
        return False
    first = layouts[0]
    alike = all((each.kind, each.options) == (first.kind, first.options) for each in layouts)
    return not alike or (first.kind == "convolution" and first.options[3] > 1)


def shape_of(group: Group, layouts: Sequence[Layout]) -> TermShape:
    """Sizes of the group's term."""
    layer = layer_of(group.parameters[0])
    chosen = [layouts[k] for k in group.calls]
    if group.explicit:
        size = math.prod(chosen[0].weight_shape)
        bias = _outputs(chosen[0]) if len(group.parameters) == 2 else 0
        return TermShape(layer, 1, 1, size + bias)
    positions = sum(math.prod(each.out_shape) // _outputs(each) for each in chosen)
    tokens = chosen[0].kind == "embedding"
    has_weight = group.parameters[0] == chosen[0].weight
    width = math.prod(chosen[0].weight_shape) // _outputs(chosen[0]) if has_weight else 0
    has_bias = group.parameters[-1] == chosen[0].bias
    return TermShape(layer, positions, width + has_bias, _outputs(chosen[0]), tokens)


def _outputs(layout: Layout) -> int:
    """q, the units that leave the layer."""
    return layout.weight_shape[1 if layout.kind in ("product", "embedding") else 0]


def term_of(
    group: Group, layouts: Sequence[Layout], entered: Sequence[Tensor], pulled: Sequence[Tensor]
) -> Term:
    """The group's term.

    Args:
        group, layouts: as `grouped` has them.
        entered: of every call, what enters it, (n, *input).
        pulled: of every call, derivatives (n, c, *output).
    """
    layer = layer_of(group.parameters[0])
    calls = [
        (layouts[k], entered[k], _pulled(layouts[k], entered[k], pulled[k])) for k in group.calls
    ]
    has_weight = group.parameters[0] == calls[0][0].weight
    has_bias = group.parameters[-1] == calls[0][0].bias
    if group.explicit:
        parts = [torch.stack([_weight_gradients(*call) for call in calls]).sum(0)]
        if has_bias:
            parts.append(torch.stack([d.sum(2) for _, _, d in calls]).sum(0))
        gradients = torch.cat(parts, 2)
        return Term(layer, gradients.new_ones(len(gradients), 1, 1), gradients[:, :, None])
    derivatives = torch.cat([d for _, _, d in calls], 2)
    if has_weight and calls[0][0].kind == "embedding":
        tokens = torch.cat([a.flatten(1) for _, a, _ in calls], 1)
        return Term(layer, tokens, derivatives, calls[0][0].weight_shape[0])
    n, _, positions, _ = derivatives.shape
    columns = [torch.cat([_entered(layout, a) for layout, a, _ in calls], 1)] if has_weight else []
    if has_bias:
        columns.append(derivatives.new_ones(n, positions, 1))
    return Term(layer, torch.cat(columns, 2), derivatives)


def _entered(layout: Layout, values: Tensor) -> Tensor:
    """A (n, T, p)."""
    if layout.kind == "convolution":
        return _patches(layout, values)
    return values.reshape(len(values), -1, values.shape[-1])


def _pulled(layout: Layout, entered: Tensor, values: Tensor) -> Tensor:
    """D (n, c, T, q)."""
    n, c = values.shape[:2]
    if layout.kind == "convolution":
        space = len(layout.weight_shape) - 2
        channels_last = values.movedim(-1 - space, -1)
        return channels_last.reshape(n, c, -1, channels_last.shape[-1])
    found = values.reshape(n, c, -1, values.shape[-1])
    if layout.kind == "embedding" and layout.options[0] is not None:
        padding = layout.options[0] % layout.weight_shape[0]
        found = found * (entered.flatten(1) != padding)[:, None, :, None]
    return found


def _weight_gradients(layout: Layout, entered: Tensor, pulled: Tensor) -> Tensor:
    """(n, c, weight) in the weight's own order."""
    if layout.kind == "embedding":
        return Term("", entered.flatten(1), pulled, layout.weight_shape[0]).gradients()
    inputs = _entered(layout, entered)
    if layout.kind == "product":
        return torch.einsum("ntp,nctq->ncpq", inputs, pulled).flatten(2)
    groups = layout.options[3] if layout.kind == "convolution" else 1
    return torch.einsum(
        "ntgp,nctgq->ncgqp", inputs.unflatten(2, (groups, -1)), pulled.unflatten(3, (groups, -1))
    ).flatten(2)


def _patches(layout: Layout, values: Tensor) -> Tensor:
    """(n, ..., C, *space) to the patches under the kernel, (n, T, C *kernel)."""
    stride, padding, dilation, _ = layout.options
    kernel = layout.weight_shape[2:]
    space = len(kernel)
    strides, dilations = _each(stride, space), _each(dilation, space)
    images = values.reshape(-1, *values.shape[-1 - space :])
    # F.pad begins with the last axis.
    sides = [_sides(padding, k, kernel[k], dilations[k]) for k in reversed(range(space))]
    images = functional.pad(images, tuple(chain.from_iterable(sides)))
    for axis in range(space):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        images = images.unfold(2 + axis, reach, strides[axis])[..., :: dilations[axis]]
    # (m, C, *positions, *kernel) -> (m, *positions, C, *kernel)
    patches = images.movedim(1, 1 + space)
    width = math.prod(patches.shape[1 + space :])
    return patches.reshape(len(values), -1, width)


def _sides(padding: Any, axis: int, kernel: int, dilation: int) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = dilation * (kernel - 1)
        return total // 2, total - total // 2
    size = padding if isinstance(padding, int) else padding[axis if len(padding) > 1 else 0]
    return size, size


def _each(value: Any, count: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values

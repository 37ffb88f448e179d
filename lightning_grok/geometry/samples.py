"""Inputs of a network as it takes them: a tensor, or tuples, lists, dicts and dataclasses of them.

The first axis of every tensor is the samples. Integers stay integers: tokens are no numbers.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def map_tensors(function: Callable[[Tensor], Any], inputs: Any) -> Any:
    """`inputs` with every tensor replaced; arrays become tensors, anything else stays as it is."""
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs)
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {key: map_tensors(function, value) for key, value in inputs.items()}
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return type(inputs)(*(map_tensors(function, value) for value in inputs))
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(map_tensors(function, value) for value in inputs)
    if dataclasses.is_dataclass(inputs) and not isinstance(inputs, type):
        fields = [field.name for field in dataclasses.fields(inputs)]
        changed = {name: map_tensors(function, getattr(inputs, name)) for name in fields}
        return dataclasses.replace(inputs, **changed)
    return inputs


def tensors_of(inputs: Any) -> Iterator[Tensor]:
    """Every tensor of `inputs`, in order."""
    found: list[Tensor] = []
    map_tensors(found.append, inputs)
    return iter(found)


def count_samples(inputs: Any) -> int:
    """How many samples there are.

    Raises:
        ValueError: no tensor, no samples, tensors that disagree, or NaN or infinity among them.
    """
    shapes = [tuple(tensor.shape) for tensor in tensors_of(inputs)]
    if not shapes or any(not shape or shape[0] != shapes[0][0] for shape in shapes):
        received = ", ".join(map(str, shapes)) or type(inputs).__name__
        raise ValueError(f"expected inputs (n, ...) of the same n, received {received}")
    if shapes[0][0] == 0:
        raise ValueError(f"expected inputs (n, ...) with n >= 1, received {shapes[0]}")
    for tensor in tensors_of(inputs):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError("expected finite inputs, received NaN or infinity")
    return shapes[0][0]


def take_samples(inputs: Any, rows: Any) -> Any:
    """The samples in `rows`, a slice or indices."""
    return map_tensors(lambda tensor: tensor[rows], inputs)


def place_samples(
    inputs: Any, device: torch.device | None, dtype: torch.dtype | None = None
) -> Any:
    """`inputs` on a device, those that are floating in `dtype`; outside any graph."""
    return map_tensors(
        lambda tensor: tensor.detach().to(
            device=device, dtype=dtype if tensor.is_floating_point() else None
        ),
        inputs,
    )


def answer(model: nn.Module, inputs: Any) -> Any:
    """The network's answer to `inputs`.

    A tuple or list is spread over the arguments of ``forward`` and a dict over its keywords, as
    Lightning does with ``example_input_array``; where ``forward`` doesn't take them so, it is
    handed the whole as one argument.
    """
    args, kwargs = arguments_of(model, inputs)
    return model(*args, **kwargs)


def arguments_of(model: nn.Module, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments that hand `inputs` to ``model.forward``."""
    if isinstance(inputs, Mapping) and all(isinstance(key, str) for key in inputs):
        spread: tuple[tuple[Any, ...], dict[str, Any]] = (), dict(inputs)
    elif isinstance(inputs, (tuple, list)):
        spread = tuple(inputs), {}
    else:
        return (inputs,), {}
    try:
        inspect.signature(model.forward).bind(*spread[0], **spread[1])
    except TypeError:
        return (inputs,), {}
    return spread

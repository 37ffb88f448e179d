"""Which layers a measurement looks at, of any network."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import FLATTENED, Pool, evaluating, record
from lightning_grok.geometry.samples import answer, take_samples

_MOST = 12
_CHOSEN: WeakKeyDictionary[nn.Module, list[str]] = WeakKeyDictionary()
_WIDE: WeakKeyDictionary[nn.Module, list[str]] = WeakKeyDictionary()


def layers_of(model: nn.Module, layers: Sequence[str] | None, inputs: Any) -> list[str]:
    """The chosen layers; else all that the model names in ``layer_names``; else at most twelve.

    The twelve are spread evenly over the layers with parameters in the order in which the network
    calls them, the first and the last among them; a line says once which they are.

    Args:
        model: any network.
        layers: names as `record` takes them, or None.
        inputs: samples that the network takes; two of them are looked at.

    Raises:
        InputError: nobody names layers, and there are none with parameters.
    """
    if layers is not None:
        return list(layers)
    names = getattr(model, "layer_names", None)
    if names is not None:
        return list(names)
    if model not in _CHOSEN:
        own = [name for name, module in _called(model, inputs) if _has_parameters(module)]
        if not own:
            raise InputError(
                "expected layers= of a network without modules whose answer has a row a sample and "
                "that have parameters; functions have names too, such as matmul()@0"
            )
        places = torch.linspace(0, len(own) - 1, min(_MOST, len(own))).round().int().tolist()
        _CHOSEN[model] = [own[place] for place in places]
        rank_zero_info(
            f"measured layers: {', '.join(_CHOSEN[model])} ({len(places)} of {len(own)} with "
            "parameters; layers= chooses others)"
        )
    return _CHOSEN[model]


def layer_before_last(model: nn.Module, layer: str | None, name: str, inputs: Any) -> str:
    """The chosen layer of the measurement `name`, or the one before the last.

    Of a network without ``layer_names`` it is what is called before the last layer with parameters.

    Raises:
        InputError: there is none before the last.
    """
    if layer is not None:
        return layer
    names = getattr(model, "layer_names", None)
    if names is None:
        called = _called(model, inputs)
        last = max((i for i, (_, m) in enumerate(called) if _has_parameters(m)), default=0)
        parts = {*[*called[last][1].modules()][1:]} if called else set()
        names = [name for name, module in called[: last + 1] if module not in parts]
    if len(names) < 2:
        raise InputError(f"expected {name}.layer for a network of {len(names)} layer, given none")
    return list(names)[-2]


def check_layers(
    model: nn.Module, layers: Sequence[str], inputs: Any, pool: Pool, name: str
) -> None:
    """Look at two samples' activations, and say where positions are averaged.

    Raises:
        InputError: a layer doesn't exist, or what it answers can't be measured.
    """
    two = take_samples(inputs, slice(2))
    try:
        rows = record(model, layers, two, pool=pool)
        whole = record(model, layers, two) if pool == "auto" else rows
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    wide = [layer for layer in layers if whole[layer].shape[1] > FLATTENED]
    if wide and wide != _WIDE.get(model):
        _WIDE[model] = wide
        rank_zero_info(
            f"mean over the positions of {', '.join(wide)}, with more than {FLATTENED:,} numbers a "
            "sample; pool= chooses"
        )


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_layer(module: nn.Module) -> bool:
    """Whether it computes something itself: it has no parts, or a weight matrix of its own."""
    matrices = any(parameter.ndim == 2 for parameter in module.parameters(recurse=False))
    return matrices or is_parametrized(module) or not [*module.children()]


def _called(model: nn.Module, inputs: Any) -> list[tuple[str, nn.Module]]:
    """What a forward pass calls of its layers, in its order, by the names of `record`.

    Only what answers with a tensor of a row a sample, or with a tuple that begins with one; a layer
    that is made of others, as of a frozen one and its low-rank update, comes after them.
    """
    calls: dict[str, list[bool]] = {}

    def note(name: str, module: nn.Module, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor) and first.ndim > 1 and len(first) == 2:
            calls.setdefault(name, []).append(first is not output)

    modules = {
        name: module
        for name, module in model.named_modules()
        if name and _is_layer(module) and ".parametrizations." not in name
    }
    hooks = [m.register_forward_hook(partial(note, name)) for name, m in modules.items()]
    try:
        with evaluating(model), torch.no_grad():
            answer(model, take_samples(inputs, slice(2)))
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (name + f"@{call}" * (len(tuples) > 1) + "[0]" * in_tuple, modules[name])
        for name, tuples in calls.items()
        for call, in_tuple in enumerate(tuples)
    ]

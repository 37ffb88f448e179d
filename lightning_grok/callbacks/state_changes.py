"""Changes of a network's weights and of what its optimizer remembers: what ``run.set`` can say."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_grok.errors import InputError

_MOMENTS = {
    "first_moment": ("exp_avg", "momentum_buffer"),
    "second_moment": ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"),
    "steps": ("step",),
}
"""What of an optimizer's state a change scales, by the words of `check_changes`."""

_SEEDS = 2**63


def check_changes(network: nn.Module, changes: Mapping[str, float]) -> None:
    """Refuse changes of state that can't be made.

    Args:
        network: whose layers are meant.
        changes: factors by what they multiply: ``weights``, ``first_moment`` (or SGD's momentum),
            ``second_moment``, ``steps`` (which Adam has counted); ``reinitialize`` draws weights
            anew by a seed, without their moments. With ``/layers.0`` behind it, of one layer only;
            ``reinitialize`` needs one.

    Raises:
        InputError: an unknown word or layer, or a number out of range.
    """
    words = ("weights", *_MOMENTS, "reinitialize")
    for key, value in changes.items():
        what, slash, layer = key.partition("/")
        if what not in words or (not layer and (slash or what == "reinitialize")):
            raise InputError(
                f"expected {', '.join(words)}/LAYER in run.set, the others also with /LAYER, "
                f"received {key}"
            )
        if not math.isfinite(value) or (value < 0 and what != "weights"):
            raise InputError(f"expected a finite run.set.{key} of at least 0, received {value}")
        if what == "reinitialize" and not (float(value).is_integer() and value < _SEEDS):
            raise InputError(
                f"expected a whole number below 2^63 as run.set.{key}, a seed, received {value}"
            )
        if layer and not _parameters(network, layer):
            layers = sorted({name.rpartition(".")[0] for name, _ in network.named_parameters()})
            raise InputError(f"expected a layer of {', '.join(layers)} in run.set, received {key}")
        if what == "reinitialize" and not hasattr(network.get_submodule(layer), "reset_parameters"):
            raise InputError(f"expected a layer that can draw its weights anew, received {key}")


def check_kept(changes: Mapping[str, float], optimizer_states: Iterable[Mapping[str, Any]]) -> None:
    """Refuse changes of what no optimizer of a checkpoint keeps.

    Raises:
        InputError: in one line.
    """
    states = [state for each in optimizer_states for state in each.get("state", {}).values()]
    kept = {name for state in states for name in state}
    for key in changes:
        names = _MOMENTS.get(key.partition("/")[0])
        if names is not None and kept.isdisjoint(names):
            raise _not_kept(key)


def _not_kept(key: str) -> InputError:
    what = key.partition("/")[0]
    return InputError(
        f"expected an optimizer that keeps {' or '.join(_MOMENTS[what])}, which run.set.{key} "
        "changes, received one without"
    )


def change_state(
    network: nn.Module, optimizers: Iterable[torch.optim.Optimizer], changes: Mapping[str, float]
) -> None:
    """Change weights and moments in place, one after the other; see `check_changes`.

    Raises:
        InputError: the optimizer has no such moment.
    """
    states = [optimizer.state for optimizer in optimizers]
    for key, value in changes.items():
        what, _, layer = key.partition("/")
        parameters = _parameters(network, layer)
        with torch.no_grad():
            if what == "weights":
                for parameter in parameters:
                    parameter.mul_(value)
                continue
            if what == "reinitialize":
                _draw_anew(network, layer, int(value))
                _scale(states, parameters, None, 0.0)
            elif not _scale(states, parameters, _MOMENTS[what], value):
                raise _not_kept(key)


def _scale(
    states: list[Any],
    parameters: list[nn.Parameter],
    names: tuple[str, ...] | None,
    factor: float,
) -> int:
    """Scale entries of optimizers' states, of any name without `names`; how many there were."""
    found = [
        entry
        for state in states
        for parameter in parameters
        for name, entry in state.get(parameter, {}).items()
        if isinstance(entry, Tensor) and (names is None or name in names)
    ]
    for tensor in found:
        tensor.mul_(factor)
    return len(found)


def _draw_anew(network: nn.Module, layer: str, seed: int) -> None:
    module: Any = network.get_submodule(layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module.reset_parameters()
    scale = getattr(network, "arguments", {}).get("weight_scale", 1.0)
    for parameter in module.parameters():
        parameter.mul_(scale)


def _parameters(network: nn.Module, layer: str) -> list[nn.Parameter]:
    """Of a layer, or of all."""
    prefix = f"{layer}." if layer else ""
    return [p for name, p in network.named_parameters() if name.startswith(prefix)]

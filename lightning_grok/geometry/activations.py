"""What layers, and functions, of a network answer to inputs: recorded in one pass for all."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lightning_grok.geometry.samples import (
    answer,
    count_samples,
    place_samples,
    take_samples,
    tensors_of,
)

Pool = Literal["auto", "flatten", "mean", "first", "last"] | int
"""How a sample's answer of several positions becomes one row; see `record`."""

FLATTENED = 16_384
"""Numbers a sample up to which ``auto`` takes all of them."""

_NAME = re.compile(r"(?P<module>.*?)(?P<function>\(\))?(?:@(?P<call>\d+))?(?:\[(?P<item>\d+)\])?")
_CHANNELS_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d)


def record(
    model: nn.Module,
    layers: Sequence[str],
    inputs: Any,
    *,
    pool: Pool = "flatten",
    batch_size: int = 2048,
) -> dict[str, Shaped[Tensor, "n _"]]:
    """Activations of named submodules, one row a sample.

    The model is read, not changed: it runs in eval mode without gradients, afterwards every
    submodule has its own mode back and the hooks are gone, also when the forward pass fails. Values
    are copied as each layer returns them, so that a later in-place activation can't overwrite them.

    Args:
        model: any module whose layers answer a batch with samples along the first axis.
        layers: names as in ``model.named_modules()``, for example ``"layers.0"``; ``""`` is the
            model itself, that is its output. Of a module that is called several times ``name@0`` is
            the first call; of one that answers with a tuple ``name[0]`` is its first tensor.
            ``relu()`` is what the forward pass takes from torch's function of that name, also where
            a module or a method calls it; ``relu()@1`` is the second of several calls.
        inputs: n >= 1 samples, (n, ...) or any nesting of such that the model's forward takes;
            chunks of them are moved to the model's device.
        pool: what becomes of (n, T, d), a sequence, or of (n, c, ...), an image: ``flatten`` takes
            all numbers; ``mean`` is over positions, or pixels; ``first``, ``last`` and a number
            take one position of a sequence; ``auto`` flattens up to 16,384 numbers a sample and
            takes the mean of more.
        batch_size: samples a forward pass.

    Returns:
        layer name -> (n, d) in the order asked for, in the layer's dtype and on the device of
        `inputs`.

    Raises:
        ValueError: a layer doesn't exist, is not called in the forward pass, or more than once
            where no call is named, or does not answer with one tensor of a row a sample; it has no
            such position; no inputs; batch_size < 1.

    >>> record(nn.Sequential(nn.Identity(), nn.ReLU()), ["1"], torch.tensor([[-1.0, 2.0]]))
    {'1': tensor([[0., 2.]])}
    """
    places = _places(model, layers)
    samples = count_samples(inputs)
    if batch_size < 1:
        raise ValueError(f"expected a batch_size of at least 1, received {batch_size}")
    device = next((tensor.device for tensor in model.parameters()), None)
    recorded: dict[str, Tensor] = {}
    with evaluating(model), torch.no_grad():
        for start in range(0, samples, batch_size):
            chunk = take_samples(inputs, slice(start, start + batch_size))
            rows = min(batch_size, samples - start)
            outputs = _outputs(model, places, place_samples(chunk, device), rows, pool)
            for name, output in outputs.items():
                if start == 0:
                    shape = (samples, output.shape[1])
                    recorded[name] = torch.empty(shape, dtype=output.dtype, device=_home(inputs))
                recorded[name][start : start + rows] = output
    return recorded


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; afterwards every submodule has the mode that it had before.

    ``model.train()`` would switch all of them on, also those that were frozen on purpose.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _Place(NamedTuple):
    """One answer of a module or function: of its call number `call`, the only one if None."""

    source: nn.Module | str
    call: int | None
    item: int | None


class _Functions(TorchFunctionMode):
    """Shows what torch's functions answer, by their names, while the block runs."""

    def __init__(self, show: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._show = show

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        answered = function(*args, **(kwargs or {}))
        self._show(getattr(function, "__name__", "").strip("_"), answered)  # relu_ is in place
        return answered


def _home(inputs: Any) -> torch.device:
    return next(tensors_of(inputs)).device


def _places(model: nn.Module, layers: Sequence[str]) -> dict[str, _Place]:
    # A module that stands at two places has two names: either may be asked for.
    modules = dict(model.named_modules(remove_duplicate=False))
    found, missing = {}, []
    for name in layers:
        parts = _NAME.fullmatch(name)
        function = parts is not None and parts["function"]
        if parts is None or not (function or parts["module"] in modules):
            missing.append(name)
            continue
        call, item = (
            None if parts[part] is None else int(parts[part]) for part in ("call", "item")
        )
        source = parts["module"] if function else modules[parts["module"]]
        found[name] = _Place(source, call, item)
    if missing:
        existing = ", ".join(name for name in modules if name)
        raise ValueError(f"expected layers among {existing}; received {', '.join(missing)}")
    return found


def _outputs(
    model: nn.Module, places: dict[str, _Place], chunk: Any, samples: int, pool: Pool
) -> dict[str, Tensor]:
    """(b, d) copies of every layer's output for one chunk, by one forward pass."""
    calls: dict[str, int] = dict.fromkeys(places, 0)
    seen: dict[str, Tensor] = {}

    functions = {n: place.source for n, place in places.items() if isinstance(place.source, str)}
    looking = False

    def show(function: str, output: Any) -> None:
        for name, wanted in functions.items():
            if wanted == function and not looking:
                keep(name, None, None, output)

    def keep(name: str, module: Any, arguments: Any, output: Any) -> None:
        nonlocal looking
        place = places[name]
        calls[name] += 1
        if place.call is not None and place.call != calls[name] - 1:
            return
        if name not in seen:
            looking = True  # what functions answer in the next line is no part of the network
            seen[name] = _rows(name, place, output, samples, pool)
            looking = False

    with ExitStack() as hooks:
        for name, place in places.items():
            if isinstance(place.source, nn.Module):
                hooks.callback(place.source.register_forward_hook(partial(keep, name)).remove)
        if functions:
            hooks.enter_context(_Functions(show))
        answer(model, chunk)
    for name, place in places.items():
        if calls[name] == 0:
            raise ValueError(f"expected layers that the forward pass calls; it skips {name}")
        if place.call is None and calls[name] > 1:
            raise ValueError(
                f"expected one call of {name} in a forward pass, received {calls[name]}: "
                f"{name}@0 to {name}@{calls[name] - 1} name them"
            )
        if name not in seen:
            raise ValueError(f"expected {name} among {calls[name]} calls, counted from 0")
    return {name: seen[name] for name in places}


def _rows(name: str, place: _Place, output: Any, samples: int, pool: Pool) -> Tensor:
    """A copy (b, d) of what a module has answered."""
    if place.item is not None:
        if not isinstance(output, (tuple, list)) or place.item >= len(output):
            raise ValueError(f"expected a tuple from {name}, received {_kind(output)}")
        output = output[place.item]
    if not isinstance(output, Tensor):
        which = f": {name}[0] names its first" if isinstance(output, (tuple, list)) else ""
        raise ValueError(f"expected a tensor from {name}, received {_kind(output)}{which}")
    if output.ndim == 0 or len(output) != samples:
        raise ValueError(
            f"expected {samples} rows from {name}, received shape {tuple(output.shape)}"
        )
    pooled = _pooled(name, place.source, output.detach(), pool)
    return pooled.reshape(samples, -1).clone()


def _kind(output: Any) -> str:
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__


def _pooled(name: str, module: nn.Module | str, output: Tensor, pool: Pool) -> Tensor:
    if pool == "auto":
        pool = "flatten" if output[0].numel() <= FLATTENED else "mean"
    if pool == "flatten" or output.ndim < 3:
        return output
    channels_first = output.ndim > 3 or isinstance(module, _CHANNELS_FIRST)
    if pool == "mean":
        return output.mean(dim=tuple(range(2, output.ndim)) if channels_first else 1)
    position = {"first": 0, "last": -1}.get(str(pool), pool)
    if (
        channels_first
        or not isinstance(position, int)
        or not (-output.shape[1] <= position < output.shape[1])
    ):
        raise ValueError(
            f"expected a sequence (n, T, d) with a position {pool} from {name}, received shape "
            f"{tuple(output.shape)}"
        )
    return output[:, position]

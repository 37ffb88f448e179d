"""What the layers of a network answer to inputs: recorded by forward hooks, in one pass for all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn


def record(
    model: nn.Module,
    layers: Sequence[str],
    inputs: Shaped[Tensor, "n *shape"],
    *,
    batch_size: int = 2048,
) -> dict[str, Shaped[Tensor, "n _"]]:
    """Activations of named submodules, one row a sample.

    The model is read, not changed: it runs in eval mode without gradients, afterwards every
    submodule has its own mode back and the hooks are gone, also when the forward pass fails. Values
    are copied as each layer returns them, so that a later in-place activation can't overwrite them.

    Args:
        model: any module whose layers answer a batch with one tensor, samples along its first axis.
        layers: names as in ``model.named_modules()``, for example ``"layers.0"``; ``""`` is the
            model itself, that is its output.
        inputs: (n, ...) with n >= 1; chunks of them are moved to the model's device.
        batch_size: samples a forward pass.

    Returns:
        layer name -> (n, d) in the order asked for, images and sequences flattened per sample, in
        the layer's dtype and on the device of `inputs`.

    Raises:
        ValueError: a layer doesn't exist, is not called in the forward pass or more than once in
            it, or does not answer with one tensor of a row a sample; no inputs; batch_size < 1.

    >>> record(nn.Sequential(nn.Identity(), nn.ReLU()), ["1"], torch.tensor([[-1.0, 2.0]]))
    {'1': tensor([[0., 2.]])}
    """
    modules = _named(model, layers)
    if batch_size < 1 or len(inputs) < 1:
        raise ValueError(
            "expected at least one input and a batch_size of at least 1, "
            f"received {len(inputs)} inputs and batch_size {batch_size}"
        )
    device = next((tensor.device for tensor in model.parameters()), inputs.device)
    recorded: dict[str, Tensor] = {}
    with evaluating(model), torch.no_grad():
        for start in range(0, len(inputs), batch_size):
            chunk = inputs[start : start + batch_size]
            outputs = _outputs(model, modules, chunk.to(device))
            for name, output in outputs.items():
                if start == 0:
                    shape = (len(inputs), output.shape[1])
                    recorded[name] = torch.empty(shape, dtype=output.dtype, device=inputs.device)
                recorded[name][start : start + len(chunk)] = output
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


def _named(model: nn.Module, layers: Sequence[str]) -> dict[str, nn.Module]:
    # A module that stands at two places has two names: either may be asked for.
    modules = dict(model.named_modules(remove_duplicate=False))
    missing = [name for name in layers if name not in modules]
    if missing:
        existing = ", ".join(name for name in modules if name)
        raise ValueError(f"expected layers among {existing}; received {', '.join(missing)}")
    return {name: modules[name] for name in layers}


def _outputs(model: nn.Module, modules: dict[str, nn.Module], chunk: Tensor) -> dict[str, Tensor]:
    """(b, d) copies of every layer's output for one chunk, by one forward pass."""
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(_keep(seen, name, len(chunk))).remove)
        model(chunk)
    for name in modules:
        if name not in seen:
            raise ValueError(f"expected layers that the forward pass calls; it skips {name}")
    return {name: seen[name] for name in modules}


def _keep(
    seen: dict[str, Tensor], name: str, samples: int
) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if name in seen:
            raise ValueError(f"expected one call of {name} in a forward pass, received two")
        if not isinstance(output, Tensor):
            raise ValueError(f"expected a tensor from {name}, received {type(output).__name__}")
        if output.ndim == 0 or len(output) != samples:
            raise ValueError(
                f"expected {samples} rows from {name}, received shape {tuple(output.shape)}"
            )
        seen[name] = output.detach().reshape(samples, -1).clone()

    return hook

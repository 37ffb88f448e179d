"""The network of a run, built again with the weights of a snapshot."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightning_grok.errors import InputError, first_line
from lightning_grok.runs.run import Run, read_run
from lightning_grok.runs.snapshots import load_snapshot

if TYPE_CHECKING:
    from torch import Tensor, nn


_MOST_MODULES = 10_000


def network_of(module: "nn.Module") -> "nn.Module":
    """The network inside a LightningModule: its attribute ``network``, else the module itself."""
    from torch import nn

    network = getattr(module, "network", None)
    return network if isinstance(network, nn.Module) else module


def module_names(network: "nn.Module") -> list[str]:
    """Names of a network's modules, in the order of their definition: where layers stand."""
    return [name for name, _ in network.named_modules() if name][:_MOST_MODULES]


def load_model(
    run: str | os.PathLike[str],
    epoch: float,
    model: "nn.Module | Callable[[], nn.Module] | None" = None,
) -> "nn.Module":
    """The network of a run at one of its snapshots, in evaluation mode.

    Args:
        run: directory of the run.
        epoch: completed epochs.
        model: a network of this kind, or a LightningModule that holds it as ``network``, or what
            builds either; None builds what the run names: an MLP, or a class that can be imported.

    Raises:
        InputError: no snapshot of that epoch, or one that is damaged or of another network; the
            class can't be imported or built.
    """
    directory = read_run(run)
    state = load_snapshot(directory.path, epoch)
    if model is None:
        check_importable(directory)
    try:
        built: Any = model or _checked(_builder(directory), state)
        built = built if hasattr(built, "state_dict") and not isinstance(built, type) else built()
        network = network_of(built)
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, ImportError) as error:
        raise InputError(
            f"expected a network of the weights in {run}, received: {first_line(error)}"
        ) from None
    return network.eval()


def check_importable(run: Run) -> None:
    """Refuse a run whose class stands in a function, or stood in a script that isn't running.

    Raises:
        InputError: in one line.
    """
    path = str(run.config.get("model", {}).get("class_path", ""))
    module, _, name = path.rpartition(".")
    gone = module == "__main__" and not hasattr(sys.modules[module], name)
    if gone or "<locals>" in path:
        raise InputError(
            f"expected a model that can be imported, received {path} in {run.path}: call "
            "load_model(..., model=...) in the script that has it, or move it to a file of its own "
            "and name that in config.yaml"
        )


def _checked(
    build: "Callable[[], nn.Module]", state: Mapping[str, "Tensor"]
) -> "Callable[[], nn.Module]":
    """`build`, once what it builds is known to have the shapes of `state`.

    It is built without memory first: what a received run names may fill all there is.

    Raises:
        ValueError: a parameter has another shape.
    """
    import torch

    try:
        with torch.device("meta"):
            network = network_of(build())
    except (NotImplementedError, RuntimeError):  # its start looks at numbers
        return build
    for name, value in network.state_dict().items():
        shapes = [tuple(getattr(each, "shape", ())) for each in (value, state.get(name))]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{name} of shape {shapes[0]} for weights of shape {shapes[1]}")
    return build


def _builder(run: Run) -> "Callable[[], nn.Module]":
    """What builds the network that a run was of.

    Raises:
        InputError: the run names a class that is no network.
    """
    from torch import nn

    from lightning_grok.tasks.mlp import MLP

    given = run.config.get("model", {})
    named = given.get("network") or given
    if "class_path" not in named:
        arguments = dict(run.meta["network"])
        arguments.pop("matmul", None)  # of 0.1.0, where it chose a library
        return partial(MLP, **arguments)
    module, _, name = str(named["class_path"]).rpartition(".")
    kind = getattr(import_module(module), name)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"expected a network's class in {run.path}, received {kind}")
    return partial(kind, **named.get("init_args", {}))

"""What a fit begins with: nothing, a shorter run, or a branch's trunk."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lightning_grok.callbacks.state_changes import check_changes, check_kept
from lightning_grok.commands.run_options import RunOptions
from lightning_grok.errors import InputError
from lightning_grok.runs.extension import Beginning, branch, expect_effects, longer
from lightning_grok.runs.network import network_of


def beginning_of(
    options: RunOptions, config: Mapping[str, Any], defaults: Mapping[str, Any], module: nn.Module
) -> Beginning | None:
    """The run that a new one begins with, if any.

    Args:
        options: the group ``run``.
        config: of the new run, resolved.
        defaults: of the options that there are.
        module: that is to be trained.

    Raises:
        InputError: it can't begin with that run (`longer`, `branch`, or its changes).
    """
    if options.extends is not None:
        return longer(Path(options.extends), config, defaults)
    if options.branches is None or options.from_epoch is None:
        return None
    check_changes(network_of(module), options.set or {})
    trunk = branch(Path(options.branches), options.from_epoch, config, defaults)
    expect_effects(trunk.changed, _of_the_start(network_of(module), trunk.changed, options))
    check_kept(options.set or {}, trunk.content["optimizer_states"])
    theirs, ours = (
        {key: tuple(value.shape) for key, value in state.items()}
        for state in (trunk.content["state_dict"], module.state_dict())
    )
    if theirs != ours:
        raise InputError(f"run.branches: expected the network of {trunk.run.path}")
    return trunk


def _of_the_start(
    network: nn.Module, changed: Iterable[str], options: RunOptions
) -> dict[str, str]:
    """Options of a network that say how its weights are drawn, which a branch's have been."""
    if any(key.startswith("reinitialize") for key in options.set or {}):
        return {}
    names = getattr(network, "of_the_start", ())
    keys = (k for k in changed if k.startswith("model.") and k.rpartition(".")[2] in names)
    return dict.fromkeys(keys, "weights that have been drawn")


def meta_of(
    begins: Beginning, own: Mapping[str, Any], changes: Mapping[str, float] | None
) -> dict[str, Any]:
    """What stands in run.json of a run that begins with another one.

    Args:
        begins: the other one.
        own: what would stand there of a run that begins with nothing.
        changes: of a branch's state.
    """
    if not begins.is_branch:
        kept = ("name", "max_epochs", "config_digest")
        of_this = {key: own[key] for key in kept} | {"extends": str(begins.run.path)}
        return begins.of_the_run() | of_this
    for key, (old, new) in begins.changed.items():
        print(f"  {key}: {new} instead of {old}")
    trunk = {
        "run": str(begins.run.path),
        "epoch": begins.epoch,
        "changed": {key: list(values) for key, values in begins.changed.items()},
        "set": dict(changes or {}),
    }
    return dict(own) | {"branches": trunk}

"""What the options of a training command must fulfil together, before anything is made."""

import math
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import Namespace

from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.network import check_inputs, undisturbed
from lightning_grok.callbacks.recording import callbacks_of
from lightning_grok.errors import InputError, hint, hint_path
from lightning_grok.ranges import number_text
from lightning_grok.runs.checkpoints import is_checkpoint
from lightning_grok.runs.network import network_of
from lightning_grok.runs.snapshots import load_torch
from lightning_grok.tasks.module import SETS, GrokModule
from lightning_grok.tasks.reference_set import ReferenceSet

_TRAINED = {"loops", "optimizer_states", "lr_schedulers", "callbacks"}
_KINDS = {
    "state_dict": dict, "hyper_parameters": dict, "epoch": int, "global_step": int, "loops": dict,
    "optimizer_states": list, "lr_schedulers": list, "callbacks": dict,
}  # fmt: skip
_LARGEST = 2**63 - 1


def check_options(config: Namespace, groups: Container[str]) -> None:
    """Refuse a group that is none, numbers that are none, a scheduler with nothing to schedule.

    Args:
        config: of one command, parsed.
        groups: keys that have options below them.

    Raises:
        InputError: the first of them.
    """
    for key, value in vars(config).items():
        if key in groups and not isinstance(value, Namespace):
            shown = "null" if value is None else repr(value)
            raise InputError(f"expected options below {key}, received {shown}")
    for key, value in _leaves(config.as_dict(), ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"expected a finite number as {key}, received {value}")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise InputError(
                f"expected a number of at most 64 bits as {key}, received {number_text(value)}"
            )
    if config.get("lr_scheduler") and not config.get("optimizer"):
        raise InputError(
            "expected an optimizer beside lr_scheduler, received none: it has no effect"
        )


def check_checkpoint(given: str, *, resumes: bool) -> None:
    """Refuse what is no checkpoint of Lightning's, before Lightning looks into it.

    Args:
        given: the path.
        resumes: whether training goes on from it, which needs more than weights.

    Raises:
        InputError: it isn't there, is damaged or is something else.
    """
    path = Path(given)
    if not path.is_file():
        what = "no file" if path.exists() else f"no such file{hint_path(path)}"
        raise InputError(
            f"expected the file of a checkpoint at ckpt_path, received {given!r}: {what}"
        )
    content = load_torch(path)
    if not is_checkpoint(content):
        raise InputError(f"expected Lightning's checkpoint at ckpt_path, received {path}")
    wrong = [key for key, kind in _KINDS.items() if not isinstance(content.get(key, kind()), kind)]
    if resumes:
        wrong += _TRAINED - content.keys()
    if wrong:
        raise InputError(
            f"expected a whole checkpoint at ckpt_path, received {path} without {', '.join(wrong)}"
        )


def check_monitors(trainer: L.Trainer, module: L.LightningModule, config: Namespace) -> None:
    """Refuse callbacks and schedulers that wait for a value which nobody logs.

    Args:
        trainer: with its callbacks.
        module: what it logs is known of a `GrokModule` only.
        config: of the command.

    Raises:
        InputError: with the key that is meant, perhaps.
    """
    if not isinstance(module, GrokModule):
        return
    keys = [f"{name}/{value}" for name in SETS for value in ("loss", "accuracy")]
    callbacks = callbacks_of(trainer)
    groups = {each.name for each in callbacks if isinstance(each, Measurement) and each.enabled}
    for who, key in monitors(trainer, config):
        group = key.partition("/")[0]
        if key in (*keys, "epoch", "step") or group in (groups | {"evaluation"}):
            continue
        known = ", ".join([*keys, *(f"{name}/..." for name in sorted(groups))])
        raise InputError(
            f"expected {who} to monitor one of {known}; received {key}{hint(key, keys)}"
        )


def monitors(
    trainer: L.Trainer, config: Namespace | Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Which callback or scheduler waits for which logged key."""
    for each in callbacks_of(trainer):
        if (key := getattr(each, "monitor", None)) is not None:
            yield type(each).__name__, str(key)
    scheduler = config.get("lr_scheduler")
    key = scheduler["init_args"].get("monitor") if scheduler else None
    if key is not None:
        yield "lr_scheduler", str(key)


def check_network(module: GrokModule, reference: ReferenceSet) -> None:
    """Refuse a network that doesn't take the data, or answers with fewer classes than they have.

    Raises:
        InputError: in one line.
    """
    with undisturbed(module):
        outputs = check_inputs(network_of(module), reference.test.images, "data")
    found, classes = outputs[0].numel(), len(reference.class_names or ())
    if found < classes:
        raise InputError(
            f"expected a network with an output for each of {classes} classes, received {found}"
        )


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """All values of a nested configuration, under their dotted keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value

"""Resolved configurations of runs, compared by what they compute.

A run is told from others by what differs in effect, so that one of an older version stays what it
is when there are new options: an option that a configuration lacks counts with its default.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

_NOT_THE_RUN = {
    "": ("run", "wandb"),
    "data": ("root", "download", "eval_batch_size"),
    "model": ("matmul",),  # of 0.1.0
    "trainer": (
        "logger", "default_root_dir", "enable_progress_bar", "enable_model_summary",
        "log_every_n_steps", "profiler", "max_time", "devices", "num_nodes",
    ),
}  # fmt: skip
"""Keys of a configuration, by group, that do not change what a run computes and measures."""

_OF_THE_OPTIMIZER = ("optimizer", "learning_rate", "weight_decay", "momentum", "betas", "eps")
_OF_THE_PERCEPTRON = ("hidden", "weight_scale", "output_scale", "activation")
"""Options of `GrokModule` that another optimizer, or another network, takes no notice of."""

_PACKAGE = __name__.partition(".")[0] + "."
_MISSING = object()


def what_is_computed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that changes what a run computes."""
    kept = {key: value for key, value in config.items() if key not in _NOT_THE_RUN[""]}
    for group in kept.keys() & _NOT_THE_RUN.keys():
        if isinstance(kept[group], Mapping):
            kept[group] = {k: v for k, v in kept[group].items() if k not in _NOT_THE_RUN[group]}
    run = config.get("run")
    if isinstance(run, Mapping) and run.get("branches"):  # another run than its trunk, in any case
        kept["branch"] = {key: run.get(key) for key in ("branches", "from_epoch", "set")}
    return kept


def without_effect(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Options of `GrokModule` that change nothing beside the others, and what makes it so."""
    model = config.get("model", {})
    if "class_path" in model:  # somebody else's module
        return
    if config.get("optimizer"):
        yield from ((f"model.{key}", "the group optimizer") for key in _OF_THE_OPTIMIZER)
    elif model.get("optimizer") == "sgd":
        yield from ((f"model.{key}", "model.optimizer=sgd") for key in ("betas", "eps"))
    else:
        yield "model.momentum", f"model.optimizer={model.get('optimizer')}"
    if model.get("network"):
        yield from ((f"model.{key}", "model.network") for key in _OF_THE_PERCEPTRON)


def config_digest(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """A short hash of what a run computes, as far as it is not the default."""
    usual = _leaves(defaults)
    given = {k: v for k, v in _leaves(config).items() if v != usual.get(k, _MISSING)}
    text = json.dumps(given, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Keys of two configurations whose values differ in what a run computes, with both values.

    Args:
        old: of a run, perhaps of another version, with fewer options or more.
        new: of this version; its classes tell the defaults of their arguments.
        defaults: of this version's options.

    Yields:
        dotted key, old value, new value; ``none`` stands for an option that doesn't exist.
    """
    usual = {**_leaves(defaults), **_argument_defaults(new)}
    before, after = _leaves(old), _leaves(new)
    for key in before | after:
        first, second = (side.get(key, usual.get(key, "none")) for side in (before, after))
        if first != second:
            yield key, first, second


def listed(found: Sequence[tuple[str, object, object]]) -> str:
    """Differences in one line: ``data.train_size: 64 instead of 32 (and 2 more)``."""
    key, old, new = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{key}: {new} instead of {old}{more}"


def _leaves(config: Mapping[str, Any]) -> dict[str, object]:
    """What a run computes, by dotted keys; modules move, so our classes go by their name alone."""
    leaves = dict(flatten("", what_is_computed(config)))
    for key, value in leaves.items():
        if key.endswith("class_path") and str(value).startswith(_PACKAGE):
            leaves[key] = str(value).rpartition(".")[2]
    return leaves


def flatten(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """Leaves of a tree of mappings and lists of mappings, by dotted keys."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from flatten(f"{prefix}.{key}" if prefix else key, item)


def _argument_defaults(config: Mapping[str, Any]) -> dict[str, object]:
    """Defaults of the arguments of all classes that a configuration names, by dotted keys.

    They are imported: only for a configuration whose classes are in use.
    """
    found: dict[str, object] = {}
    for key, path in flatten("", config):
        if not (key.endswith(".class_path") and isinstance(path, str)):
            continue
        module, _, name = path.rpartition(".")
        for argument, default in _defaults_of(getattr(import_module(module), name)).items():
            plain = list(default) if isinstance(default, tuple) else default
            found[f"{key.removesuffix('class_path')}init_args.{argument}"] = plain
    return found


def _defaults_of(kind: type | Callable[..., Any]) -> dict[str, object]:
    """Defaults of a class's arguments, those that it hands on to its bases by ``**`` included."""
    bases = inspect.getmro(kind) if isinstance(kind, type) else ()
    found: dict[str, object] = {}
    for function in [vars(base)["__init__"] for base in bases if "__init__" in vars(base)] or [
        kind
    ]:
        parameters = inspect.signature(function).parameters.values()
        for parameter in parameters:
            if parameter.default is not inspect.Parameter.empty:
                found.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found

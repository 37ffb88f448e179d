"""Which configuration a run is of: its name in the paper's way, and the run to resume."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_grok.errors import InputError
from lightning_grok.runs.configuration import config_digest, differences, listed
from lightning_grok.runs.files import read_json
from lightning_grok.runs.folders import find_runs, is_alive
from lightning_grok.runs.run import Run

_TRAINING = {
    "precision": (None, "32-true", "32", 32),
    "gradient_clip_val": (None, 0),
    "gradient_clip_algorithm": (None,),
    "accumulate_grad_batches": (1,),
    "limit_train_batches": (None, 1.0),
    "limit_val_batches": (None, 1.0),
    "overfit_batches": (0,),
}
"""Options of the Trainer that make another experiment, with the values that do not."""

_OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
_BETAS = [0.9, 0.999]
_NAMED = (
    ("loss_precision", "loss64"), ("orthogonal_gradient", "orthogonal"), ("hold_norm", "held"),
)  # fmt: skip
"""Options of the module that stand in a name as they are, with their words."""

_RECIPES = {"cross_entropy": (128, (0.1307, 0.3081)), "mse": (200, None)}
"""The paper's batch size and normalization of pixels, by loss."""


def newest_run(
    root: Path, name: str | None, config: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Run | None:
    """The run to resume: the named one, else the newest of the configuration that is not finished.

    Where all are finished it is the newest of them; None where there is none, which is said, with
    what an unfinished run of the same seed and setup has otherwise.

    Args:
        root: folder of runs.
        name: of a run below it, if one is named.
        config: resolved.
        defaults: of the options that there are.

    Raises:
        InputError: the named run is of another configuration, or somebody is writing it.
    """
    found = _named(root / name, config, defaults) if name else _newest(root, config, defaults)
    if found is None:
        print(f"nothing to resume in {root}")
    elif is_alive(found.path):
        raise InputError(f"expected a run that stands still, but another process runs {found.path}")
    return found


def _named(path: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Run | None:
    """The run in a directory, if it is of the configuration; None where there is no run."""
    if not (path / "run.json").is_file():
        return None
    run, file = Run(path), path / "config.yaml"
    if _has_just_begun(run, config, defaults):
        return run
    if not run.config:
        raise InputError(f"expected the configuration of a run in {file}, received none")
    if others := list(differences(run.config, config, defaults)):
        raise InputError(
            f"expected the configuration that {path} was started with ({file}), received another "
            f"{listed(others)}"
        )
    return run


def _newest(root: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Run | None:
    """The newest unfinished run of a configuration, else the newest finished one."""
    metas = {path: read_json(path / "run.json") for path in find_runs(root)}
    alike = [path for path in metas if metas[path].get("seed") == config["seed_everything"]]
    alike.sort(key=lambda path: str(metas[path].get("created", "")), reverse=True)
    waiting = [p for p in alike if metas[p].get("state") != "finished" and not is_alive(p)]
    nearly: list[str] = []
    for path in [*waiting, *(path for path in alike if path not in waiting)]:
        run = Run(path)
        if _has_just_begun(run, config, defaults):
            return run
        if not run.config:
            continue
        others = list(differences(run.config, config, defaults))
        if not others:
            return run
        if path in waiting and run.setup == setup_name(dict(config)):
            nearly.append(f"{path} is not finished, but was started with another {listed(others)}")
    for line in nearly[:1]:
        print(line)
    return None


def _has_just_begun(run: Run, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Whether it is of the configuration, and was killed before that stood in its directory."""
    written = (os.path.lexists(run.path / name) for name in ("config.yaml", "checkpoints"))
    return not any(written) and run.meta.get("config_digest") == config_digest(config, defaults)


def run_name(config: dict[str, Any]) -> str:
    """The name of a run's directory: data, unless the setup names them, setup and seed."""
    data = config.get("data") or {}
    named = [data["dataset"]] if "dataset" in data else []
    return "_".join([*named, setup_name(config), f"seed{config['seed_everything']}"])


def _own_setup(config: dict[str, Any]) -> list[str]:
    """Of classes of somebody's own: their names, each with a digest of its arguments."""
    parts = []
    for group, ours in (("model", "GrokModule"), ("data", "GrokData")):
        if config.get(group):
            content = config[group]
            network = content.get("network") or {} if group == "model" else {}
            named = {"class_path": content.get("class_path", network.get("class_path", ours))}
            parts.append(_class_and_digest({**content, **named}))
    if config.get("optimizer"):
        parts.append(_class_and_digest(config["optimizer"]))
    return parts


def setup_name(config: dict[str, Any]) -> str:
    """optimizer-weight_scale-train_size-output_scale-weight_decay, the published way of naming.

    What else in the groups ``model`` and ``data`` differs from the paper's recipe is appended, but
    for the training subset: for cross-entropy that of its EMNIST runs, for mean squared error that
    of its MNIST runs. So are options of the Trainer that change training and an ``lr_scheduler``
    with a digest of its arguments; an ``optimizer`` of that group stands in place of the model's.
    A branch has the epoch at which it leaves its trunk, and its changes of state, at the end.
    Where model or data are a class of somebody's own, the classes' names stand there with a digest
    of their arguments.
    """
    data = config.get("data") or {"class_path": ""}
    own_model = config["model"].keys() & {"class_path"} or config["model"].get("network")
    parts = _own_setup(config) if own_model or "class_path" in data else _paper_setup(config)
    trainer = config.get("trainer", {})
    for key, usual in _TRAINING.items():
        value = trainer.get(key, usual[0])
        if value not in usual:
            parts.append(f"{key}{value:g}" if isinstance(value, int | float) else f"{key}-{value}")
    if config.get("lr_scheduler"):
        parts.append(_class_and_digest(config["lr_scheduler"]))
    run = config.get("run") or {}
    if run.get("branches"):
        changes = (f"{key.replace('/', '_')}{v:g}" for key, v in (run.get("set") or {}).items())
        parts += [f"from{run['from_epoch']}", *changes]
    return "-".join(parts)


def _paper_setup(config: dict[str, Any]) -> list[str]:
    """What differs from the paper's recipe in the groups ``model`` and ``data``."""
    model, data = config["model"], config["data"]
    optimizer, decay = _OPTIMIZERS[model["optimizer"]], model["weight_decay"]
    if config.get("optimizer"):
        optimizer = _class_and_digest(config["optimizer"])
        decay = config["optimizer"].get("init_args", {}).get("weight_decay", 0)
    scales = (model["weight_scale"], data["train_size"], model["output_scale"])
    parts = [optimizer, *(f"{v:g}" for v in (*scales, decay))]
    if model["loss"] != "cross_entropy":
        parts.append(model["loss"])
    if list(model["hidden"]) != [128, 512, 128]:
        parts.append("x".join(str(width) for width in model["hidden"]) or "linear")
    if model["activation"] != "relu":
        parts.append(model["activation"])
    if not config.get("optimizer"):
        parts += _optimizer_options(model)
    parts += [name for key, name in _NAMED if model.get(key) in (True, "float64")]
    batch_size, normalization = _RECIPES.get(model["loss"], _RECIPES["cross_entropy"])
    if data["batch_size"] != batch_size:
        parts.append(f"batch{data['batch_size']}")
    given = data["normalization"]
    if (given and tuple(given)) != normalization:
        parts.append("normalized" + "+".join(f"{v:g}" for v in given) if given else "raw")
    if data["orientation"] != "stored":
        parts.append(data["orientation"])
    if data["permute_fraction"] > 0:
        parts.append(f"permuted{data['permute_fraction']:g}")
    return parts


def _class_and_digest(given: Mapping[str, Any]) -> str:
    """The name of a class, with a digest of its path and arguments."""
    text = json.dumps(given, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:4]
    return f"{given['class_path'].rsplit('.', 1)[-1]}.{digest}"


def _optimizer_options(model: Mapping[str, Any]) -> list[str]:
    """What the model's own optimizer has otherwise than usual."""
    parts = []
    if model["learning_rate"] != 1e-3:
        parts.append(f"lr{model['learning_rate']:g}")
    if model["momentum"]:
        parts.append(f"momentum{model['momentum']:g}")
    betas = list(model.get("betas", _BETAS))
    if betas != _BETAS:
        parts.append("betas" + "+".join(f"{beta:g}" for beta in betas))
    if model.get("eps", 1e-8) != 1e-8:
        parts.append(f"eps{model['eps']:g}")
    return parts

"""The checkpoints of a run, read without executing anything in them."""

from pathlib import Path
from typing import Any

import msgspec

from lightning_grok.errors import InputError
from lightning_grok.runs.schema import LoggedEpoch
from lightning_grok.runs.snapshots import epoch_of_file, load_torch

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read whole, and its content; None where there is none.

    Nothing in the file is executed.

    Raises:
        InputError: there are checkpoints, but none can be read.
    """
    found = [path for path in (folder / LAST, folder / PREVIOUS) if path.exists()]
    for path in found:
        content = _readable(path)
        if content is not None:
            return path, content
    if found:
        raise InputError(f"expected a readable checkpoint, received damaged ones in {folder}")
    return None


def kept_path(folder: Path, epoch: int) -> Path:
    """Where the checkpoint of an epoch stands that is kept to branch from."""
    return folder / f"epoch_{epoch:07d}.ckpt"


def checkpoint_of(folder: Path, epoch: int) -> tuple[Path, dict[str, Any]]:
    """The checkpoint of an epoch, kept on purpose or one of the newest, and its content.

    Raises:
        InputError: there is none, or it is damaged; with the epochs that there are.
    """
    epochs = {e for path in folder.glob("epoch_*.ckpt") if (e := epoch_of_file(path)) is not None}
    for path in (kept_path(folder, epoch), folder / LAST, folder / PREVIOUS):
        content = _readable(path) if path.exists() else None
        if content is not None:
            if content["epoch"] + 1 == epoch:
                return path, content
            epochs.add(content["epoch"] + 1)
    raise InputError(
        f"expected an epoch with a checkpoint in {folder} ({sorted(epochs) or 'none'}; "
        f"run.branch_points keeps others), received {epoch}"
    )


def _readable(path: Path) -> dict[str, Any] | None:
    try:
        content = load_torch(path)
    except (InputError, OSError):
        return None
    return content if _can_be_resumed(content) else None


class _RunState(msgspec.Struct):
    log_size: LoggedEpoch
    stopped: bool
    metrics: dict[str, float]


class _Callbacks(msgspec.Struct):
    RunCheckpoint: _RunState


class _Resumable(msgspec.Struct):
    """What resuming a run reads of a checkpoint."""

    epoch: LoggedEpoch
    global_step: LoggedEpoch
    state_dict: dict[str, Any]
    loops: dict[str, Any]
    callbacks: _Callbacks
    optimizer_states: list[dict[str, Any]]
    lr_schedulers: list[dict[str, Any]]


def _can_be_resumed(content: object) -> bool:
    try:
        msgspec.convert(content, _Resumable)
    except msgspec.ValidationError:
        return False
    return is_checkpoint(content)


def is_checkpoint(content: object) -> bool:
    """Whether it is what Lightning writes, with or without the state of training."""
    keys = {"state_dict", "epoch", "pytorch-lightning_version"}
    return isinstance(content, dict) and keys <= content.keys()

"""A longer run out of a shorter one: what may differ between them, and where the longer begins."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_grok.errors import InputError
from lightning_grok.runs.checkpoints import LAST, newest_checkpoint
from lightning_grok.runs.configuration import differences, listed
from lightning_grok.runs.directory import RunDirectory, epoch_of
from lightning_grok.runs.files import write_atomically
from lightning_grok.runs.run import Run, is_alive

_LENGTH = "trainer.max_epochs"


@dataclass(frozen=True)
class Beginning:
    """The run that a longer one begins with.

    Attributes:
        run: finished or broken off.
        checkpoint: its newest one.
        epoch: completed at the checkpoint.
        log_size: bytes of the event log that the checkpoint covers.
    """

    run: Run
    checkpoint: Path
    epoch: int
    log_size: int

    def copy_to(self, directory: RunDirectory, config: dict[str, Any], digest: str) -> None:
        """Fill a new run's directory so that resuming it trains on from the checkpoint.

        A process that dies in here leaves a run without a checkpoint, which begins at epoch 0 when
        it is resumed and computes the same. What was measured of the shorter run afterwards, by
        ``measure``, stays with it.

        Args:
            directory: new and empty.
            config: of the longer run, resolved.
            digest: of that configuration.
        """
        kept = self.run.meta
        for key in ("wandb_id", "wandb_project", "wandb_entity", "measured_afterwards"):
            kept.pop(key, None)
        directory.update_meta(
            **kept
            | {
                "name": directory.name,
                "state": "interrupted",
                "max_epochs": config["trainer"]["max_epochs"],
                "config_digest": digest,
                "extends": str(self.run.path),
            }
        )
        (directory.path / "config.yaml").write_text(
            yaml.safe_dump(config, sort_keys=False), encoding="utf-8"
        )
        with open(self.run.path / "events.jsonl", "rb") as log:
            covered = log.read(self.log_size)
        directory.events_path.write_bytes(covered)
        measured = Run(directory.path).event_names
        for file in self.run.path.glob("arrays/*/*.npz"):
            # What concerns the whole shorter run, as its exact pairs, would pass for the longer's.
            if file.parent.name in measured and epoch_of(file) is not None:
                place = directory.path / file.relative_to(self.run.path)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
        shutil.copytree(self.run.path / "snapshots", directory.path / "snapshots")
        write_atomically(
            directory.checkpoints / LAST, lambda path: shutil.copyfile(self.checkpoint, path)
        )


def beginning(
    path: Path, config: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Beginning:
    """What a run of `config` can begin with: a shorter run of the same configuration.

    Besides its length only epochs of measurements may differ, and these only after its end.

    Args:
        path: directory of the shorter run.
        config: of the longer one, resolved.
        defaults: of the options that there are.

    Raises:
        InputError: no run, one in progress, without a checkpoint or stopped by a callback; another
            configuration; a run that is not shorter.
    """
    run = Run(path)
    if not run.config:
        raise InputError(f"run.extends: expected the directory of a run, received {path}")
    afterwards = run.meta.get("measured_afterwards", {})
    if replaced := [name for name, own in afterwards.items() if own]:
        raise InputError(
            f"run.extends: expected a run with the measurements that it took, but {replaced[0]} of "
            f"{path} was measured again afterwards"
        )
    if is_alive(path):
        raise InputError(
            f"run.extends: expected a run that stands still, but another process runs {path}"
        )
    found = newest_checkpoint(path / "checkpoints")
    if found is None:
        raise InputError(f"run.extends: expected a run with a checkpoint, received {path}")
    checkpoint, content = found
    state, epoch = content["callbacks"]["RunCheckpoint"], content["epoch"] + 1
    if state["stopped"]:
        raise InputError(
            f"run.extends: expected a run that came to its end, but a callback stopped {path} at "
            f"epoch {epoch}"
        )
    length = config["trainer"]["max_epochs"]
    if length is not None and 0 <= length <= epoch:
        raise InputError(
            f"expected trainer.max_epochs above the {epoch} epochs of {path}, received {length}"
        )
    for key, old, new in differences(run.config, config, defaults or {}):
        if key != _LENGTH and not (key.endswith(".epochs") and _agree_up_to(epoch, old, new)):
            raise InputError(
                f"expected the configuration of {path} but for {_LENGTH} and measured epochs after "
                f"{epoch}, received another {listed([(key, old, new)])}"
            )
    return Beginning(run, checkpoint, epoch, state["log_size"])


def _agree_up_to(epoch: int, old: object, new: object) -> bool:
    """Whether two lists of epochs are the same as far as `epoch`."""
    if not (isinstance(old, Sequence) and isinstance(new, Sequence)):
        return False
    return [e for e in old if e <= epoch] == [e for e in new if e <= epoch]

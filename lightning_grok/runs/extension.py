"""A run out of another one: where it begins, and what may differ between the two.

A longer run (``run.extends``) goes on from the end of a shorter one of the same configuration; a
branch (``run.branches``) leaves its trunk at any epoch with a checkpoint, for another future.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_grok.errors import InputError
from lightning_grok.runs.checkpoints import LAST, checkpoint_of, newest_checkpoint
from lightning_grok.runs.configuration import differences, listed, without_effect
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import write_atomically, write_content
from lightning_grok.runs.folders import is_alive
from lightning_grok.runs.run import EVENT_KEYS, Run
from lightning_grok.runs.snapshots import epoch_of_file

_LENGTH = "trainer.max_epochs"
_OF_A_BRANCH = (
    "model", "data", "trainer", "optimizer", "lr_scheduler", "evaluation", "onset", "stability",
)  # fmt: skip
"""Groups in which a branch may differ from its trunk in anything."""


@dataclass(frozen=True)
class Beginning:
    """The run that another one begins with.

    Attributes:
        run: finished or broken off; a trunk may also be in progress.
        checkpoint: its newest one, or that of the epoch.
        content: of the checkpoint.
        changed: options in which a branch differs: the trunk's value and its own, by dotted key.
        is_branch: whether it leaves the other one, and does not only make it longer.
    """

    run: Run
    checkpoint: Path
    content: dict[str, Any]
    changed: dict[str, tuple[object, object]]
    is_branch: bool = False

    @property
    def epoch(self) -> int:
        """Completed epochs at the checkpoint."""
        return int(self.content["epoch"]) + 1

    def copy_to(
        self, directory: RunDirectory, config: dict[str, Any], meta: dict[str, Any]
    ) -> None:
        """Fill a new run's directory so that resuming it trains on from the checkpoint.

        What was measured of the other run afterwards, by ``measure``, stays with it.

        Args:
            directory: new, or one that this was broken off in.
            config: of the run, resolved.
            meta: what stands in its run.json beside the state and the events.
        """
        directory.update_meta(**meta | {"state": "interrupted", "seconds": self._seconds()})
        write_content(directory.path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        with open(self.run.path / "events.jsonl", "rb") as log:
            covered = log.read(self._state["log_size"])
        directory.begin_log(covered)
        copied = Run(directory.path)
        epochs = {event: copied.measured(event) for event in copied.event_names}
        directory.update_meta(**{key: epochs[e][0] for e, key in EVENT_KEYS.items() if e in epochs})
        for file in [*self.run.path.glob("arrays/*/*.npz"), *self.run.path.glob("snapshots/*.pt")]:
            written = epoch_of_file(file)
            # What concerns the whole other run, as its exact pairs, would pass for this one's.
            if written is None or written > self.epoch:
                continue
            if file.suffix == ".npz" and file.parent.name not in epochs:
                continue
            place = directory.path / file.relative_to(self.run.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
        write_atomically(
            directory.checkpoints / LAST, lambda path: shutil.copyfile(self.checkpoint, path)
        )

    def of_the_run(self) -> dict[str, Any]:
        """What of the other run's run.json is true of a longer one too."""
        own = ("wandb_id", "wandb_project", "wandb_entity", "measured_afterwards")
        return {key: value for key, value in self.run.meta.items() if key not in own}

    @property
    def _state(self) -> dict[str, Any]:
        return self.content["callbacks"]["RunCheckpoint"]

    def _seconds(self) -> float:
        """Wall time of the other run as far as the checkpoint; its part of all, if not noted."""
        whole = float(self.run.meta.get("seconds", 0.0))
        return float(self._state.get("seconds", whole * self.epoch / max(self.run.epoch, 1)))


def longer(path: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Beginning:
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
    run = _readable("run.extends", path)
    if is_alive(path):
        raise InputError(
            f"run.extends: expected a run that stands still, but another process runs {path}"
        )
    found = newest_checkpoint(path / "checkpoints")
    if found is None:
        raise InputError(f"run.extends: expected a run with a checkpoint, received {path}")
    beginning = Beginning(run, *found, {})
    _check_length("run.extends", beginning, config)
    _check_log("run.extends", beginning)
    epoch = beginning.epoch
    for key, old, new in differences(run.config, config, defaults):
        if key != _LENGTH and not (key.endswith(".epochs") and _agree_up_to(epoch, old, new)):
            raise InputError(
                f"expected the configuration of {path} but for {_LENGTH} and measured epochs after "
                f"{epoch}, received another {listed([(key, old, new)])}"
            )
    return beginning


def branch(
    path: Path, epoch: int, config: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Beginning:
    """What a branch of `config` begins with: `epoch` epochs of another run.

    It may differ in any option of the model (but not in the shape of the network), the optimizer,
    the data, the Trainer and the evaluation, in epochs of measurements, and in measurements that it
    does without.

    Args:
        path: directory of the trunk.
        epoch: at which to leave it.
        config: of the branch, resolved.
        defaults: of the options that there are.

    Raises:
        InputError: no run, no checkpoint of that epoch, a run that a callback stopped there; an
            option that may not differ; no epoch to train.
    """
    beginning = Beginning(
        _readable("run.branches", path),
        *checkpoint_of(path / "checkpoints", epoch),
        {},
        is_branch=True,
    )
    _check_length("run.branches", beginning, config)
    _check_log("run.branches", beginning)
    left = beginning.run.meta.get("branches")
    if isinstance(left, Mapping) and left.get("set") and left.get("epoch") == epoch:
        raise InputError(
            f"run.branches: expected an epoch after {epoch}, at which {path} itself leaves its "
            f"trunk with a changed state that no checkpoint holds, received {epoch}"
        )
    for key, old, new in differences(beginning.run.config, config, defaults):
        group, _, option = key.partition(".")
        if group == "branch" or (option == "epochs" and group not in _OF_A_BRANCH):
            continue
        if option != "enabled" and group not in _OF_A_BRANCH and _does_without(config, group):
            continue
        if group not in _OF_A_BRANCH and not (option == "enabled" and new is False):
            raise InputError(
                f"run.branches: expected a branch that measures as {path} does and has its seed, "
                f"received another {listed([(key, old, new)])}"
            )
        beginning.changed[key] = old, new
    expect_effects(beginning.changed, dict(without_effect(config)))
    return beginning


def expect_effects(changed: Mapping[str, tuple[object, object]], idle: Mapping[str, str]) -> None:
    """Refuse a change that would change nothing, and pass for a cause without an effect.

    Args:
        changed: of a branch: the trunk's value and its own, by dotted key.
        idle: options without an effect, and what makes it so.

    Raises:
        InputError: in one line.
    """
    for key in changed.keys() & idle.keys():
        raise InputError(
            f"run.branches: expected a change that has an effect, received "
            f"{listed([(key, *changed[key])])}, which has none beside {idle[key]}"
        )


def _does_without(config: Mapping[str, Any], group: str) -> bool:
    given = config.get(group)
    return isinstance(given, Mapping) and given.get("enabled") is False


def _readable(option: str, path: Path) -> Run:
    """A run whose log still is what it wrote."""
    run = Run(path)
    if not run.config:
        raise InputError(f"{option}: expected the directory of a run, received {path}")
    afterwards = run.meta.get("measured_afterwards", {})
    if replaced := [name for name, own in afterwards.items() if own]:
        raise InputError(
            f"{option}: expected a run with the measurements that it took, but {replaced[0]} of "
            f"{path} was measured again afterwards"
        )
    return run


def _check_length(option: str, beginning: Beginning, config: Mapping[str, Any]) -> None:
    path, epoch = beginning.run.path, beginning.epoch
    if beginning._state["stopped"]:
        raise InputError(
            f"{option}: expected a run that came to its end, but a callback stopped {path} at "
            f"epoch {epoch}"
        )
    length = config["trainer"]["max_epochs"]
    if length is not None and 0 <= length <= epoch:
        raise InputError(
            f"expected trainer.max_epochs above the {epoch} epochs of {path}, received {length}"
        )


def _check_log(option: str, beginning: Beginning) -> None:
    """Refuse a run that lost lines of its log up to the checkpoint."""
    path, wanted = beginning.run.path / "events.jsonl", beginning._state["log_size"]
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    if size < wanted:
        raise InputError(
            f"{option}: expected {wanted} bytes of log in {path} up to epoch {beginning.epoch}, "
            f"received {size}: lines are lost"
        )


def _agree_up_to(epoch: int, old: object, new: object) -> bool:
    """Whether two lists of epochs are the same as far as `epoch`."""
    if not (isinstance(old, Sequence) and isinstance(new, Sequence)):
        return False
    return [e for e in old if e <= epoch] == [e for e in new if e <= epoch]

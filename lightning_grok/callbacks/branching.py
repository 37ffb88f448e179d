"""Where a branch leaves its trunk: options that a checkpoint would bring back, and its state."""

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from lightning_grok.callbacks.recording import callbacks_of
from lightning_grok.callbacks.state_changes import change_state
from lightning_grok.runs.network import network_of

_OPTIMIZER_KEYS = {"model.optimizer", "optimizer", "optimizer.class_path"}
_SCHEDULE_KEYS = {"lr_scheduler", "lr_scheduler.class_path"}
"""Options of which each means an optimizer, or a schedule, of another class."""

_RATES = ("lr", "initial_lr")
_MOVED = ("betas", "momentum")
"""Options of an optimizer's groups, beside the rates, that PyTorch's schedules move."""

OptimizerGroup = dict[str, Any]
"""Options of a group of parameters."""


class Branching(L.Callback):
    """Lets a run go on from another's checkpoint with what its own configuration says.

    A checkpoint brings the trunk's learning rate, betas and so on back; here the branch's own take
    their place, and then the changes of state are made. Where nothing differs nothing is touched.
    A branch that is resumed from a checkpoint of its own has all that in it.

    Args:
        origin: the trunk and the epoch, in words that tell this branch from others.
        changes: of the state, see `check_changes`.
        new_optimizer: whether to begin without the trunk's state of the optimizer.
        new_schedule: whether to begin without the state of its learning rate schedule.
        of_callbacks: arguments of callbacks that the branch gives another value.
    """

    def __init__(
        self,
        origin: str,
        changes: Mapping[str, float],
        new_optimizer: bool,
        new_schedule: bool,
        of_callbacks: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.origin = origin
        self.changes = changes
        self.new_optimizer = new_optimizer
        self.new_schedule = new_schedule or new_optimizer
        self.of_callbacks = frozenset(of_callbacks)
        self._begun = False
        self._theirs: list[list[OptimizerGroup]] | None = (
            None  # as the trunk began; older ones don't say
        )
        self._own: list[list[OptimizerGroup]] = []  # as the branch would begin alone
        self._schedules: list[tuple[Any, Any]] = []  # as trunk and branch began theirs
        self._checkpoint: dict[str, Any] = {}  # the trunk's, until it is restored

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """Whose branch it is that has begun."""
        return {"origin": self.origin}

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leave out of the trunk's checkpoint what the branch begins without."""
        state = checkpoint["callbacks"].get(self.state_key, {})
        self._begun = state.get("origin") == self.origin
        if not self._begun:
            self._checkpoint = checkpoint
            self._leave_out()
            for callback in callbacks_of(trainer):
                self._keep_own_arguments(callback, checkpoint["callbacks"])

    def _keep_own_arguments(self, callback: L.Callback, states: dict[str, Any]) -> None:
        """Put the branch's own arguments into what the trunk kept of a callback."""
        state = states.get(callback.state_key)
        if isinstance(state, dict) and not isinstance(callback, Checkpoint):
            given = self.of_callbacks & inspect.signature(type(callback)).parameters.keys()
            own = callback.state_dict()
            state |= {key: own[key] for key in state.keys() & own.keys() & given}

    def _leave_out(self) -> None:
        if self.new_optimizer:
            self._checkpoint["optimizer_states"] = []
        if self.new_schedule:
            self._checkpoint["lr_schedulers"] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember the options of the configuration, which a checkpoint replaces next.

        A module may make another optimizer, or a schedule where there was none, of any option.
        """
        if self._checkpoint:
            trunk = self._checkpoint["callbacks"].get("RunCheckpoint", {})
            self._theirs = trunk.get("groups")
            ours = in_words(optimizer_names(trainer), optimizer_groups(trainer))
            theirs = in_words(trunk.get("optimizers"), self._theirs)
            if theirs not in ("", ours) and not self.new_optimizer:
                rank_zero_info(f"begins without the trunk's moments: {ours} instead of {theirs}")
                self.new_optimizer = self.new_schedule = True
            before, schedules = trunk.get("schedules"), schedules_of(trainer)
            if len(self._checkpoint["lr_schedulers"]) != len(schedules):
                self.new_schedule = True
            elif before is not None:  # which older checkpoints don't have
                self._schedules = list(zip(before, schedules, strict=True))
                self.new_schedule |= any(old[0] != new[0] for old, new in self._schedules)
            self._leave_out()
            self._checkpoint = {}
        self._own = optimizer_groups(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the options back, and change the state."""
        if self._begun:
            return
        self._begun = True
        if not self.new_optimizer:
            now = [optimizer.param_groups for optimizer in trainer.optimizers]
            theirs = self._theirs or [[dict(group) for group in groups] for groups in now]
            for of_one in zip(now, theirs, self._own, strict=True):
                for group, old, new in zip(*of_one, strict=False):  # some may have been added since
                    self._take_back(group, old, new)
        for each in trainer.lr_scheduler_configs:
            scheduler = each.scheduler
            if hasattr(scheduler, "base_lrs"):
                groups = scheduler.optimizer.param_groups
                scheduler.base_lrs = [group["initial_lr"] for group in groups]
        if not self.new_schedule:
            for each, (old, new) in zip(
                trainer.lr_scheduler_configs, self._schedules, strict=False
            ):
                scheduler = each.scheduler
                scheduler.load_state_dict(_with_own(scheduler.state_dict(), old[1], new[1]))
        change_state(network_of(pl_module), trainer.optimizers, self.changes)
        if any(key.startswith(("weights", "reinitialize")) for key in self.changes):
            setattr(pl_module, "held_norm", None)  # noqa: B010  # that of the changed weights is

    def _take_back(
        self, group: OptimizerGroup, theirs: OptimizerGroup, own: OptimizerGroup
    ) -> None:
        """Give a group the branch's own options where it differs from the trunk.

        What a schedule, or the module, has made of an option since stays where it doesn't.
        """
        for key in own.keys() - {"params", *_RATES}:
            if key not in theirs or (self.new_schedule and key in _MOVED):
                group[key] = own[key]
            else:
                group[key] = _with_own(group.get(key), theirs[key], own[key])
        rate, before = (each[_first_rate(each)] for each in (own, theirs))
        if self.new_schedule:
            group["lr"] = own["lr"]
        elif rate != before:
            group["lr"] *= rate / before  # as far as the schedule has come
        if "initial_lr" in own:
            group["initial_lr"] = own["initial_lr"]


def _first_rate(group: OptimizerGroup) -> str:
    return "initial_lr" if "initial_lr" in group else "lr"


def optimizer_names(trainer: L.Trainer) -> list[str]:
    """Classes of the optimizers that the module has made."""
    kinds = [type(each) for each in trainer.optimizers]
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]


def optimizer_groups(trainer: L.Trainer) -> list[list[OptimizerGroup]]:
    """Options of every optimizer's groups: before the first step those of the configuration.

    Under ``params`` stands how many parameters a group has.
    """
    groups = [optimizer.param_groups for optimizer in trainer.optimizers]
    counted = [[dict(group) | {"params": len(group["params"])} for group in g] for g in groups]
    return copy.deepcopy(counted)


def in_words(kinds: Sequence[str] | None, groups: Sequence[Sequence[OptimizerGroup]] | None) -> str:
    """Classes of optimizers and how many parameters they have; empty where that isn't known."""
    if kinds is None or groups is None:
        return ""
    counts = ["+".join(str(group["params"]) for group in each) for each in groups]
    return ", ".join(f"{kind} of {n} parameters" for kind, n in zip(kinds, counts, strict=True))


def schedules_of(trainer: L.Trainer) -> list[tuple[str, dict[str, Any]]]:
    """Classes and states of the learning rate schedules: before the first step their options."""
    schedules = [each.scheduler for each in trainer.lr_scheduler_configs]
    kinds = [type(each) for each in schedules]
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]
    states = [copy.deepcopy(dict(each.state_dict())) for each in schedules]
    return list(zip(names, states, strict=True))


def _with_own(state: Any, theirs: Any, own: Any) -> Any:
    """A schedule's state, with the branch's own options where they differ from the trunk's.

    Args:
        state: of the schedule now, as the trunk left it.
        theirs, own: as trunk and branch began it.
    """
    if _are(dict, state, theirs, own) and theirs.keys() == own.keys():
        kept = theirs.keys() - {"_last_lr"}  # which is no option
        return {
            key: _with_own(value, theirs[key], own[key]) if key in kept else value
            for key, value in state.items()
        }
    if _are(list, state, theirs, own) and len(state) == len(theirs) == len(own):
        return [_with_own(*each) for each in zip(state, theirs, own, strict=True)]
    if _are(Tensor, theirs, own):
        return state if torch.equal(theirs.cpu(), own.cpu()) else own
    return state if repr(theirs) == repr(own) else own  # also of NaN, which equals nothing


def _are(kind: type, *values: Any) -> bool:
    return all(isinstance(value, kind) for value in values)


def branching(branches: Mapping[str, Any]) -> Branching:
    """What a branch does where it begins.

    Args:
        branches: of its run.json: ``run``, ``epoch``, ``changed`` options by dotted keys, ``set``.
    """
    changed = branches["changed"]
    return Branching(
        f"{branches['run']} {branches['epoch']} {branches['set']}",
        branches["set"],
        new_optimizer=bool(changed.keys() & _OPTIMIZER_KEYS),
        new_schedule=bool(changed.keys() & _SCHEDULE_KEYS),
        of_callbacks=(k.rpartition(".")[2] for k in changed if k.startswith("trainer.callbacks.")),
    )

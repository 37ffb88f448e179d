"""What keeps a run from being lost: checkpoints, signals, weights of measured epochs."""

import math
import os
import signal
import time
from collections.abc import Container
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_grok.callbacks.branching import optimizer_groups, optimizer_names, schedules_of
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.random_states import random_states, set_random_states
from lightning_grok.callbacks.recording import (
    callbacks_of,
    directory_loggers,
    ends_by_itself,
    is_resumed,
    trained_epochs,
)
from lightning_grok.errors import InputError
from lightning_grok.loggers.epochs import completed_epochs
from lightning_grok.runs.checkpoints import LAST, PREVIOUS, kept_path, newest_checkpoint
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import write_atomically
from lightning_grok.runs.network import network_of
from lightning_grok.runs.snapshots import snapshot_epochs
from lightning_grok.schedule import ROUND_EPOCHS

_HANGUP = getattr(signal, "SIGHUP", None)  # which Windows has not
_SAME_SECONDS = 0.5


class Snapshots(L.Callback):
    """Keeps the network's weights for later analysis at round epochs: 0 to 5, 10 to 50, ...

    Epochs at which an enabled measurement is due, and the end, are kept too.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__()
        self.directory = directory

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the initialization, unless the run is a resumed one."""
        if not is_resumed(trainer):
            self._save(pl_module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights of an epoch that may be looked at again."""
        epoch = completed_epochs(trainer)
        callbacks = (c for c in callbacks_of(trainer) if isinstance(c, Measurement) and c.enabled)
        measured = (measurement for measurement in callbacks if measurement.keeps_snapshots)
        wanted = epoch in ROUND_EPOCHS or epoch == trainer.max_epochs
        if wanted or any(measurement.due(epoch) for measurement in measured):
            expect_finite(pl_module, epoch, self.directory.checkpoints)
            self._save(pl_module, epoch)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights of a run that ended before its last epoch."""
        epoch = trained_epochs(trainer)
        if ends_by_itself(trainer) and epoch not in snapshot_epochs(self.directory.path):
            self._save(pl_module, epoch)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same where a run is resumed that was killed after its last epoch."""
        self.on_train_end(trainer, pl_module)

    def _save(self, pl_module: L.LightningModule, epoch: int) -> None:
        self.directory.save_snapshot(epoch, network_of(pl_module).state_dict())


class FiniteLoss(L.Callback):
    """Stops a run whose loss is no longer a number, before anything of it is kept.

    Args:
        checkpoints: folder of the run's checkpoints, of which the message speaks.
    """

    def __init__(self, checkpoints: Path) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self._loss: Any = None

    def wants_step(self, step: int) -> bool:
        """Whether it has to see the network after a step that is not the last one of an epoch."""
        return False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Remember the loss; looking at it would cost a synchronization a step."""
        self._loss = outputs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the last minibatch: weights that hold a NaN never lose it again."""
        loss = self._loss.get("loss") if isinstance(self._loss, dict) else self._loss
        if loss is not None and not torch.isfinite(loss).all():
            what = f"a finite loss, received {float(loss)}"
            raise _diverged(what, completed_epochs(trainer), self.checkpoints)


def _diverged(what: str, epoch: int, checkpoints: Path) -> InputError:
    found = newest_checkpoint(checkpoints)
    kept = f"that of epoch {found[1]['epoch'] + 1} is kept" if found else "there is none before it"
    return InputError(
        f"expected {what} in epoch {epoch}: a learning rate or weight scale that is too large, or "
        f"too low a precision; of checkpoints {kept}"
    )


def expect_finite(module: L.LightningModule, epoch: int, checkpoints: Path) -> None:
    """Refuse to keep weights that the last step of an epoch has spoiled, unseen by its loss.

    Raises:
        InputError: a parameter holds a NaN or an infinity.
    """
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            raise _diverged(f"finite weights, received others in {name}", epoch, checkpoints)


class Signals(L.Callback):
    """Notes SIGINT, SIGTERM or SIGHUP inside: the epoch is ended and kept; another ends at once.

    So does the first one before the first epoch and after the last, where measurements may take
    long that a resumed run takes again. A second within half a second is the first one, which
    ``timeout``, and a terminal of a wrapped command, send twice. SIGHUP comes where a terminal is
    closed. Where it is ignored, as under ``nohup``, it stays so.

    Attributes:
        received: the signal that came; None before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: int | None = None
        self._came = -math.inf
        self._trains = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        """Take over the signals."""
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        for number in (signal.SIGINT, signal.SIGTERM, _HANGUP):
            if number is None or (number == _HANGUP and signal.getsignal(number) is signal.SIG_IGN):
                continue
            try:
                self._handlers.setdefault(number, signal.signal(number, self._receive))
            except ValueError:  # only the main thread may; elsewhere signals stay as they were
                break
        return self

    def __exit__(self, *raised: object) -> None:
        """Give the signals back."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take over the signals again; Lightning's own handlers have been set by now."""
        self.__enter__()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on there is an epoch to end."""
        self._trains = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on there is none."""
        self._trains = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == _HANGUP:
            self._leave_closed_terminals()
        if self.received is None:
            how = "after this epoch; once more stops at once" if self._trains else "at once"
            rank_zero_info(f"{signal.Signals(number).name}: stops {how}")
            at_once = not self._trains
        else:
            again = number == self.received and time.monotonic() - self._came < _SAME_SECONDS
            at_once = number != _HANGUP and not again  # which the terminal and the shell both send
        self.received, self._came = number, time.monotonic()
        if at_once:
            raise KeyboardInterrupt

    def _leave_closed_terminals(self) -> None:
        """Write to nowhere what would be an error in a terminal that is no more."""
        for number in self._terminals:
            if not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


class RunCheckpoint(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` in Lightning's format, always whole, at the end of epochs.

    It is written every so many seconds, at the end, and after the epoch in which a signal came; the
    one before it is kept as ``previous.ckpt``. It holds the length of the event log and what
    Lightning logs of the epoch after it, so that a resumed run neither loses nor doubles a line,
    and the random states, with which loaders that shuffle and dropout go on (where one process
    trains). Lightning runs this callback last.

    Args:
        directory: of the run.
        seconds: shortest time between two checkpoints; 0 writes one every epoch.
        signals: that stop the run.
        kept: epochs whose checkpoint stays as ``epoch_<epoch>.ckpt``, to branch from.
    """

    def __init__(
        self,
        directory: RunDirectory,
        seconds: float,
        signals: Signals,
        kept: Container[int] = (),
    ) -> None:
        super().__init__()
        self.kept = kept
        self.directory = directory
        self.seconds = seconds
        self.signals = signals
        self.stopped = False  # by a callback, at its last epoch
        self.metrics: dict[str, float] = {}  # that callbacks and schedulers may monitor
        self._unlogged: dict[str, float] = {}  # of the checkpoint's epoch
        self._random: dict[str, Any] | None = None
        self._kinds: list[str] = []
        self._groups: list[list[dict[str, Any]]] = []  # and schedules, as the run began
        self._schedules: list[tuple[str, dict[str, Any]]] = []
        self._opened = self._written = time.monotonic()
        self._spent = float(directory.meta.get("seconds", 0.0))  # before this process

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """Where the event log ends, whether the run does, and the newest metrics."""
        return {
            "log_size": self.directory.log_size,
            "stopped": self.stopped,
            "metrics": self.metrics,
            "unlogged": self._unlogged,
            "random": self._random,
            "optimizers": self._kinds,
            "groups": self._groups,
            "schedules": self._schedules,
            "seconds": self._seconds(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what Lightning does not keep."""
        self.stopped, self.metrics = state_dict["stopped"], state_dict["metrics"]
        self._unlogged = state_dict.get("unlogged", {})  # which older checkpoints don't have
        self._random = state_dict.get("random")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no further where a callback had stopped the run before it was killed."""
        trainer.should_stop = self.stopped
        self._groups, self._schedules = optimizer_groups(trainer), schedules_of(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do what was left undone where the run is a resumed one."""
        if is_resumed(trainer):
            self._catch_up(trainer)

    def _catch_up(self, trainer: L.Trainer) -> None:
        """Do what Lightning does between the writing of a checkpoint and the next epoch.

        A scheduler that waits for a plateau looks at a metric then.
        """
        for key, value in self.metrics.items():
            trainer.callback_metrics[key] = torch.tensor(value)
        self._log_left(trainer)
        progress = trainer.fit_loop.epoch_progress.current
        progress.completed -= 1  # by which a scheduler's frequency is counted
        trainer.fit_loop.epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        progress.completed += 1

    def _log_left(self, trainer: L.Trainer) -> None:
        left, self._unlogged = self._unlogged, {}
        for run in directory_loggers(trainer) if left else []:
            run.log_event("log", trained_epochs(trainer), trainer.global_step, left, {})

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw from here on what the run would have drawn that the checkpoint is of."""
        fetcher = trainer.fit_loop._data_fetcher
        if self._random is not None and trainer.world_size == 1 and fetcher is not None:
            set_random_states(self._random)
            iter(fetcher)  # which has drawn already
        self._random, self._unlogged = None, {}

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log it also where a run is resumed that was killed after its last epoch."""
        self._log_left(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the checkpoint when it is time, and stop where a signal has come."""
        epoch = completed_epochs(trainer)
        self.stopped = trainer.should_stop
        if self.signals.received is not None:
            trainer.should_stop = True
        ends = (
            trainer.should_stop
            or epoch == trainer.max_epochs
            or 0 <= trainer.max_steps <= trainer.global_step
        )
        if ends or not 0 <= time.monotonic() - self._written < self.seconds:
            expect_finite(pl_module, epoch, self.directory.checkpoints)
            self.write(trainer)
        if epoch in self.kept:
            expect_finite(pl_module, epoch, self.directory.checkpoints)
            self._save(trainer, kept_path(self.directory.checkpoints, epoch))

    def _save(self, trainer: L.Trainer, path: Path) -> None:
        """Write a checkpoint whole, with the newest metrics, once the log is on the disk."""
        newest = trainer.callback_metrics.items()
        self.metrics = {key: float(value) for key, value in newest if "seconds" not in key}
        of_the_epoch = trainer._logger_connector.metrics["log"].items()
        self._unlogged = {key: float(value) for key, value in of_the_epoch}
        self._random, self._kinds = random_states(), optimizer_names(trainer)
        self.directory.sync()
        write_atomically(path, lambda part: trainer.save_checkpoint(part, weights_only=False))
        self._random, self._unlogged = None, {}

    def write(self, trainer: L.Trainer) -> None:
        """Write the checkpoint whole, then move it into place."""
        folder = self.directory.checkpoints
        self._save(trainer, folder / "next.ckpt")
        if (folder / LAST).exists():
            os.replace(folder / LAST, folder / PREVIOUS)
        os.replace(folder / "next.ckpt", folder / LAST)
        self.directory.update_meta(epoch=completed_epochs(trainer), seconds=self._seconds())
        self._written = time.monotonic()

    def _seconds(self) -> float:
        """Wall time of the run up to now, of earlier processes up to their last checkpoint."""
        return self._spent + max(0.0, time.monotonic() - self._opened)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Note the time taken."""
        self.directory.update_meta(seconds=self._seconds())

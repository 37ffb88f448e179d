"""What is put into a run so that it fails: measurements that raise, weights that are no numbers."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from lightning_grok.loggers.run_logger import RunLogger

ERRORS: dict[str, Exception] = {
    "RuntimeError": RuntimeError("out of luck"),
    "LinAlgError": np.linalg.LinAlgError("Singular matrix"),
    "MemoryError": MemoryError("out of memory"),
    "FileNotFoundError": FileNotFoundError(errno.ENOENT, "No such file", "reference.npz"),
}


def raises(points: np.ndarray, labels: np.ndarray, kind: str) -> float:
    """A measurement of a layer that never succeeds.

    Raises:
        Exception: the one of that name.
    """
    raise ERRORS[kind]


class Spoil(L.Callback):
    """Sets a weight to NaN or infinity after the last minibatch of an epoch.

    Args:
        epoch: completed epochs.
        value: of the weight.
    """

    def __init__(self, epoch: int, value: str) -> None:
        super().__init__()
        self.epoch = epoch
        self.value = float(value)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        """Do it, once it is time."""
        if trainer.current_epoch + 1 == self.epoch:
            with torch.no_grad():
                next(iter(pl_module.network.parameters()))[0, 0] = self.value


def _replaced(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.mkdir() if (path.parent / "elsewhere").is_dir() else path.touch()


LOSSES: dict[str, Callable[[Path], object]] = {
    "the event log is removed": lambda run: (run / "events.jsonl").unlink(),
    "the event log is renamed": lambda run: (run / "events.jsonl").rename(run / "events.old"),
    "the event log is replaced": lambda run: _replaced(run / "events.jsonl"),
    "the event log is emptied": lambda run: os.truncate(run / "events.jsonl", 0),
    "the event log is cut": lambda run: os.truncate(run / "events.jsonl", 100),
    "run.json is removed": lambda run: (run / "run.json").unlink(),
    "the folder is removed": shutil.rmtree,
    "the folder is renamed": lambda run: run.rename(run.with_name("elsewhere")),
    "the folder is replaced": _replaced,
    "the folder of runs is renamed": lambda run: run.parent.rename(f"{run.parent}-elsewhere"),
}
"""What others do to a run's files while it trains."""


class Lose(L.Callback):
    """Takes the run's files away after an epoch.

    Args:
        epoch: completed epochs.
        what: a key of `LOSSES`.
    """

    def __init__(self, epoch: int, what: str) -> None:
        super().__init__()
        self.epoch = epoch
        self.what = what

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do it, once it is time."""
        if trainer.current_epoch + 1 == self.epoch:
            (logger,) = (each for each in trainer.loggers if isinstance(each, RunLogger))
            LOSSES[self.what](logger.directory.path)

"""The logger of a run's own directory."""

import hashlib
import json
import math
import os
import platform
import re
import sys
import time
import weakref
from collections.abc import Mapping, Sized
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only
from torch import nn

from lightning_grok.errors import line_of
from lightning_grok.loggers.epochs import epochs_behind, epochs_so_far
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import write_content
from lightning_grok.runs.network import module_names, network_of
from lightning_grok.runs.run import Run
from lightning_grok.runs.snapshots import snapshot_path
from lightning_grok.runs.summary import run_record
from lightning_grok.tasks.reference_set import dataset_of


def machine() -> str:
    """The processor and the threads, on which the last bits of a result depend."""
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


class RunLogger(Logger):
    """Writes a run's directory, which every command reads: ``runs``, ``dashboard``, ``measure``.

    What a module logs by ``self.log`` becomes an event ``log``. Lightning numbers the epoch in
    progress from 0; in the event log an epoch is a number of completed epochs.

    Given a path it makes the directory when the first line is written, with a number behind the
    name where that is taken, keeps the weights of measured points, and notes how the run ended; a
    run that ends before its first step leaves nothing. In a resumed fit (``ckpt_path``) it goes on
    in the directory itself, and forgets what was written after the checkpoint.

    Args:
        directory: path of the directory; or one that is already held for writing, whose state and
            weights are somebody else's.
        resume: whether to go on in a directory that exists.

    Raises:
        InputError: the name is unsafe, the place is not writable or another process writes there.
    """

    def __init__(
        self, directory: RunDirectory | str | os.PathLike[str], resume: bool = False
    ) -> None:
        super().__init__()
        self._owns = not isinstance(directory, RunDirectory)
        self._directory = directory if isinstance(directory, RunDirectory) else None
        self._path = directory.path if isinstance(directory, RunDirectory) else Path(directory)
        self._resume = resume
        self._hparams: dict[str, Any] = {}
        self._trainer: weakref.ref[L.Trainer] | None = None
        self._fit: weakref.ref[Any] | None = None  # the loop of the newest fit that was written
        self._last = 0  # whole epochs with a line in the log
        self._ended: dict[str, Any] = {}  # how an earlier fit in the directory did
        self._opened = time.monotonic()

    @property
    def directory(self) -> RunDirectory:
        """The run's directory, made where it isn't there yet; of rank zero only."""
        if self._directory is None:
            self._directory = self._open()
        return self._directory

    def _open(self) -> RunDirectory:
        if self._resume and (self._path / "run.json").is_file():
            directory = RunDirectory(self._path)
            self._ended = {key: directory.meta.get(key) for key in ("state", "reason", "epoch")}
            directory.update_meta(state="running")
            return directory
        directory = RunDirectory.create(self._path.parent, self._path.name, numbered=True)
        self._path, self._resume = directory.path, True
        directory.update_meta(
            name=directory.name,
            state="running",
            epoch=0,
            seconds=0.0,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            machine=machine(),
        )
        rank_zero_info(f"writing {directory.path}")
        return directory

    @property
    def name(self) -> str:
        """The run's name."""
        return self._path.name

    @property
    def version(self) -> str:
        """Empty: a run has one directory."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of runs, so that ``save_dir/name/version`` is the run's directory."""
        return str(self._path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Keep them for config.yaml, which `begin` writes where nobody else has."""
        self._hparams = dict(params or {}) if isinstance(params, Mapping | None) else vars(params)

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Remember who trains, or validates; Lightning calls it before."""
        self._trainer = weakref.ref(model.trainer)

    @rank_zero_only
    def begin(self, module: L.LightningModule) -> None:
        """Write what is known of the run that a fit begins, or forget what a resumed one redoes.

        Callbacks call it before the first step; only the first call of a fit counts. Where none
        does, the first line of the fit begins the run.
        """
        self._begin(module, module.trainer.global_step > 0)

    def _begin(self, module: L.LightningModule, resumed: bool) -> None:
        trainer = module.trainer
        self._trainer = weakref.ref(trainer)
        if not self._owns or (self._fit is not None and self._fit() is trainer.fit_loop):
            return
        if self._fit is not None:  # the logger of an earlier fit serves another one
            self.finalize("success")
        self._resume = resumed or (self._resume and self._fit is None)
        self._fit = weakref.ref(trainer.fit_loop)
        if resumed and self.directory.meta.get("config_digest"):
            self.directory.forget_after(trainer.current_epoch)
            self.directory.update_meta(state="running", epoch=trainer.current_epoch)
            return
        network = network_of(module)
        config = {"model": {"class_path": _path(module), "init_args": _plain(self._hparams)}}
        data = getattr(trainer, "datamodule", None)
        if data is not None:
            config["data"] = {"class_path": _path(data), "init_args": _plain(dict(data.hparams))}
        layers = re.sub(" at 0x[0-9a-f]+", "", repr(network))  # what no argument says
        text = json.dumps(config, sort_keys=True) + layers
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.directory.update_meta(
            setup=f"{type(module).__name__}-{digest[:8]}",
            dataset=dataset_of(data),
            seed=None if (seed := os.environ.get("PL_GLOBAL_SEED")) is None else int(seed),
            max_epochs=trainer.max_epochs,
            steps_per_epoch=_steps_per_epoch(trainer),
            layer_names=list(getattr(network, "layer_names", [])),
            modules=module_names(network),
            config_digest=digest[:16],
            **_test_samples(trainer),
            **_classes(data),
        )
        text = yaml.safe_dump(config, sort_keys=False)
        write_content(self.directory.path / "config.yaml", text)

    def keep_snapshot(self, epoch: float, network: nn.Module) -> None:
        """Keep the network's weights of a measured point, unless they are kept already."""
        if not snapshot_path(self.directory.path, epoch).exists():
            self.directory.save_snapshot(epoch, network.state_dict())

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write what was logged by ``self.log``, or without an epoch by another callback."""
        values, taken = dict(metrics), step or 0
        trainer = None if self._trainer is None else self._trainer()
        begun = None if "epoch" not in values else int(values.pop("epoch"))
        epoch: float
        if trainer is not None and trainer.state.fn == TrainerFn.FITTING:
            self._begin(trainer.lightning_module, trainer.ckpt_path is not None)
            if begun is None:  # from another callback
                epoch = epochs_behind(trainer)
            else:  # from Lightning, which numbers the step in progress, too, from 0
                epoch, taken = epochs_so_far(trainer) or begun + 1, trainer.global_step
        elif trainer is not None:
            epoch, taken = trainer.current_epoch, trainer.global_step
        else:
            steps = self.directory.meta.get("steps_per_epoch") or 1
            epoch, taken = (taken // steps, taken) if begun is None else (begun, taken + 1)
            epoch += 1
        self._note(epoch, taken)
        self.directory.log("log", epoch, taken, values)

    @rank_zero_only
    def log_event(
        self,
        event: str,
        epoch: float,
        step: int,
        scalars: Mapping[str, float | str],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Write one line and, before it, the arrays."""
        if arrays:
            self.directory.save_arrays(event, epoch, arrays)
        self._note(epoch, step)
        self.directory.log(event, epoch, step, scalars)

    def _note(self, epoch: float, step: int) -> None:
        """Remember the newest whole epoch, and of the first how many steps it had."""
        known = self.directory.meta.get("steps_per_epoch")
        if epoch == 1 and self._last <= 1 and step > 0 and step != known:
            self.directory.update_meta(steps_per_epoch=step)  # which not every loader knows
        self._last = max(self._last, math.floor(epoch))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Note how the run ended, and say it; Lightning calls it with ``success`` or ``failed``."""
        if not self._owns or self._directory is None:
            return
        directory, self._directory = self._directory, None
        if status != "success" and self._last == 0:
            directory.discard()
            self._resume = False
            return
        error = None if status == "success" else sys.exception()
        broken_off = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        state = "finished" if status == "success" else broken_off
        ended = {"state": state, "reason": line_of(error), "epoch": self._last}
        trainer = None if self._trainer is None else self._trainer()
        if trainer is not None and trainer.state.fn != TrainerFn.FITTING:  # a validation, behind it
            directory.update_meta(**self._ended or ended)
            directory.close()
            return
        seconds = time.monotonic() - self._opened
        directory.update_meta(**ended, logged=self._last, seconds=seconds)
        record = run_record(Run(directory.path), so_far=status != "success")
        directory.update_meta(**record)
        directory.close()
        rank_zero_info(f"{record['outcome']}\nrun: {directory.path}")


def _path(instance: object) -> str:
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def _steps_per_epoch(trainer: L.Trainer) -> int:
    """Optimizer steps an epoch; 1 where a loader has no length."""
    batches = trainer.num_training_batches
    return math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else 1


def _test_samples(trainer: L.Trainer) -> dict[str, int]:
    """How many samples the accuracy of the validation set is counted on, where that is known."""
    dataset = getattr(trainer.val_dataloaders, "dataset", ())
    count = len(dataset) if isinstance(dataset, Sized) else 0
    return {"test_samples": count} if count else {}


def _classes(data: Any) -> dict[str, Any]:
    """How many classes there are and what they are called, where a datamodule says it."""
    names = [str(name) for name in getattr(data, "class_names", None) or []]
    count = getattr(data, "num_classes", len(names))
    number = {"num_classes": count} if type(count) is int and count > 0 else {}
    return number | ({"class_names": names} if names else {})


def _plain(values: Any) -> Any:
    """What JSON and YAML can hold; anything else by its name."""
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values if isinstance(values, str | int | float | bool | None) else repr(values)

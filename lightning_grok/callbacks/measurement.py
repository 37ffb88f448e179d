"""The base of every measurement: when it is taken, without disturbing training, where it goes."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from lightning_grok.callbacks.recording import (
    Value,
    ViewLogger,
    callbacks_of,
    completed_epochs,
    ends_by_itself,
    is_resumed,
    record,
    split_values,
    trained_epochs,
)
from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import evaluating
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.ranges import Epoch, PerDecade
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import is_disk_error
from lightning_grok.runs.names import validate_measurements
from lightning_grok.schedule import (
    OPEN_END,
    PAPER_EPOCHS,
    evaluation_epochs,
    validate_epochs,
)
from lightning_grok.tasks.probe_set import ProbeSet

Epochs = Sequence[Epoch] | PerDecade | None
"""Completed epochs; or how many log-spaced ones a decade beside the paper's; or the paper's."""


class Measurement(L.Callback, ABC):
    """Takes a measurement of the network at chosen epochs, beginning with the initialization.

    A subclass sets `name` and implements `measure`, which knows no Trainer, so that the same
    object measures a snapshot of an old run. The network is ``module.network`` where there is one,
    else the LightningModule itself; the data come from ``datamodule.probe_set``.

    The random state is forked, the modules' training flags are restored and no gradient is touched:
    a run ends at the same weights with and without it.

    Args:
        enabled: False switches the measurement off.
        epochs: completed epochs to measure at, increasing; 0 is the initialization. None takes the
            paper's checkpoints up to the run's end, and the end; a number adds to these so many
            log-spaced epochs a decade.
        strict: True lets an error of the measurement stop the run; False logs it as an event
            ``error`` with a warning and trains on.

    Raises:
        InputError: the epochs are negative, out of order or, once the run is known, beyond its end.
    """

    name: str
    keeps_snapshots = True
    """Whether the weights are kept that it was taken of, and it can be taken afterwards."""

    def __init__(self, enabled: bool = True, epochs: Epochs = None, strict: bool = False) -> None:
        super().__init__()
        self.enabled = enabled
        try:
            self.epochs = validate_epochs(epochs) if isinstance(epochs, Sequence) else epochs
        except ValueError as error:
            raise InputError(f"{self.name}.epochs: {error}") from None
        self.strict = strict
        self.epoch = 0  # of the network in `measure`
        self._due: frozenset[int] = frozenset()
        self._ended = False

    @property
    def state_key(self) -> str:
        """Two of one kind under different names are two callbacks."""
        return f"{type(self).__qualname__}:{self.name}"

    @abstractmethod
    def measure(self, model: nn.Module, probe: ProbeSet) -> Mapping[str, Value | Tensor]:
        """Numbers and arrays of the network, by keys that will stand behind ``name/``.

        It is called in the order of epochs and may keep state from one to the next; what it keeps
        must be in `state_dict`.
        """

    def check(self, model: nn.Module, probe: ProbeSet) -> None:
        """Refuse, before a run begins, what can't be measured of this network on these images.

        Raises:
            InputError: a layer doesn't exist, or there are too few images.
        """

    def start(self, model: nn.Module) -> None:
        """Called once with the initialization, before anything is measured; nothing by default."""

    def summarize(self, run: RunDirectory, model: nn.Module, probe: ProbeSet, final: bool) -> None:
        """Write what concerns the run so far; called after a measurement and, `final`, at the end.

        The snapshots of all measured epochs stand in the directory. Nothing by default.
        """

    def due(self, epoch: int) -> bool:
        """Whether to measure after `epoch` completed epochs; override for another policy."""
        return epoch in self._due

    def plan(self, last: int | None) -> None:
        """Settle the epochs of a run that ends at `last` (-1 or None: open end)."""
        last = -1 if last is None else last
        if isinstance(self.epochs, tuple):
            if 0 <= last < self.epochs[-1]:
                raise InputError(
                    f"expected {self.name}.epochs up to trainer.max_epochs = {last}, "
                    f"received {self.epochs[-1]}"
                )
            self._due = frozenset(self.epochs)
        else:
            end = last if last >= 0 else OPEN_END
            self._due = frozenset({0, end, *(epoch for epoch in PAPER_EPOCHS if epoch <= end)})
            if self.epochs is not None and end > 0:
                self._due |= evaluation_epochs(end, self.epochs)

    def end_at(self, epoch: int) -> bool:
        """Let the last epoch of a run that ended early be due; True if it was not before.

        Where the epochs to measure at were given one by one, they stay all.
        """
        if isinstance(self.epochs, tuple) or self.due(epoch):
            return False
        self._due |= {epoch}
        return True

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Settle the epochs, before anything is trained."""
        if stage == "fit" and self.enabled:
            enabled_measurements(trainer)
            self._ended = False
            self.plan(trainer.max_epochs)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse what can't be measured, before anything is trained."""
        if self.enabled:
            self.check(network_of(pl_module), probe_set_of(trainer, self.name))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the initialization, unless the run is a resumed one."""
        if self.enabled and not is_resumed(trainer):
            self.start(network_of(pl_module))
            if self.due(0):
                self._take(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure after a completed epoch."""
        if self.enabled and self.due(completed_epochs(trainer)):
            self._take(trainer, pl_module, completed_epochs(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure and summarize a run that came to its end, wherever that was."""
        self._ended = True
        if not self.enabled or not ends_by_itself(trainer):
            return
        epoch = trained_epochs(trainer)
        if epoch > 0 and self.end_at(epoch):
            self._take(trainer, pl_module, epoch)
        self._summarize(trainer, pl_module, epoch, final=True)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same where a run is resumed that was killed after its last epoch.

        Lightning then has nothing to train and calls no ``on_train_end``.
        """
        if not self._ended:
            self.on_train_end(trainer, pl_module)

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: int) -> None:
        probe = probe_set_of(trainer, self.name)
        with self._forgiven(trainer, epoch):
            scalars, arrays = self.taken(network_of(pl_module), probe, epoch)
            record(trainer, self.name, epoch, scalars, arrays)
            self._summarize(trainer, pl_module, epoch, final=False)

    def _summarize(
        self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: int, *, final: bool
    ) -> None:
        """Write and show what concerns the whole run, and log what it cost."""
        start = time.perf_counter()
        runs = [each.directory for each in trainer.loggers if isinstance(each, RunLogger)]
        probe = probe_set_of(trainer, self.name)
        for run in runs:
            with self._forgiven(trainer, epoch), undisturbed(network_of(pl_module)):
                self.summarize(run, network_of(pl_module), probe, final)
        for logger in trainer.loggers:
            if isinstance(logger, ViewLogger):
                logger.log_views(self.name, epoch)
        if runs:
            cost = {f"{self.name}/summary_seconds": max(0.0, time.perf_counter() - start)}
            record(trainer, "timing", epoch, cost)

    @contextmanager
    def _forgiven(self, trainer: L.Trainer, epoch: int) -> Iterator[None]:
        """Turn an error into an event, unless `strict`; a full disk stops the run in any case."""
        try:
            yield
        except Exception as error:
            if self.strict or is_disk_error(error):
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            rank_zero_warn(f"{self.name} at epoch {epoch} failed, training goes on. {reason}")
            record(trainer, "error", epoch, {"measurement": self.name, "message": reason})

    def taken(
        self, model: nn.Module, probe: ProbeSet, epoch: int
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scalars under their full keys, with the seconds taken, and arrays under short ones."""
        self.epoch = epoch
        start = time.perf_counter()
        with undisturbed(model):
            scalars, arrays = split_values(self.measure(model, probe))
        named = {f"{self.name}/{key}": value for key, value in scalars.items()}
        return named | {f"{self.name}/seconds": max(0.0, time.perf_counter() - start)}, arrays


def enabled_measurements(trainer: L.Trainer) -> list[Measurement]:
    """The measurements among the trainer's callbacks that are switched on, their names checked.

    Raises:
        InputError: a name is unsafe, reserved or that of two measurements.
    """
    measurements = [c for c in callbacks_of(trainer) if isinstance(c, Measurement) and c.enabled]
    validate_measurements(each.name for each in measurements)
    return measurements


def network_of(module: nn.Module) -> nn.Module:
    """The network inside a LightningModule: its attribute ``network``, else the module itself."""
    network = getattr(module, "network", None)
    return network if isinstance(network, nn.Module) else module


def placed(inputs: Tensor, model: nn.Module) -> Tensor:
    """`inputs` on the device and in the precision of the model's parameters."""
    parameter = next(model.parameters(), None)
    return inputs if parameter is None else inputs.to(parameter.device, parameter.dtype)


def probe_set_of(trainer: L.Trainer, name: str) -> ProbeSet:
    """The datamodule's probe set.

    Raises:
        InputError: there is none.
    """
    datamodule = getattr(trainer, "datamodule", None)
    probe = getattr(datamodule, "probe_set", None)
    if probe is None:
        received = "no datamodule" if datamodule is None else type(datamodule).__name__
        raise InputError(f"{name}: expected a datamodule with a probe_set, received {received}")
    return probe


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and a random state of its own inside; both are put back.

    So is the number of PyTorch's threads, which a library that shares OpenMP with it may change.

    NumPy's BLAS runs on one thread: its matrices here are so small that two threads take up to
    sixteen times as long, and measurements that use more cores split their work themselves.
    """
    threads = torch.get_num_threads()
    try:
        with isolate_rng(), evaluating(model), threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)

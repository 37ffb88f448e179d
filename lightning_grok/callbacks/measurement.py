"""The base of every measurement: when it is taken, without disturbing training, where it goes."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from lightning_grok.callbacks.recording import (
    Value,
    completed_epochs,
    is_resumed,
    record,
    split_values,
)
from lightning_grok.errors import InputError
from lightning_grok.probe_set import ProbeSet
from lightning_grok.schedule import PAPER_EPOCHS, validate_epochs


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
            paper's checkpoints up to the run's end, and the end.
        strict: True lets an error of the measurement stop the run; False logs it as an event
            ``error`` with a warning and trains on.

    Raises:
        InputError: the epochs are negative, out of order or, once the run is known, beyond its end.
    """

    name: str

    def __init__(
        self, enabled: bool = True, epochs: Sequence[int] | None = None, strict: bool = False
    ) -> None:
        super().__init__()
        self.enabled = enabled
        try:
            self.epochs = None if epochs is None else validate_epochs(epochs)
        except ValueError as error:
            raise InputError(f"{self.name}.epochs: {error}") from None
        self.strict = strict
        self._due: frozenset[int] = frozenset()

    @abstractmethod
    def measure(self, model: nn.Module, probe: ProbeSet) -> Mapping[str, Value | Tensor]:
        """Numbers and arrays of the network, by keys that will stand behind ``name/``.

        It is called in the order of epochs and may keep state from one to the next; what it keeps
        must be in `state_dict`.
        """

    def due(self, epoch: int) -> bool:
        """Whether to measure after `epoch` completed epochs; override for another policy."""
        return epoch in self._due

    def plan(self, last: int) -> None:
        """Settle the epochs of a run that ends at `last` (-1: open end)."""
        if self.epochs is not None:
            if 0 <= last < self.epochs[-1]:
                raise InputError(
                    f"expected {self.name}.epochs up to trainer.max_epochs = {last}, "
                    f"received {self.epochs[-1]}"
                )
            self._due = frozenset(self.epochs)
        else:
            ended = {last} if last >= 0 else set()
            self._due = frozenset(e for e in PAPER_EPOCHS if last < 0 or e <= last) | ended

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Settle the epochs, before anything is trained."""
        if stage == "fit":
            last = trainer.max_epochs
            self.plan(-1 if last is None else last)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the initialization, unless the run is a resumed one."""
        if self.enabled and not is_resumed(trainer) and self.due(0):
            self._take(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure after a completed epoch."""
        if self.enabled and self.due(completed_epochs(trainer)):
            self._take(trainer, pl_module, completed_epochs(trainer))

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: int) -> None:
        probe = getattr(trainer, "datamodule", None) and getattr(
            trainer.datamodule, "probe_set", None
        )
        if probe is None:
            raise InputError(f"{self.name}: expected a datamodule with a probe_set, received none")
        try:
            scalars, arrays = self.taken(network_of(pl_module), probe)
        except Exception as error:
            if self.strict:
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            rank_zero_warn(f"{self.name} at epoch {epoch} failed, training goes on. {reason}")
            record(trainer, "error", epoch, {"measurement": self.name, "message": reason})
            return
        record(trainer, self.name, epoch, scalars, arrays)

    def taken(self, model: nn.Module, probe: ProbeSet) -> tuple[dict[str, float], dict[str, Any]]:
        """Scalars under their full keys, with the seconds they took, and arrays under short ones."""
        start = time.perf_counter()
        with isolate_rng(), evaluating(model):
            scalars, arrays = split_values(self.measure(model, probe))
        named = {f"{self.name}/{key}": value for key, value in scalars.items()}
        return named | {f"{self.name}/seconds": time.perf_counter() - start}, arrays


def network_of(module: nn.Module) -> nn.Module:
    """The network inside a LightningModule: its attribute ``network``, else the module itself."""
    network = getattr(module, "network", None)
    return network if isinstance(network, nn.Module) else module


def placed(inputs: Tensor, model: nn.Module) -> Tensor:
    """`inputs` on the device and in the precision of the model's parameters."""
    parameter = next(model.parameters(), None)
    return inputs if parameter is None else inputs.to(parameter.device, parameter.dtype)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every module's own flag is restored."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training

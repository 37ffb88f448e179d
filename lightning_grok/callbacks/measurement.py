"""The base of every measurement: when it is taken, without disturbing training, where it goes."""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import lightning as L
import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from lightning_grok.callbacks.forgiving import Forgiving, is_passing
from lightning_grok.callbacks.network import check_inputs, selected, undisturbed
from lightning_grok.callbacks.recording import (
    LoggedValue,
    announce,
    callbacks_of,
    directory_loggers,
    ends_by_itself,
    is_resumed,
    on_rank_zero,
    record_event,
    show,
    split_values,
    trained_epochs,
)
from lightning_grok.callbacks.reference import BatchReader
from lightning_grok.callbacks.sampled import WithSamples
from lightning_grok.callbacks.scheduled import Epochs, Scheduled, tell_left_out
from lightning_grok.geometry.activations import Pool
from lightning_grok.geometry.ntk.network import Output
from lightning_grok.loggers.epochs import completed_epochs, epochs_so_far
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.names import validate_measurements
from lightning_grok.runs.network import network_of
from lightning_grok.tasks.reference_set import ReferenceSet


class Aside(Protocol):
    """What takes measurements of snapshots elsewhere."""

    def ask(self, measurement: "Measurement", epoch: float, step: int) -> None:
        """Have a snapshot measured."""

    def collect(self, trainer: L.Trainer, *, wait: bool) -> None:
        """Log what has been measured; with `wait`, all that was asked for."""


class Measurement(Scheduled, WithSamples, Forgiving, ABC):
    """Takes a measurement of the network at chosen points, beginning with the initialization.

    A subclass sets `name` and implements `measure`, which knows no Trainer, so that the same
    object measures a snapshot of an old run. The network is ``module.network`` where there is one,
    else the LightningModule itself. The samples are, in this order: `inputs` and `labels`; those of
    `dataloader`; ``datamodule.reference_set``; a fixed choice of the trainer's own training and
    validation loaders.

    The random state is forked, the modules' training flags are restored and no gradient is touched:
    a run ends at the same weights with and without it. Before a run trains, two samples are sent
    through the network and the first measurement is taken: what can't be measured is refused.

    Args:
        enabled: False switches the measurement off.
        epochs: completed epochs to measure at, increasing; 0 is the initialization, and those
            beyond the run's end are left out, which a line says. None takes round ones (0 to 5, 10
            to 50, 100 to 500, ...) up to the run's end, and the end, unless another of these says
            when; a number adds to them so many log-spaced ones a decade.
        strict: True lets an error of the measurement stop the run; False logs it as an event
            ``error`` with a warning and trains on.
        steps: optimizer steps to measure after: listed, or so many log-spaced ones a decade.
        every_n_epochs: every so many epochs besides.
        every_n_steps: every so many optimizer steps besides.
        inputs: (n, ...) samples to look at: a tensor or any nesting of tensors.
        labels: (n,) their classes, or targets; None where there are none.
        dataloader: to draw the samples from.
        batch_keys: keys of inputs and labels in a batch that is a dict or a dataclass, or a
            function of a batch that returns the two; None takes the module's attribute of that
            name, else the first two of a tuple.
        output: position of the output in (n, T, V), or a function of what the network returns.
        pool: what becomes of a layer that answers with several positions, as `record` takes it.

    Raises:
        InputError: the epochs are negative, out of order or, once the run is known, all beyond its
            end.
    """

    aside: "Aside | None" = None
    """Whoever takes it instead, of a snapshot, and logs it later."""
    keeps_snapshots = True
    """Whether the weights are kept that it was taken of, and it can be taken afterwards."""
    remembers: tuple[str, ...] = ()
    """Names of attributes, without their ``_``, that a resumed run goes on with."""

    def __init__(
        self,
        enabled: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        *,
        steps: Sequence[int] | int | None = None,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        inputs: Any = None,
        labels: Any = None,
        dataloader: Any = None,
        batch_keys: BatchReader = None,
        output: Output = None,
        pool: Pool = "auto",
    ) -> None:
        super().__init__(enabled, epochs, steps, every_n_epochs, every_n_steps)
        self.strict = strict
        self.inputs = inputs
        self.labels = labels
        self.dataloader = dataloader
        self.batch_keys = batch_keys
        self.output = output
        self.pool = pool
        self.epoch: float = 0  # of the network in `measure`
        self._step = -1  # of the last measurement
        self._looked = 0  # the last step after which it was asked whether one is due
        self._warned = False
        self._ended = False
        self._set_up = False

    @property
    def state_key(self) -> str:
        """Two of one kind under different names are two callbacks.

        Until `setup`, which refuses two of one name in words, so are these: Trainer's own refusal
        of one key comes before.
        """
        key = f"{type(self).__qualname__}:{self.name}"
        return key if self._set_up else f"{key}:{id(self)}"

    @abstractmethod
    def measure(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        """Numbers and arrays of the network, by keys that will stand behind ``name/``.

        It is called in the order of epochs and may keep state from one to the next, which
        `remembers` names.
        """

    def state_dict(self) -> dict[str, Any]:
        """What it `remembers`."""
        return {name: getattr(self, f"_{name}") for name in self.remembers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what a checkpoint has of it."""
        for name in self.remembers:
            setattr(self, f"_{name}", state_dict[name])

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse, before a run begins, what can't be measured of this network on these samples.

        Raises:
            InputError: a layer doesn't exist, or there are too few samples.
        """

    def start(self, model: nn.Module) -> None:
        """Called once with the initialization, before anything is measured; nothing by default."""

    def summarize(
        self, run: RunDirectory, model: nn.Module, reference: ReferenceSet, final: bool
    ) -> None:
        """Write what concerns the run so far; called after a measurement and, `final`, at the end.

        The snapshots of all measured epochs stand in the directory. Nothing by default.
        """

    def prepare(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Take the samples to look at, and refuse what can't be measured of them.

        Raises:
            InputError: the network doesn't take the samples, or `check` refuses them.
        """
        self._reference = reference
        with self._looking(model):
            if self.needs_samples:
                check_inputs(model, reference.test.images, self.name)
            self.check(model, reference)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Settle the epochs, before anything is trained."""
        self._set_up = True
        if stage == "fit" and self.enabled:
            known = enabled_measurements(trainer)
            if known[0] is self:
                lists = {each.name: each.schedule.epochs for each in known}
                listed = {n: each for n, each in lists.items() if isinstance(each, tuple)}
                tell_left_out(listed, trainer.max_epochs)
            self._ended = False
            self.plan(trainer.max_epochs)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse what can't be measured, and measure the initialization of a fresh run."""
        if not self.enabled:
            return
        network = network_of(pl_module)
        on_rank_zero(trainer, lambda: self.prepare(network, self._found(trainer)))
        self._looked = trainer.global_step
        for run in directory_loggers(trainer):
            run.begin(pl_module)
        if is_resumed(trainer):
            return
        self.start(network)
        if self.due(0) or self.due_at_step(0):
            self._take(trainer, pl_module, 0)
        else:
            announce(trainer, self.name)
            on_rank_zero(trainer, lambda: self._rehearse(network))

    def _rehearse(self, network: nn.Module) -> None:
        """Measure the initialization for nothing, to see that it can be measured."""
        rehearsal = copy.copy(self)
        rehearsal.start(network)
        try:
            with self._refused():
                rehearsal.taken(network, self.reference, 0)
        except Exception as error:
            if self.strict or not is_passing(error):
                raise

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Measure after an optimizer step, or after several of them of which one was due."""
        step = trainer.global_step
        passed = range(self._looked + 1, step + 1)
        self._looked = step
        if not self.enabled or step == self._step or not any(map(self.due_at_step, passed)):
            return
        epoch = epochs_so_far(trainer)
        if epoch is not None:
            self._take(trainer, pl_module, epoch)
        elif not self._warned:
            self._warned = True
            rank_zero_warn(
                f"{self.name}: of a loader without a length no step within the first epoch is "
                "measured, which has no place in epochs; max_steps or limit_train_batches gives one"
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure after a completed epoch."""
        epoch = completed_epochs(trainer)
        if self.enabled and self.due(epoch) and trainer.global_step != self._step:
            self._take(trainer, pl_module, epoch)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure and summarize a run that came to its end, wherever that was."""
        self._ended = True
        if not self.enabled or not ends_by_itself(trainer):
            return
        epoch = trained_epochs(trainer)
        if epoch > 0 and self.end_at(epoch) and trainer.global_step != self._step:
            self._take(trainer, pl_module, epoch)
        if self.aside is not None:
            self.aside.collect(trainer, wait=True)
        self._summarize(trainer, pl_module, epoch, final=True)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same where a run is resumed that was killed after its last epoch.

        Lightning then has nothing to train and calls no ``on_train_end``.
        """
        if not self._ended:
            if self.enabled:
                self._reference = self._found(trainer)
            self.on_train_end(trainer, pl_module)

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: float) -> None:
        network = network_of(pl_module)
        self._step = trainer.global_step
        if self.aside is not None:
            for run in directory_loggers(trainer):
                run.keep_snapshot(epoch, network)
            self.aside.ask(self, epoch, trainer.global_step)
            return
        announce(trainer, self.name)
        with self._forgiven(trainer, epoch):
            scalars, arrays = on_rank_zero(
                trainer, lambda: self.taken(network, self.reference, epoch)
            )
            record_event(trainer, self.name, epoch, scalars, arrays)
            for run in directory_loggers(trainer) if self.keeps_snapshots else []:
                run.keep_snapshot(epoch, network)
            self._summarize(trainer, pl_module, epoch, final=False)

    def _summarize(
        self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: float, *, final: bool
    ) -> None:
        """Write and show what concerns the whole run, and log what it cost."""
        if not trainer.is_global_zero:
            return
        start = time.perf_counter()
        network, runs = network_of(pl_module), directory_loggers(trainer)
        for run in runs:
            with self._forgiven(trainer, epoch), self._looking(network):
                self.summarize(run.directory, network, self.reference, final)
        with self._forgiven(trainer, epoch):
            show(trainer, self.name, epoch)
        if runs:
            cost = {f"{self.name}/summary_seconds": max(0.0, time.perf_counter() - start)}
            record_event(trainer, "timing", epoch, cost)

    def log_answer(
        self,
        trainer: L.Trainer,
        epoch: float,
        step: int,
        scalars: Mapping[str, float],
        arrays: Mapping[str, np.ndarray],
        error: tuple[str, bool] | None,
    ) -> None:
        """Log what was measured aside, at the step of its snapshot; an error as an inline one.

        Args:
            trainer: of the run.
            epoch, step: of the snapshot.
            scalars, arrays: of `taken`.
            error: in words, and whether it is passing; None where there was none.

        Raises:
            InputError: it is `strict`, or not even the initialization could be measured.
        """
        if error is None:
            record_event(trainer, self.name, epoch, scalars, arrays, step)
            return
        reason, passing = error
        if self.strict or (epoch == 0 and not passing):
            raise self._refusal(reason)
        self._note_error(trainer, epoch, reason)

    def taken(
        self, model: nn.Module, reference: ReferenceSet, epoch: float
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scalars under their full keys, with the seconds taken, and arrays under short ones."""
        self.epoch = epoch
        start = time.perf_counter()
        with self._looking(model):
            scalars, arrays = split_values(self.measure(model, reference))
        named = {f"{self.name}/{key}": value for key, value in scalars.items()}
        return named | {f"{self.name}/seconds": max(0.0, time.perf_counter() - start)}, arrays

    @contextmanager
    def _looking(self, model: nn.Module) -> Iterator[None]:
        """`undisturbed`, and the network answers with its chosen output inside."""
        with undisturbed(model), selected(model, self.output):
            yield


def enabled_measurements(trainer: L.Trainer) -> list[Measurement]:
    """The measurements among the trainer's callbacks that are switched on, their names checked.

    Raises:
        InputError: a name is unsafe, reserved or that of two measurements.
    """
    return check_names(callbacks_of(trainer))


def check_names(callbacks: Sequence[L.Callback]) -> list[Measurement]:
    """The same of callbacks that have no trainer yet, which would not take two of one name."""
    measurements = [c for c in callbacks if isinstance(c, Measurement) and c.enabled]
    validate_measurements(each.name for each in measurements)
    return measurements

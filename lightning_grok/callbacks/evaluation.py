"""Loss and accuracy of whole sets on a schedule that is dense in log(epoch)."""

import time
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.seed import isolate_rng

from lightning_grok.callbacks.recording import (
    callbacks_of,
    ends_by_itself,
    is_resumed,
    record_event,
    split_values,
    trained_epochs,
)
from lightning_grok.callbacks.scheduled import epochs_within, tell_left_out
from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import evaluating
from lightning_grok.loggers.epochs import completed_epochs
from lightning_grok.ranges import Epoch, PerDecade, Range, within_ranges
from lightning_grok.schedule import OPEN_END, ROUND_EPOCHS, evaluation_epochs, validate_epochs
from lightning_grok.tasks.module import SETS, GrokModule

_NEVER = 2**31  # no epoch is a multiple of it


class Evaluation(L.Callback):
    """Runs Lightning's validation at chosen epochs only, and logs what it finds.

    Of a `GrokModule` it logs loss and accuracy of both sets; any other module logs itself.
    EarlyStopping and ModelCheckpoint therefore act at evaluated epochs alone: a patience counts
    evaluations. The initialization is evaluated too, as epoch 0, outside validation.

    Args:
        every: every so many epochs; None takes the log-spaced schedule.
        per_decade: log-spaced epochs a decade; round ones (10, 20, ...) are evaluated too.
        epochs: an explicit increasing list instead of both; those beyond the run's end are left
            out, which a line says.

    Raises:
        InputError: a number is below 1 or the list is out of order.
    """

    @within_ranges("evaluation")
    def __init__(
        self,
        every: Annotated[int, Range(1, 10**9)] | None = None,
        per_decade: PerDecade = 24,
        epochs: Sequence[Epoch] | None = None,
    ) -> None:
        super().__init__()
        self.every = every
        self.per_decade = per_decade
        try:
            self.epochs = None if epochs is None else frozenset(validate_epochs(epochs))
        except ValueError as error:
            raise InputError(f"evaluation.epochs: {error}") from None
        self._due: frozenset[int] = frozenset()
        self._started = 0.0
        self._ended = False

    def due(self, epoch: int) -> bool:
        """Whether to evaluate after `epoch` completed epochs."""
        if self.every is not None:
            return epoch % self.every == 0
        return epoch in self._due

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Settle the schedule and take validation over from the Trainer's every-epoch default."""
        if stage != "fit":
            return
        callbacks = callbacks_of(trainer)
        early = [c for c in callbacks[: callbacks.index(self)] if isinstance(c, EarlyStopping)]
        if early:  # it would have taken the Trainer's default for its own schedule
            raise InputError("expected Evaluation before EarlyStopping among trainer.callbacks")
        if trainer.val_check_interval != 1.0:
            raise InputError(
                "expected evaluations after whole epochs, which evaluation.every, per_decade or "
                f"epochs choose, received trainer.val_check_interval={trainer.val_check_interval}"
            )
        self._ended = False
        self._due = self._schedule(trainer.max_epochs)
        trainer.num_sanity_val_steps = 0
        trainer.check_val_every_n_epoch = _NEVER

    def _schedule(self, last: int | None) -> frozenset[int]:
        end = OPEN_END if last is None or last < 0 else last
        if self.epochs is not None:
            tell_left_out({"evaluation": sorted(self.epochs)}, end)
            return frozenset(epochs_within("evaluation.epochs", sorted(self.epochs), end))
        if end == 0:
            return frozenset({0})
        return evaluation_epochs(end, self.per_decade, ROUND_EPOCHS)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have Lightning set the validation dataloaders up before the first epoch."""
        trainer.check_val_every_n_epoch = 1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate the initialization, unless the run is a resumed one."""
        if not is_resumed(trainer) and self.due(0):
            self._evaluate(trainer, pl_module, 0)

    def _evaluate(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: int) -> None:
        """Evaluate outside of Lightning's validation."""
        if not trainer.enable_validation:  # nothing to evaluate on
            return
        self._started = time.perf_counter()
        if not isinstance(pl_module, GrokModule):
            record_event(trainer, "evaluation", epoch, _validated(trainer))
            return
        if not trainer.val_dataloaders:
            return
        limits = [int(limit) for limit in trainer.num_val_batches]
        with torch.no_grad(), evaluating(pl_module):
            for index, loader in enumerate(trainer.val_dataloaders):
                for batch_index, batch in enumerate(islice(loader, limits[index])):
                    converted = trainer.precision_plugin.convert_input(batch)
                    placed = trainer.strategy.batch_to_device(converted, dataloader_idx=index)
                    with trainer.precision_plugin.forward_context():
                        pl_module.validation_step(placed, batch_index, index)
        pl_module.evaluated = pl_module.set_metrics(*SETS)
        self._record(trainer, pl_module, epoch)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate a run that ended before its last epoch, unless `every` or `epochs` say when."""
        self._ended = True
        epoch, scheduled = trained_epochs(trainer), self.epochs is None and self.every is None
        if epoch > 0 and scheduled and not self.due(epoch) and ends_by_itself(trainer):
            self._due |= {epoch}
            self._evaluate(trainer, pl_module, epoch)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same where a run is resumed that was killed after its last epoch."""
        if not self._ended:
            if trainer.enable_validation:
                trainer.fit_loop.epoch_loop.val_loop.setup_data()
            self.on_train_end(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell Lightning whether the epoch that begins ends with a validation."""
        epoch = completed_epochs(trainer)
        trainer.check_val_every_n_epoch = epoch if self.due(epoch) else _NEVER

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log one evaluation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._record(trainer, pl_module, completed_epochs(trainer))

    def _record(self, trainer: L.Trainer, pl_module: Any, epoch: int) -> None:
        scalars, arrays = split_values(getattr(pl_module, "evaluated", {}))
        scalars["evaluation/seconds"] = max(0.0, time.perf_counter() - self._started)
        record_event(trainer, "evaluation", epoch, scalars, arrays)


def _validated(trainer: L.Trainer) -> dict[str, float]:
    """What a module logs in a validation that no logger and no other callback sees.

    Nothing that stops or keeps by a metric then counts it.
    """
    loop = trainer.fit_loop.epoch_loop.val_loop
    loggers, callbacks = trainer.loggers, callbacks_of(trainer)
    trainer.loggers = []
    trainer.callbacks = []  # type: ignore[attr-defined]
    trainer.validating = True
    try:
        with isolate_rng():
            found = loop.run()
    finally:
        loop.batch_progress.reset()
        trainer.training = True
        trainer.loggers = loggers
        trainer.callbacks = callbacks  # type: ignore[attr-defined]
    return {key: float(value) for each in found for key, value in each.items()}

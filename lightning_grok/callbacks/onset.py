"""Memorization and generalization, detected while the network trains."""

from typing import Any

import lightning as L

from lightning_grok.analysis.detector import OnsetDetector
from lightning_grok.analysis.onset import counted_on
from lightning_grok.analysis.outcome import in_epochs
from lightning_grok.callbacks.recording import completed_epochs, record
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.ranges import Epoch, within_ranges

_NAMES = {
    "memorization": ("memorization", "memorization"),
    "generalization": ("begins", "generalization begins"),
}
"""Of an event: its key in run.json, and its words."""


class Onset(L.Callback):
    """Logs the events ``memorization`` and ``generalization`` when evaluations show them.

    Both appear in run.json, as ``memorization`` and ``begins``. The definitions are those of
    `lightning_grok.analysis.onset`, as far as they need no look ahead.

    Args:
        stop_after: epochs to train on after generalization; None trains to the end.

    Raises:
        InputError: stop_after is negative.
    """

    @within_ranges("onset")
    def __init__(self, stop_after: Epoch | None = None) -> None:
        super().__init__()
        self.stop_after = stop_after
        self.detector = OnsetDetector()
        self.generalized: int | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take what the accuracies are counted on from the run's description."""
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                self.detector.of = counted_on(logger.directory.meta)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the newest evaluation."""
        if trainer.state.fn != "fit":
            return
        epoch = completed_epochs(trainer)
        metrics = trainer.callback_metrics
        found = self.detector.update(
            epoch, float(metrics["train/accuracy"]), float(metrics["test/accuracy"])
        )
        for event in found:
            key, what = _NAMES[event.name]
            known = f"known at epoch {in_epochs(epoch)}"
            pl_module.print(f"{what} at epoch {in_epochs(event.epoch)} ({known})")
            record(trainer, event.name, event.epoch, {"known_at": epoch})
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.directory.update_meta(**{key: event.epoch})
            if event.name == "generalization":
                self.generalized = event.epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop where the user asked for it."""
        if self.stop_after is None or self.generalized is None:
            return
        if completed_epochs(trainer) >= self.generalized + self.stop_after:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {"detector": self.detector.state_dict(), "generalized": self.generalized}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.detector.load_state_dict(state_dict["detector"])
        self.generalized = state_dict["generalized"]

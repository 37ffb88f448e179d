"""Memorization and generalization, detected while the network trains."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_grok.analysis.detector import OnsetDetector
from lightning_grok.analysis.onset import counted_on
from lightning_grok.analysis.outcome import in_epochs
from lightning_grok.callbacks.measurement import enabled_measurements
from lightning_grok.callbacks.recording import directory_loggers, record_event
from lightning_grok.errors import InputError
from lightning_grok.loggers.epochs import completed_epochs
from lightning_grok.ranges import Epoch, within_ranges

_NAMES = {
    "memorization": ("memorization", "memorization"),
    "generalization": ("begins", "generalization begins"),
}
"""Of an event: its key in run.json, and its words."""


class Onset(L.Callback):
    """Logs the events ``memorization`` and ``generalization`` when evaluations show them.

    Both appear in run.json, as ``memorization`` and ``begins``. The definitions are those of
    `lightning_grok.analysis.onset`, as far as they need no look ahead. The two accuracies may be
    logged anywhere in an epoch, by validation, by training or at its end; those of an epoch without
    validation are passed over where there is validation at all.

    Args:
        stop_after: epochs to train on after generalization; None trains to the end.
        train_key: what the module logs accuracy in [0, 1] of the training data under; None takes
            ``train/accuracy``, else the one metric with ``train`` and ``acc`` in its name.
        test_key: the same of held-out data; None takes ``test/accuracy``, else the one metric with
            ``val`` or ``test`` and ``acc`` in its name.

    Raises:
        InputError: stop_after is negative, or the module logs no metrics of the names given.
    """

    @within_ranges("onset")
    def __init__(
        self,
        stop_after: Epoch | None = None,
        train_key: str | None = None,
        test_key: str | None = None,
    ) -> None:
        super().__init__()
        self.stop_after = stop_after
        self.train_key = train_key
        self.test_key = test_key
        self.detector = OnsetDetector()
        self.generalized: int | None = None
        # Where both accuracies are there: 0 validation, 1 the end of an epoch, 2 after it.
        self._place = 0
        self._waiting: int | None = None  # an epoch that is to be looked at
        self._told = self._named = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take what the accuracies are counted on from the run's description."""
        for logger in directory_loggers(trainer):
            logger.begin(pl_module)
            self.detector.of = counted_on(logger.directory.meta)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the newest evaluation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._waiting = completed_epochs(trainer)
            self._look(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look where the training metrics come now, and stop where the user asked for it."""
        if not trainer.enable_validation:
            self._waiting = completed_epochs(trainer)
        self._look(trainer, pl_module, 1)
        if self.stop_after is None or self.generalized is None:
            return
        if completed_epochs(trainer) >= self.generalized + self.stop_after:
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look where the module logs at the end of the epoch before, after its callbacks."""
        self._look(trainer, pl_module, 2)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same for the last epoch."""
        self._look(trainer, pl_module, 2)

    def _look(self, trainer: L.Trainer, pl_module: L.LightningModule, place: int) -> None:
        """Look at the waiting epoch, if this is the place where both accuracies are new.

        It is the first at which they were there: later epochs have an old value there before.
        """
        if self._waiting is None or place < self._place:
            return
        epoch, metrics = self._waiting, trainer.callback_metrics
        keys = self._keys(metrics)
        # Of a metric that is logged by step too, the newest batch stands there before the end.
        by_step = place == 0 and any(f"{key}_step" in metrics for key in keys)
        if len(keys) < 2 or by_step:
            if place == 2:
                self._miss(trainer)
            return
        self._place, self._waiting = place, None
        self.train_key, self.test_key = keys
        train, test = (float(metrics[key]) for key in keys)
        if keys != ["train/accuracy", "test/accuracy"]:  # under which readers look for them
            record_event(
                trainer, "evaluation", epoch, {"train/accuracy": train, "test/accuracy": test}
            )
            self._name(trainer, keys)
        for event in self.detector.update(epoch, train, test):
            key, what = _NAMES[event.name]
            known = f"known at epoch {in_epochs(epoch)}"
            pl_module.print(f"{what} at epoch {in_epochs(event.epoch)} ({known})")
            record_event(trainer, event.name, event.epoch, {"known_at": epoch})
            for logger in directory_loggers(trainer):
                logger.directory.update_meta(**{key: event.epoch})
            if event.name == "generalization":
                self.generalized = event.epoch

    def _name(self, trainer: L.Trainer, keys: list[str]) -> None:
        """Say in run.json what the module calls its accuracies."""
        if not self._named:
            for logger in directory_loggers(trainer):
                logger.directory.update_meta(accuracies=keys)
        self._named = True

    def _miss(self, trainer: L.Trainer) -> None:
        """Say that the accuracies are not logged; refuse to go on where they were named."""
        self._waiting = None
        ours = {"evaluation", *(each.name for each in enabled_measurements(trainer))}
        metrics = [k for k in trainer.callback_metrics if k.partition("/")[0] not in ours]
        named = " and ".join(filter(None, (self.train_key, self.test_key)))
        logged = ", ".join(sorted(metrics)) or "none"
        if named:
            raise InputError(f"onset: expected metrics {named}; the module logs {logged}")
        if not self._told:
            rank_zero_info(
                "onset: sees no accuracies of training and held-out data, which train_key and "
                f"test_key name; the module logs {logged}"
            )
        self._told = True

    def _keys(self, metrics: Mapping[str, Any]) -> list[str]:
        """The keys of the two accuracies, those that are there."""
        found: list[str] = []
        for given, usual, words in (
            (self.train_key, "train/accuracy", ("train",)),
            (self.test_key, "test/accuracy", ("val", "test")),
        ):
            named = [k for k in metrics if "acc" in k and any(word in k for word in words)]
            named = [k for k in named if not k.endswith(("_step", "_epoch"))]
            key = given or (usual if usual in metrics or len(named) != 1 else named[0])
            found += [key] if key in metrics else []
        return found

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {
            "detector": self.detector.state_dict(),
            "generalized": self.generalized,
            "keys": (self.train_key, self.test_key, self._place),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.detector.load_state_dict(state_dict["detector"])
        self.generalized = state_dict["generalized"]
        if "keys" in state_dict:
            self.train_key, self.test_key, self._place = state_dict["keys"]

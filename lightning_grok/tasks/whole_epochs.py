"""Lightning's loop over minibatches, which trains an epoch in one compiled call where it can.

Lightning asks two dozen hooks at every step, and PyTorch builds a graph. Where nobody listens to
steps and the network is a chain of linear layers, `lightning_grok.tasks.kernel` trains the epoch
and the loop's counters go on by its steps: checkpoints, ``global_step``, validation and the hooks
of epochs are as they were. All else is trained by Lightning's own loop, which is told once, with
the reason.

Which way an epoch goes depends on what is trained, who listens and how many steps were taken
before, never on a timing or on the length of the run: a resumed, extended or branched run goes as
an unbroken one does, to the same bits.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, Timer, TQDMProgressBar
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_grok.tasks.batches import BatchLoader

STEPS_BEFORE = 100
"""Steps of every run that Lightning takes, so that a short run never waits for a compiler."""

_OF_CALLBACKS = (
    "on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward",
    "on_after_backward", "on_before_optimizer_step",
)  # fmt: skip
_OF_DATA = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
_OF_MODULES = (
    *_OF_CALLBACKS, *_OF_DATA, "training_step", "loss_of", "in_loss_precision", "backward",
    "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", "lr_scheduler_step",
)  # fmt: skip


class StepByStep(Exception):
    """Why Lightning has to train an epoch step by step; without words where it's nobody's news."""


class WholeEpochs(_TrainingEpochLoop):
    """The loop over the minibatches of an epoch; see above."""

    _told: set[str]

    @classmethod
    def take_over(cls, trainer: L.Trainer) -> None:
        """Make a trainer's loop over minibatches one of these, as far as it has come."""
        loop = trainer.fit_loop.epoch_loop
        if type(loop) in (_TrainingEpochLoop, cls):
            loop.__class__, loop._told = cls, set()  # type: ignore[attr-defined]

    def on_run_start(self, data_fetcher: Any) -> None:
        """Count what was trained of a resumed epoch as yet to be fetched: our loader begins anew.

        Lightning counts it as fetched, and would train the epoch's first minibatches once more.
        """
        super().on_run_start(data_fetcher)
        if type(self.trainer.train_dataloader) is BatchLoader:
            data_fetcher.fetched -= self.batch_progress.current.ready

    def advance(self, data_fetcher: Any) -> None:
        """Train as many minibatches as nobody wants to look between; or one, as Lightning does."""
        validates = self.restarting and self._should_check_val_fx(data_fetcher)
        if not validates and self.global_step >= STEPS_BEFORE:
            try:
                return self._train()
            except StepByStep as reason:
                if reason.args:
                    self._tell(f"training goes step by step, which is slower: {reason}")
        while data_fetcher.fetched < self.batch_progress.current.ready:
            next(data_fetcher)  # what was trained without it
        super().advance(data_fetcher)

    def _train(self) -> None:
        """Train a stretch of an epoch, and let those see the last step who would see each.

        Raises:
            StepByStep: nothing was trained.
        """
        trainer, progress = self.trainer, self.automatic_optimization.optim_progress.optimizer
        expect_plain(trainer)
        from lightning_grok.tasks.chain import CompiledEpoch  # which imports a compiler

        epoch = CompiledEpoch(
            trainer.lightning_module, trainer.optimizers[0], trainer.train_dataloader
        )
        self._tell("from here on an epoch is one compiled call (compiling takes a while, once)")
        begin, count = self.batch_progress.current.ready, self._stretch()
        loss = epoch.train(begin, count)
        self.val_loop.restarting = False
        is_last = begin + count == trainer.num_training_batches
        self.batch_progress.increment_by(count, is_last_batch=is_last)
        progress.step.increment_by(count)
        progress.zero_grad.increment_by(count)
        self._batches_that_stepped += count - 1  # Lightning counts the one that it believes in
        if is_last:
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            module, outputs = trainer.lightning_module, {"loss": torch.tensor(loss)}
            callback.on_train_batch_end(trainer, module, outputs, None, self.batch_idx)

    def _stretch(self) -> int:
        """Steps until the epoch or the training ends, or until a callback wants to see one."""
        count = int(self.trainer.num_training_batches) - self.batch_progress.current.ready
        if self.max_steps >= 0:
            count = min(count, self.max_steps - self.global_step)
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        wants = [each.wants_step for each in callbacks if hasattr(each, "wants_step")]
        steps = range(1, count)
        return next((k for k in steps if any(w(self.global_step + k) for w in wants)), count)

    def _tell(self, message: str) -> None:
        """Say something once a fit."""
        if message not in self._told:
            self._told.add(message)
            rank_zero_info(message)


def expect_plain(trainer: L.Trainer) -> None:
    """Expect a trainer that does nothing at a step but take it.

    Raises:
        StepByStep: it does, or somebody wants to.
    """
    from lightning_grok.tasks.module import GrokModule

    module = trainer.lightning_module
    if not isinstance(module, GrokModule):
        raise StepByStep
    _expect_none(_own_methods(module, GrokModule, _OF_MODULES))
    _expect_none(_own_methods(trainer.datamodule, L.LightningDataModule, _OF_DATA))  # type: ignore[attr-defined]
    _expect_none(type(each).__name__ for each in trainer.callbacks if _looks_at_steps(each))  # type: ignore[attr-defined]
    _expect_none(what for what, is_so in _options(trainer) if is_so)


def _expect_none(found: Iterable[str]) -> None:
    for what in found:
        raise StepByStep(what)


def _options(trainer: Any) -> Iterator[tuple[str, bool]]:
    """Options that a step depends on, or that look at it."""
    options, device = trainer.lightning_module.hparams, trainer.strategy.root_device
    yield "orthogonal_gradient", options["orthogonal_gradient"]
    yield "hold_norm", options["hold_norm"]
    yield "accumulate_grad_batches", trainer.accumulate_grad_batches != 1
    yield "gradient_clip_val", bool(trainer.gradient_clip_val)
    yield "detect_anomaly", torch.is_anomaly_enabled()
    yield "a profiler", not isinstance(trainer.profiler, PassThroughProfiler)
    mixes = torch.is_autocast_enabled("cpu")
    yield "another precision than 32 bits", mixes or type(trainer.precision_plugin) is not Precision
    yield "several devices", type(trainer.strategy) is not SingleDeviceStrategy
    yield f"a device of the kind {device.type}", device.type != "cpu"
    yield "a schedule by steps", any(c.interval == "step" for c in trainer.lr_scheduler_configs)
    yield "several optimizers", len(trainer.optimizers) != 1
    if trainer.num_val_batches and trainer.check_val_every_n_epoch is None:
        yield "evaluation between epochs", True
    yield "evaluation within epochs", (trainer.val_check_batch or 0) < trainer.num_training_batches


def _own_methods(instance: Any, base: type, names: Iterable[str]) -> Iterator[str]:
    """Those methods of an instance that are not a base's, as ``Class.method``."""
    for name in names:
        if instance is not None and getattr(
            getattr(instance, name), "__func__", None
        ) is not getattr(base, name):
            yield f"{type(instance).__name__}.{name}"


def _looks_at_steps(callback: L.Callback) -> bool:
    """Whether a callback does anything at a step that once an epoch would not do as well.

    One that says which steps it wants gets them. Of Lightning's own it is known.
    """
    if hasattr(callback, "wants_step"):
        return False
    if type(callback) in (TQDMProgressBar, RichProgressBar):
        return False
    if type(callback) is ModelCheckpoint:
        return callback._every_n_train_steps > 0 or callback._train_time_interval is not None
    if type(callback) is Timer:
        return callback._interval == "step"
    return any(_own_methods(callback, L.Callback, _OF_CALLBACKS))

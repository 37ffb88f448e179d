"""Where a training is, in completed epochs, with the part of the one in progress."""

import math
from typing import Any

import lightning as L


def completed_epochs(trainer: L.Trainer) -> int:
    """How many epochs are completed, from within a hook at the end of an epoch."""
    return trainer.current_epoch + 1


def epochs_behind(trainer: L.Trainer) -> float:
    """How many epochs are trained, from within any hook, with the part of the current one.

    Of a loader without a length the one in progress counts as completed.
    """
    epoch: Any = trainer.fit_loop.epoch_progress.current
    if epoch.started == epoch.completed:  # none is in progress
        return int(trainer.current_epoch)
    done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    batches = float(trainer.num_training_batches)
    part = done / batches if math.isfinite(batches) else 1.0
    return completed_epochs(trainer) if part >= 1 else round(trainer.current_epoch + part, 6)


def epochs_so_far(trainer: L.Trainer) -> float | None:
    """How many epochs are trained, with the part of the current one, after a batch of it.

    Of a loader without a length an epoch is as long as those before. The first one is as long as
    ``max_steps``, if there is such a limit; else None but at its end.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    before, ready = trainer.current_epoch, progress.current.ready
    batches = float(trainer.num_training_batches)
    if math.isfinite(batches):
        part = ready / batches
    elif progress.is_last_batch:
        part = 1.0
    elif before > 0:
        part = ready * before / (progress.total.ready - ready)
    elif trainer.max_steps > 0:
        part = trainer.global_step / trainer.max_steps
    else:
        return None
    return completed_epochs(trainer) if part >= 1 else round(before + part, 6)

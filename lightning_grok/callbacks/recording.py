"""Where a callback's numbers go: to every logger with their epoch, and to who monitors them."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_grok.loggers.pictures import show_pictures
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.loggers.wandb_logger import GrokWandbLogger

LoggedValue = float | np.ndarray
Result = TypeVar("Result")


def directory_loggers(trainer: L.Trainer) -> list[RunLogger]:
    """The loggers with a run directory, on rank zero; elsewhere none."""
    if not trainer.is_global_zero:
        return []
    return [each for each in trainer.loggers if isinstance(each, RunLogger)]


def callbacks_of(trainer: L.Trainer) -> list[L.Callback]:
    """The trainer's own list of callbacks."""
    return trainer.callbacks  # type: ignore[attr-defined]  # set where type checkers don't look


def on_rank_zero(trainer: L.Trainer, take: Callable[[], Result]) -> Result:
    """What `take` returns in the first of several processes, in all of them; they wait for it.

    An error of it is raised in all.
    """
    if trainer.world_size == 1:
        return take()
    result: Result | None = None
    error: Exception | None = None
    if trainer.is_global_zero:
        try:
            result = take()
        except Exception as caught:
            error = caught
    result, error = trainer.strategy.broadcast((result, error))
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def announce(trainer: L.Trainer, name: str) -> None:
    """Tell the progress bar that a measurement begins, where it has an ear for that.

    Before the first step, where another bar shows nothing yet, say it in a line.
    """
    bar = trainer.progress_bar_callback
    told = getattr(bar, "on_measurement_start", None)
    if told is not None:
        told(trainer, name)
    elif bar is not None and trainer.global_step == 0:
        compiled = "(compiled first, where that is new here)"
        rank_zero_info(f"measuring the initialization {compiled}: {name}")


def is_resumed(trainer: L.Trainer) -> bool:
    """Whether this fit goes on from a checkpoint, from within ``on_train_start``."""
    return trainer.global_step > 0 or trainer.current_epoch > 0


def trained_epochs(trainer: L.Trainer) -> int:
    """How many epochs a fit has trained, from within a hook at its end.

    Right also where a fit was resumed that had nothing left to train; ``current_epoch`` then
    does not count the last one.
    """
    return int(trainer.fit_loop.epoch_progress.current.ready)


def ends_by_itself(trainer: L.Trainer) -> bool:
    """Whether a fit came to its end, from within ``on_train_end``: by a limit or a callback.

    Not so where a signal broke it off, which whoever handled it notes as ``received``.
    """
    return all(getattr(callback, "received", None) is None for callback in callbacks_of(trainer))


def record_event(
    trainer: L.Trainer,
    event: str,
    epoch: float,
    scalars: Mapping[str, float | str],
    arrays: Mapping[str, np.ndarray] | None = None,
    step: int | None = None,
) -> None:
    """Send one event to the loggers, and its numbers to ``trainer.callback_metrics``.

    Loggers that know events get all of it. Any other Lightning logger gets the numbers in the
    Trainer's own way of counting, in which the accuracy of the same weights stands: ``epoch`` and
    step are those that have just ended, counted from 0, and -1 for the initialization.
    """
    step = trainer.global_step if step is None else step
    numbers = {key: float(value) for key, value in scalars.items() if not isinstance(value, str)}
    for key, number in numbers.items():
        trainer.callback_metrics[key] = torch.tensor(number)
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger | GrokWandbLogger):
            logger.log_event(event, epoch, step, scalars, arrays or {})
        elif numbers:
            ended = {"epoch": math.ceil(epoch) - 1}
            logger.log_metrics({**numbers, **ended}, step=step - 1)


def show(trainer: L.Trainer, measurement: str, epoch: float) -> None:
    """Show pictures of a measurement that are drawn from the run's directory, if there is one."""
    for logger in trainer.loggers:
        if isinstance(logger, GrokWandbLogger):
            logger.log_views(measurement, epoch)
        else:
            for run in directory_loggers(trainer)[:1]:
                path, step = run.directory.path, trainer.global_step - 1
                show_pictures(logger, path, measurement, epoch, step)


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as a NumPy array, which has no bfloat16: that becomes float32."""
    plain = tensor.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def split_values(values: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scalars and arrays of what a measurement returned; tensors become arrays.

    Raises:
        ValueError: an array holds objects, which no run directory gives back.
    """
    plain = {
        key: as_array(value) if isinstance(value, torch.Tensor) else value
        for key, value in values.items()
    }
    scalars = {key: float(value) for key, value in plain.items() if np.ndim(value) == 0}
    arrays = {key: np.asarray(value) for key, value in plain.items() if np.ndim(value) > 0}
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"expected numbers as {key}, received an array of {array.dtype}")
    return scalars, arrays

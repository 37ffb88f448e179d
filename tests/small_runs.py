"""Runs that take seconds: their options, signals to them, and waiting for what a process does."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from lightning_grok.runs.run import Run

Fit = Callable[..., Run]
"""The fixture `fit`: runs ``fit`` with the given arguments."""

SMALL = (
    "--data.dataset=digits",
    "--data.train_size=64",
    "--model.hidden=[16,16]",
    "--trainer.enable_model_summary=false",
)
"""A network and data so small that an epoch takes milliseconds."""

QUICK = (
    "--run.figures=false",
    "--umap.enabled=false",
    "--manifold_capacity.layers=[layers.3]",
)

OFF = tuple(
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
)
"""The measurements that take time, switched off."""

ENVIRONMENT = os.environ | {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}


def untimed(run: Run) -> list[dict[str, Any]]:
    """All events of a run, without the seconds that they took."""
    return [{k: v for k, v in event.items() if "seconds" not in k} for event in run.events]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def signaled(epoch: int, *signals: int) -> Iterator[None]:
    """A run in this process gets signals at the end of an epoch, before its checkpoint is due."""
    from lightning_grok.callbacks.checkpoint import RunCheckpoint

    plain = RunCheckpoint.on_train_epoch_end

    def signal_first(self: RunCheckpoint, trainer: Any, module: Any) -> None:
        if trainer.current_epoch + 1 == epoch:
            for number in signals:
                signal.raise_signal(number)
        plain(self, trainer, module)

    with mock.patch.object(RunCheckpoint, "on_train_epoch_end", signal_first):
        yield

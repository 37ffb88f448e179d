"""The logger of a run's own directory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_grok.runs.directory import RunDirectory


class RunLogger(Logger):
    """Writes events into a run's directory.

    What a module logs by ``self.log`` becomes an event ``log``. Lightning numbers the epoch in
    progress from 0; in the event log an epoch is a number of completed epochs.

    Args:
        directory: the directory, held for writing.
    """

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__()
        self.directory = directory

    @property
    def name(self) -> str:
        """The run's name."""
        return self.directory.name

    @property
    def version(self) -> str:
        """Empty: a run has one directory."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of runs, so that ``save_dir/name/version`` is the run's directory."""
        return str(self.directory.path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them all."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write what was logged by ``self.log``, or without an epoch by another callback."""
        values = dict(metrics)
        steps = self.directory.meta.get("steps_per_epoch") or 1
        in_progress = int(values.pop("epoch", (step or 0) // steps))
        self.directory.log("log", in_progress + 1, step or 0, values)

    @rank_zero_only
    def log_event(
        self,
        event: str,
        epoch: int,
        step: int,
        scalars: Mapping[str, float | str],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Write one line and, before it, the arrays."""
        if arrays:
            self.directory.save_arrays(event, epoch, arrays)
        self.directory.log(event, epoch, step, scalars)

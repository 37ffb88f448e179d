"""A progress bar of epochs: accuracy and the last geometry readings, nothing per step."""

import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm.auto import tqdm

from lightning_grok.callbacks.measurement import network_of
from lightning_grok.callbacks.recording import completed_epochs
from lightning_grok.runs.panels import Logged, headlines, panels_of

_MOST = 8  # numbers on the bar


class EpochProgress(ProgressBar):
    """One bar over all epochs, drawn twice a second at most.

    Where the output is no terminal, a line is printed at most every half minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._enabled = True

    @property
    def is_enabled(self) -> bool:
        """Whether it draws: Lightning asks before it prints above the bar."""
        return self._enabled

    def disable(self) -> None:
        """Draw nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Draw again."""
        self._enabled = True

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Open the bar, once the initialization is measured: its time is no epoch's."""
        if self._bar is not None:
            return
        last = trainer.max_epochs
        self._bar = tqdm(
            total=None if last is None or last < 0 else last,
            initial=trainer.current_epoch,
            disable=not self._enabled,
            unit="epoch",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )

    def on_train_epoch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Count an epoch; the bar itself decides whether to draw."""
        if self._bar is None:
            return
        if self._bar.n + 1 >= self._bar.last_print_n + self._bar.miniters:
            self._bar.set_postfix_str(self._readings(trainer), refresh=False)
        self._bar.update(completed_epochs(trainer) - self._bar.n)

    def _readings(self, trainer: L.Trainer) -> str:
        metrics = trainer.callback_metrics
        names = getattr(network_of(trainer.lightning_module), "layer_names", [])
        panels = panels_of(Logged(sorted(metrics), {"layer_names": names}, {}))
        shown = headlines(panels, "reading")[:_MOST]
        return ", ".join(
            f"{line.name.split()[0]} {float(metrics[line.key]):.3g}" for _, line in shown
        )

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        tqdm.write(" ".join(str(arg) for arg in args))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, *args: Any) -> None:
        """Close the bar before anything is said of it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

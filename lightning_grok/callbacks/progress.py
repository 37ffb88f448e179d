"""A progress bar of epochs: accuracy and the last geometry readings, nothing per step."""

import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lightning_grok.callbacks.measurement import Measurement, enabled_measurements
from lightning_grok.callbacks.recording import directory_loggers
from lightning_grok.loggers.epochs import completed_epochs
from lightning_grok.runs.network import network_of
from lightning_grok.runs.panels import Logged, headlines, panels_of

_MOST = 5  # numbers on the bar
_LONG = 1.0  # seconds of a measurement that is named on the bar while it is taken
_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"  # the time left is our own
_BESIDE = 40  # columns of a bar that can be seen, and of the counts beside it


@contextmanager
def share_bar(what: str) -> Iterator[Callable[[float], None]]:
    """A function that shows in a terminal which share of something is done, and the time left."""
    form = "{desc}: {percentage:.0f} % [{elapsed}, {remaining} left]"
    with tqdm(total=1.0, desc=what, bar_format=form, leave=False, disable=None) as bar:

        def show(share: float) -> None:
            bar.update(share - bar.n)

        yield show


@contextmanager
def _logged_above() -> Iterator[None]:
    """What Lightning logs to the terminal stands above a bar, not behind it in its line."""
    logger = logging.getLogger("lightning.pytorch")
    streams = [getattr(handler, "stream", None) for handler in logger.handlers]
    shown = any(stream in (sys.stdout, sys.stderr) for stream in streams)
    with logging_redirect_tqdm([logger] if shown else []):
        yield


def _what_fits(parts: list[str]) -> str:
    """As many of the first parts as leave room for the bar; all where there is no terminal."""
    if not sys.stderr.isatty():
        return ", ".join(parts)
    room = shutil.get_terminal_size().columns - _BESIDE
    while len(parts) > 1 and len(", ".join(parts)) > room:
        parts = parts[:-1]
    return ", ".join(parts)


class EpochProgress(ProgressBar):
    """One bar over all epochs, drawn twice a second at most.

    Where the output is no terminal, a line is printed at most every half minute. The time left is
    that of the epochs to come, at the rate up to now, and of the measurements that are due in them,
    each as long as its last one took.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._above = ExitStack()
        self._enabled = True
        self._measurements: list[Measurement] = []
        self._began = self._measuring = 0.0  # seconds
        self._announced = 0

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

    def on_measurement_start(self, trainer: L.Trainer, name: str) -> None:
        """Say what the bar waits for, or what takes its time before there is a bar."""
        if not self._enabled:
            return
        if self._bar is None:
            self._announced += 1
            what, of = "measuring the initialization", len(enabled_measurements(trainer))
            if self._announced == 1:
                what += " (compiled first, where that is new here)"
            rank_zero_info(f"{what}: {name}, {self._announced} of {of}")
        elif self._cost(trainer, name) > _LONG:
            self._bar.set_postfix_str(f"measuring {name}", refresh=sys.stderr.isatty())

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Open the bar, once the initialization is measured: its time is no epoch's."""
        if self._bar is not None:
            return
        self._measurements = enabled_measurements(trainer)
        last = trainer.max_epochs
        self._began, self._measuring = time.monotonic(), 0.0
        self._bar = tqdm(
            total=None if last is None or last < 0 else last,
            initial=trainer.current_epoch,
            disable=not self._enabled,
            unit="epoch",
            dynamic_ncols=True,
            bar_format=_FORMAT,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )
        self._above.enter_context(_logged_above())

    def on_train_epoch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Count an epoch; the bar itself decides whether to draw."""
        if self._bar is None:
            return
        epoch = completed_epochs(trainer)
        due = [each.name for each in self._measurements if each.due(epoch)]
        self._measuring += sum(self._cost(trainer, name) for name in due)
        if self._bar.n + 1 >= self._bar.last_print_n + self._bar.miniters:
            parts = [self._time_left(trainer, epoch), *self._readings(trainer)]
            self._bar.set_postfix_str(_what_fits(list(filter(None, parts))), refresh=False)
        self._bar.update(completed_epochs(trainer) - self._bar.n)

    @staticmethod
    def _cost(trainer: L.Trainer, name: str) -> float:
        """Seconds of the last measurement of that name; 0 of one that is taken elsewhere."""
        return float(trainer.callback_metrics.get(f"{name}/seconds", 0.0))

    def _time_left(self, trainer: L.Trainer, epoch: int) -> str:
        """``3:20 left``: of the epochs to come, and of what is measured in them."""
        assert self._bar is not None
        if self._bar.total is None:
            return ""
        trained = epoch - self._bar.initial
        seconds = max(0.0, time.monotonic() - self._began - self._measuring)
        left = (self._bar.total - epoch) * seconds / max(1, trained)
        for each in self._measurements:
            times = each.times_due(epoch, self._bar.total)
            left += times * self._cost(trainer, each.name)
        return f"{tqdm.format_interval(left)} left"

    def _readings(self, trainer: L.Trainer) -> list[str]:
        metrics = trainer.callback_metrics
        names = getattr(network_of(trainer.lightning_module), "layer_names", [])
        known: dict[str, Any] = {"layer_names": names}
        for logger in directory_loggers(trainer):
            known["accuracies"] = logger.directory.meta.get("accuracies")
        panels = panels_of(Logged(sorted(metrics), known, {}))
        shown = headlines(panels, "reading")[:_MOST]
        return [f"{line.name.split()[0]} {float(metrics[line.key]):.3g}" for _, line in shown]

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
        self._above.close()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

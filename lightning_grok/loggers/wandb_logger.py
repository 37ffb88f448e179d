"""Weights & Biases through Lightning's WandbLogger: never a prompt, never a wait.

All that may take its time with W&B, from its start on, happens in a thread of its own, in order.
Training hands over what there is to log and goes on; whatever fails there is one warning here.
"""

import atexit
import logging
import os
import secrets
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from lightning.fabric.loggers.logger import _DummyExperiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only, rank_zero_warn

from lightning_grok.errors import first_line
from lightning_grok.loggers.wandb_charts import views_of
from lightning_grok.loggers.wandb_mode import Mode, decide_mode, provide_cache
from lightning_grok.runs.run import Run

PATIENCE_SECONDS = 0.5  # for a run that starts, where the answer came sooner
START_SECONDS = 10.0
FINISH_SECONDS = 10.0


@dataclass
class WandbOptions:
    """Logging to Weights & Biases.

    Args:
        mode: ``auto`` is online where a key is known and the server answers within a second, else
            offline; WANDB_MODE decides before either. ``disabled`` leaves W&B out.
        project: the project of the run.
        entity: user or team; None takes the account's default.
        alerts: whether memorization and generalization send an alert.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "lightning_grok"
    entity: str | None = None
    alerts: bool = False


class GrokWandbLogger(WandbLogger):
    """Lightning's logger, with every own key on the axis ``epoch`` and W&B kept from training.

    A run that can't be started online within `START_SECONDS` is started offline; what was logged
    meanwhile is in it.

    Args:
        options: the group ``wandb``.
        mode: from `decide_mode`.
        directory: of the run; W&B's files go below it.
        config: the resolved configuration, logged once.
        run_id: of a run that is resumed; None makes one.
        patience: until when, by ``time.monotonic()``, whoever asks for the W&B run waits for it.
        alone: False leaves ``wandb.run`` and all that is global to another logger.
    """

    def __init__(
        self,
        options: WandbOptions,
        mode: Mode,
        directory: Path,
        config: dict[str, Any],
        run_id: str | None,
        patience: float,
        *,
        alone: bool = True,
    ) -> None:
        import wandb

        # An agent has chosen the run's id; nothing may contradict it.
        chosen = os.environ.get("WANDB_RUN_ID")
        self._run_id = chosen or run_id or secrets.token_hex(4)
        super().__init__(
            name=directory.name,
            save_dir=directory,
            version=None if chosen else self._run_id,
            project=os.environ.get("WANDB_PROJECT", options.project),
            entity=options.entity,
            mode=mode,
            config=config,
            settings=wandb.Settings(
                console="off",
                silent=True,
                reinit="default" if alone else "create_new",
                init_timeout=START_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
                x_disable_meta=False,
                x_transaction_log_flush_interval=1.0,  # else 15 s: the log is read while it grows
            ),
        )
        self._wandb_init.pop("anonymous", None)  # of no effect, and W&B warns of it
        self.mode = mode
        self.alerts = options.alerts
        self._alone = alone
        self._directory = directory
        self._known: set[str] = set()
        self._run: Run | None = None
        self._trouble: list[str] = []  # to warn of
        self._broken = False
        self._tasks: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._started = threading.Event()
        self._patience = patience
        self._thread = threading.Thread(target=self._work, name="W&B", daemon=True)
        self._thread.start()

    @property
    def version(self) -> str:
        """The id of the W&B run."""
        return self._run_id

    @property
    def experiment(self) -> Any:
        """The W&B run; where it has not started in time, something that ignores all."""
        if threading.current_thread() is self._thread:
            if self._experiment is None and not self._alone:
                self._experiment = _own_run(self._wandb_init)
            return super().experiment
        self._started.wait(max(0.0, self._patience - time.monotonic()))
        return (
            self._experiment if self._started.is_set() and not self._broken else _DummyExperiment()
        )

    def _work(self) -> None:
        """Start W&B, then do task after task, until there is None or one of them fails."""
        self._attempt(self._start)
        self._started.set()
        while (task := self._tasks.get()) is not None:
            self._attempt(task)
        if self._broken and self._alone:
            import wandb

            with suppress(Exception, SystemExit):  # which W&B's exit handler would print
                wandb.teardown()

    def _start(self) -> None:
        import wandb

        silent = wandb.Settings(silent=True)  # the login too: what there is to say is said here
        wandb.setup(silent)
        # What its telemetry can't send is nothing to tell the user either.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        try:
            _ = self.experiment
        except Exception as error:
            if self.mode == "offline" or self._experiment is not None:  # it had begun
                raise
            self._trouble.append(f"W&B goes on offline: {first_line(error)}")
            self.mode = self._wandb_init["mode"] = "offline"
            if self._alone:
                with suppress(Exception, SystemExit):
                    wandb.teardown()  # its helper process keeps the id for the run that failed
                wandb.setup(silent)
            _ = self.experiment

    def _attempt(self, task: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            task()
        except Exception as error:  # whatever happens there is no reason to stop training
            self._broken = True
            self._trouble.append(f"W&B failed and is left alone from here on: {first_line(error)}")

    def _do(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have something done in the thread of W&B, and warn of what went wrong there."""
        self._tasks.put(lambda: function(*arguments))
        while self._trouble:
            rank_zero_warn(self._trouble.pop(0))

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log them as soon as W&B has begun."""
        self._do(super().log_hyperparams, params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log, or warn once and leave W&B alone from then on."""
        self._do(super().log_metrics, dict(metrics), step)

    @rank_zero_only
    def log_event(
        self,
        event: str,
        epoch: float,
        step: int,
        scalars: Mapping[str, float | str],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Log an event's numbers on the axis ``epoch``, and its pictures."""
        self._log_numbers(scalars, epoch, step)
        if event in ("memorization", "generalization"):
            self._do(self._announce, event, epoch)

    @rank_zero_only
    def log_past(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Log the numbers of an event log, whose epochs a run took over from a shorter one."""
        for event in events:
            rest = {k: v for k, v in event.items() if k not in ("event", "epoch", "step")}
            known = {key: value for key, value in rest.items() if value is not None}
            self._log_numbers(known, event["epoch"], event["step"])

    def _log_numbers(self, scalars: Mapping[str, float | str], epoch: float, step: int) -> None:
        numbers = {key: value for key, value in scalars.items() if not isinstance(value, str)}
        self._do(self._define, numbers)
        self._do(super().log_metrics, {**numbers, "epoch": epoch}, step)

    def _define(self, numbers: Mapping[str, float]) -> None:
        for key in numbers.keys() - self._known:
            # Exact names: a second glob would compete with Lightning's "*".
            self.experiment.define_metric(key, step_metric="epoch")
            self._known.add(key)

    def _announce(self, event: str, epoch: float) -> None:
        self.experiment.summary["begins" if event == "generalization" else event] = epoch
        if self.alerts:
            self.experiment.alert(title=event, text=f"{self._directory.name}: epoch {epoch}")

    @rank_zero_only
    def log_views(self, measurement: str, epoch: float) -> None:
        """Show a measurement: pictures with the epoch in their captions, curves as charts."""
        if self._broken:
            return
        try:
            self._run = self._run or Run(self._directory)
            self._run.refresh()
            views = views_of(measurement, self._run, epoch)  # here: the run stands at this epoch
        except Exception as error:
            self._broken = True
            self._trouble.append(
                f"W&B can't be shown pictures and is left alone: {first_line(error)}"
            )
            views = {}
        if views:
            self._do(self._show, {**views, "epoch": epoch})

    def _show(self, views: dict[str, Any]) -> None:
        self._define(dict.fromkeys(views.keys() - {"epoch"}, 0.0))
        self.experiment.log(views)

    def close(self, summary: Mapping[str, float], status: int) -> str:
        """Finish the run, waiting a limited time.

        Args:
            summary: final values.
            status: that the process will exit with.

        Returns:
            Where to find it: its URL, or the command that sends what is only here.
        """
        limit = FINISH_SECONDS + (2.0 if self._started.is_set() else START_SECONDS + 2.0)
        self._tasks.put(lambda: self.experiment.summary.update(dict(summary)))
        self._do(self._finish, status)
        self._tasks.put(None)
        self._thread.join(limit)
        if self._thread.is_alive():
            # W&B's own exit handler would go on waiting.
            atexit.register(_leave, status)
            if not self._broken:
                self._trouble.append(f"W&B did not finish within {limit:g} s; its files are kept")
            self._broken = True
        while self._trouble:
            rank_zero_warn(self._trouble.pop(0))
        if self.mode == "online" and not self._broken:
            return str(getattr(self._experiment, "url", None) or "")
        send = " && ".join(self.sync_commands)
        return send and f"to send what is only here: {send}"

    def _finish(self, status: int) -> None:
        try:
            self.experiment.finish(status)
        except TimeoutError:
            raise TimeoutError(f"the server did not take all within {FINISH_SECONDS:g} s") from None

    @staticmethod
    def has_begun(directory: Path) -> bool:
        """Whether W&B has written anything of a run; not where it was killed before that."""
        return any((directory / "wandb").glob("*run-*"))

    @property
    def sync_commands(self) -> list[str]:
        """What sends the parts of the run that are only here, oldest first."""
        folders = list((self._directory / "wandb").glob("offline-run-*"))
        if self.mode == "online":  # but the server has not got all of it
            folders += (self._directory / "wandb").glob(f"run-*-{self._run_id}")
        folders.sort(key=lambda folder: folder.name.removeprefix("offline-"))
        return [shlex.join(["wandb", "sync", str(folder)]) for folder in folders]


def _own_run(arguments: Mapping[str, Any]) -> Any:
    """A W&B run beside others, on Lightning's axes: Lightning itself would take one of theirs."""
    import wandb

    run = wandb.init(**arguments)
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def _leave(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def open_wandb(
    options: WandbOptions,
    directory: Path,
    config: dict[str, Any],
    run_id: str | None,
    others: Sequence[WandbLogger] = (),
) -> GrokWandbLogger | None:
    """A W&B logger that has begun to start, or None where it is disabled.

    Args:
        options: the group ``wandb``.
        directory: of the run.
        config: the resolved configuration.
        run_id: of the W&B run that is resumed; None makes one.
        others: loggers with W&B runs of their own, which are begun before this one: later they
            would take its run for theirs.
    """
    patience = time.monotonic() + PATIENCE_SECONDS
    mode, reason = decide_mode(options.mode)
    if (mode, reason) != ("disabled", "as asked"):
        print(f"W&B: {mode} ({reason})")
    if mode == "disabled":
        return None
    provide_cache(directory / "wandb" / "cache")
    for other in others:
        _ = other.experiment
    return GrokWandbLogger(options, mode, directory, config, run_id, patience, alone=not others)

"""Measuring beside training: a sibling process measures snapshots while the next epochs train.

The training process stays the only one that writes into the run. It keeps a snapshot where a
measurement is due, asks the sibling for it, and logs the answer at the end of a later epoch, with
the state that the measurement has then. A checkpoint holds besides what has no answer yet, which
whoever goes on from it asks again: the same run, a longer one or a branch, however it measures.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import lightning as L
import torch

from lightning_grok.callbacks.forgiving import is_passing
from lightning_grok.callbacks.measurement import Measurement, enabled_measurements
from lightning_grok.callbacks.reference import loaders_from
from lightning_grok.commands.sweep_cluster import end_with_parent
from lightning_grok.errors import InputError, first_line
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.network import network_of
from lightning_grok.runs.run import Run
from lightning_grok.runs.snapshots import load_snapshot

_STARTS = 3
_SECONDS_TO_END = 5.0


class Beside(L.Callback):
    """Has a sibling process take the measurements that can be taken of a snapshot.

    Lightning must run it before the measurements.

    Args:
        directory: of the run.
        stays: False has it take only what a checkpoint says was asked for, before training goes on.
        monitors: who waits for which key; what measures that stays inline, to be in time.
    """

    def __init__(
        self, directory: RunDirectory, *, stays: bool, monitors: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__()
        self.directory = directory
        self.stays = stays
        self._monitors = {key.partition("/")[0]: who for who, key in monitors}
        self._measurements: dict[str, Measurement] = {}
        self._asked: list[tuple[str, float, int]] = []  # name, epoch, step; in order
        self._started: set[str] = set()  # whose state the sibling has
        self._starts = 0
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Tell the measurements, before one of them loads what only the sibling needs."""
        chosen = [each for each in enabled_measurements(trainer) if each.keeps_snapshots]
        self._measurements = {each.name: each for each in chosen}
        for each in chosen if self.stays else []:
            each.aside = self
        for name, who in self._monitors.items():
            self._keep_inline(name, who)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep inline what a scheduler of the module's own waits for; they are known by now."""
        for each in trainer.lr_scheduler_configs:
            if each.monitor is not None:
                self._keep_inline(each.monitor.partition("/")[0], type(each.scheduler).__name__)

    def _keep_inline(self, name: str, who: str) -> None:
        measurement = self._measurements.get(name)
        if measurement is not None and measurement.aside is not None:
            measurement.aside = None
            print(f"{name} is measured inline: {who} waits for it")

    def state_dict(self) -> dict[str, Any]:
        """What has no answer yet."""
        return {"asked": list(self._asked)} if self._asked else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back, but for what a branch does without."""
        self._asked = [each for each in state_dict["asked"] if each[0] in self._measurements]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the sibling, and ask again for what a checkpoint has without an answer."""
        if self.stays or self._asked:
            self._start()
        if not self.stays:
            self.collect(trainer, wait=True)
            self.stop()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log what is answered."""
        self.collect(trainer, wait=False)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin where a resumed run has nothing left to train, and only its end to measure."""
        if self._process is None:
            self.on_train_start(trainer, pl_module)

    def ask(self, measurement: Measurement, epoch: float, step: int) -> None:
        """Have a snapshot measured."""
        self._asked.append((measurement.name, epoch, step))
        self._send(measurement.name, epoch)

    def _send(self, name: str, epoch: float) -> None:
        state = None if name in self._started else self._measurements[name].state_dict()
        self._started.add(name)
        assert self._line is not None
        try:
            self._line.send_bytes(pickle.dumps((name, epoch, state)))
        except OSError:  # it is dead, which the next answer that doesn't come tells
            return

    def collect(self, trainer: L.Trainer, *, wait: bool) -> None:
        """Log the answers that have come; with `wait`, all that was asked for."""
        if wait and self._asked:
            print(f"waiting for {len(self._asked)} measurements beside training", flush=True)
        while self._asked and self._line is not None and (wait or self._line.poll()):
            try:
                scalars, arrays, state, error = pickle.loads(self._line.recv_bytes())
            except (EOFError, OSError):
                self._restart()
                continue
            name, epoch, step = self._asked.pop(0)
            self._measurements[name].log_answer(trainer, epoch, step, scalars, arrays, error)
            if error is None:
                self._measurements[name].load_state_dict(state)
            if wait:
                print(f"{name}: epoch {epoch:g}, {len(self._asked)} to go", flush=True)

    def _start(self) -> None:
        # Not forked: this process has threads of its own by now.
        context = multiprocessing.get_context("spawn")
        self._line, other = context.Pipe()
        arguments = (other, self.directory.path, torch.get_num_threads())
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other.close()
        self._started.clear()
        self._starts += 1
        for name, epoch, _ in self._asked:
            self._send(name, epoch)

    def _restart(self) -> None:
        """Begin anew with a sibling that was killed."""
        self.stop()
        if self._starts == _STARTS:
            raise InputError(
                "expected the process that measures beside training to stay alive, received its "
                f"end {_STARTS} times; --resume --run.measure=inline goes on without it"
            )
        self._start()

    def stop(self) -> None:
        """End the sibling, in whatever it is doing."""
        if self._process is not None and self._line is not None:
            self._line.close()
            self._process.terminate()
            self._process.join(_SECONDS_TO_END)
            self._process.kill()
            self._process.join()
            self._process = self._line = None


def _serve(line: Connection, path: Path, threads: int) -> None:
    """Measure the snapshots that are asked for, until nobody asks any more."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C is the training's
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # not without giving semaphores back
    end_with_parent()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # what is wrong is answered
    torch.set_num_threads(threads)
    from lightning_grok.commands.fit import GrokCLI

    cli = GrokCLI(["--config", str(path / "config.yaml")], run=False)
    model, source = network_of(cli.model), cli.datamodule or cli.model
    found = {each.name: each for each in enabled_measurements(cli.trainer)}
    questions: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_receive, args=(line, questions), daemon=True).start()
    while (question := questions.get()) is not None:
        name, epoch, state = pickle.loads(question)
        measurement = found[name]
        try:
            weights = load_snapshot(path, epoch)
            model.to(next(iter(weights.values())).dtype)
            model.load_state_dict(weights)
            if state is not None:
                reference = measurement.find_reference(
                    cli.model, cli.datamodule, lambda: loaders_from(source)
                )
                measurement.plan(int(Run(path).meta["max_epochs"]))
                measurement.prepare(model, reference)
                measurement.load_state_dict(state)
            scalars, arrays = measurement.taken(model, measurement.reference, epoch)
            del scalars[f"{name}/seconds"]  # no part of the run's wall time
            answer: tuple[Any, ...] = (scalars, arrays, measurement.state_dict(), None)
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            answer = ({}, {}, None, (reason, is_passing(error)))
        line.send_bytes(pickle.dumps(answer))


def _receive(line: Connection, questions: SimpleQueue[bytes | None]) -> None:
    """Take what is asked at once, so that nobody who asks waits for a long answer to be read."""
    try:
        while True:
            questions.put(line.recv_bytes())
    except (EOFError, OSError):
        questions.put(None)

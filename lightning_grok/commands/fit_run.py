"""One fit in one run directory: opened or resumed, trained, closed with its state."""

import os
import shlex
import signal
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from traceback import extract_tb
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import lightning_grok
from lightning_grok.callbacks.branching import branching
from lightning_grok.callbacks.checkpoint import FiniteLoss, RunCheckpoint, Signals, Snapshots
from lightning_grok.callbacks.recording import callbacks_of
from lightning_grok.commands.beginning import beginning_of, meta_of
from lightning_grok.commands.beside import Beside
from lightning_grok.commands.checks import monitors
from lightning_grok.commands.description import describe, note_machine
from lightning_grok.commands.ending import say_how_it_went
from lightning_grok.commands.run_options import RunOptions
from lightning_grok.dashboard.live_page import live_page
from lightning_grok.errors import InputError, first_line, line_of
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.loggers.wandb_logger import GrokWandbLogger, WandbOptions, open_wandb
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.configuration import config_digest
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.extension import Beginning
from lightning_grok.runs.files import Lost, is_disk_error, write_content
from lightning_grok.runs.identity import run_name
from lightning_grok.runs.run import Run
from lightning_grok.runs.summary import run_outcome, run_record, run_summary
from lightning_grok.tasks.reference_set import dataset_of

_STATES = {0: "finished", 1: "failed", 2: "failed"}
"""By the status with which the process exits; any other is a signal's."""

_KNOWN = ("train/loss", "train/accuracy", "test/loss", "test/accuracy")


class FitRun:
    """One fit in one run directory: opened, trained, closed with its state.

    Args:
        trainer: built, not used yet.
        options: the group ``run``.
        wandb: the group ``wandb``.
        config: the resolved configuration.
        defaults: of the options that there are.
    """

    def __init__(
        self,
        trainer: L.Trainer,
        options: RunOptions,
        wandb: WandbOptions,
        config: dict[str, Any],
        defaults: dict[str, Any],
    ) -> None:
        self.trainer = trainer
        self.options = options
        self.wandb = wandb
        self.config = config
        self.defaults = defaults
        self.digest = config_digest(config, defaults)
        self.logger: GrokWandbLogger | None = None
        self._steps_of_another: int | None = None  # that a new run begins with

    def run(
        self,
        model: L.LightningModule,
        datamodule: L.LightningDataModule | None,
        found: Run | None,
        kwargs: dict[str, Any],
    ) -> None:
        """Train, and leave the directory in a state that says how it ended."""
        directory = self._open(model, datamodule, found)
        status = 1
        try:
            page = live_page(directory.path, self.options.port)
            with page if self.options.watch else nullcontext():
                status = self._train(directory, model, datamodule, kwargs)
        except InputError:
            status = 2
            raise
        except MisconfigurationException as error:
            status = 2
            raise InputError(first_line(error)) from None
        except RuntimeError as error:
            if not _is_lightnings_alone(error):
                raise
            status = 2
            raise InputError(first_line(error)) from None
        except OSError as error:
            if not is_disk_error(error):
                raise
            status = 2
            if isinstance(error, Lost):
                raise InputError(self._what_is_known(error)) from None
            remedy = "with room the same command and --resume continues the run"
            raise InputError(f"{_lack_of_room(error, directory)}; {remedy}") from None
        finally:
            place = self._close(directory, status)
        if status != 0:
            epoch = self.trainer.current_epoch
            print(run_outcome(Run(directory.path)))
            print(f"interrupted at epoch {epoch}; to go on:\n{_resume_command()}")
            sys.exit(status)
        say_how_it_went(directory.path, figures=self.options.figures, report=self.options.watch)
        if place:
            print(f"W&B: {place}")

    def _what_is_known(self, lost: Lost) -> str:
        """What there is to say of a run whose files are gone."""
        newest = self.trainer.callback_metrics
        values = [f"{key} {float(newest[key]):.4g}" for key in _KNOWN if key in newest]
        return (
            f"expected {lost.filename} to stay while the run writes it, received: {lost.strerror}; "
            f"stopped at epoch {self.trainer.current_epoch} ({', '.join(values) or 'no values'})"
        )

    def _train(
        self,
        directory: RunDirectory,
        model: L.LightningModule,
        datamodule: L.LightningDataModule | None,
        kwargs: dict[str, Any],
    ) -> int:
        """Train to the end, or to a signal: the exit status."""
        signals, received = Signals(), None
        try:
            with signals:
                self._fit(directory, model, datamodule, signals, kwargs)
            directory.expect_whole()
            received = signals.received
        except (KeyboardInterrupt, SystemExit) as stopped:
            # Lightning makes an exit of it.
            if not any(isinstance(e, KeyboardInterrupt) for e in (stopped, stopped.__context__)):
                raise
            received = signals.received or signal.SIGINT
        return 0 if received is None else 128 + received

    def _fit(
        self,
        directory: RunDirectory,
        model: L.LightningModule,
        datamodule: L.LightningDataModule | None,
        signals: Signals,
        kwargs: dict[str, Any],
    ) -> None:
        """Train with what belongs to every run, from its checkpoint where there is one."""
        start = self._prepare(directory, model, datamodule)
        checkpoint = RunCheckpoint(
            directory, self.options.checkpoint_seconds, signals, self.options.points
        )
        self._open_wandb(directory)
        own = [RunLogger(directory), *([self.logger] if self.logger else [])]
        self.trainer.loggers = [*own, *self.trainer.loggers]
        callbacks = callbacks_of(self.trainer)
        branches = directory.meta.get("branches")
        leaves = [branching(branches)] if branches and self.options.branches else []
        stays, waiting = self.options.measure == "beside", monitors(self.trainer, self.config)
        beside = Beside(directory, stays=stays, monitors=waiting)
        callbacks[:] = [
            signals,
            FiniteLoss(directory.checkpoints),
            *leaves,
            Snapshots(directory),
            beside,
            *callbacks,
            checkpoint,
        ]
        if start is not None:
            kwargs["ckpt_path"] = start
        try:
            self.trainer.fit(model, datamodule=datamodule, **kwargs | {"weights_only": True})
        finally:
            beside.stop()

    def _open(self, model: L.LightningModule, datamodule: Any, found: Run | None) -> RunDirectory:
        if found is not None:
            used, given = found.meta.get("dataset"), dataset_of(datamodule)
            if used not in (None, given):
                raise InputError(f"expected the data of {found.path}, {used}, received {given}")
            if newest_checkpoint(found.path / "checkpoints") is not None:
                return RunDirectory(found.path)
        begins = beginning_of(self.options, self.config, self.defaults, model)
        if found is not None:
            directory = RunDirectory(found.path)
        else:
            numbered = self.options.name is None
            name = self.options.name or run_name(self.config)
            directory = RunDirectory.create(Path(self.options.root), name, numbered=numbered)
        if begins is not None:
            self._begin(directory, begins, model, datamodule)
        return directory

    def _begin(
        self,
        directory: RunDirectory,
        begins: Beginning,
        model: L.LightningModule,
        datamodule: Any,
    ) -> None:
        """Fill the directory with what the run begins with."""
        print(f"{directory.path} begins with the {begins.epoch} epochs of {begins.run.path}")
        self._steps_of_another = begins.content["global_step"]
        own = self._description(directory, model, datamodule)
        try:
            begins.copy_to(directory, self.config, meta_of(begins, own, self.options.set))
        except OSError as error:
            directory.discard()
            place = Path(error.filename or directory.path)
            if place.is_relative_to(begins.run.path):
                raise InputError(f"expected to read {place}, received: {error.strerror}") from None
            raise InputError(_lack_of_room(error, directory)) from None

    def _description(
        self, directory: RunDirectory, model: L.LightningModule, datamodule: Any
    ) -> dict[str, Any]:
        described = describe(directory.name, self.trainer, model, datamodule, self.config)
        return described | {"config_digest": self.digest}

    def _prepare(
        self, directory: RunDirectory, model: L.LightningModule, datamodule: Any
    ) -> Path | None:
        """Write what describes the run, or rewind it to its checkpoint, which is returned."""
        found = newest_checkpoint(directory.checkpoints)
        if found is not None:
            path, content = found
            epoch = content["epoch"] + 1
            log_size = content["callbacks"]["RunCheckpoint"]["log_size"]
            if directory.log_size < log_size:
                raise InputError(
                    f"expected {log_size} bytes of log in {directory.events_path} up to the "
                    f"checkpoint of epoch {epoch}, received {directory.log_size}: lines are lost"
                )
            directory.rewind(log_size, epoch)
            note_machine(directory, epoch)
            directory.update_meta(state="running", epoch=epoch)
            print(f"resuming {directory.path} at epoch {epoch}")
            return path
        if directory.meta:
            print(f"{directory.path} has no checkpoint yet: starting it again")
        directory.rewind(0, -1)
        description = self._description(directory, model, datamodule)
        directory.update_meta(**description, state="running")
        text = yaml.safe_dump(self.config, sort_keys=False)
        write_content(directory.path / "config.yaml", text)
        print(f"writing {directory.path}")
        return None

    def _close(self, directory: RunDirectory, status: int) -> str:
        """Note how the run ended, or remove one that never began; where W&B has it."""
        state = _STATES.get(status, "interrupted")
        others = self._steps_of_another
        resumed = others is None and directory.checkpoints.exists()
        trained = self.trainer.global_step > (others or 0) or resumed
        begun = state != "failed" or (trained and directory.has_begun)
        if begun:
            with suppress(OSError):  # a full disk: a run without a writer counts as interrupted
                run = Run(directory.path)
                record = run_record(run, so_far=state != "finished")
                reason = line_of(sys.exception())
                directory.update_meta(state=state, logged=run.epoch, reason=reason, **record)
            directory.close()
        place = self.logger.close(run_summary(Run(directory.path)), status) if self.logger else ""
        if not begun:
            directory.discard()  # not before W&B has closed its files in there
        return place

    def _open_wandb(self, directory: RunDirectory) -> None:
        meta = directory.meta
        # A resumed run stays in its project, which an agent had named in its environment.
        project = os.environ.get("WANDB_PROJECT") or meta.get("wandb_project", self.wandb.project)
        entity = os.environ.get("WANDB_ENTITY") or meta.get("wandb_entity", self.wandb.entity)
        options = replace(self.wandb, project=project, entity=entity)
        unseen = [] if GrokWandbLogger.has_begun(directory.path) else Run(directory.path).events
        others = [each for each in self.trainer.loggers if isinstance(each, WandbLogger)]
        self.logger = open_wandb(options, directory.path, self.config, meta.get("wandb_id"), others)
        if self.logger is not None:
            self.logger.log_past(unseen)
            version = self.logger.version
            directory.update_meta(wandb_id=version, wandb_project=project, wandb_entity=entity)


def _is_lightnings_alone(error: RuntimeError) -> bool:
    """Whether Lightning refused something with nobody else's code on the way to it."""
    home, ours = (f"{Path(str(each.__file__)).parent}{os.sep}" for each in (L, lightning_grok))
    places = [frame.filename for frame in extract_tb(error.__traceback__)]
    return places[-1].startswith(home) and all(each.startswith((home, ours)) for each in places)


def _lack_of_room(error: OSError, directory: RunDirectory) -> str:
    place = error.filename or directory.path
    return f"expected room to write {place}, received: {error.strerror}"


def _resume_command() -> str:
    arguments = [a for a in sys.argv[1:] if a != "--resume"]
    return shlex.join(["python", "-m", "lightning_grok", *arguments, "--resume"])

"""One fit in one run directory: opened or resumed, trained, closed with its state."""

import os
import platform
import shlex
import signal
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning as L
import torch
import yaml
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import lightning_grok
from lightning_grok.callbacks.branching import branching
from lightning_grok.callbacks.checkpoint import (
    FiniteLoss,
    RunCheckpoint,
    Signals,
    Snapshots,
)
from lightning_grok.callbacks.network import network_of
from lightning_grok.callbacks.recording import callbacks_of
from lightning_grok.callbacks.reference import loaders_from
from lightning_grok.commands.beginning import (
    beginning_of,
    branch_epochs,
    check_beginning,
    meta_of,
)
from lightning_grok.commands.beside import Beside
from lightning_grok.commands.ending import say_how_it_went
from lightning_grok.commands.one_process import taken
from lightning_grok.dashboard.live_page import live_page
from lightning_grok.errors import InputError, first_line
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.loggers.wandb_logger import GrokWandbLogger, WandbOptions, open_wandb
from lightning_grok.paths import expand_path
from lightning_grok.ranges import NotNegative, Range, check_range
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.configuration import config_digest
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.extension import Beginning
from lightning_grok.runs.files import Lost, is_disk_error, write_atomically
from lightning_grok.runs.identity import run_name, setup_name
from lightning_grok.runs.names import validate_name
from lightning_grok.runs.network import module_names
from lightning_grok.runs.provenance import provenance
from lightning_grok.runs.run import Run
from lightning_grok.runs.summary import run_outcome, run_record, run_summary
from lightning_grok.tasks.reference_set import Transfer, dataset_of

_ENDLESS = 2**53
_STATES = {0: "finished", 1: "failed", 2: "failed"}
"""By the status with which the process exits; any other is a signal's."""

_KNOWN = ("train/loss", "train/accuracy", "test/loss", "test/accuracy")


@dataclass
class RunOptions:
    """Where a run is written.

    Args:
        name: of the run's directory; it must be new. None makes one of the data, the setup and the
            seed, with a number behind it where that is taken.
        root: the folder of runs.
        checkpoint_seconds: shortest time between two checkpoints.
        figures: whether to draw the run at its end; ``python -m lightning_grok figures`` does it at
            any time.
        extends: directory of a shorter run of the same configuration, which the new run begins with
            instead of training these epochs again; besides trainer.max_epochs only measured epochs
            after its end may differ. It stays as it is.
        branches: directory of a run, the trunk, that this one shares its first epochs with. Options
            of model, optimizer, data, trainer and evaluation may differ; network, random vectors
            and measured images are the trunk's.
        from_epoch: at which to leave the trunk; it needs a checkpoint there (``branch_points``).
        set: changes of the trunk's state there: factors on ``weights``, on the optimizer's
            ``first_moment`` and ``second_moment`` and on the number of ``steps`` it has counted, of
            one layer with ``/layers.0`` behind it; ``reinitialize/layers.6: SEED`` draws a layer
            anew.
        branch_points: epochs whose checkpoint is kept to branch from, or so many log-spaced ones a
            decade; a checkpoint takes three times the weights and what measurements remember
            (about 5 MB for the network of grok.yaml).
        measure: ``inline`` measures between two epochs; ``beside`` in a sibling process on the CPU
            while training goes on, with the same numbers, logged a little later.
        watch: whether to open the live page while the run goes on, and to leave it in the run's
            directory as report.html, with the figures and the verdict on the paper's claims.
        port: of the live page on 127.0.0.1; 0 takes a free one.
    """

    name: str | None = None
    root: str = "runs"
    checkpoint_seconds: float = 20.0
    figures: bool = True
    extends: str | None = None
    measure: Literal["inline", "beside"] = "inline"
    watch: bool = False
    port: int = 0
    branches: str | None = None
    from_epoch: int | None = None
    set: dict[str, float] | None = None
    branch_points: list[int] | int | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range; take paths as a shell does."""
        self.root = str(expand_path(self.root))
        self.extends = None if self.extends is None else str(expand_path(self.extends))
        self.branches = None if self.branches is None else str(expand_path(self.branches))
        if self.name is not None:
            validate_name(self.name)
        check_range("run.checkpoint_seconds", self.checkpoint_seconds, NotNegative)
        check_range("run.port", self.port, Annotated[int, Range(0, 65_535)])
        check_beginning(self)
        self.points = branch_epochs(self.branch_points)


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
        except OSError as error:
            if not is_disk_error(error):
                raise
            status = 2
            if isinstance(error, Lost):
                raise InputError(self._what_is_known(error)) from None
            raise InputError(
                f"expected room to write {error.filename or directory.path}, received: "
                f"{error.strerror}; with room the same command and --resume continues the run"
            ) from None
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
        received = None
        try:
            start = self._prepare(directory, model, datamodule)
            signals = Signals()
            checkpoint = RunCheckpoint(
                directory, self.options.checkpoint_seconds, signals, self.options.points
            )
            self._open_wandb(directory)
            own = [RunLogger(directory), *([self.logger] if self.logger else [])]
            self.trainer.loggers = [*own, *self.trainer.loggers]
            callbacks = callbacks_of(self.trainer)
            branches = directory.meta.get("branches")
            leaves = [branching(branches)] if branches and self.options.branches else []
            beside = [Beside(directory)] if self.options.measure == "beside" else []
            callbacks[:] = [
                signals,
                FiniteLoss(directory.checkpoints),
                *leaves,
                Snapshots(directory),
                *beside,
                *callbacks,
                checkpoint,
            ]
            if start is not None:
                kwargs["ckpt_path"] = start
            self.trainer.fit(model, datamodule=datamodule, **kwargs | {"weights_only": True})
            directory.expect_whole()
            received = signals.received
        except (KeyboardInterrupt, SystemExit) as stopped:
            # Lightning makes an exit of it.
            if not any(isinstance(e, KeyboardInterrupt) for e in (stopped, stopped.__context__)):
                raise
            received = signal.SIGINT
        return 0 if received is None else 128 + received

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
        own = self._description(directory, model, datamodule)
        try:
            begins.copy_to(directory, self.config, meta_of(begins, own, self.options.set))
        except OSError as error:
            directory.discard()
            raise InputError(
                f"expected room to write {error.filename or directory.path}, received: "
                f"{error.strerror}"
            ) from None

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
            _note_machine(directory, epoch)
            directory.update_meta(state="running", epoch=epoch)
            print(f"resuming {directory.path} at epoch {epoch}")
            return path
        if directory.meta:
            print(f"{directory.path} has no checkpoint yet: starting it again")
        directory.rewind(0, -1)
        description = self._description(directory, model, datamodule)
        directory.update_meta(**description, state="running")
        text = yaml.safe_dump(self.config, sort_keys=False)
        write_atomically(
            directory.path / "config.yaml", lambda path: path.write_text(text, encoding="utf-8")
        )
        print(f"writing {directory.path}")
        return None

    def _description(
        self, directory: RunDirectory, model: L.LightningModule, datamodule: Any
    ) -> dict[str, Any]:
        """What stands in run.json of a run that begins."""
        network = network_of(model)
        reference = getattr(datamodule, "reference_set", None)
        return {
            "name": directory.name,
            "dataset": dataset_of(datamodule),
            "setup": setup_name(self.config),
            "seed": self.config["seed_everything"],
            "epoch": 0,
            "seconds": 0.0,
            "max_epochs": self.trainer.max_epochs,
            "steps_per_epoch": _steps_per_epoch(self.trainer, datamodule or model),
            "network": getattr(network, "arguments", {}),
            "layer_names": list(getattr(network, "layer_names", [])),
            "modules": module_names(network),
            "num_classes": getattr(datamodule, "num_classes", 0),
            **_counted_on(datamodule),
            "class_names": list(getattr(datamodule, "class_names", [])),
            "transfer": _described(getattr(reference, "transfer", None)),
            "memorization": None,
            "begins": None,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "machine": _machine(),
            "version": lightning_grok.__version__,
            "config_digest": self.digest,
            **provenance(),
        }

    def _close(self, directory: RunDirectory, status: int) -> str:
        """Note how the run ended, or remove one that never began; where W&B has it."""
        state = _STATES.get(status, "interrupted")
        trained = self.trainer.global_step > 0 or directory.checkpoints.exists()
        begun = state != "failed" or (trained and directory.has_begun)
        if begun:
            with suppress(OSError):  # a full disk: a run without a writer counts as interrupted
                run = Run(directory.path)
                record = run_record(run, so_far=state != "finished")
                directory.update_meta(state=state, logged=run.epoch, reason=_reason(), **record)
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


def _machine() -> str:
    """What the last bits of a result depend on."""
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def _note_machine(directory: RunDirectory, epoch: int) -> None:
    """Say and keep that a run goes on with other threads, or elsewhere, than it had before."""
    earlier = directory.meta.get("machines", [])
    before = earlier[-1]["machine"] if earlier else directory.meta.get("machine")
    if before != _machine():
        directory.update_meta(machines=[*earlier, {"epoch": epoch, "machine": _machine()}])
        print(
            f"{directory.path} ran on {before} and goes on with {_machine()}: from epoch {epoch} "
            "on its last bits may differ from those of a run that was never interrupted"
        )


def _reason() -> str | None:
    """Why the run ends before its end, from within the handling of what ends it."""
    error = sys.exc_info()[1]
    if error is None:
        return None
    what = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return what + first_line(error)


def batches_of(source: Any) -> tuple[int, list[int]]:
    """Batches an epoch, and of every validation loader; `_ENDLESS` of one without a length."""
    found = loaders_from(source)

    def length(loader: Any) -> int:
        return len(loader) if hasattr(loader, "__len__") else _ENDLESS

    validation = source.val_dataloader() if "validation" in found else []
    several = validation if isinstance(validation, list | tuple) else [validation]
    return length(found["train"]), [length(loader) for loader in several]


def _steps_per_epoch(trainer: L.Trainer, source: Any) -> int:
    """Optimizer steps an epoch: of as many batches as the trainer takes, gathered as it does.

    1 where a loader has no length.
    """
    batches, _ = batches_of(source)
    if batches == _ENDLESS:
        return 1
    return -(-taken(batches, trainer.limit_train_batches) // trainer.accumulate_grad_batches)


def _counted_on(datamodule: Any) -> dict[str, int]:
    """How many samples the accuracy of the test set is counted on, where the data know."""
    samples = getattr(datamodule, "test_samples", None)
    return {} if samples is None else {"test_samples": len(samples.labels)}


def _described(transfer: Transfer | None) -> dict[str, Any]:
    """The digits that the linear probe transfers to, for run.json; empty where there are none."""
    if transfer is None:
        return {}
    return {"name": transfer.name, "same_distribution": transfer.same_distribution}


def _resume_command() -> str:
    arguments = [a for a in sys.argv[1:] if a != "--resume"]
    return shlex.join(["python", "-m", "lightning_grok", *arguments, "--resume"])

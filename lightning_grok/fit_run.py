"""One fit in one run directory: opened or resumed, trained, closed with its state."""

import hashlib
import json
import math
import platform
import shlex
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import lightning_grok
from lightning_grok.analysis.onset import GrokkingEvents, run_events
from lightning_grok.callbacks.checkpoint import (
    FiniteLoss,
    RunCheckpoint,
    Snapshots,
    newest_checkpoint,
)
from lightning_grok.callbacks.recording import callbacks_of
from lightning_grok.data import GrokData
from lightning_grok.errors import InputError
from lightning_grok.loggers import RunLogger
from lightning_grok.module import GrokModule
from lightning_grok.run_directory import RunDirectory, validate_name
from lightning_grok.runs import Run, find_runs, is_alive
from lightning_grok.wandb_logger import GrokWandbLogger, WandbOptions, open_wandb

_NOT_THE_RUN = ("run", "wandb")
"""Groups of a configuration that do not change what a run computes."""


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
    """

    name: str | None = None
    root: str = "runs"
    checkpoint_seconds: float = 20.0
    figures: bool = True

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if self.name is not None:
            validate_name(self.name)
        if not self.checkpoint_seconds >= 0:
            raise InputError(
                f"expected run.checkpoint_seconds of at least 0, received {self.checkpoint_seconds}"
            )


def config_digest(config: dict[str, Any]) -> str:
    """A short hash of everything in a configuration that changes what a run computes."""
    kept = {key: value for key, value in config.items() if key not in _NOT_THE_RUN}
    kept["data"] = {k: v for k, v in kept["data"].items() if k not in ("root", "download")}
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def newest_run(options: RunOptions, digest: str) -> Run | None:
    """The run to resume: the named one, else the newest of the configuration; None where none is.

    Raises:
        InputError: the named run is of another configuration, or somebody is writing it.
    """
    root = Path(options.root)
    if options.name is not None:
        paths = [root / options.name] if (root / options.name / "run.json").is_file() else []
        for path in paths:
            if Run(path).meta.get("config_digest") != digest:
                raise InputError(
                    f"expected the configuration that {path} was started with "
                    f"({path / 'config.yaml'}), received another one"
                )
    else:
        paths = [p for p in find_runs(root) if Run(p).meta.get("config_digest") == digest]
    if not paths:
        return None
    run = Run(max(paths, key=lambda path: str(Run(path).meta.get("created", ""))))
    if is_alive(run.path):
        raise InputError(f"expected a run that stands still, but another process runs {run.path}")
    return run


def setup_name(config: dict[str, Any]) -> str:
    """optimizer-weight_scale-train_size-output_scale-weight_decay, the published way of naming.

    What else differs from the paper's EMNIST runs is appended.
    """
    model, data = config["model"], config["data"]
    optimizer = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}[model["optimizer"]]
    scales = (model["weight_scale"], data["train_size"], model["output_scale"])
    name = "-".join([optimizer, *(f"{v:g}" for v in (*scales, model["weight_decay"]))])
    if model["loss"] != "cross_entropy":
        name += f"-{model['loss']}"
    if list(model["hidden"]) != [128, 512, 128]:
        name += "-" + "x".join(str(width) for width in model["hidden"])
    if data["permute_fraction"] > 0:
        name += f"-permuted{data['permute_fraction']:g}"
    return name


class FitRun:
    """One fit in one run directory: opened, trained, closed with its state.

    Args:
        trainer: built, not used yet.
        options: the group ``run``.
        wandb: the group ``wandb``.
        config: the resolved configuration.
        digest: of the configuration.
    """

    def __init__(
        self,
        trainer: L.Trainer,
        options: RunOptions,
        wandb: WandbOptions,
        config: dict[str, Any],
        digest: str,
    ) -> None:
        self.trainer = trainer
        self.options = options
        self.wandb = wandb
        self.config = config
        self.digest = digest

    def run(
        self, model: GrokModule, datamodule: GrokData, found: Run | None, kwargs: dict[str, Any]
    ) -> None:
        """Train, and leave the directory in a state that says how it ended."""
        directory = self._open(datamodule, found)
        state, logger = "failed", None
        try:
            start = self._prepare(directory, model, datamodule)
            checkpoint = RunCheckpoint(directory, self.options.checkpoint_seconds)
            logger = self._open_wandb(directory)
            own = [RunLogger(directory), *([logger] if logger else [])]
            self.trainer.loggers = [*own, *self.trainer.loggers]
            callbacks = callbacks_of(self.trainer)
            callbacks[:] = [FiniteLoss(), Snapshots(directory), *callbacks, checkpoint]
            if start is not None:
                kwargs["ckpt_path"] = start
            self.trainer.fit(model, datamodule=datamodule, **kwargs | {"weights_only": True})
            state = "finished" if checkpoint.received is None else "interrupted"
        except MisconfigurationException as error:
            raise InputError(first_line(error)) from None
        except (KeyboardInterrupt, SystemExit):
            state = "interrupted"
            raise
        finally:
            self._close(directory, state)
            place = (
                "" if logger is None else logger.close(summary(directory), failed=state == "failed")
            )
        if checkpoint.received is not None:
            print(
                f"interrupted at epoch {self.trainer.current_epoch}; to go on:\n{_resume_command()}"
            )
            sys.exit(128 + signal.Signals(checkpoint.received))
        self._finish(directory, place)

    def _open(self, datamodule: GrokData, found: Run | None) -> RunDirectory:
        if found is not None:
            used = found.meta.get("dataset")
            if used not in (None, datamodule.dataset_name):
                raise InputError(
                    f"expected the data of {found.path}, {used}, received {datamodule.dataset_name}"
                )
            return RunDirectory(found.path)
        numbered = self.options.name is None
        data, seed = self.config["data"]["dataset"], self.config["seed_everything"]
        name = self.options.name or f"{data}_{setup_name(self.config)}_seed{seed}"
        return RunDirectory.create(Path(self.options.root), name, numbered=numbered)

    def _prepare(
        self, directory: RunDirectory, model: GrokModule, datamodule: GrokData
    ) -> Path | None:
        """Write what describes the run, or rewind it to its checkpoint, which is returned."""
        found = newest_checkpoint(directory.checkpoints)
        if found is not None:
            path, content = found
            epoch = content["epoch"] + 1
            directory.rewind(content["callbacks"]["RunCheckpoint"]["log_size"], epoch)
            directory.update_meta(state="running", epoch=epoch)
            print(f"resuming {directory.path} at epoch {epoch}")
            return path
        directory.rewind(0, -1)
        text = yaml.safe_dump(self.config, sort_keys=False)
        (directory.path / "config.yaml").write_text(text)
        probe = datamodule.probe_set
        directory.update_meta(
            name=directory.name,
            dataset=datamodule.dataset_name,
            setup=setup_name(self.config),
            seed=self.config["seed_everything"],
            state="running",
            epoch=0,
            seconds=0.0,
            max_epochs=self.trainer.max_epochs,
            steps_per_epoch=len(datamodule.train_dataloader()),
            network=model.network.arguments,
            layer_names=model.network.layer_names,
            num_classes=datamodule.num_classes,
            class_names=list(datamodule.class_names),
            transfer={
                "name": probe.transfer.name,
                "same_distribution": probe.transfer.same_distribution,
            },
            memorization=None,
            generalization=None,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
            version=lightning_grok.__version__,
            config_digest=self.digest,
        )
        print(f"writing {directory.path}")
        return None

    def _close(self, directory: RunDirectory, state: str) -> None:
        if state == "failed" and directory.log_size == 0:
            directory.discard()
            return
        directory.update_meta(state=state)
        directory.close()

    def _open_wandb(self, directory: RunDirectory) -> GrokWandbLogger | None:
        known = directory.meta.get("wandb_id")
        logger = open_wandb(self.wandb, directory.path, self.config, known)
        if logger is not None:
            directory.update_meta(wandb_id=logger.version)
        return logger

    def _finish(self, directory: RunDirectory, place: str) -> None:
        run = Run(directory.path)
        for line in _event_lines(run_events(run)):
            print(line)
        print(f"took {_cost_line(run.costs())}")
        print(f"run: {directory.path}")
        if self.options.figures:
            _draw(directory.path)
        if place:
            print(f"W&B: {place}")


def _draw(path: Path) -> None:
    """Write the run's figures; whatever stands in the way, the run itself is whole."""
    from lightning_grok.figures import write_run_figures

    try:
        files = write_run_figures(path)
    except (OSError, InputError) as error:
        print(f"figures: not written ({first_line(error)})")
        return
    if files:
        print(f"figures: {files[0]} and {len(files) - 1} more")


def _event_lines(events: GrokkingEvents) -> list[str]:
    """What the whole run says of memorization and generalization."""
    rise, memorized = events.test, math.isfinite(events.t_mem)
    found = not rise.censored and rise.final > rise.plateau
    return [
        f"memorization: {f'epoch {events.t_mem:.0f}' if memorized else 'not seen'}",
        f"generalization: epoch {rise.t_half:.0f}, half of the rise of test accuracy from "
        f"{100 * rise.plateau:.1f} % to {100 * rise.final:.1f} %"
        if found
        else "generalization: not seen",
        f"grokked: {'yes' if events.grokked else f'no ({events.reason})'}",
    ]


def _cost_line(costs: dict[str, float]) -> str:
    """``6 min 12 s: training 300 s, kernel_distance 40 s, ...``, the dearest first."""
    total = sum(costs.values())
    dearest = sorted(costs.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in dearest)
    return f"{total // 60:.0f} min {total % 60:.0f} s: {parts}"


def _resume_command() -> str:
    arguments = [a for a in sys.argv[1:] if a != "--resume"]
    return shlex.join(["python", "-m", "lightning_grok", *arguments, "--resume"])


def summary(directory: RunDirectory) -> dict[str, float]:
    """Events and final values of a run, for W&B's table of runs."""
    run = Run(directory.path)
    if not run.series("test/accuracy")[0].size:
        return {}
    events = run_events(run)
    found = {
        "t_mem": events.t_mem,
        "t_half": events.test.t_half,
        "lag_decades": math.log10(events.test.t_half / events.t_mem)
        if math.isfinite(events.t_mem)
        else math.nan,
        "grokked": float(events.grokked),
        "final/train_accuracy": float(run.series("train/accuracy")[1][-1]),
        "final/test_accuracy": float(run.series("test/accuracy")[1][-1]),
    }
    return {key: value for key, value in found.items() if math.isfinite(value)}


def first_line(error: BaseException) -> str:
    """What an error says, without its explanations."""
    return (str(error).splitlines() or [type(error).__name__])[0]

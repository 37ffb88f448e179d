"""The training commands: LightningCLI with the measurements as groups and a run directory."""

import logging
import re
import sys
import warnings
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import Namespace
from lightning.pytorch.callbacks import Checkpoint, Timer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_grok.callbacks import (
    Evaluation,
    KernelDistance,
    LinearProbe,
    ManifoldCapacity,
    Measurement,
    Onset,
    Stability,
    UmapSnapshot,
    WeightNorm,
)
from lightning_grok.callbacks.measurement import check_names, enabled_measurements
from lightning_grok.callbacks.progress import EpochProgress
from lightning_grok.callbacks.recording import callbacks_of
from lightning_grok.commands.arguments import given_groups
from lightning_grok.commands.checks import (
    check_checkpoint,
    check_monitors,
    check_network,
    check_options,
)
from lightning_grok.commands.description import batches_of
from lightning_grok.commands.fit_run import FitRun
from lightning_grok.commands.one_process import (
    expect_training,
    plugins_of_one_process,
    stand_alone,
)
from lightning_grok.commands.options_help import help_of
from lightning_grok.commands.parser import GrokParser, option_groups, parser_error
from lightning_grok.commands.run_options import RunOptions
from lightning_grok.errors import InputError, first_line
from lightning_grok.loggers.wandb_logger import WandbOptions
from lightning_grok.paths import expand_path
from lightning_grok.runs.identity import newest_run
from lightning_grok.runs.network import network_of
from lightning_grok.tasks import cifar, networks, synthetic, tables
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule

GROUPS: dict[str, type[L.Callback]] = {
    "evaluation": Evaluation,
    "onset": Onset,
    "stability": Stability,
    "kernel_distance": KernelDistance,
    "manifold_capacity": ManifoldCapacity,
    "linear_probe": LinearProbe,
    "umap": UmapSnapshot,
    "weight_norm": WeightNorm,
}
"""Groups of the command line, each a callback of every fit, in the order in which they act."""

_KNOWN = (cifar, networks, synthetic, tables)
"""Modules whose classes are known by their names alone, being imported here."""

_OF_THE_COMMAND = ("config", "resume", "seeds", "ckpt_path", "weights_only")
"""Options of one command, which are no part of a run's configuration."""

_OF_PYTHON: set[str | int] = {"inputs", "labels", "dataloader"}
"""Arguments of a measurement that no configuration can hold."""

# True of this way of training, and nothing that the reader of the terminal could act on.
_NOISE = (
    r"`\w+.configure_optimizers` will be overridden by",
    r"The number of training batches .* is smaller than the logging interval",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"Be aware that when using `ckpt_path`, callbacks used to create the checkpoint",
)


class GrokCLI(LightningCLI):
    """fit, validate and test a module on its data; fit writes a run directory.

    The options ``model`` and ``data`` are those of `GrokModule` and `GrokData`, unless they name a
    class: ``--model my.Module`` or ``model: {class_path: my.Module, init_args: {...}}``. A module
    of one's own without ``data`` brings its loaders itself.

    Args:
        args: the command line behind the program's name.
        run: False builds data, module and trainer from a line without a subcommand, and stops.
    """

    def __init__(self, args: Sequence[str], run: bool = True) -> None:
        stand_alone()
        for message in _NOISE:
            warnings.filterwarnings("ignore", message)
        logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_tip)
        self._command = args[0] if run else ""
        self._own_model, self._own_data = (_names_class(args, key) for key in ("model", "data"))
        data = [value for given, value in given_groups(args) if given == "data"]
        self._bare = self._own_model and all(value is None for value in data)
        super().__init__(
            L.LightningModule if self._own_model else GrokModule,
            None if self._bare else L.LightningDataModule if self._own_data else GrokData,
            subclass_mode_model=self._own_model,
            subclass_mode_data=self._own_data,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={
                "logger": False,
                "enable_checkpointing": False,
                "max_epochs": 10_000,
                "devices": 1,
            },
            parser_class=GrokParser,
            args=list(args),
            run=run,
            load_from_checkpoint_support=False,  # the module keeps its own arguments
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that the line begins with: a parser of all options takes a while to make."""
        known = LightningCLI.subcommands()
        return {self._command: known[self._command]} if self._command else {}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Groups for the measurements and the run; what the data know is linked to the model."""
        for name, callback in GROUPS.items():
            parser.callback_keys.append(name)
            skip = _OF_PYTHON if issubclass(callback, Measurement) else set()
            parser.add_class_arguments(callback, name, skip=skip, instantiate=True)
        parser.add_class_arguments(RunOptions, "run")
        parser.add_class_arguments(WandbOptions, "wandb")
        parser.add_argument(
            "--resume",
            action="store_true",
            help="go on with the newest unfinished run of this configuration (fit)",
        )
        parser.add_argument(
            "--seeds", help="train these seeds side by side, each a run: 0-7 or 0,3,7 (fit)"
        )
        for key in () if self._own_model else ("num_classes", "in_features"):
            source, of = ("data", attrgetter(key)) if self._own_data else (f"data.{key}", None)
            parser.link_arguments(source, f"model.{key}", of, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse what was given, without a look at ``sys.argv``."""
        wanted = [a.partition("=")[2] for a in args if a == "-h" or a.partition("=")[0] == "--help"]
        if wanted:
            print(help_of(self._parser(args[0]), args[0], wanted[0]))
            sys.exit(0)
        try:
            self.config = parser.parse_args(args)
        except OverflowError as error:
            raise InputError(f"expected numbers of at most 64 bits, received: {error}") from None
        command = self.config.get("subcommand")
        given = self.config[command] if command else self.config
        check_options(
            given, option_groups(self._parser(command)) - ({"data"} if self._bare else set())
        )
        if given.get("seeds") is not None:
            raise InputError("expected --seeds on the line of fit, received it elsewhere")
        if given.get("ckpt_path") is not None:
            given["ckpt_path"] = str(expand_path(given.ckpt_path))
            check_checkpoint(given.ckpt_path, resumes=command == "fit")
        elif command in ("validate", "test"):
            print("without --ckpt_path this is the network as it is built, before any training")

    def _set_seed(self) -> None:
        """Seed everything; a seed out of range, or none, is bad input."""
        given = self._get(self.config, "seed_everything")
        if given is None or given is False:
            raise InputError(
                "expected a number as seed_everything, by which a run is told from others of its "
                f"setup, received {given}"
            )
        try:
            super()._set_seed()
        except ValueError as error:
            raise InputError(f"seed_everything: {first_line(error)}") from None

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; what they refuse is bad input."""
        try:
            super().instantiate_classes()
        except MisconfigurationException as error:
            raise InputError(
                f"expected options that a Trainer can serve, received: {first_line(error)}"
            ) from None
        except (ValueError, TypeError, ImportError) as error:
            raise parser_error(str(error), error) from None
        processes = self.trainer.num_devices * self.trainer.num_nodes
        if processes > 1:
            raise InputError(
                "expected one training process (trainer.devices=1, trainer.num_nodes=1): a run is "
                f"one small network, run several side by side; received {processes}"
            )

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with our progress bar unless bars are switched off."""
        config = self._get(self.config_init, "trainer", default={})
        if config.get("enable_progress_bar") is not False:
            self.trainer_defaults["callbacks"] = [EpochProgress()]
        if config.get("max_time") is not None:
            # Lightning's own would stop within an epoch.
            timer = Timer(duration=config["max_time"], interval="epoch", verbose=False)
            self.trainer_defaults.setdefault("callbacks", []).append(timer)
            kwargs["max_time"] = None
        kwargs["plugins"] = plugins_of_one_process(config.get("plugins"))
        given = config.get("callbacks") or []
        if self.subcommand is None:  # measured afterwards: what is named replaces the run's own
            given = list({getattr(each, "name", id(each)): each for each in given}.values())
            kwargs["callbacks"] = given
        check_names(given)
        if any(isinstance(callback, Checkpoint) for callback in given):
            kwargs["enable_checkpointing"] = True  # off by default, since a run keeps its own
        trainer = super().instantiate_trainer(**kwargs)
        callbacks = callbacks_of(trainer)
        # Evaluation tells Lightning when to validate, before anyone else asks.
        callbacks.sort(key=lambda callback: type(callback) not in GROUPS.values())
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; weights that don't fit the network are bad input."""
        try:
            super()._run_subcommand(subcommand)
        except RuntimeError as error:
            if "conditioned on metric" in str(error):
                raise InputError(first_line(error)) from None
            if "loading state_dict" not in str(error):
                raise
            last = str(error).strip().splitlines()[-1].strip()
            raise InputError(f"expected weights of this network at ckpt_path: {last}") from None

    def fit(self, model: L.LightningModule, datamodule: Any = None, **kwargs: Any) -> None:
        """Train in a run directory, new or resumed."""
        reference = None
        if hasattr(type(datamodule), "reference_set"):
            datamodule.prepare_data()
            datamodule.setup("fit")
            reference = datamodule.reference_set
            if isinstance(model, GrokModule):
                check_network(model, reference)
        source = model if datamodule is None else datamodule
        expect_training(self.trainer, *batches_of(source))
        measurements = enabled_measurements(self.trainer)
        for measurement in measurements:  # before there is a directory
            measurement.plan(self.trainer.max_epochs)
            if reference is not None:
                measurement.prepare(network_of(model), reference)
        options = self.config_init[self.subcommand]
        check_monitors(self.trainer, model, options)
        resolved = self._resolved(self.config[self.subcommand])
        if isinstance(datamodule, GrokData):
            group = resolved["data"].get("init_args", resolved["data"])
            group["dataset"] = datamodule.dataset_used  # given again, it is the same run
        usual = self._parser(self.subcommand).get_defaults()
        defaults = self._resolved(usual, is_whole=False)
        if options.resume:
            found = newest_run(Path(options.run.root), options.run.name, resolved, defaults)
            if found is not None and found.state == "finished":
                print(f"{found.path} is finished: nothing to resume")
                return
        else:
            found = None
        FitRun(self.trainer, options.run, options.wandb, resolved, defaults).run(
            model, datamodule, found, kwargs
        )

    def validate(self, model: L.LightningModule, datamodule: Any = None, **kwargs: Any) -> None:
        """Evaluate both sets and print it: Lightning's table has no place for two at once."""
        self.trainer.validate(model, datamodule=datamodule, **kwargs)
        for key, value in self.trainer.callback_metrics.items():
            print(f"{key}: {float(value):.6g}")

    def _resolved(self, config: Namespace, *, is_whole: bool = True) -> dict[str, Any]:
        """The whole of a configuration, as it could be given again.

        Defaults are not whole: they lack the classes that must be named.
        """
        parser, options = self._parser(self.subcommand), {"skip_validation": not is_whole}
        resolved = yaml.safe_load(parser.dump(config.clone(), skip_none=False, **options))
        left_out = _OF_THE_COMMAND if resolved.get("data") else (*_OF_THE_COMMAND, "data")
        return {key: value for key, value in resolved.items() if key not in left_out}


def _names_class(args: Sequence[str], key: str) -> bool:
    """Whether a command line or its configurations name a class for an option."""
    for given, value in given_groups(args):
        if given != key:
            continue
        if isinstance(value, dict) and "class_path" in value:
            return True
        is_name = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", value)
        if is_name and not Path(str(value)).exists():
            return True
    return False


def _is_no_tip(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("💡", "TPU available", "GPU available: False"))

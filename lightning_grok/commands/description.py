"""What run.json says of a run that begins, and of the machine that it goes on with."""

from datetime import UTC, datetime
from typing import Any

import lightning as L

import lightning_grok
from lightning_grok.callbacks.reference import loaders_from
from lightning_grok.commands.one_process import taken
from lightning_grok.errors import InputError
from lightning_grok.loggers.run_logger import machine
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.identity import setup_name
from lightning_grok.runs.network import module_names, network_of
from lightning_grok.runs.provenance import provenance
from lightning_grok.tasks.mlp import MLP
from lightning_grok.tasks.reference_set import Transfer, dataset_of

_ENDLESS = 2**53


def describe(
    name: str,
    trainer: L.Trainer,
    model: L.LightningModule,
    datamodule: L.LightningDataModule | None,
    config: dict[str, Any],
) -> dict[str, Any]:
    """What stands in run.json of a run that begins.

    Args:
        name: of the run's directory.
        trainer, model, datamodule: of its training; without a datamodule the model has loaders.
        config: the resolved configuration.
    """
    network = network_of(model)
    reference = getattr(datamodule, "reference_set", None)
    return {
        "name": name,
        "dataset": dataset_of(datamodule),
        "setup": setup_name(config),
        "seed": config["seed_everything"],
        "epoch": 0,
        "seconds": 0.0,
        "max_epochs": trainer.max_epochs,
        "steps_per_epoch": _steps_per_epoch(trainer, datamodule or model),
        "network": network.arguments if isinstance(network, MLP) else {},
        "layer_names": list(getattr(network, "layer_names", [])),
        "modules": module_names(network),
        "num_classes": getattr(datamodule, "num_classes", 0),
        **_counted_on(datamodule),
        "class_names": list(getattr(datamodule, "class_names", [])),
        "transfer": _described(getattr(reference, "transfer", None)),
        "memorization": None,
        "begins": None,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "machine": machine(),
        "version": lightning_grok.__version__,
        **provenance(),
    }


def note_machine(directory: RunDirectory, epoch: int) -> None:
    """Say and keep that a run goes on with other threads, or elsewhere, than it had before."""
    earlier = directory.meta.get("machines", [])
    before = earlier[-1]["machine"] if earlier else directory.meta.get("machine")
    if before != machine():
        directory.update_meta(machines=[*earlier, {"epoch": epoch, "machine": machine()}])
        print(
            f"{directory.path} ran on {before} and goes on with {machine()}: from epoch {epoch} "
            "on its last bits may differ from those of a run that was never interrupted"
        )


def batches_of(source: Any) -> tuple[int, list[int]]:
    """Batches an epoch, and of every validation loader; `_ENDLESS` of one without a length.

    Raises:
        InputError: there is nothing to train on.
    """
    found = loaders_from(source)
    if found.get("train") is None:
        raise InputError(
            f"expected training data, of a datamodule (--data=CLASS) or the model's own "
            f"train_dataloader; received none of {type(source).__name__}"
        )

    def length(loader: Any) -> int:
        try:
            return len(loader)
        except TypeError:  # also of a DataLoader over a stream
            return _ENDLESS

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

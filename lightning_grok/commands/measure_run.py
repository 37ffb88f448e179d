"""Measurements afterwards, from the snapshots of a run: what `measure` does, as `fit_run` fits."""

from pathlib import Path
from typing import Any

from lightning_grok.callbacks.measurement import Measurement, enabled_measurements
from lightning_grok.callbacks.reference import loaders_from
from lightning_grok.commands.arguments import given_groups, resolve_configs
from lightning_grok.commands.fit import GROUPS, GrokCLI
from lightning_grok.errors import InputError, first_line
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.network import check_importable, network_of
from lightning_grok.runs.run import Run, read_run
from lightning_grok.tasks.reference_set import dataset_of

_NEEDED = ("seconds", "max_epochs", "steps_per_epoch", "dataset")


def measure_run(path: Path, arguments: list[str]) -> dict[str, int]:
    """Take measurements of a run's snapshots, in the order of epochs, and write them into the run.

    What is measured live from the same snapshots is the same number for number. What the run held
    of these measurements before is replaced.

    Args:
        path: the run's directory.
        arguments: LightningCLI's ``--config FILE`` and ``--group.key=value``, on top of the run's
            own configuration. The groups and callbacks that they name are measured.

    Returns:
        For every measurement the number of epochs that were measured.

    Raises:
        InputError: no snapshot, none of an epoch to measure, or nothing to measure; somebody writes
            into the run, or it can still be resumed.
    """
    arguments = resolve_configs(arguments)
    run = read_run(path)
    if run.state != "finished" and newest_checkpoint(path / "checkpoints") is not None:
        raise InputError(
            f"expected a finished run, received {path}, which is {run.state} at epoch {run.epoch}: "
            "resume it first, or give it up by removing its checkpoints"
        )
    if missing := [key for key in _NEEDED if key not in run.meta]:
        raise InputError(
            f"expected {', '.join(missing)} in {path / 'run.json'}, received none: it is damaged"
        )
    epochs = run.snapshot_epochs()
    if not epochs:
        raise InputError(f"expected snapshots in {path / 'snapshots'}, received none")
    config = path / "config.yaml"
    if not run.config:  # a pipe would be waited for
        raise InputError(f"expected the configuration of the run in {config}, received none")
    check_importable(run)
    cli = GrokCLI(["--config", str(config), *arguments], run=False)
    measurements = _named(cli, arguments)
    used = dataset_of(cli.datamodule)
    if run.dataset not in ("own", used):
        raise InputError(f"expected the data of {path}, {run.dataset}, received {used}")
    directory = RunDirectory(path)
    try:
        written = {m.name: _replay(m, cli, directory, epochs) for m in measurements}
        directory.update_meta(logged=Run(path).epoch)
        return written
    finally:
        directory.close()


def _replay(
    measurement: Measurement, cli: GrokCLI, directory: RunDirectory, epochs: list[int]
) -> int:
    meta = Run(directory.path).meta
    model, source = network_of(cli.model), cli.datamodule or cli.model
    reference = measurement.find_reference(cli.model, cli.datamodule, lambda: loaders_from(source))
    measurement.prepare(model, reference)
    logger = RunLogger(directory)
    measurement.plan(int(meta["max_epochs"]))
    if meta.get("state") == "finished":
        measurement.end_at(epochs[-1])
    due = [epoch for epoch in epochs if measurement.due(epoch)]
    if not due:
        raise InputError(
            f"expected {measurement.name}.epochs with a snapshot ({epochs}), received none of them"
        )
    rows = []
    for epoch in epochs:
        state = directory.load_snapshot(epoch)
        model.to(next(iter(state.values())).dtype)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                f"expected weights of the run's network, received: {first_line(error)}"
            ) from None
        if epoch == 0:
            measurement.start(model)
        if epoch in due:
            rows.append((epoch, *measurement.taken(model, reference, epoch)))
            print(f"{measurement.name}: epoch {epoch} of {due[-1]}", flush=True)
    spent = Run(directory.path).costs().get(measurement.name, 0.0)
    replaces = directory.forget(measurement.name)
    directory.update_meta(
        # What it cost is no part of the run's wall time any more, nor is what it cost just now.
        seconds=meta["seconds"] - spent,
        measured_afterwards={measurement.name: replaces} | meta.get("measured_afterwards", {}),
    )
    for epoch, scalars, arrays in rows:
        step = epoch * int(meta["steps_per_epoch"])
        del scalars[f"{measurement.name}/seconds"]
        logger.log_event(measurement.name, epoch, step, scalars, arrays)
    measurement.summarize(directory, model, reference, final=meta.get("state") == "finished")
    return len(rows)


def _named(cli: GrokCLI, arguments: list[str]) -> list[Measurement]:
    """The enabled measurements whose groups, or whose callbacks, the arguments name."""
    keys = {key for key, _ in given_groups(arguments)}
    callbacks = _named_callbacks(cli, arguments)
    named = [
        each
        for each in enabled_measurements(cli.trainer)
        if (each.name in keys if each.name in GROUPS else each in callbacks)
    ]
    chosen = [callback for callback in named if callback.keeps_snapshots]
    live = ", ".join(callback.name for callback in named if not callback.keeps_snapshots)
    if live and not chosen:
        raise InputError(
            f"expected what a snapshot of the weights tells, received {live}, which is measured "
            "while a run trains"
        )
    if live:
        print(f"left out: {live}, which is measured while a run trains")
    if not chosen:
        kinds = {n: kind for n, kind in GROUPS.items() if issubclass(kind, Measurement)}
        known = ", ".join(name for name, kind in kinds.items() if kind.keeps_snapshots)
        raise InputError(
            f"expected a measurement in the arguments (a group of {known}, or trainer.callbacks), "
            f"received {' '.join(arguments) or 'none'}"
        )
    return chosen


def _named_callbacks(cli: GrokCLI, arguments: list[str]) -> list[Any]:
    """Those of ``trainer.callbacks``: what is added to the run's own alone, else all of them."""
    callbacks = cli.config_init["trainer"]["callbacks"] or []
    added = sum(argument.startswith("--trainer.callbacks+=") for argument in arguments)
    others = [each for each in arguments if not each.startswith("--trainer.callbacks")]
    if added and "trainer" not in dict(given_groups(others)):
        return list(callbacks[-added:])
    return list(callbacks) if "trainer" in dict(given_groups(arguments)) else []

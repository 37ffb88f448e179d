"""Measurements that raise and losses that are no longer numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.faults.broken import ERRORS
from benchmarks.faults.process import (
    OFF,
    Outcome,
    finish,
    outcome,
    problem_of_line,
    the_run,
    unequal,
)
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.snapshots import load_snapshot

OPTIONS = (*OFF, "--wandb.mode=disabled", "--trainer.max_epochs=100")


def _callback(path: str, **arguments: object) -> str:
    entry = {"class_path": path, "init_args": arguments}
    return f"--trainer.callbacks+={json.dumps(entry)}"


def _broken(kind: str, *, strict: bool) -> str:
    return _callback(
        "lightning_grok.callbacks.LayerMeasurement",
        function="benchmarks.faults.broken.raises",
        arguments={"kind": kind},
        strict=strict,
    )


def _weights(root: Path) -> object:
    found = newest_checkpoint(the_run(root).path / "checkpoints")
    return None if found is None else found[1]["state_dict"]


def measurement(work: Path, kinds: tuple[str, ...] = tuple(ERRORS)) -> list[Outcome]:
    """A measurement that raises at every epoch, forgiven and strict."""
    finish(work / "whole", *OPTIONS)
    forgiven = [_forgiven(work, kind) for kind in kinds]
    strict = [_strict(work, kind) for kind in kinds]
    return [
        outcome(
            "measurement raises " + ", ".join(kinds),
            forgiven,
            "training went on to the same weights as without it, an event `error` at every "
            "epoch it was due, one warning each",
        ),
        outcome("the same with `strict: true`", strict, "the run stopped with the error"),
    ]


def _forgiven(work: Path, kind: str) -> str:
    fit = finish(work / kind, *OPTIONS, _broken(kind, strict=False))
    if fit.status != 0:
        return f"{kind}: exit status {fit.status}: {fit.errors[-300:]}"
    run = the_run(fit.root)
    due = {event["epoch"] for event in run.events if event["event"] == "weight_norm"}
    errors = [event for event in run.events if event["event"] == "error"]
    if {event["epoch"] for event in errors} != due or len(errors) != len(due):
        return f"{kind}: {len(errors)} events for {len(due)} epochs"
    if not all(event["message"].startswith(kind) for event in errors):
        return f"{kind}: {errors[0]}"
    if list(unequal(_weights(work / "whole"), _weights(fit.root))):
        return f"{kind}: other weights than without the measurement"
    warned = fit.errors.count("failed, training goes on")
    return "" if warned == len(due) else f"{kind}: {warned} warnings for {len(due)} epochs"


def _strict(work: Path, kind: str) -> str:
    fit = finish(work / f"strict-{kind}", *OPTIONS, _broken(kind, strict=True))
    if fit.status != 1 or kind not in fit.errors:
        return f"{kind}: exit status {fit.status}: {fit.errors[-300:]}"
    return ""


def nan(work: Path) -> list[Outcome]:
    """Losses that become NaN or infinite: at once, and through a weight in mid-run."""
    spoiled = "benchmarks.faults.broken.Spoil"
    diverging = ("--model.optimizer=sgd", "--model.learning_rate=1e30", "--model.loss=mse")
    cases: dict[str, tuple[tuple[str, ...], int]] = {
        "learning rate 1e30": (diverging, 2),
        "a weight becomes NaN": ((_callback(spoiled, epoch=60, value="nan"),), 60),
        "a weight becomes infinite": ((_callback(spoiled, epoch=60, value="inf"),), 60),
    }
    options = (*OPTIONS, "--run.checkpoint_seconds=0")
    problems = [
        _diverged(work / str(index), (*options, *more), epoch)
        for index, (more, epoch) in enumerate(cases.values())
    ]
    seen = "one line with the epoch and likely causes, the last good checkpoint and no other kept"
    return [outcome(", ".join(cases), problems, seen)]


def _diverged(root: Path, options: tuple[str, ...], epoch: int) -> str:
    fit = finish(root, *options)
    problem = problem_of_line(fit, "finite", f"in epoch {epoch}", "learning rate")
    if problem:
        return problem
    run = the_run(root)
    good: Callable[[dict[str, torch.Tensor]], bool] = lambda state: all(  # noqa: E731
        bool(torch.isfinite(value).all()) for value in state.values()
    )
    found = newest_checkpoint(run.path / "checkpoints")
    if epoch > 1 and (found is None or found[1]["epoch"] + 1 != epoch - 1):
        return f"not the checkpoint of epoch {epoch - 1}"
    if found is not None and not good(found[1]["state_dict"]):
        return "a checkpoint that is not finite"
    if not all(good(load_snapshot(run.path, each)) for each in run.snapshot_epochs()):
        return "a snapshot that is not finite"
    return "" if run.state == "failed" else f"state {run.state}"

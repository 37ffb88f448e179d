"""What users of Lightning rely on, through the command line: each option has its effect."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import OFF, Fit, signaled

from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run

BATCHES = ("--data.batch_size=16", "--trainer.max_epochs=2")
"""Two epochs of four steps."""
SGD = ("--model.optimizer=sgd", "--model.weight_decay=0")


def callback(name: str, **arguments: Any) -> str:
    entry = {"class_path": name, "init_args": arguments}
    return f"--trainer.callbacks+={json.dumps(entry)}"


def last(run: Run) -> dict[str, Any]:
    found = newest_checkpoint(run.path / "checkpoints")
    assert found is not None
    return found[1]


def weights(run: Run, epoch: int) -> torch.Tensor:
    state = torch.load(run.path / f"snapshots/epoch_{epoch:07d}.pt", weights_only=True)
    return torch.cat([value.flatten() for value in state.values()])


def test_global_step_counts_optimizer_steps(fit: Fit) -> None:
    run = fit(*OFF, *BATCHES)
    assert last(run)["global_step"] == 8
    steps = {e["epoch"]: e["step"] for e in run.events if e["event"] == "evaluation"}
    assert steps == {0: 0, 1: 4, 2: 8}


def test_a_model_checkpoint_of_ones_own_keeps_the_best(fit: Fit, tmp_path: Path) -> None:
    best = callback(
        "ModelCheckpoint", monitor="test/accuracy", mode="max",
        dirpath=str(tmp_path / "best"), filename="best",
    )  # fmt: skip
    run = fit(*OFF, best, "--data.batch_size=16", "--trainer.max_epochs=5")
    epochs, accuracy = run.series("test/accuracy")
    expected = int(epochs[1:][accuracy[1:].argmax()])  # it sees no initialization
    kept = torch.load(tmp_path / "best/best.ckpt", weights_only=True)
    assert kept["epoch"] + 1 == expected
    network = [v for k, v in kept["state_dict"].items() if k.startswith("network.")]
    assert torch.equal(torch.cat([v.flatten() for v in network]), weights(run, expected))


def test_early_stopping_ends_a_run_that_is_then_finished(fit: Fit) -> None:
    stop = callback(
        "EarlyStopping", monitor="test/accuracy", mode="max", stopping_threshold=0.0
    )  # fmt: skip
    run = fit(*OFF, stop, "--trainer.max_epochs=50")
    assert (run.state, run.epoch, last(run)["epoch"]) == ("finished", 1, 0)


def test_a_clipped_gradient_is_a_step_of_that_length(fit: Fit) -> None:
    one = (*OFF, *SGD, "--model.learning_rate=1", "--trainer.max_epochs=1")
    clipped = fit(*one, "--trainer.gradient_clip_val=0.5", name="clipped")
    free = fit(*one, name="free")
    length = (weights(clipped, 1) - weights(clipped, 0)).norm()
    assert float(length) == pytest.approx(0.5, rel=1e-4)
    assert float((weights(free, 1) - weights(free, 0)).norm()) > 1


SCHEDULE = (
    "--optimizer=torch.optim.SGD", "--optimizer.lr=0.01",
    "--lr_scheduler=torch.optim.lr_scheduler.StepLR", "--lr_scheduler.step_size=1",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*will be overridden by .*configure_optimizers")
def test_a_schedule_of_the_learning_rate_is_followed(fit: Fit) -> None:
    run = fit(*OFF, *SCHEDULE, "--lr_scheduler.gamma=0.0", "--trainer.max_epochs=2")
    assert not torch.equal(weights(run, 0), weights(run, 1))
    assert torch.equal(weights(run, 1), weights(run, 2))  # with a rate of zero
    assert last(run)["lr_schedulers"][0]["last_epoch"] == 2


@pytest.mark.filterwarnings("ignore:.*will be overridden by .*configure_optimizers")
@pytest.mark.parametrize("epoch", [3, 4])
@pytest.mark.slow
def test_a_schedule_that_waits_for_a_plateau_survives_an_interruption(fit: Fit, epoch: int) -> None:
    plateau = (
        *OFF, *SCHEDULE[:2], "--lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau",
        "--lr_scheduler.monitor=test/loss", "--lr_scheduler.patience=1",
        "--lr_scheduler.threshold=100", "--trainer.max_epochs=8",
        "--evaluation.epochs=[0,1,3,8]",  # epochs between take the value of the one before
    )  # fmt: skip
    whole = fit(*plateau, name="whole")
    with signaled(epoch, signal.SIGTERM), pytest.raises(SystemExit):
        fit(*plateau, name="broken")
    resumed = fit(*plateau, "--resume", name="broken")
    assert torch.equal(weights(whole, 8), weights(resumed, 8))
    rates = [last(run)["optimizer_states"][0]["param_groups"][0]["lr"] for run in (whole, resumed)]
    assert rates[0] == rates[1] < 0.01
    assert last(whole)["lr_schedulers"] == last(resumed)["lr_schedulers"]


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("bf16-mixed", torch.float32),
        ("64-true", torch.float64),
    ],
)
def test_precision_is_that_of_the_weights_or_of_the_products(
    fit: Fit, precision: str, kind: torch.dtype
) -> None:
    run = fit(*OFF, *BATCHES, f"--trainer.precision={precision}", name="other")
    usual = fit(*OFF, *BATCHES, name="usual")
    assert weights(run, 2).dtype == kind
    distance = (weights(run, 2) - weights(usual, 2)).norm() / weights(usual, 2).norm()
    assert 0 < float(distance) < (1e-2 if precision == "bf16-mixed" else 1e-4)


def test_max_steps_stops_within_an_epoch_and_keeps_the_end(fit: Fit) -> None:
    run = fit(*OFF, *BATCHES, "--trainer.max_steps=6", "--run.checkpoint_seconds=1000")
    assert run.state == "finished"
    assert last(run)["global_step"] == 6


@pytest.mark.slow
def test_max_time_stops_and_keeps_the_end(fit: Fit) -> None:
    run = fit(*OFF, *BATCHES[:1], "--trainer.max_epochs=100000", "--trainer.max_time=00:00:00:04")
    assert run.state == "finished"
    assert 0 < last(run)["epoch"] < 99_999
    assert last(run)["global_step"] == 4 * run.epoch  # whole epochs


def test_a_run_is_resumed_with_another_display(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = fit(*OFF, *BATCHES)
    hidden = ("--trainer.enable_progress_bar=false", "--data.eval_batch_size=7")
    fit(*OFF, *BATCHES, *hidden, "--resume")
    assert f"{shown.path} is finished" in capsys.readouterr().out


def test_gradients_of_several_batches_are_one_step(fit: Fit) -> None:
    whole = (*OFF, *SGD, "--model.learning_rate=0.1", "--trainer.max_epochs=2")
    gathered = fit(
        *whole, "--data.batch_size=16", "--trainer.accumulate_grad_batches=4", name="gathered"
    )
    once = fit(*whole, "--data.batch_size=64", name="once")
    assert last(gathered)["global_step"] == 2
    assert gathered.meta["steps_per_epoch"] == 1
    assert torch.allclose(weights(gathered, 2), weights(once, 2), rtol=1e-4, atol=1e-5)


def test_fast_dev_run_is_one_batch(fit: Fit, tmp_path: Path) -> None:
    run = fit(*OFF, "--data.batch_size=16", "--trainer.fast_dev_run=true")
    assert run.state == "finished"
    assert run.epoch == 1
    assert max(event["step"] for event in run.events) == 1
    assert find_runs(tmp_path) == [run.path]


def test_overfit_batches_trains_on_the_same_first_ones(fit: Fit) -> None:
    two = (*OFF, *SGD, "--model.learning_rate=0.01", *BATCHES)
    few = fit(*two, "--trainer.overfit_batches=1", name="few")
    alone = fit(*two, "--data.train_size=16", name="alone")
    assert last(few)["global_step"] == 2
    assert torch.allclose(weights(few, 2), weights(alone, 2), rtol=1e-4, atol=1e-5)


def test_limit_train_batches_is_the_length_of_an_epoch(fit: Fit) -> None:
    run = fit(*OFF, *BATCHES, "--trainer.limit_train_batches=3")
    assert last(run)["global_step"] == 6
    assert run.meta["steps_per_epoch"] == 3

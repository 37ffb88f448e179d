import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small_runs import OFF, Fit, signaled, untimed

from benchmarks.faults.process import unequal
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.run import Run

FULL = ["--umap.enabled=true", "--manifold_capacity.layers=null"]


def weights(run: Run) -> dict[str, torch.Tensor]:
    found = newest_checkpoint(run.path / "checkpoints")
    assert found is not None
    return found[1]["state_dict"]


def test_a_fit_leaves_a_whole_run(fitted: Fit) -> None:
    run = fitted(*FULL)
    assert run.state == "finished"
    assert run.dataset == "embedded digits"
    assert run.setup == "AdamW-10-64-1-0.001-16x16"
    assert run.epoch == 3
    for key in (
        "train/loss", "test/accuracy", "kernel_distance/full/own", "umap/preservation",
        "manifold_capacity/layers.0/capacity", "manifold_capacity/layers.4/radius_se",
        "linear_probe/sound/accuracy", "weight_norm/total",
    ):  # fmt: skip
        assert run.series(key)[0].tolist() == [0, 1, 2, 3]
    assert run.snapshot_epochs() == [0, 1, 2, 3]
    pairwise = run.array("kernel_distance", "pairwise")
    assert pairwise["distance"].shape == (4, 4)
    own = run.series("kernel_distance/full/own")[1]
    assert pairwise["distance"][0] == pytest.approx(own, abs=1e-6)
    assert run.array("kernel_distance", "pairwise_estimate") == {}
    assert run.config["model"]["weight_scale"] == 10
    assert all(panel.known for panel in panels_of(run))  # each key has its words


@pytest.mark.slow
def test_digits_that_stand_in_are_named_everywhere(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ["--data.dataset=emnist", f"--data.root={tmp_path}", "--data.download=false"]
    run = fit(*missing, *OFF, "--run.figures=true", name="")
    printed = capsys.readouterr()
    assert "Going on with the embedded digits" in printed.out + printed.err
    assert "not grokked: train accuracy never held 0.99" in printed.out
    assert run.name == "digits_AdamW-10-64-1-0.001-16x16_seed0"
    assert run.dataset == "embedded digits"
    assert run.config["data"]["dataset"] == "digits"
    assert run.config["data"]["train_size"] == 64
    assert (run.path / "figures" / "run.png").stat().st_size > 10_000
    again = [f"--config={run.path / 'config.yaml'}"]  # what was saved names the digits
    for settings in ([*missing, *OFF], again):
        fit(*settings, "--resume", name="")
        assert f"{run.path} is finished" in capsys.readouterr().out


def test_measuring_does_not_disturb_training(fit: Fit, fitted: Fit) -> None:
    measured = fitted(*FULL)
    bare = fit("--evaluation.epochs=[3]", *OFF, name="bare")
    assert not list(unequal(weights(measured), weights(bare)))


@pytest.mark.slow
def test_same_seed_same_run_another_seed_another(fit: Fit, fitted: Fit) -> None:
    first, second = fitted(*FULL), fit(*FULL, name="second")
    other = fit("--seed_everything=1", name="other")
    assert untimed(first) == untimed(second)
    assert not list(unequal(weights(first), weights(second)))
    assert list(unequal(weights(first), weights(other)))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_bit_for_bit(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (
        "--umap.enabled=true",
        "--trainer.max_epochs=12",
        "--run.checkpoint_seconds=0",
        "--evaluation.every=1",
    )
    whole = fit(*settings, name="whole")
    with signaled(7, signal.SIGINT), pytest.raises(SystemExit) as stopped:
        fit(*settings, name="broken")
    assert stopped.value.code == 128 + signal.SIGINT
    assert "--resume" in capsys.readouterr().out
    broken = Run(whole.path.parent / "broken")
    assert (broken.state, broken.epoch) == ("interrupted", 7)
    # Killed later, after lines, arrays and snapshots that no checkpoint covers:
    with open(broken.path / "events.jsonl", "a") as file:
        file.write(
            '{"event": "evaluation", "epoch": 8, "step": 8, "test/loss": 1.0}\n{"event": "ev'
        )
    resumed = fit(*settings, "--resume", name="broken")
    assert resumed.state == "finished"
    assert untimed(resumed) == untimed(whole)
    ends = [newest_checkpoint(run.path / "checkpoints") for run in (whole, resumed)]
    contents = [{**end[1], "loops": None, "callbacks": None} for end in ends if end]
    assert not list(unequal(*contents))
    for epoch in whole.snapshot_epochs():
        same = [
            (run.path / f"snapshots/epoch_{epoch:07d}.pt").read_bytes() for run in (whole, resumed)
        ]
        assert same[0] == same[1]


@pytest.mark.parametrize("due", [0, 3])
def test_a_signal_before_the_first_epoch_or_after_the_last_stops_at_once(
    due: int, fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_grok.callbacks import WeightNorm

    def interrupted(self: WeightNorm, *arguments: Any) -> Any:
        if arguments[-1] is not False:  # a summary before the end
            signal.raise_signal(signal.SIGTERM)

    options = (*OFF, "--weight_norm.epochs=[0]")
    whole = fit(*options, name="whole")
    with monkeypatch.context() as patch:
        patch.setattr(WeightNorm, "measure" if due == 0 else "summarize", interrupted)
        with pytest.raises(SystemExit) as stopped:
            fit(*options)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert f"interrupted at epoch {due}; to go on" in capsys.readouterr().out
    resumed = fit(*options, "--resume")
    assert resumed.state == "finished"
    assert untimed(resumed) == untimed(whole)


@pytest.mark.slow
def test_resuming_a_finished_run_says_so_and_writes_nothing(
    fit: Fit, fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fitted()
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.name != ".lock"}
    fit("--resume")
    assert "is finished" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.name != ".lock"}


def test_the_newest_unfinished_run_is_resumed(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = fit(*OFF, name=""), fit(*OFF, name="")
    first = Run(second.path.parent / second.name.removesuffix("_2"))
    meta = first.path / "run.json"
    meta.write_text(meta.read_text().replace('"finished"', '"interrupted"'))
    fit(*OFF, "--resume", name="")
    assert f"resuming {first.path}" in capsys.readouterr().out
    assert first.state == "finished"
    fit(*OFF, "--resume", name="")
    assert f"{second.path} is finished" in capsys.readouterr().out


def test_a_torn_checkpoint_gives_way_to_the_one_before(fit: Fit) -> None:
    run = fit("--run.checkpoint_seconds=0", *OFF)
    folder = run.path / "checkpoints"
    torn = (folder / "last.ckpt").read_bytes()
    (folder / "last.ckpt").write_bytes(torn[: len(torn) // 2])
    found = newest_checkpoint(folder)
    assert found is not None
    assert found[0].name == "previous.ckpt"


def test_a_configuration_is_saved_as_it_can_be_given_again(
    fit: Fit, fitted: Fit, tmp_path: Path
) -> None:
    run = fitted(*OFF)
    again = fit(
        f"--config={run.path / 'config.yaml'}", f"--run.root={tmp_path}", "--run.name=again"
    )
    saved = [
        yaml.safe_load((r.path / "config.yaml").read_text()) for r in (run, Run(tmp_path / "again"))
    ]
    for config in saved:
        del config["run"]
    assert saved[0] == saved[1]
    assert again.path.exists()


def test_a_measurement_that_raises_is_logged_and_training_goes_on(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_grok.callbacks import LinearProbe

    def fail(*args: Any) -> None:
        raise RuntimeError("no such digits")

    monkeypatch.setattr(LinearProbe, "measure", fail)
    others = [option for option in OFF if "probe" not in option]
    with pytest.warns(UserWarning, match="training goes on"):
        run = fit(*others)
    assert run.state == "finished"
    errors = [event for event in run.events if event["event"] == "error"]
    assert [event["epoch"] for event in errors] == [0, 1, 2, 3]
    assert errors[0]["message"] == "RuntimeError: no such digits"
    with pytest.raises(RuntimeError, match="no such digits"):
        fit("--linear_probe.strict=true", *others, name="strict")


def test_a_diverged_loss_stops_with_one_line(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit("--model.optimizer=sgd", "--model.learning_rate=1e9", "--model.loss=mse", *OFF)
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: expected a finite loss, received")


def test_patience_counts_evaluations(fit: Fit) -> None:
    stopping = (
        '--trainer.callbacks+={"class_path": "EarlyStopping", "init_args": '
        '{"monitor": "test/accuracy", "mode": "max", "patience": 2, "min_delta": 10}}'
    )
    run = fit(stopping, "--trainer.max_epochs=60", "--evaluation.epochs=[0,10,20,30,40,60]", *OFF)
    # 10 sets the best value; 20 and 30 bring nothing; epochs without an evaluation don't count.
    assert run.epoch == 30


def test_memorization_is_said_above_the_progress_bar(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit("--model.weight_scale=1", "--data.batch_size=16", "--trainer.max_epochs=60", *OFF)
    memorized = run.meta["memorization"]
    assert memorized is not None
    printed = capsys.readouterr()
    assert f"memorization at epoch {memorized} (known at epoch " in printed.out
    assert "/60 [" in printed.err  # the bar itself

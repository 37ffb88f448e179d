"""``fit``, ``measure`` and the readers of runs with a module and data of one's own."""

import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from cifar_files import write_cifar
from small_runs import OFF, signaled, untimed

from lightning_grok.commands.main import main
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run, read_run

QUICK = (
    "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--run.figures=false",
    "--trainer.enable_model_summary=false", "--trainer.enable_progress_bar=false",
    "--umap.enabled=false", "--kernel_distance.enabled=false", "--linear_probe.draws=1",
    "--manifold_capacity.layers=[backbone.3]", "--manifold_capacity.restarts=1",
    "--manifold_capacity.num_vectors=10",
)  # fmt: skip
OWN = ("--model=own_training.Convolutions", "--data=own_training.Blobs")


def fit(root: Path, *arguments: str, name: str | None = "run") -> Run:
    place = [f"--run.root={root}", *([f"--run.name={name}"] if name else [])]
    main(["fit", *QUICK, *place, *arguments])
    return read_run(root / name if name else sorted(root.glob("*/run.json"))[-1].parent)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(tmp_path_factory.mktemp("own"), *OWN, "--model.width=3", name=None)


def test_a_module_of_ones_own_is_trained_and_measured(own: Run) -> None:
    assert (own.state, own.dataset, own.epoch) == ("finished", "Blobs", 2)
    assert own.name.startswith("Convolutions.")
    assert own.name.endswith("_seed0")
    for key in (
        "manifold_capacity/backbone.3/capacity", "linear_probe/own/network", "weight_norm/total",
        "val_acc",
    ):  # fmt: skip
        assert own.series(key)[0].tolist() == [0, 1, 2]
    assert own.series("test/accuracy")[0].tolist() == [1, 2]
    assert own.config["model"] == {
        "class_path": "own_training.Convolutions", "init_args": {"width": 3},
    }  # fmt: skip
    assert load_model(own.path, 2)(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


@pytest.mark.slow
def test_every_reader_serves_it(own: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(["runs", str(own.path.parent)])
    assert own.name[:20] in capsys.readouterr().out
    main(["figures", str(own.path), "--format=png"])
    assert (own.path / "figures" / "run.png").stat().st_size > 10_000
    main(["report", str(own.path), "--out", str(own.path.parent / "out")])
    assert "Convolutions" in next((own.path.parent / "out").glob("*.html")).read_text()


def test_measuring_afterwards_gives_the_live_numbers(own: Run) -> None:
    before = {key: own.series(key) for key in own.keys if "seconds" not in key}
    main(
        ["measure", str(own.path), "--manifold_capacity.enabled=true", "--weight_norm.strict=true"]
    )
    after = Run(own.path)
    for key, (epochs, values) in before.items():
        assert after.series(key)[0].tolist() == epochs.tolist(), key
        assert np.array_equal(after.series(key)[1], values, equal_nan=True), key


@pytest.mark.slow
def test_a_configuration_names_the_classes_and_a_run_is_resumed(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        yaml.safe_dump({
            "model": {"class_path": "own_training.Convolutions", "init_args": {"width": 3}},
            "data": {"class_path": "own_training.Blobs"},
        })
    )  # fmt: skip
    given = (f"--config={file}", "--run.checkpoint_seconds=0", "--trainer.max_epochs=4")
    whole = fit(tmp_path, *given, name="whole")
    with signaled(2, signal.SIGINT), pytest.raises(SystemExit):
        fit(tmp_path, *given, name="broken")
    resumed = fit(tmp_path, *given, "--resume", name="broken")
    assert resumed.state == "finished"
    assert untimed(resumed) == untimed(whole)
    assert resumed.setup == whole.setup
    other = fit(tmp_path, *given, "--model.init_args.width=4", name="other")
    assert other.setup != whole.setup
    assert other.meta["config_digest"] != whole.meta["config_digest"]
    seed = fit(tmp_path, *given, "--seed_everything=1", name="seed")
    assert seed.setup == whole.setup


def test_random_numbers_and_lines_go_on_where_a_run_was_left(tmp_path: Path) -> None:
    given = ("--model=own_training.Noisy", "--weight_norm.enabled=false", *OFF)
    points = ("--run.branch_points=[2]", "--trainer.max_epochs=3")
    trunk = fit(tmp_path, *given, *points, name="trunk")
    assert trunk.series("train_acc")[0].tolist() == [1, 2, 3]
    begins = (f"--run.branches={trunk.path}", "--run.from_epoch=2", "--run.name=branch")
    main(["fit", *begins, "--run.figures=false"])
    branch = read_run(tmp_path / "branch")
    assert untimed(branch) == untimed(trunk)


def test_a_branch_with_another_optimizer_or_schedule_of_its_module(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--model=own_training.Chosen", "--weight_norm.enabled=false", *OFF)
    points = ("--run.branch_points=[2]", "--trainer.max_epochs=3")
    trunk = fit(tmp_path, *given, *points, name="trunk")
    leave = ["fit", f"--run.branches={trunk.path}", "--run.from_epoch=2", "--run.figures=false"]

    def rate(name: str, *options: str) -> float:
        main([*leave, f"--run.name={name}", *options])
        assert read_run(tmp_path / name).state == "finished"
        last = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        return float(last["optimizer_states"][0]["param_groups"][0]["lr"])

    assert rate("same") == pytest.approx(0.01 / 8)
    assert untimed(read_run(tmp_path / "same")) == untimed(trunk)
    assert rate("gentle", "--model.gamma=0.9") == pytest.approx(0.01 / 4 * 0.9)
    assert rate("chained", "--model.milestone=1") == pytest.approx(0.01 / 4)
    assert rate("constant", "--model.decays=false") == 0.01
    assert rate("adam", "--model.adam=true") == 0.01
    said = capsys.readouterr()
    assert "begins without the trunk's moments: torch.optim.adamw.AdamW" in said.out + said.err
    for name, changes in (("second", "{second_moment: 0}"), ("steps", "{steps/backbone.0: 0}")):
        with pytest.raises(SystemExit):
            main([*leave, f"--run.name={name}", f"--run.set={changes}"])
        assert "expected an optimizer that keeps" in capsys.readouterr().err
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(("options", "expected"), [
    ((), 0.01 / 16),
    (("--model.milestone=3",), 0.01 / 16),
    (("--model.milestone=5",), 0.01 / 8),
    (("--model.gamma=0.9",), 0.01 / 4 * 0.9 * 0.9),
])  # fmt: skip
def test_a_branch_with_other_options_within_a_schedule_of_schedules(
    options: tuple[str, ...], expected: float, tmp_path: Path
) -> None:
    given = ("--model=own_training.Chosen", "--weight_norm.enabled=false", *OFF)
    points = ("--model.milestone=3", "--run.branch_points=[2]", "--trainer.max_epochs=3")
    trunk = fit(tmp_path, *given, *points, name="trunk")
    begins = (f"--run.branches={trunk.path}", "--run.from_epoch=2", "--run.name=branch")
    main(["fit", *begins, "--run.figures=false", *options])
    last = torch.load(tmp_path / "branch/checkpoints/last.ckpt", weights_only=True)
    assert last["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(expected)


def test_a_module_may_bring_its_loaders(tmp_path: Path) -> None:
    run = fit(tmp_path, "--model=own_training.Whole", "--trainer.max_epochs=1")
    assert (run.state, run.dataset) == ("finished", "own")
    assert run.meta["steps_per_epoch"] == 3
    assert run.meta["network"] == {}
    assert "data" not in run.config
    again = (f"--config={run.path}/config.yaml", f"--run.extends={run.path}", "--run.name=longer")
    assert fit(tmp_path, *again, "--trainer.max_epochs=2", name="longer").epoch == 2
    main(["measure", str(run.path), "--measure=participation_ratio"])
    measured = read_run(run.path)
    assert measured.series("participation_ratio/backbone.0")[0].tolist() == [0, 1]


def test_our_data_serve_another_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what it can't be measured by is refused before there is a directory."""
    images = ("--data.dataset=digits", "--data.train_size=64")
    with pytest.raises(SystemExit):
        fit(tmp_path, "--model=own_training.Convolutions", *images, name="bad")
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"error: \w+: expected inputs that Convolutions takes, received", error)
    assert not (tmp_path / "bad").exists()


def test_our_module_learns_other_data(tmp_path: Path) -> None:
    run = fit(
        tmp_path, "--data=XorCluster", "--model.hidden=[8]",
        "--manifold_capacity.layers=[layers.1]",
    )  # fmt: skip
    assert run.state == "finished"
    assert run.config["data"]["class_path"] == "lightning_grok.tasks.synthetic.XorCluster"
    assert run.meta["num_classes"] == 2
    assert run.series("test/accuracy")[0].tolist() == [0, 1, 2]


def test_a_small_network_learns_colored_images(tmp_path: Path) -> None:
    write_cifar(tmp_path / "data", "bin")
    own = [f"--model.network.{each}" for each in ("side=32", "in_channels=3", "channels=2")]
    run = fit(
        tmp_path, "--data=CIFAR10", f"--data.root={tmp_path / 'data'}", "--data.train_size=60",
        "--model.network=SmallCNN", *own, "--manifold_capacity.layers=[layers.5]",
    )  # fmt: skip
    assert (run.state, run.dataset) == ("finished", "CIFAR-10")
    assert len(run.series("manifold_capacity/layers.5/capacity")[0]) > 0


def test_a_model_without_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit(tmp_path, "--model=own_training.Convolutions", "--model.width=3")
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: expected training data, of a datamodule (--data=CLASS) or")
    assert said.endswith("received none of Convolutions")
    assert not any(tmp_path.iterdir())


def test_a_module_that_steps_by_hand_is_trained(tmp_path: Path) -> None:
    run = fit(tmp_path, "--model=own_training.ByHand")
    assert (run.state, run.epoch, run.meta["steps_per_epoch"]) == ("finished", 2, 3)
    assert run.series("test/accuracy")[0].tolist() == [1, 2]


def test_loaders_without_a_length_are_trained_and_measured_on(tmp_path: Path) -> None:
    run = fit(tmp_path, OWN[0], "--data=own_training.Streamed")
    assert (run.state, run.epoch, run.meta["steps_per_epoch"]) == ("finished", 2, 3)
    assert run.series("weight_norm/total")[0].tolist() == [0, 1, 2]


def test_a_function_that_says_nothing_of_types_chooses_the_output(tmp_path: Path) -> None:
    chosen = "own_training.logits"
    run = fit(
        tmp_path, "--model=own_training.Answers", "--kernel_distance.enabled=true",
        f"--kernel_distance.output={chosen}", f"--linear_probe.output={chosen}",
        "--manifold_capacity.layers=[backbone.3]",
    )  # fmt: skip
    assert len(run.series("kernel_distance/full/own")[0]) == 3
    assert len(run.series("linear_probe/own/network")[0]) == 3


def test_nothing_is_said_of_accuracies_that_nobody_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import own_training

    monkeypatch.setattr(own_training.Convolutions, "log", lambda *_, **__: None)
    fit(tmp_path, *OWN)
    said = capsys.readouterr().out
    assert "No accuracies of training and held-out data" in said
    assert "not grokked" not in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((OWN[0], "--data=own_training.Several"), "no `dataloader_idx` argument in `Conv"),
        (("--model=own_training.TwoAtOnce",), "multiple optimizers is only supported with"),
    ],
)
def test_what_lightning_refuses_is_one_line(
    given: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit(tmp_path, *given)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert message in said
    assert not any(tmp_path.iterdir())


def test_an_error_of_ones_own_module_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import own_training

    def broken(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("several", torch.ones(2))

    monkeypatch.setattr(own_training.Whole, "training_step", broken)
    with pytest.raises(ValueError, match="the tensor must have a single element"):
        fit(tmp_path, "--model=own_training.Whole")


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_data_without_a_held_out_part_are_trained_and_measured_on(tmp_path: Path) -> None:
    run = fit(tmp_path, "--model=own_training.Convolutions", "--data=own_training.TrainingBlobs")
    assert (run.state, run.epoch) == ("finished", 2)
    assert run.series("manifold_capacity/backbone.3/capacity")[0].tolist() == [0, 1, 2]
    assert "test/accuracy" not in run.keys

"""A run that begins with a shorter one ends as if it had been as long from the start."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from small_runs import Fit, untimed

from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.extension import longer
from lightning_grok.runs.run import Run

SLIM = [f"--{group}.enabled=false" for group in ("manifold_capacity", "linear_probe", "umap")]
BARE = [*SLIM, "--kernel_distance.enabled=false"]
LONG = [*SLIM, "--trainer.max_epochs=7"]


def content(run: Run) -> dict[str, Any]:
    """Log lines without wall-clock values, and the bytes of all weights and arrays."""
    files = [*run.path.glob("snapshots/*"), *run.path.glob("arrays/*/*")]
    return {"log": untimed(run), **{str(f.relative_to(run.path)): f.read_bytes() for f in files}}


@pytest.mark.slow
def test_it_ends_bit_for_bit_as_one_of_full_length(
    fit: Fit, fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    short = fitted(*SLIM, name="short")
    before = {p: p.read_bytes() for p in short.path.rglob("*") if p.is_file()}
    whole, long = fit(*LONG, name="whole"), fit(*LONG, f"--run.extends={short.path}", name="long")
    assert f"{long.path} begins with the 3 epochs of {short.path}" in capsys.readouterr().out
    assert content(long) == content(whole)
    assert long.meta["config_digest"] == whole.meta["config_digest"]
    assert (long.meta["extends"], long.meta["max_epochs"]) == (str(short.path), 7)
    assert long.config["trainer"]["max_epochs"] == 7
    assert before == {p: p.read_bytes() for p in short.path.rglob("*") if p.is_file()}


def test_exact_pairs_of_the_shorter_run_are_not_the_longers(fitted: Fit) -> None:
    short = fitted(*SLIM, name="short")
    assert (short.path / "arrays/kernel_distance/pairwise.npz").exists()
    directory = RunDirectory.create(short.path.parent, "long", numbered=False)
    config = short.config
    config["trainer"]["max_epochs"] = 7
    found = longer(short.path, config, {})
    found.copy_to(directory, config, found.of_the_run())
    directory.close()
    copied = sorted(path.name for path in directory.path.glob("arrays/*/*"))
    assert copied == sorted(
        path.name for path in short.path.glob("arrays/*/*") if path.name != "pairwise.npz"
    )


@pytest.mark.slow
def test_epochs_may_be_added_after_the_end(fit: Fit) -> None:
    short = fit(*SLIM, "--weight_norm.epochs=[0,2]", name="short")
    long = fit(*LONG, "--weight_norm.epochs=[0,2,5]", f"--run.extends={short.path}", name="long")
    assert long.series("weight_norm/total")[0].tolist() == [0, 2, 5]


def test_what_was_measured_afterwards_stays_with_the_shorter_run(fit: Fit, fitted: Fit) -> None:
    from lightning_grok.commands.main import main

    short = fitted(*BARE, name="short")
    main(["measure", str(short.path), "--linear_probe.enabled=true", "--linear_probe.draws=2"])
    assert "linear_probe" in {event["event"] for event in Run(short.path).events}
    long = fit(*BARE, *LONG, f"--run.extends={short.path}", name="long")
    assert "linear_probe" not in {event["event"] for event in long.events}
    assert not (long.path / "arrays" / "linear_probe").exists()


def test_one_whose_own_measurements_were_replaced_is_refused(
    fit: Fit, fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_grok.commands.main import main

    short = fitted(*BARE, name="short")
    main(["measure", str(short.path), "--weight_norm.epochs=[0,3]"])
    with pytest.raises(SystemExit):
        fit(*BARE, *LONG, f"--run.extends={short.path}", name="long")
    assert "weight_norm of" in capsys.readouterr().err


def test_one_whose_failed_measurement_was_made_up_for_is_refused(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_grok.callbacks import WeightNorm
    from lightning_grok.commands.main import main

    def fail(self: WeightNorm, *arguments: Any) -> None:
        raise RuntimeError  # any other error is refused before a run begins

    with monkeypatch.context() as patch:
        patch.setattr(WeightNorm, "measure", fail)
        with pytest.warns(UserWarning, match="weight_norm at epoch"):
            short = fit(*BARE, name="short")
    main(["measure", str(short.path), "--weight_norm.enabled=true"])
    with pytest.raises(SystemExit):
        fit(*BARE, *LONG, f"--run.extends={short.path}", name="long")
    assert "weight_norm of" in capsys.readouterr().err


def test_a_run_without_a_last_epoch_may_begin_with_another(fitted: Fit) -> None:
    short = fitted(*BARE, name="short")
    config = short.config
    config["trainer"]["max_epochs"] = None
    assert longer(short.path, config, {}).epoch == 3


@pytest.mark.slow
def test_one_that_died_before_its_checkpoint_begins_at_the_start(fit: Fit, fitted: Fit) -> None:
    short = fitted(*SLIM, name="short")
    long = fit(*LONG, f"--run.extends={short.path}", name="long")
    expected = content(long)
    shutil.rmtree(long.path / "checkpoints")
    long.path.joinpath("run.json").write_text(
        (long.path / "run.json").read_text().replace('"finished"', '"interrupted"')
    )
    again = fit(*LONG, f"--run.extends={short.path}", "--resume", name="long")
    assert content(again) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trainer.max_epochs=3"], "expected trainer.max_epochs above the 3 epochs of"),
        (["--model.weight_scale=7"], "received another model.weight_scale: 7.0 instead of 10.0"),
        (["--weight_norm.epochs=[0,1,5]"], "received another weight_norm.epochs: [0, 1, 5]"),
        (["--seed_everything=1"], "received another seed_everything: 1 instead of 0"),
    ],
)
def test_anything_else_is_refused_in_one_line(
    options: list[str], message: str, fit: Fit, fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    short = fitted(*BARE, name="short")
    with pytest.raises(SystemExit) as stopped:
        fit(*BARE, *LONG, f"--run.extends={short.path}", *options, name="long")
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (short.path.parent / "long").exists()


def test_a_folder_that_is_no_run_is_refused(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fit(*LONG, f"--run.extends={tmp_path}", name="long")
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == f"error: run.extends: expected the directory of a run, received {tmp_path}"


def test_a_run_that_a_callback_stopped_is_refused(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    stopping = (
        '--trainer.callbacks+={"class_path": "EarlyStopping", "init_args": {"monitor": '
        '"test/accuracy", "mode": "max", "patience": 1, "min_delta": 10}}'
    )
    short = fit(*BARE, stopping, name="short")
    assert newest_checkpoint(short.path / "checkpoints") is not None
    with pytest.raises(SystemExit):
        fit(*BARE, *LONG, stopping, f"--run.extends={short.path}", name="long")
    assert "but a callback stopped" in capsys.readouterr().err

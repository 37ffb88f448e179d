"""Measuring beside training: the numbers of inline measuring, also after a kill or a resume."""

from pathlib import Path

import numpy as np
import psutil
import pytest
from small_runs import Fit

from lightning_grok.commands.beside import Beside
from lightning_grok.commands.main import main
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.run import Run, read_run

# Questions and answers of so wide a network are longer than what a pipe holds.
ALL = (
    "--model.hidden=[512,512]",
    "--manifold_capacity.enabled=true",
    "--run.checkpoint_seconds=0",
)


def expect_equal(one: Run, other: Run) -> None:
    """All series and arrays, bit for bit; times apart."""
    keys = {key for key in one.keys if "seconds" not in key}
    assert keys == {key for key in other.keys if "seconds" not in key}
    for key in keys:
        for mine, theirs in zip(one.series(key), other.series(key), strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=key)
    assert one.with_arrays == other.with_arrays
    for name in one.with_arrays:
        mine, theirs = one.arrays(name), other.arrays(name)
        assert mine.keys() == theirs.keys()
        for epoch, arrays in mine.items():
            for key, array in arrays.items():
                np.testing.assert_array_equal(array, theirs[epoch][key], err_msg=f"{name}/{key}")
    pairs = [run.array("kernel_distance", "pairwise") for run in (one, other)]
    assert pairs[0].keys() == pairs[1].keys() != set()
    assert all(np.array_equal(pairs[0][key], pairs[1][key]) for key in pairs[0])


@pytest.mark.slow
def test_beside_gives_the_numbers_of_inline_also_when_killed_or_resumed(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inline = fit(*ALL, name="inline")
    beside = fit(*ALL, "--run.measure=beside", name="beside")
    assert beside.state == "finished"
    expect_equal(inline, beside)
    assert not psutil.Process().children() or all(
        "spawn_main" not in " ".join(child.cmdline()) for child in psutil.Process().children()
    )

    plain = Beside.on_train_epoch_end

    def stopped(self: Beside, trainer: object, module: object) -> None:
        raise KeyboardInterrupt  # before anything is answered

    monkeypatch.setattr(Beside, "on_train_epoch_end", stopped)
    with pytest.raises(SystemExit):
        fit(*ALL, "--run.measure=beside", name="broken")

    def killed(self: Beside, trainer: object, module: object) -> None:
        if self._starts == 1:
            self._process.kill()
        plain(self, trainer, module)

    monkeypatch.setattr(Beside, "on_train_epoch_end", killed)
    capsys.readouterr()
    resumed = fit(*ALL, "--run.measure=beside", "--resume", name="broken")
    assert "waiting for" in capsys.readouterr().out
    expect_equal(inline, resumed)


@pytest.mark.slow
def test_questions_without_an_answer_go_with_the_checkpoint(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*ALL, "--weight_norm.every_n_steps=3", "--run.branch_points=[2]")
    inline = fit(*options, name="inline")
    with monkeypatch.context() as late:
        late.setattr(Beside, "on_train_epoch_end", lambda *_: None)  # none before the end
        beside = fit(*options, "--run.measure=beside", name="beside")
    expect_equal(inline, beside)
    later = "--trainer.max_epochs=4"
    for begin in (
        ("--run.branches=", "--run.from_epoch=2", "--model.weight_decay=0", later),
        ("--run.extends=", later),
    ):
        trunks = [f"{begin[0]}{run.path}" for run in (inline, beside)]
        capsys.readouterr()
        one, other = (fit(*options, each, *begin[1:], name="") for each in trunks)
        assert "waiting for" in capsys.readouterr().out
        expect_equal(one, other)


@pytest.mark.slow
def test_an_error_beside_is_an_event_and_at_the_initialization_a_refusal(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fails.py").write_text(
        "import os\n\n\n"
        "def later(weight):\n"
        "    if os.path.exists('called'):\n"
        "        raise ValueError('no more')\n"
        "    open('called', 'w').close()\n"
        "    return 1.0\n\n\n"
        "def no_start(weight):\n"
        "    if not os.path.exists('begun'):\n"
        "        open('begun', 'w').close()\n"
        "        raise ArithmeticError('not yet')\n"
        "    return 1.0\n\n\n"
        "def at_once(weight):\n"
        "    raise ValueError('never')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    call = (
        '--trainer.callbacks+={"class_path": "lightning_grok.callbacks.WeightMeasurement", '
        '"init_args": {"function": "fails.%s", "weights": ["layers.0.weight"]}}'
    )
    off = ("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    with pytest.warns(UserWarning, match="later at epoch . failed, training goes on"):
        run = fit(*off, "--run.measure=beside", call % "later")
    errors = [event for event in run.events if event["event"] == "error"]
    assert [event["epoch"] for event in errors] == [1, 2, 3]
    assert all("ValueError: no more" in event["message"] for event in errors)
    assert run.series("later/layers.0.weight")[0].tolist() == [0]

    with pytest.warns(UserWarning, match="no_start at epoch 0 failed, training goes on"):
        run = fit(*off, "--run.measure=beside", call % "no_start", name="passing")
    assert run.series("no_start/layers.0.weight")[0].tolist() == [1, 2, 3]

    with pytest.raises(SystemExit) as stopped:
        fit(*off, "--run.measure=beside", call % "at_once", name="refused")
    assert stopped.value.code == 2
    assert "that at_once can measure, received: ValueError: never" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_callback_waits_for_is_measured_in_time(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    stops = (
        '--trainer.callbacks+={"class_path": "EarlyStopping", "init_args": {"monitor": '
        '"weight_norm/total", "mode": "max", "stopping_threshold": 0.0}}',
        "--weight_norm.enabled=true",
    )
    inline = fit(*ALL, *stops, name="inline")
    capsys.readouterr()
    beside = fit(*ALL, *stops, "--run.measure=beside", name="beside")
    assert "weight_norm is measured inline: EarlyStopping waits for it" in capsys.readouterr().out
    assert inline.epoch == beside.epoch == 1
    expect_equal(inline, beside)


@pytest.mark.slow
def test_what_a_modules_own_scheduler_waits_for_is_measured_in_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    off = [f"--{name}.enabled=false" for name in ("kernel_distance", "manifold_capacity", "umap")]
    runs = []
    for measure in ("inline", "beside"):
        main([
            "fit", "--model=own_training.Plateau", "--trainer.max_epochs=4",
            "--linear_probe.draws=1", "--trainer.accelerator=cpu", "--run.figures=false",
            f"--run.root={tmp_path}", f"--run.name={measure}", f"--run.measure={measure}", *off,
        ])  # fmt: skip
        runs.append(read_run(tmp_path / measure))
    said = capsys.readouterr().out
    assert said.count("weight_norm is measured inline: ReduceLROnPlateau waits for it") == 1
    (_, one), (_, other) = (run.series("weight_norm/total") for run in runs)
    assert one.tolist() == other.tolist()
    rates = [newest_checkpoint(run.path / "checkpoints")[1]["optimizer_states"] for run in runs]
    assert rates[0][0]["param_groups"][0]["lr"] == rates[1][0]["param_groups"][0]["lr"] < 0.01

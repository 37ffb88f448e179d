"""Runs that are broken on purpose: quick ones of what `python -m benchmarks.faults` counts."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import OFF, Fit, signaled, untimed

from benchmarks.faults import kills, names, wandb_faults
from benchmarks.faults.disk import WHEN, at_the_start, in_mid_run
from benchmarks.faults.mistyped import mistyped
from benchmarks.faults.process import Outcome, Skipped, unequal
from lightning_grok.commands.sweep_cluster import threads_of
from lightning_grok.errors import InputError
from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run, read_run


def kept(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.times > 0
        assert outcome.passed == outcome.times, outcome.seen


def killed(run: Run) -> None:
    """Make of a finished run what a kill after its last checkpoint leaves."""
    found = newest_checkpoint(run.path / "checkpoints")
    assert found is not None
    os.truncate(run.path / "events.jsonl", found[1]["callbacks"]["RunCheckpoint"]["log_size"])
    (run.path / "run.json").write_text(json.dumps(run.meta | {"state": "running"}))


@pytest.mark.slow
def test_a_run_killed_after_its_last_checkpoint_still_comes_to_its_end(fit: Fit) -> None:
    run = fit("--linear_probe.enabled=false")
    whole = untimed(run)
    killed(run)
    assert untimed(read_run(run.path)) != whole
    resumed = fit("--linear_probe.enabled=false", "--resume")
    assert resumed.state == "finished"
    assert untimed(resumed) == whole


def test_a_run_that_a_callback_stopped_is_not_trained_further(fit: Fit) -> None:
    stop = (
        '--trainer.callbacks+={"class_path": "EarlyStopping", "init_args": {"monitor": '
        '"test/accuracy", "mode": "max", "stopping_threshold": 0.0}}'
    )
    options = (*OFF, stop, "--trainer.max_epochs=20")
    run = fit(*options)
    whole = untimed(run)
    killed(run)
    assert untimed(fit(*options, "--resume")) == whole


def test_a_second_signal_stops_at_once_and_the_run_goes_on_from_its_checkpoint(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*OFF, "--trainer.max_epochs=12", "--run.checkpoint_seconds=0")
    whole = fit(*options, name="whole")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signals = (signal.SIGTERM, signal.SIGTERM, signal.SIGINT)  # `timeout` sends the same twice
    with signaled(7, *signals), pytest.raises(SystemExit) as stopped:
        fit(*options, name="broken")
    assert before == {number: signal.getsignal(number) for number in before}
    assert stopped.value.code == 130
    assert "--resume" in capsys.readouterr().out.splitlines()[-1]
    broken = read_run(whole.path.parent / "broken")
    assert (broken.state, broken.meta["epoch"]) == ("interrupted", 6)
    resumed = fit(*options, "--resume", name="broken")
    assert untimed(resumed) == untimed(whole)
    found = [newest_checkpoint(run.path / "checkpoints") for run in (whole, resumed)]
    weights = [each[1]["state_dict"] for each in found if each]
    assert not list(unequal(*weights))


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_ends_the_epoch_unless_the_run_is_to_survive_it(
    fit: Fit, ignored: bool
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    twice = signal.SIGHUP, signal.SIGHUP  # by the terminal and by the shell
    try:
        if ignored:
            with signaled(3, *twice):
                assert fit(*OFF, "--trainer.max_epochs=5").state == "finished"
            return
        with signaled(3, *twice), pytest.raises(SystemExit) as stopped:
            fit(*OFF, "--trainer.max_epochs=5")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stopped.value.code == 128 + signal.SIGHUP


@pytest.mark.parametrize("clock", ["monotonic", "perf_counter"])
def test_a_clock_that_jumps_back_gives_no_negative_time(
    clock: str, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = getattr(time, clock)
    calls = itertools.count()
    monkeypatch.setattr(time, clock, lambda: plain() - 100 * next(calls))
    run = fit(*OFF)
    times = {k: v for e in run.events for k, v in e.items() if k.endswith("seconds")}
    assert times
    assert min(times.values()) >= 0
    assert run.meta["seconds"] >= 0
    assert min(run.costs().values()) >= 0


def test_other_threads_are_said_and_kept(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit(*OFF)
    assert "machines" not in run.meta
    assert threads_of(run.path) == torch.get_num_threads()
    now = run.meta["machine"]
    meta = run.meta | {"state": "interrupted", "machine": "x86_64, 64 threads"}
    (run.path / "run.json").write_text(json.dumps(meta))
    resumed = fit(*OFF, "--resume")
    assert "64 threads and goes on with" in capsys.readouterr().out
    assert resumed.meta["machines"] == [{"epoch": 3, "machine": now}]
    assert threads_of(run.path) == 64


def test_nothing_to_resume_is_said_and_a_run_begun(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()  # of a process that died at once
    assert fit(*OFF, "--resume").state == "finished"
    assert f"nothing to resume in {tmp_path}" in capsys.readouterr().out


def test_nothing_half_written_is_left_after_a_resume(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    torn = directory.path / "arrays" / "umap" / ".0000003.77.part.npz"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"PK")
    directory.rewind(0, 3)
    assert not torn.exists()
    directory.close()


def test_a_directory_that_died_at_once_is_used_again_and_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "dead").mkdir()
    directory = RunDirectory.create(tmp_path, "dead", numbered=True)
    assert directory.name == "dead"
    assert RunDirectory.create(tmp_path, "dead", numbered=True).name == "dead_2"
    with pytest.raises(InputError, match="another process"):
        RunDirectory.create(tmp_path, "dead", numbered=False)
    directory.close()


def test_a_folder_of_somebody_is_never_taken_for_a_run(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    for name in ("config.yaml", "point/run.json", "point/.run.7.part.json"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("{}")
    with pytest.raises(SystemExit):
        fit(*OFF, name="mine")
    assert f"{mine} exists" in capsys.readouterr().err
    with pytest.raises(SystemExit):  # fails before the first line of its log
        fit(*OFF, "--evaluation.epochs=[99]", name="mine")
    directory = RunDirectory.create(tmp_path, "mine", numbered=True)
    assert directory.name == "mine_2"
    directory.close()
    kept = sorted(str(path.relative_to(mine)) for path in mine.rglob("*") if path.is_file())
    assert kept == ["config.yaml", "point/.run.7.part.json", "point/run.json"]


@pytest.mark.slow
def test_a_fit_that_fails_at_its_start_leaves_nothing_of_wandb_either(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(SystemExit):
        fit(*OFF, "--evaluation.epochs=[99]")
    assert list(tmp_path.iterdir()) == []


def test_the_log_takes_back_a_line_that_does_not_fit(tmp_path: Path) -> None:
    program = """if True:
        import resource, sys
        from pathlib import Path
        from lightning_grok.runs.directory import RunDirectory
        directory = RunDirectory.create(Path(sys.argv[1]), "run", numbered=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            for epoch in range(100):
                directory.log("evaluation", epoch, epoch, {"test/loss": 1.0})
        except OSError as error:
            print(epoch, error.filename)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        directory.log("evaluation", epoch, epoch, {"test/loss": 1.0})
    """
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    epoch, filename = done.stdout.split()
    assert filename == str(tmp_path / "run" / "events.jsonl")
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(int(epoch) + 1))


def test_differences_are_found_bit_by_bit() -> None:
    one: dict[str, Any] = {"a": torch.tensor([0.0, torch.nan]), "b": [np.arange(3), 1.0, "x"]}
    assert not list(unequal(one, one | {"a": one["a"].clone()}))
    for other, path in (
        (one | {"a": torch.tensor([-0.0, torch.nan])}, "/a"),
        (one | {"b": [np.arange(3), 1.0 + 1e-15, "x"]}, "/b/1"),
        (one | {"b": [np.arange(3.0), 1.0, "x"]}, "/b/0"),
        (one | {"b": [np.arange(3), 1.0]}, "/b"),
        (one | {"c": 1}, "/c"),
    ):
        assert [where for where, _ in unequal(one, other)] == [path]


def test_a_missing_file_of_a_measurement_is_no_full_disk(fit: Fit, tmp_path: Path) -> None:
    broken = {
        "class_path": "lightning_grok.callbacks.LayerMeasurement",
        "init_args": {
            "function": "benchmarks.faults.broken.raises",
            "arguments": {"kind": "FileNotFoundError"},
        },
    }
    with pytest.warns(UserWarning, match="training goes on"):
        run = fit(*OFF, f"--trainer.callbacks+={json.dumps(broken)}")
    assert run.state == "finished"
    assert {e["epoch"] for e in run.events if e["event"] == "error"} == {0, 1, 2, 3}


@pytest.mark.parametrize("value", ["nan", pytest.param("inf", marks=pytest.mark.slow)])
def test_weights_spoiled_by_the_last_step_of_an_epoch_are_not_kept(
    fit: Fit, value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spoil = {
        "class_path": "benchmarks.faults.broken.Spoil",
        "init_args": {"epoch": 7, "value": value},
    }
    with pytest.raises(SystemExit) as stopped:
        fit(
            *OFF, f"--trainer.callbacks+={json.dumps(spoil)}",
            "--run.checkpoint_seconds=0", "--trainer.max_epochs=20",
        )  # fmt: skip
    assert stopped.value.code == 2
    assert "in epoch 7: a learning rate" in capsys.readouterr().err.splitlines()[-1]
    run = read_run(tmp_path / "run")
    found = newest_checkpoint(run.path / "checkpoints")
    assert found is not None
    assert (found[0].name, found[1]["epoch"] + 1, run.state) == ("last.ckpt", 6, "failed")


@pytest.mark.slow
def test_umap_maps_where_its_machine_code_can_be_kept_nowhere(tmp_path: Path) -> None:
    program = """if True:
        import numba.core.caching as caching
        caching.CacheImpl._locator_classes = [caching.UserProvidedCacheLocator]
        from lightning_grok.geometry import compile_umap
        compile_umap()
    """
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    subprocess.run(
        [sys.executable, "-c", program], env=environment | {"TMPDIR": str(tmp_path)}, check=True
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_directories_of_one_name_made_at_once(tmp_path: Path) -> None:
    assert names.race(tmp_path, rounds=10) == ""


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    try:
        kept([at_the_start(tmp_path, 1)])
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
@pytest.mark.parametrize("when", WHEN)
def test_a_disk_that_fills_up(tmp_path: Path, when: str) -> None:
    try:
        kept([in_mid_run(tmp_path, when, 1)])
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
def test_a_server_that_accepts_and_hangs(tmp_path: Path) -> None:
    kept(wandb_faults.wandb(tmp_path, ["server accepts and hangs"]))


@pytest.mark.slow
def test_a_server_that_fails_and_a_helper_that_dies(tmp_path: Path) -> None:
    killed = [f"helper process killed in mid-run, {mode}" for mode in ("online", "offline")]
    chosen = ["server answers 500 in mid-run", *killed]
    kept(wandb_faults.wandb(tmp_path, chosen))


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    kept(kills.kill(tmp_path, kills=3, stops=0, seed=1))


@pytest.mark.slow
def test_two_runs_with_one_name_at_once(tmp_path: Path) -> None:
    kept(names.names(tmp_path, times=1, races=1))


@pytest.mark.slow
def test_typing_mistakes_of_every_kind_are_answered_in_a_line(tmp_path: Path) -> None:
    outcomes = mistyped(tmp_path, 2, seed=1)
    assert len(outcomes) == 8
    kept(outcomes)

"""The small commands, on runs that a test writes or trains."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lightning_grok.commands.main import main
from lightning_grok.commands.runs import runs_table
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run


def write_run(root: Path, name: str, delay: float) -> Path:
    """A finished run that memorizes at epoch 10 and generalizes at 10 * delay."""
    directory = RunDirectory.create(root, name, numbered=False)
    directory.update_meta(
        name=name, dataset="EMNIST balanced", setup="AdamW-10-1000-1-0.001", seed=3,
        state="finished",
    )  # fmt: skip
    for epoch in (0, *np.unique(np.geomspace(1, 10_000, 120).round()).astype(int).tolist()):
        test = 0.2 + 0.6 / (1 + (10 * delay / max(epoch, 1)) ** 8)
        values = {"train/accuracy": min(1.0, epoch / 10), "test/accuracy": test}
        directory.log("evaluation", epoch, 8 * epoch, values)
    directory.close()
    return directory.path


def test_runs_are_listed_with_their_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "late", delay=100)
    write_run(tmp_path, "early", delay=2)
    main(["runs", str(tmp_path), "--json"])
    early, late = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (early["run"], late["run"]) == ("early", "late")
    assert late["memorization"] == pytest.approx(10, abs=1)
    assert late["half"] == pytest.approx(1000, rel=0.05)
    assert late["final_level"] == pytest.approx(0.8, abs=0.01)
    assert (late["grokked"], early["grokked"]) == (True, False)
    main(["runs", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "run", "dataset", "setup", "seed", "state", "epoch", "accuracy", "duration", "date",
        "outcome",
    ]  # fmt: skip
    assert "AdamW-10-1000-1-0.001" in lines[2]
    assert "finished" in lines[2]
    assert lines[2].endswith(late["outcome"])
    assert f"half at {late['half']:,}" in late["outcome"]
    main(["runs", str(tmp_path / "late"), "--json"])
    assert json.loads(capsys.readouterr().out) == late


@pytest.mark.parametrize("width", [30, 50, 80, 100, 140])
def test_a_table_of_runs_fits_the_terminal(width: int) -> None:
    row = {
        "run": "runs/EMNIST balanced_AdamW-10-1000-1-0.001_seed0", "dataset": "EMNIST balanced",
        "setup": "AdamW-10-1000-1-0.001", "seed": 0, "state": "finished", "epoch": 10_000,
        "accuracy": 0.6812, "outcome": "Memorized at 316, generalized at 3162",
        "seconds": 3725.4, "created": "2026-11-28T20:59:27.123+00:00",
    }  # fmt: skip
    lines = runs_table([row, row | {"run": "short", "accuracy": None}], width)
    assert max(map(len, lines)) <= max(width, 40)
    assert lines[1].split("  ")[0].endswith("seed0")
    for kept in ("finished", "68.1 %"):
        assert kept in lines[1]
    whole = runs_table([row], None)[1]
    for text in (row["run"], "1:02:05", "2026-11-28 20:59", "68.1 %", row["outcome"]):
        assert text in whole


def test_a_folder_that_is_nearly_right_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "late", delay=100)
    commands = ([name] for name in ("figures", "report", "verdict", "runs"))
    for line in (*commands, ["dashboard", str(tmp_path), "--run=laet"]):
        near = [] if line[0] == "dashboard" else [str(tmp_path / "laet")]
        with pytest.raises(SystemExit):
            main([*line, *near])
        assert f"(did you mean {tmp_path / 'late'}?)" in capsys.readouterr().err


def test_a_whole_run_that_logs_nothing_at_its_end_is_not_called_damaged(
    fit: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    groups = ("kernel_distance", "manifold_capacity", "linear_probe", "umap", "weight_norm")
    run = fit(*(f"--{group}.enabled=false" for group in groups), "--evaluation.epochs=[0,1]")
    assert (run.epoch, run.meta["epoch"], run.damage) == (1, 3, "")
    capsys.readouterr()
    main(["runs", str(run.path.parent)])
    assert capsys.readouterr().err == ""


def test_figures_of_a_run_in_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(tmp_path, "late", delay=100)
    main(["figures", str(path), "--format=png"])
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert path / "figures" / "run.png" in written
    assert all(file.stat().st_size > 1000 for file in written)
    with pytest.raises(SystemExit):
        main(["figures", str(tmp_path)])
    assert "expected the directory of a run" in capsys.readouterr().err


def test_a_folder_without_runs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["runs", str(tmp_path)])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: expected a run or a folder with runs")
    assert said.endswith(
        "(one is made by python -m lightning_grok fit --config modular/quadratic)\n"
    )

"""What a fit does when its run has come to the end, and something stands in the way."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import OFF, Fit

from lightning_grok.commands.ending import say_how_it_went
from lightning_grok.commands.main import main
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.failures import failed_measurements
from lightning_grok.runs.run import Run, read_run


@pytest.mark.parametrize(
    ("error", "said"), [(KeyboardInterrupt(), "interrupted"), (OSError(28, "no room"), "no room")]
)
def test_a_run_without_figures_is_whole(
    fit: Fit,
    error: BaseException,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(path: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("lightning_grok.figures.write_run_figures", interrupted)
    run = fit(*OFF, "--run.figures=true")
    assert run.state == "finished"
    assert f"figures: not written ({said})" in capsys.readouterr().out.replace("[Errno 28] ", "")


def test_a_measurement_that_always_failed_is_what_is_said_first(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {
        "class_path": "lightning_grok.callbacks.LayerMeasurement",
        "init_args": {
            "function": "benchmarks.faults.broken.raises",
            "arguments": {"kind": "RuntimeError"},
        },
    }
    with pytest.warns(UserWarning, match="training goes on"):
        run = fit(*OFF, f"--trainer.callbacks+={json.dumps(broken)}")
    said = capsys.readouterr().out.splitlines()
    first = next(line for line in said if not line.startswith("writing"))
    assert first.startswith("INCOMPLETE: raises failed at every epoch at which it was due (4 times")
    assert "out of luck" in first
    main(["runs", str(run.path.parent)])
    assert "finished, no raises" in capsys.readouterr().out


def test_a_measurement_that_failed_once_is_not_missing(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    failed = {"measurement": "umap", "message": "ValueError: no"}
    for epoch in range(3):
        directory.log("error", epoch, epoch, failed)
    assert failed_measurements(Run(directory.path)) == {"umap": "3 times, ValueError: no"}
    directory.log("umap", 3, 3, {"umap/seconds": 1.0})
    assert not failed_measurements(Run(directory.path))
    directory.close()


def test_a_run_that_diverged_says_why_and_where_it_comes_from(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fit(*OFF, "--model.learning_rate=1e9", "--run.checkpoint_seconds=1000")
    meta = read_run(tmp_path / "run").meta
    assert meta["reason"].startswith("expected a finite loss, received ")
    assert meta["reason"].endswith("of checkpoints there is none before it")
    assert meta["command"].startswith("python -m lightning_grok")
    assert torch.__version__.startswith(meta["libraries"]["torch"])
    assert meta["host"]
    capsys.readouterr()
    main(["runs", str(tmp_path), "--json"])
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (row["state"], row["reason"], row["host"]) == ("failed", meta["reason"], meta["host"])
    main(["runs", str(tmp_path)])
    assert meta["reason"] in capsys.readouterr().out


def test_the_end_of_a_run_says_what_is_to_be_seen_and_how_to_extend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    directory.update_meta(state="finished", num_classes=10, test_samples=1000, seconds=1.0)
    for epoch in np.unique(np.geomspace(1, 1000, 72).round().astype(int)).tolist():
        test = 0.1 + 0.4 * max(0.0, math.log10(epoch / 100))
        values = {"train/accuracy": float(epoch >= 10), "test/accuracy": test}
        directory.log("evaluation", epoch, epoch, values)
    directory.close()
    say_how_it_went(directory.path, figures=False, report=False)
    first, second, command, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Memorized at 10; ")
    assert first.endswith("test accuracy still rising (50 %)")
    assert second == "no final level yet; extend with"
    assert "--trainer.max_epochs=2000" in command
    assert f"--run.extends={directory.path}" in command

"""What a fit does when its run has come to the end, and something stands in the way."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_grok.commands.main import main
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.failures import failed_measurements
from lightning_grok.runs.run import Run

Fit = Callable[..., Run]
OFF = [
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
]


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
    def interrupted(path: object) -> None:
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
            "arguments": {"kind": "LinAlgError"},
        },
    }
    with pytest.warns(UserWarning, match="training goes on"):
        run = fit(*OFF, f"--trainer.callbacks+={json.dumps(broken)}")
    said = capsys.readouterr().out.splitlines()
    first = next(line for line in said if not line.startswith("writing"))
    assert first.startswith("INCOMPLETE: raises failed at every epoch at which it was due (4 times")
    assert "Singular matrix" in first
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

"""A run's few numbers, against curves whose event times are known."""

import math
from pathlib import Path

import numpy as np
import pytest

from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run
from lightning_grok.runs.summary import run_summary
from lightning_grok.schedule import log_spaced


def rise(epoch: float, middle: float, low: float, high: float) -> float:
    """A logistic curve in log10(epoch), a tenth of a decade wide, half-way up at `middle`."""
    return low + (high - low) / (1 + math.exp(-(math.log10(epoch) - math.log10(middle)) / 0.05))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Memorized at 30, generalizing at 3,000, capacity at 6,000, kernel at 5."""
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    for epoch in log_spaced(100_000, 24):
        accuracies = {
            "train/accuracy": 1.0 if epoch >= 30 else 0.5,
            "test/accuracy": rise(epoch, 3000, 0.1, 0.6),
            "train/loss": 0.25,
            "test/loss": 2.5,
        }
        directory.log("evaluation", epoch, epoch, accuracies)
        geometry = {
            "manifold_capacity/layers.4/capacity": 0.04,
            "manifold_capacity/layers.6/capacity": rise(epoch, 6000, 0.05, 0.1),
            "manifold_capacity/layers.6/radius": rise(epoch, 3000, 2.0, 1.2),
            "manifold_capacity/layers.6/dimension": 27.0,
        }
        directory.log("manifold_capacity", epoch, epoch, geometry)
        own = {"kernel_distance/full/own": rise(epoch, 5, 0.0, 0.8)}
        directory.log("kernel_distance", epoch, epoch, own)
    directory.close()
    return Run(tmp_path / "run")


def test_times_lags_and_final_values(run: Run) -> None:
    found = run_summary(run)
    assert found["memorization"] == pytest.approx(30, rel=0.1)  # the grid's next epoch
    assert found["half"] == pytest.approx(3000, rel=0.02)
    assert 2000 < found["begins"] < found["half"]
    delay = np.log10(found["half"] / found["memorization"])
    assert found["lag_decades"] == pytest.approx(delay, abs=1e-3)
    assert found["final_level"] == pytest.approx(0.6, abs=0.005)
    last = "lag/manifold_capacity/layers.6"
    assert found[f"{last}/capacity"] == pytest.approx(math.log10(2), abs=0.02)
    assert found[f"{last}/radius"] == pytest.approx(0, abs=0.02)  # it falls at the same time
    assert found["lag/kernel_distance/full/own"] == pytest.approx(math.log10(5 / 3000), abs=0.05)
    assert found["grokked"] == 1
    assert found["plateau/test_accuracy"] == pytest.approx(0.1, abs=0.005)
    assert found["final/test_accuracy"] == pytest.approx(0.6, abs=0.005)
    assert (found["final/train_loss"], found["final/test_loss"]) == (0.25, 2.5)


def test_what_never_came_is_left_out(run: Run) -> None:
    found = run_summary(run)
    assert "lag/manifold_capacity/layers.6/dimension" not in found  # it never changed
    assert "lag/kernel_distance/trace/own" not in found  # it was not measured


def test_a_run_without_evaluations_has_none(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, "empty", numbered=False).close()
    assert run_summary(Run(tmp_path / "empty")) == {}

"""Alerts of memorization, sent by a real run to a server on this machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.wandb_server import serve
from lightning_grok.runs.run import read_run

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("wanted", [True, False])
def test_memorization_is_announced_where_it_is_asked_for(wanted: bool, tmp_path: Path) -> None:
    off = ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
    with serve() as backend:
        done = subprocess.run(
            [
                sys.executable, "-m", "lightning_grok", "fit",
                f"--config={ROOT / 'configs' / 'digits.yaml'}", "--data.train_size=64",
                "--data.batch_size=16", "--model.weight_scale=1", "--trainer.max_epochs=100",
                f"--run.root={tmp_path}", "--run.name=run", "--run.figures=false",
                f"--wandb.alerts={str(wanted).lower()}",
                *(f"--{group}.enabled=false" for group in off),
            ],
            env=backend.environment(tmp_path), capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (arrived,) = backend.runs.values()
    memorized = read_run(tmp_path / "run").meta["memorization"]
    assert memorized is not None
    assert arrived.alerts == (["memorization"] if wanted else [])
    assert arrived.summary["memorization"] == memorized

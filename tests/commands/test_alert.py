"""Alerts of memorization, sent by a real run to a server on this machine."""

from pathlib import Path

import pytest

from benchmarks.faults.process import OFF, finish
from benchmarks.faults.wandb_server import serve
from lightning_grok.runs.run import read_run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("wanted", [True, False])
def test_memorization_is_announced_where_it_is_asked_for(wanted: bool, tmp_path: Path) -> None:
    with serve() as backend:
        done = finish(
            tmp_path, *OFF, "--data.batch_size=16", "--model.hidden=[128]",
            "--model.weight_scale=1", "--trainer.max_epochs=100", "--run.name=run",
            f"--wandb.alerts={str(wanted).lower()}", env=backend.environment(tmp_path),
        )  # fmt: skip
        assert done.status == 0, done.errors
        (arrived,) = backend.runs.values()
    memorized = read_run(tmp_path / "run").meta["memorization"]
    assert memorized is not None
    assert arrived.alerts == (["memorization"] if wanted else [])
    assert arrived.summary["memorization"] == memorized

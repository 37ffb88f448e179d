"""Two training processes: measured once, with the numbers of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_grok.runs.run import read_run

SCRIPT = """
import sys

import lightning as L
import torch
from own_training import QUIET, blobs
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lightning_grok import LinearProbe, ManifoldCapacity, Onset, RunLogger, WeightNorm
from lightning_grok.callbacks import Evaluation


class Plain(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        right = (self.network(batch[0]).argmax(1) == batch[1]).float().mean()
        self.log_dict({"train/accuracy": right, "test/accuracy": right}, sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


processes, path = int(sys.argv[1]), sys.argv[2]
L.seed_everything(0)
size = 60 // processes  # all samples at once: their order plays no part
trainer = L.Trainer(
    **QUIET, max_epochs=2, devices=processes, strategy="ddp" if processes > 1 else "auto",
    logger=RunLogger(path),
    callbacks=[
        ManifoldCapacity(layers=["1"], restarts=1, num_vectors=10), LinearProbe(draws=2),
        WeightNorm(steps=[1]), Onset(),
    ],
)
trainer.fit(Plain(), DataLoader(blobs(), size), DataLoader(blobs(), size))
print("ended", trainer.global_step, trainer.callback_metrics["weight_norm/total"].item())
"""


@pytest.mark.slow
def test_numbers_are_those_of_one_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    runs = []
    for processes in (1, 2):
        path = tmp_path / str(processes)
        command = [sys.executable, str(script), str(processes), str(path)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("ended 2") == processes
        # Whoever monitors a value finds it in every process.
        ends = [line for line in done.stdout.splitlines() if line.startswith("ended")]
        assert len(set(ends)) == 1
        runs.append(read_run(path))
    one, two = runs
    assert two.state == "finished"
    assert [(e["event"], e["epoch"], e["step"]) for e in one.events] == [
        (e["event"], e["epoch"], e["step"]) for e in two.events
    ]
    for key in one.keys:
        if "seconds" not in key:
            assert two.series(key)[1] == pytest.approx(one.series(key)[1], rel=1e-4, nan_ok=True)

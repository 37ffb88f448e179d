"""A sweep on a Dask cluster that is there already, with two workers, one of them killed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from small_runs import ENVIRONMENT, wait_until

from lightning_grok.runs.run import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EPOCHS = 2500


class Cluster:
    """A scheduler on this machine and workers that start in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard",
            f"--scheduler-file={self.file}",
        )  # fmt: skip
        wait_until(self.file.is_file)
        self.address = yaml.safe_load(self.file.read_text())["address"]
        self.workers = [
            self._start(
                "distributed.cli.dask_worker", self.address, "--host=127.0.0.1", "--nthreads=1",
                "--no-nanny", "--no-dashboard", f"--local-directory={folder / str(index)}",
            )
            for index in range(2)
        ]  # fmt: skip

    def _start(self, module: str, *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", module, *options], cwd=self.folder, env=ENVIRONMENT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def close(self) -> None:
        """End all that is left of it."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def point_of(worker: subprocess.Popen, root: Path) -> Path | None:
    """The run that a worker's process is at, once it has a checkpoint."""
    for child in psutil.Process(worker.pid).children():
        for part in child.cmdline():
            if part.startswith("--run.name="):
                path = root / part.removeprefix("--run.name=")
                return path if (path / "checkpoints" / "last.ckpt").exists() else None
    return None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "elsewhere").mkdir()
    made = Cluster(tmp_path / "elsewhere")
    yield made
    made.close()


def test_a_point_outlives_its_worker(cluster: Cluster, tmp_path: Path) -> None:
    root, file = tmp_path / "runs", tmp_path / "s.yaml"
    content = yaml.safe_load((ROOT / "sweeps" / "table1.yaml").read_text())
    content["parameters"]["config"] = {"values": ["configs/table1/AdamW-10-2000-0.5-0.yaml"]}
    content["command"] += [
        "--data.dataset=digits", "--data.train_size=64", "--model.hidden=[16,16]",
        f"--trainer.max_epochs={EPOCHS}", "--trainer.enable_progress_bar=false",
        "--run.checkpoint_seconds=0.2", "--run.figures=false", "--kernel_distance.enabled=false",
        "--manifold_capacity.enabled=false", "--linear_probe.enabled=false", "--umap.enabled=false",
    ]  # fmt: skip
    file.write_text(yaml.safe_dump(content))
    command = [
        sys.executable, "-m", "lightning_grok", "sweep", str(file), "--seeds=4-5",
        f"--root={root}", f"--scheduler={cluster.address}",
    ]  # fmt: skip
    options = {"cwd": ROOT, "env": ENVIRONMENT, "text": True}
    sweep = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)
    victim = cluster.workers[0]
    wait_until(lambda: point_of(victim, root))
    interrupted = point_of(victim, root)
    assert interrupted is not None
    victim.kill()
    printed, _ = sweep.communicate(timeout=900)

    assert sweep.returncode == 0, printed
    assert "2 points, 0 finished, 2 to run" in printed
    assert "2 done, 0 failed" in printed
    runs = [Run(path.parent) for path in root.glob("*/run.json")]
    assert sorted((run.seed, run.state, run.epoch) for run in runs) == [
        (4, "finished", EPOCHS), (5, "finished", EPOCHS),
    ]  # fmt: skip
    assert {run.config["model"]["output_scale"] for run in runs} == {0.5}
    log = (root / "logs" / f"{interrupted.name}.log").read_text()
    resumed = int(log.partition(f"resuming {interrupted} at epoch ")[2].split()[0])
    assert 0 < resumed < EPOCHS
    epochs = [e["epoch"] for e in Run(interrupted).events if e["event"] == "evaluation"]
    assert epochs == sorted(set(epochs))

    again = subprocess.run(command, capture_output=True, **options)
    assert "2 points, 2 finished, 0 to run" in again.stdout

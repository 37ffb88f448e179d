"""Sweeps with the real `wandb sweep` and `wandb agent`, against a server on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from small_runs import wait_until

from benchmarks.faults.wandb_server import ENTITY, PROJECT, Backend, serve
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = (
    "--data.dataset=digits", "--data.train_size=64", "--model.hidden=[16,16]",
    "--run.figures=false",
    "--kernel_distance.samples=8", "--kernel_distance.probes=4", "--umap.enabled=false",
    "--linear_probe.enabled=false", "--manifold_capacity.enabled=false",
)  # fmt: skip


class Site:
    """A folder with an account at a backend, from which sweeps are run."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.folder = folder
        self.backend = backend
        self.agents: list[subprocess.Popen] = []
        tools = str(Path(sys.executable).parent)
        self.environment = backend.environment(folder) | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "WANDB_DIR": str(folder),
            "OMP_NUM_THREADS": "1",
        }

    def sweep(self, parameters: dict[str, Any], *options: str) -> str:
        """Give a small sweep to the server, as sweeps/table1.yaml is given; its id."""
        content = yaml.safe_load((ROOT / "sweeps" / "table1.yaml").read_text())
        content["parameters"] = parameters
        content["command"] += [*TINY, *options, f"--run.root={self.folder / 'runs'}"]
        file = self.folder / "sweep.yaml"
        file.write_text(yaml.safe_dump(content))
        self.call("wandb", "sweep", "--project", PROJECT, "--entity", ENTITY, str(file))
        (name,) = self.backend.sweeps
        return name

    def agent(self, name: str, **more: str) -> subprocess.Popen:
        """An agent, started."""
        agent = subprocess.Popen(
            ["wandb", "agent", f"{ENTITY}/{PROJECT}/{name}"], cwd=ROOT,
            env=self.environment | more, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.agents.append(agent)
        return agent

    def call(self, *command: str) -> str:
        """What a command prints; it must succeed."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def runs(self) -> list[Run]:
        """All runs that were written."""
        return [Run(path) for path in find_runs(self.folder / "runs")]


def kill(agent: subprocess.Popen) -> None:
    """End an agent and the run it has started at once; alone, the run would go on."""
    if agent.poll() is not None:
        return
    started = psutil.Process(agent.pid).children(recursive=True)
    for process in [agent, *started]:
        process.kill()
    agent.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serve() as backend:
        made = Site(tmp_path, backend)
        yield made
        for agent in made.agents:
            kill(agent)


def test_two_agents_share_a_grid(site: Site) -> None:
    setups = [f"configs/table1/AdamW-10-2000-{rest}.yaml" for rest in ("0.5-0", "1-0.001")]
    name = site.sweep(
        {"config": {"values": setups}, "seed_everything": {"values": [0, 1]}},
        "--trainer.max_epochs=2",
    )
    agents = [site.agent(name) for _ in range(2)]
    assert [agent.wait(timeout=900) for agent in agents] == [0, 0]

    taken = site.backend.sweeps[name].taken
    assert len({agent for agent, _, _ in taken}) == 2
    assert site.backend.runs.keys() == {run for _, run, _ in taken}
    written = {run.meta["wandb_id"]: run for run in site.runs}
    assert written.keys() == site.backend.runs.keys()
    for _, identifier, point in taken:
        arrived, run = site.backend.runs[identifier], written[identifier]
        assert (arrived.exit_code, arrived.sweep) == (0, name)
        assert (run.state, run.seed) == ("finished", point["seed_everything"])
        assert run.config["model"]["output_scale"] == (0.5 if "0.5-0" in point["config"] else 1)
        for key in ("test/accuracy", "kernel_distance/full/own"):
            epochs, values = run.series(key)
            expected = dict(zip(epochs.tolist(), values, strict=True))
            assert arrived.series(key) == pytest.approx(expected)
        shown = arrived.series("kernel_distance/heatmap")
        assert shown.keys() == {1, 2}
        for picture in shown.values():
            assert arrived.uploads[picture["path"]].startswith(b"\x89PNG")
        assert arrived.config["model"]["value"]["weight_scale"] == 10
        assert arrived.summary["final/test_accuracy"] == pytest.approx(
            run.series("test/accuracy")[1][-1]
        )


def test_the_run_of_a_killed_agent_is_resumed_in_its_place(site: Site) -> None:
    name = site.sweep(
        {"seed_everything": {"values": [3]}},
        "--trainer.max_epochs=3000", "--run.checkpoint_seconds=0.2",
        "--kernel_distance.enabled=false",
    )  # fmt: skip
    agent = site.agent(name)
    wait_until(lambda: bool(list(site.folder.glob("runs/*/checkpoints/previous.ckpt"))))
    kill(agent)
    wait_until(lambda: site.runs[0].state == "interrupted")
    (run,) = site.runs
    reached = run.epoch

    place = str(run.path / "config.yaml")
    printed = site.call(
        sys.executable, "-m", "lightning_grok", "fit", "--config", place, "--resume"
    )
    assert f"resuming {run.path}" in printed
    assert [each.path for each in site.runs] == [run.path]
    assert (Run(run.path).state, Run(run.path).epoch) == ("finished", 3000)
    ((identifier, arrived),) = site.backend.runs.items()
    assert identifier == run.meta["wandb_id"]
    assert arrived.places == {f"{ENTITY}/{PROJECT}"}
    assert arrived.exit_code == 0
    epochs, values = Run(run.path).series("test/accuracy")
    expected = dict(zip(epochs.tolist(), values, strict=True))
    # What came before, and had not been sent when the agent was killed, is in its own log.
    received = {e: v for e, v in arrived.series("test/accuracy").items() if e > reached}
    assert received == pytest.approx({e: v for e, v in expected.items() if e > reached})
    assert received


def test_a_run_that_is_terminated_early_leaves_a_checkpoint(site: Site) -> None:
    name = site.sweep(
        {"seed_everything": {"values": [3]}},
        "--trainer.max_epochs=1000000", "--run.checkpoint_seconds=0.2",
        "--kernel_distance.enabled=false",
    )  # fmt: skip
    agent = site.agent(name)
    wait_until(lambda: bool(list(site.folder.glob("runs/*/checkpoints/last.ckpt"))))
    site.backend.stopped.add(site.backend.sweeps[name].taken[0][1])
    assert agent.wait(timeout=300) == 0
    (run,) = site.runs
    assert run.state == "interrupted"
    assert run.epoch > 0


def test_offline_agents_need_the_server_for_the_points_only(site: Site) -> None:
    name = site.sweep({"seed_everything": {"values": [0]}}, "--trainer.max_epochs=1")
    assert site.agent(name, WANDB_MODE="offline").wait(timeout=600) == 0
    assert site.backend.runs == {}
    (run,) = site.runs
    assert run.state == "finished"
    (folder,) = run.path.glob("wandb/offline-run-*")
    site.call("wandb", "sync", str(folder))
    ((identifier, arrived),) = site.backend.runs.items()
    assert identifier == run.meta["wandb_id"] == site.backend.sweeps[name].taken[0][1]
    epochs, values = run.series("test/accuracy")
    assert arrived.series("test/accuracy") == pytest.approx(
        dict(zip(epochs.tolist(), values, strict=True))
    )

"""What the README and the docstrings show works as it stands."""

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from own_training import Convolutions, blobs
from torch.utils.data import DataLoader

import lightning_grok
from lightning_grok.analysis.onset import run_events
from lightning_grok.runs.run import read_runs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MODULES = [
    module.name
    for module in pkgutil.walk_packages(lightning_grok.__path__, "lightning_grok.")
    if not module.ispkg and not module.name.endswith("__main__")
]


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_geometry_is_usable_alone(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python", (ROOT / "docs/measurements.md").read_text())
    exec(compile(code, "measurements.md", "exec"), {})
    capacity, distance = map(float, capsys.readouterr().out.split())
    assert 0 < capacity < 2
    assert 0 < distance < 1


def test_a_training_of_ones_own_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks("python")
    assert "max_epochs=1000" in code
    code = code.replace("max_epochs=1000", "max_epochs=2, enable_progress_bar=False")
    monkeypatch.chdir(tmp_path)
    loader = DataLoader(blobs(300), 100)
    names = {"model": Convolutions(), "train_loader": loader, "val_loader": loader}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and on steps
        exec(compile(code, "README.md", "exec"), names)
    (run,) = read_runs([tmp_path / "runs"])
    assert run.epoch == 2
    for measured in ("kernel_distance/", "manifold_capacity/"):
        assert any(key.startswith(measured) for key in run.keys)


@pytest.mark.slow
def test_the_watched_run_groks(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("") if "--run.watch=true" in block]
    command = block.splitlines()[0].partition("&& ")[2]
    _, *arguments = shlex.split(command)
    keep = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, *arguments, f"--run.root={tmp_path}"],
        cwd=ROOT, env=keep | {"HOME": str(tmp_path), "BROWSER": "true"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = read_runs([tmp_path])
    assert re.search(r"^memorization at epoch \d+", done.stdout, re.MULTILINE)
    assert re.search(r": grokked; no instability .* at its onset$", done.stdout, re.MULTILINE)
    assert 200 < run_events(run).test.t_half < 400
    assert (run.path / "report.html").stat().st_size > 1e6
    assert not [event for event in run.events if event["event"] == "error"]


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"configs/\S+?\.yaml", README))
    named |= set(re.findall(r"\]\((?!http)([^)#]+)\)", README))
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_table_of_commands_is_whole() -> None:
    from lightning_grok.commands.arguments import COMMANDS

    table = (ROOT / "docs/commands.md").read_text().partition("\n\n`configs/table1`")[0]
    rows = re.findall(r"^\| (`[a-z].*?) \|", table, re.MULTILINE)
    shown = {command for row in rows for command in re.findall(r"`([a-z]+)", row)}
    assert shown - {"python"} == {"fit", "validate", "test", *COMMANDS}


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_hold(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0

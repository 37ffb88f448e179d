"""What the README and the docstrings show works as it stands."""

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_geometry_is_usable_alone(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in blocks("python") if "empirical_ntk" in block]
    exec(compile(code, "README.md", "exec"), {})
    capacity, distance = map(float, capsys.readouterr().out.split())
    assert 0 < capacity < 2
    assert 0 < distance < 1


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
    assert re.search(r": grokked$", done.stdout, re.MULTILINE)
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

    table = README.partition("## Commands")[2].partition("\n\n`configs/table1`")[0]
    rows = re.findall(r"^\| (`[a-z].*?) \|", table, re.MULTILINE)
    shown = {command for row in rows for command in re.findall(r"`([a-z]+)", row)}
    assert shown - {"python"} == {"fit", "validate", "test", *COMMANDS}


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_hold(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0

"""What the README and the docstrings show works as it stands."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import lightning_grok

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


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"configs/\S+?\.yaml", README))
    named |= set(re.findall(r"\]\((?!http)([^)#]+)\)", README))
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_table_of_commands_is_whole() -> None:
    from lightning_grok.cli import COMMANDS

    table = README.partition("## Commands")[2].partition("\n\nAll of")[0]
    rows = re.findall(r"^\| (`[a-z].*?) \|", table, re.MULTILINE)
    shown = {command for row in rows for command in re.findall(r"`([a-z]+)", row)}
    assert shown - {"python"} == {"fit", "validate", "test", *COMMANDS}


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_hold(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0

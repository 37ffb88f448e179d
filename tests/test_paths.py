"""Paths as a shell takes them, wherever they are given."""

import os
from pathlib import Path

import pytest

from lightning_grok.commands import CommandParser
from lightning_grok.commands.run_options import RunOptions
from lightning_grok.errors import InputError
from lightning_grok.paths import expand_path
from lightning_grok.tasks.images import GrokData

HOME = "/home/somebody"
WRITTEN = {
    "~": HOME,
    "~/runs": f"{HOME}/runs",
    "~/a b/ü": f"{HOME}/a b/ü",
    "$STUDY/runs": "/study/runs",
    "${STUDY}s": "/studys",
    "/x/$STUDY": "/x//study",
    "$HOME": HOME,
    "${INDIRECT}/x": f"{HOME}/data/x",
    "plain": "plain",
    "a~b": "a~b",
    "/costs/5$": "/costs/5$",
    "../x": "../x",
}
"""As written, and as meant."""
UNKNOWN = ("$NOT_SET/runs", "${NOT_SET}", "x/$NOT_SET", "~nobody_of_this_name/runs")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("STUDY", "/study")
    monkeypatch.setenv("INDIRECT", "~/data")
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", WRITTEN)
def test_every_path_is_taken_as_a_shell_takes_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Path(os.path.normpath(WRITTEN[text].replace("//", "/")))
    parser = CommandParser("runs")
    parser.add_argument("path", type=Path)
    monkeypatch.setenv("LIGHTNING_GROK_DATA", text)
    places = {
        "function": expand_path(text),
        "argument": parser.parse_args([text]).path,
        "run.root": Path(RunOptions(root=text).root),
        "run.extends": Path(str(RunOptions(extends=text).extends)),
        "data.root": GrokData(root=text).root,
        "LIGHTNING_GROK_DATA": GrokData().root,
    }
    assert places == dict.fromkeys(places, expected)


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_home_or_variable_that_is_not_there_makes_no_folder(text: str) -> None:
    for use in (expand_path, lambda path: RunOptions(root=path), lambda path: GrokData(root=path)):
        with pytest.raises(InputError, match="expected"):
            use(text)
    assert not list(Path.cwd().iterdir())


def test_what_exists_as_it_is_written_is_taken_so(tmp_path: Path) -> None:
    for name in ("~", "$STUDY", "$NOT_SET"):
        (tmp_path / name).mkdir()
        assert expand_path(name) == Path(name)

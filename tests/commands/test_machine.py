"""What a shell, a notebook or a locale has set stops no command."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import SMALL

import lightning_grok
from lightning_grok.commands.main import main
from lightning_grok.runs.directory import RunDirectory

PACKAGE = Path(lightning_grok.__file__).parent


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens a file as text, in whatever encoding the locale has."""
    function = call.func
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if isinstance(function, ast.Attribute):
        return function.attr == "write_text" or (function.attr == "read_text" and not call.args)
    mode = call.args[1] if len(call.args) > 1 else None
    is_binary = isinstance(mode, ast.Constant) and "b" in str(mode.value)
    return isinstance(function, ast.Name) and function.id == "open" and not is_binary


def test_every_file_is_text_in_utf_8() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text(node)
    ]
    assert not found


def test_names_of_any_alphabet_are_printed_in_a_plain_locale(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "läufe", "run", numbered=False)
    directory.update_meta(name="run", setup="Größe")
    (directory.path / "config.yaml").write_text("name: Größe\n", encoding="utf-8")
    directory.close()
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MPLBACKEND": "foo"}
    done = subprocess.run(
        [sys.executable, "-m", "lightning_grok", "runs", str(tmp_path / "läufe")],
        env=os.environ | plain, capture_output=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Gr\\xf6\\xdfe" in done.stdout


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "TkAgg", "foo"])
def test_figures_are_drawn_whatever_backend_a_notebook_has_left(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", backend)
    with pytest.raises(SystemExit):  # there are no runs; what is asked is what the command sets
        main(["figures", str(tmp_path)])
    assert os.environ["MPLBACKEND"] == "agg"


@pytest.mark.parametrize(("given", "taken"), [(None, "passive"), ("active", "active")])
def test_threads_that_wait_do_not_spin_unless_one_says_so(given: str | None, taken: str) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    told = "import os, sys; from lightning_grok.commands.main import main; main(['--version']); "
    told += "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", told],
        env=plain if given is None else plain | {"OMP_WAIT_POLICY": given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"{taken} False"  # libgomp reads it as torch is loaded


@pytest.mark.parametrize("command", ["runs", "figures", "verdict", "sweep", "fit"])
def test_ctrl_c_before_a_command_has_begun_is_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_grok.commands.main.import_module", interrupt)
    monkeypatch.setattr("lightning_grok.commands.fit.GrokCLI.__init__", interrupt)
    with pytest.raises(SystemExit) as stopped:
        main([command, "x"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_while_a_fit_is_prepared_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_grok.tasks.images.GrokData.setup", interrupt)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *SMALL, f"--run.root={tmp_path}"])
    assert stopped.value.code == 130
    assert "interrupted" in capsys.readouterr().err.splitlines()
    assert not list(tmp_path.iterdir())

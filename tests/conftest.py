"""What all tests share: the command line in this process, on the embedded digits, in seconds."""

import logging
import os
import shutil
import signal
import sys
from pathlib import Path

# Before PyTorch: tests run side by side, and threads that spin for a core make all of them wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from small_runs import QUICK, SMALL, Fit

from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run, read_run

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"


class CurrentStderr:
    """Writes to what ``sys.stderr`` is at the moment."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive() -> None:
    """A shell starts jobs in the background deaf to Ctrl-C, and so their children."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def lightning_prints_here() -> None:
    """Lightning's log handlers keep the stderr of the test that imported it first."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.stream = CurrentStderr()


@pytest.fixture
def one_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command lines of one kind are read by one parser, which takes half a second to make."""
    from one_parser import keep_parsers

    keep_parsers(monkeypatch)


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_parser: None) -> Fit:
    """Runs ``fit`` on configs/grok.yaml with smoke.yaml on top and the given arguments.

    What takes seconds is off unless asked for: UMAP, capacity of more than one layer, figures.
    """
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)

    def run(*arguments: str, name: str = "run") -> Run:
        from lightning_grok.commands.main import main

        before = dict(os.environ)
        configs = [f"--config={CONFIGS / file}" for file in ("grok.yaml", "smoke.yaml")]
        place = [f"--run.root={tmp_path}", *([f"--run.name={name}"] if name else [])]
        try:
            main(["fit", *configs, *SMALL, *QUICK, *place, *arguments])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return read_run(tmp_path / name if name else find_runs(tmp_path)[-1])

    return run


@pytest.fixture(scope="module")
def kept_runs() -> dict[tuple[str, ...], tuple[Path, str]]:
    """Copies of the runs of `fitted` by their names and arguments, and where they were written."""
    return {}


@pytest.fixture
def fitted(
    fit: Fit,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    kept_runs: dict[tuple[str, ...], tuple[Path, str]],
) -> Fit:
    """As `fit`, but what a test of the same file has trained before is copied."""

    def run(*arguments: str, name: str = "run") -> Run:
        path = tmp_path / name
        if (name, *arguments) not in kept_runs:
            fit(*arguments, name=name)
            copy = shutil.copytree(path, tmp_path_factory.mktemp("kept") / name)
            kept_runs[name, *arguments] = copy, str(tmp_path)
        else:
            kept, root = kept_runs[name, *arguments]
            config = shutil.copytree(kept, path) / "config.yaml"
            config.write_text(config.read_text().replace(root, str(tmp_path)))
        return read_run(path)

    return run

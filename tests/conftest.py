"""What all tests share: the command line in this process, on the embedded digits, in seconds."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_grok.runs import Run, read_run

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"

SMALL = (
    "--data.dataset=digits",
    "--data.train_size=64",
    "--model.hidden=[16,16]",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
)
"""A network and data so small that an epoch takes milliseconds."""


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs ``fit`` on configs/grok.yaml with smoke.yaml on top and the given arguments."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)

    def run(*arguments: str, name: str = "run") -> Run:
        from lightning_grok.cli import main

        before = dict(os.environ)
        configs = [f"--config={CONFIGS / file}" for file in ("grok.yaml", "smoke.yaml")]
        place = [f"--run.root={tmp_path}", f"--run.name={name}"]
        try:
            main(["fit", *configs, *SMALL, *place, *arguments])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return read_run(tmp_path / name)

    return run

"""Every configuration in the repository parses, says how it is run, and runs under smoke.yaml."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lightning_grok.runs import Run

ROOT = Path(__file__).parents[1]
SETUPS = sorted(p for p in (ROOT / "configs").rglob("*.yaml") if p.name != "smoke.yaml")
NAMES = [str(path.relative_to(ROOT)) for path in SETUPS]


@pytest.mark.parametrize("path", SETUPS, ids=NAMES)
def test_begins_with_the_command_that_runs_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# python -m lightning_grok fit --config configs/")
    named = [part for part in first.split() if part.endswith(".yaml")]
    assert str(path.relative_to(ROOT)) == named[-1]
    for each in named:
        assert (ROOT / each).is_file()


@pytest.mark.parametrize("path", SETUPS, ids=NAMES)
def test_runs_for_two_epochs(path: Path, fit: Callable[..., Run]) -> None:
    first = path.read_text().splitlines()[0]
    configs = [ROOT / part for part in first.split() if part.endswith(".yaml")]
    given = [f"--config={each}" for each in (*configs, ROOT / "configs" / "smoke.yaml")]
    run = fit(
        *given,
        "--data.dataset=digits",
        "--data.train_size=128",
        "--trainer.max_epochs=2",
        "--umap.enabled=true",
    )
    assert run.state == "finished"
    assert [event for event in run.events if event["event"] == "error"] == []
    merged: dict[str, dict] = {}
    for each in configs:
        for group, values in yaml.safe_load(each.read_text()).items():
            if isinstance(values, dict):
                merged.setdefault(group, {}).update(values)
    for key, value in merged["model"].items():
        if key != "hidden":  # the fixture's network is small
            assert run.config["model"][key] == value

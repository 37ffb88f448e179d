"""The W&B workspace: built and validated without a network, saved to a server on this machine."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.wandb_server import ENTITY, PROJECT, serve
from lightning_grok.commands import workspace as command
from lightning_grok.errors import InputError
from lightning_grok.loggers.wandb_workspace import build_workspace
from lightning_grok.runs.panels import Logged
from lightning_grok.runs.run import Run

workspaces = pytest.importorskip(
    "wandb_workspaces.workspaces", reason="wandb-workspaces isn't installed"
)


def panels() -> Iterator[Any]:
    for section in build_workspace(ENTITY, PROJECT).sections:
        yield from section.panels


def keys_of(panel: Any) -> list[str]:
    return [*getattr(panel, "y", []), *getattr(panel, "media_keys", [])]


def test_every_line_is_drawn_over_log_epochs() -> None:
    lines = [panel for panel in panels() if type(panel).__name__ == "LinePlot"]
    assert len(lines) > 8
    assert {(panel.x, panel.log_x, panel.title_x) for panel in lines} == {("epoch", True, "epoch")}
    assert all(panel.title for panel in panels())


@pytest.mark.slow
def test_what_the_panels_ask_for_is_what_a_run_logs(fit: Callable[..., Run]) -> None:
    run = fit("--umap.enabled=true", "--manifold_capacity.layers=null")
    media = {"kernel_distance/heatmap", "umap/snapshot"}
    asked = [
        key for panel in panels() if type(panel).__name__ == "LinePlot" for key in keys_of(panel)
    ]
    of_others = ("val/", "kernel_distance/sketch/", "linear_probe/own/")
    elsewhere = {key for key in asked if key.startswith(of_others)}
    assert set(asked) - elsewhere <= set(run.keys)
    patterns = [panel.metric_regex for panel in panels() if getattr(panel, "metric_regex", None)]
    assert len(patterns) == 5
    for pattern in patterns:
        found = [key for key in run.keys if re.fullmatch(pattern, key)]
        assert len(found) == (5 if "manifold" in pattern else 3)
    pictures = [panel for panel in panels() if type(panel).__name__ == "MediaBrowser"]
    assert {key for panel in pictures for key in keys_of(panel)} == media


def test_layers_have_their_plots_whatever_a_network_calls_them() -> None:
    logged = ["weight_norm/emb", "weight_norm/blocks.0.attention", "weight_norm/total"]
    built = build_workspace(ENTITY, PROJECT, [Logged(logged, {}, {})])
    plots = [panel for section in built.sections for panel in section.panels]
    (pattern,) = [
        panel.metric_regex
        for panel in plots
        if panel.title == "Weight norms, each layer" and panel.metric_regex
    ]
    assert [key for key in logged if re.fullmatch(pattern, key)] == logged[:2]


def test_it_is_saved_whole_where_there_is_a_key(tmp_path: Path) -> None:
    with serve() as backend:
        done = subprocess.run(
            [sys.executable, "-c", "from lightning_grok.commands.workspace import main; "
             f"main(['{ENTITY}/{PROJECT}'])"],
            env=backend.environment(tmp_path), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (view,) = backend.views
    assert f"workspace: {backend.url}/{ENTITY}/{PROJECT}" in done.stdout
    assert (view["entityName"], view["projectName"]) == (ENTITY, PROJECT)
    text = view["spec"]
    sections = json.loads(text)["section"]["panelBankConfig"]["sections"]
    names = [section["name"] for section in sections if section["panels"]]
    assert names[:2] == ["Performance", "Kernel distance"]
    assert text.count('"xLogScale":true') >= 10
    assert "test/accuracy" in text


def test_without_a_key_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"no API key is known; run `wandb login`"):
        command.main(["somebody/study"])


@pytest.mark.parametrize("place", ["study", "/study", "a/b/c"])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(InputError, match="expected ENTITY/PROJECT"):
        command.main([place])

"""Without the extras: what needs none of them works, and what needs one names it in a line."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from lightning_grok.extras import EXTRAS
from lightning_grok.runs.run import read_run

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "results" / "runs.zip"

_BARE = "import sys; sys.modules.update(dict.fromkeys({}))\n"
"""An import of what is None there fails as that of a package which isn't installed."""

_TRAINING = ["lightning", "torchmetrics", "jsonargparse", "tqdm", "pooch", "requests", "matplotlib"]
"""What the mathematics and the reading of runs don't import either."""

_CORE = """
import importlib, pkgutil
import numpy as np, torch
import lightning_grok
from lightning_grok.commands.main import main
from lightning_grok.geometry import empirical_ntk, kernel_distance, manifold_capacity

for room in ("geometry", "analysis", "runs"):
    folder = importlib.import_module(f"lightning_grok.{room}")
    for module in pkgutil.walk_packages(folder.__path__, f"{folder.__name__}."):
        if module.name != "lightning_grok.geometry.metrics":
            importlib.import_module(module.name)
kernel = empirical_ntk(torch.nn.Linear(3, 2), torch.randn(4, 3))
assert kernel_distance(kernel, kernel) < 1e-6
assert manifold_capacity(np.random.randn(20, 5), np.arange(20) % 2).capacity > 0
(run, *_) = map(lightning_grok.read_run, lightning_grok.find_runs(sys.argv[1]))
assert len(run.table())
main(["runs", sys.argv[1]])
"""

_FIT = """
from lightning_grok.commands.main import main

GROUPS = ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
main(
    ["fit", "--config", "modular/quadratic", "--trainer.max_epochs=2", "--run.name=bare"]
    + [f"--{group}.epochs=null" for group in GROUPS]
)
"""

_NEEDED = {
    "import numpy, lightning_grok.geometry as g; g.embed(numpy.eye(5))": "umap",
    "import numpy, lightning_grok.geometry as g; g.manifold_capacity("
    "numpy.random.randn(20, 5), numpy.arange(20) % 2, backend='cvxpy')": "oracle",
    "from lightning_grok.dashboard.server import static_files; static_files('token')": "page",
    "from lightning_grok.dashboard.live_page import live_page; live_page(None).__enter__()": "page",
    "from lightning_grok.loggers.wandb_mode import decide_mode; decide_mode('online')": "wandb",
    "from lightning_grok.loggers.wandb_workspace import build_workspace as build; "
    "build('a', 'b')": "wandb",
    "from lightning_grok.tasks.datasets import embedded_digits; embedded_digits('test')": "digits",
    "main(['dashboard', sys.argv[1]])": "page",
    "main(['fit', '--config', 'digits'])": "digits",
    "main(['fit', '--config', 'modular/quadratic', '--run.watch=true'])": "page",
}


def bare(code: str, *arguments: object, also: Sequence[str] = (), cwd: Path | None = None) -> str:
    """What Python prints without any extra."""
    command = [sys.executable, "-c", _BARE.format([*EXTRAS, *also]) + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_geometry_analysis_and_runs_need_no_extra() -> None:
    bare(_CORE, RUNS, also=_TRAINING)


@pytest.mark.slow
def test_a_run_needs_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    said = bare(_FIT, cwd=tmp_path)
    assert "W&B: disabled (not installed)" in said
    run = read_run(tmp_path / "runs" / "bare")
    assert run.state == "finished"
    assert {"kernel_distance", "manifold_capacity"} <= set(run.event_names)
    assert not {"umap", "error"} & set(run.event_names)
    assert (run.path / "figures" / "run.png").exists()


@pytest.mark.slow
def test_what_is_missing_is_named_by_its_extra(tmp_path: Path) -> None:
    tried = f"""
import contextlib
import lightning_grok
from lightning_grok.commands.main import main
from lightning_grok.extras import MissingExtra

run = next(iter(lightning_grok.find_runs(sys.argv[1])))
for statement in {list(_NEEDED)}:
    try:
        with contextlib.redirect_stderr(sys.stdout):
            exec(statement)
        print("nothing")
    except MissingExtra as error:
        print(error)
    except SystemExit as left:
        assert left.code == 2
"""
    said = bare(tried, RUNS, cwd=tmp_path).splitlines()
    lines = [line for line in said if "which isn't installed" in line]
    assert len(lines) == len(_NEEDED), lines
    for (statement, extra), line in zip(_NEEDED.items(), lines, strict=True):
        assert line.endswith(f'pip install "lightning_grok[{extra}]"'), (statement, line)


def test_every_extra_brings_what_is_said_of_it() -> None:
    """`EXTRAS` and pyproject.toml are of one mind."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"]
    for package, extra in EXTRAS.items():
        called = {"umap": "umap-learn", "dask": "distributed"}.get(package, package)
        brought = [each for each in listed[extra] if each.startswith(called.replace("_", "-"))]
        assert brought, package
    (everything,), (training,) = listed["all"], listed["train"]
    assert set(EXTRAS.values()) <= set(re.findall(r"\w+", everything + training))


def test_wandb_is_left_out_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_grok.loggers.wandb_mode import decide_mode

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert decide_mode("auto") == ("disabled", "not installed")

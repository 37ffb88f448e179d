"""Our own results: the runs in docs/results/runs.zip say what the pages beside them say."""

import math
import re
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.results import by_setup, fill, seeds_table, spread, tables
from lightning_grok.commands.figures import main as figures
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run
from lightning_grok.runs.summary import run_outcome

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
RUNS = [Run(path) for path in find_runs(RESULTS / "runs.zip")]
PAGES = sorted(RESULTS.glob("*.md"))


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """All tables that need no published values."""
    return tables(None)


def test_runs_are_whole_and_name_nobodys_machine() -> None:
    assert len(RUNS) >= 4
    others = [find_runs(RESULTS / f"{name}.zip") for name in ("cause", "tasks")]
    for run in [*RUNS, *map(Run, chain(*others))]:
        assert run.state == "finished", run.path
        assert run.epoch == run.config["trainer"]["max_epochs"]
        assert "embedded" not in run.dataset
        assert not run.damage
        assert run.costs()["training"] > 0
        for name in ("run.json", "config.yaml"):
            assert not re.search(rb"/(home|root|work|tmp)/", run.open(name).read())


def test_the_table_of_seeds_is_that_of_the_runs() -> None:
    text = (RESULTS / "training.md").read_text()
    assert fill(text, {"seeds": seeds_table(by_setup(RUNS))}) == text


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_runs(page: Path, found: dict[str, str]) -> None:
    text = page.read_text()
    assert fill(text, found) == text
    named = set(re.findall(r"<!-- (\w+) -->", text))
    elsewhere = {"certificates", "coverage", "variants"}  # of certify, and slow to make anew
    assert named <= {*found, *elsewhere, "agreement", "table1"}  # these two need published values


def test_a_page_keeps_what_stands_around_its_tables() -> None:
    page = "before\n<!-- seeds -->\nold\nlines\n<!-- /seeds -->\nafter <!-- other -->"
    filled = "before\n<!-- seeds -->\n| new \\1 |\n<!-- /seeds -->\nafter <!-- other -->"
    assert fill(page, {"seeds": "| new \\1 |", "cost": "none"}) == filled


def test_medians_come_with_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([2.0], ".1f") == "2.0"
    assert spread([1.0, math.inf, math.inf], ",.0f") == "never (1 to never)"


@pytest.mark.slow
def test_figures_are_drawn_from_the_committed_runs(tmp_path: Path) -> None:
    figures(["--paper", str(RESULTS / "runs.zip"), "--only", "2,table1", "--out", str(tmp_path)])
    assert {"figure_02.png", "figure_02.pdf", "table_1.png"} <= {p.name for p in tmp_path.iterdir()}


def test_figures_were_drawn_anew_since_the_last_run_came() -> None:
    drawn = (RESULTS / "figures" / "runs.txt").read_text().split()
    assert drawn == sorted(run.path.name for run in RUNS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_exists(page: Path) -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert linked
    for path in linked:
        assert (page.parent / path).exists(), path


def test_the_caption_of_the_page_is_of_the_run_that_it_shows() -> None:
    caption = " ".join((RESULTS.parent / "watch.md").read_text().split())
    said = re.search(
        r"runs.zip --run (\S+)`.* epoch ([\d,]+) \(dashed.* epoch ([\d,]+) \(solid", caption
    )
    assert said is not None
    (run,) = [run for run in RUNS if run.name == said[1]]
    assert f"Memorized at {said[2]};" in run_outcome(run)
    assert f"half at {said[3]} " in run_outcome(run)

"""Measures by name: on the command line, afterwards, listed, and from somebody's package."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import OFF, Fit

from lightning_grok.callbacks.floor import imported
from lightning_grok.commands.main import main
from lightning_grok.errors import InputError
from lightning_grok.runs.measures import BUILT_IN, known_measures, named_measures
from lightning_grok.runs.run import read_run

BARE = (*OFF, "--stability.enabled=false")
PLUG_IN = """
from lightning_grok.runs.measures import Measure
ROUNDNESS = Measure("roundness", "layer", "my_plug_in.roundness", "how round", "", "none", "nobody")
BAD = 5
def roundness(points):
    return float(abs(points).max())
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    known_measures.cache_clear()
    yield
    known_measures.cache_clear()


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with three entry points, one of which works."""
    site = tmp_path / "site"
    info = site / "my_plug_in-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "my_plug_in.py").write_text(PLUG_IN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_plug_in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[lightning_grok.measurements]\nroundness = my_plug_in:ROUNDNESS\n"
        "bad = my_plug_in:BAD\ngone = no_such_module:X\n"
    )
    monkeypatch.syspath_prepend(str(site))


def test_measures_are_taken_in_a_run_and_afterwards(fit: Fit) -> None:
    run = fit(*BARE, "--trainer.max_epochs=2", "--measure", "weight_spectrum,effective_rank")
    assert run.series("effective_rank/layers.3")[0].tolist() == [0, 1, 2]
    assert run.series("weight_spectrum/layers.0.weight/stable_rank")[0].tolist() == [0, 1, 2]
    main(["measure", str(run.path), "--measure=neural_collapse", "--measure=commutator"])
    again = read_run(run.path)
    assert again.series("commutator/defect")[0].tolist() == [0, 1, 2]
    assert again.series("neural_collapse/layers.3/within_over_between")[0].tolist() == [0, 1, 2]
    assert again.meta["measured_afterwards"].keys() == {"neural_collapse", "commutator"}


def test_what_needs_the_training_is_left_out_afterwards_and_said(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit(*BARE, "--trainer.max_epochs=1")
    live = "--measure=adaptive_sharpness"
    with pytest.raises(SystemExit):
        main(["measure", str(run.path), live])
    assert "received adaptive_sharpness, which is measured while a run" in capsys.readouterr().err
    main(["measure", str(run.path), live, "--measure=effective_rank"])
    assert "left out: adaptive_sharpness, which is measured while" in capsys.readouterr().out
    assert read_run(run.path).series("effective_rank/layers.3")[0].tolist() == [0, 1]


@pytest.mark.slow
def test_floors_are_asked_for_beside_a_name_and_are_the_same_afterwards(fit: Fit) -> None:
    asked = [
        "--measure=neural_collapse", "--trainer.callbacks.floor=[init,shuffle,walk]",
        "--trainer.callbacks.draws=2",
    ]  # fmt: skip
    run = fit(*BARE, "--trainer.max_epochs=2", *asked)
    key = "neural_collapse/layers.3/within_over_between"
    live = {
        each: run.series(each)[1].tolist()
        for kind in ("init", "shuffle", "walk")
        for each in (f"{key}/floor_{kind}", f"{key}/floor_{kind}_sd")
    }
    assert all(len(values) == 3 for values in live.values())
    main(["measure", str(run.path), *asked])  # in the place of the run's own of this name
    again = read_run(run.path)
    assert {each: again.series(each)[1].tolist() for each in live} == live


def test_one_name_is_measured_once(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit(*BARE, "--trainer.max_epochs=1", "--measure=sharpness", "--measure=sharpness")
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error")]
    assert line == "error: expected different names of measurements, received 'sharpness' twice"


def test_every_name_is_a_function() -> None:
    assert len({measure.name for measure in BUILT_IN}) == len(BUILT_IN)
    for measure in BUILT_IN:
        assert callable(imported(measure.function))


def test_they_are_listed_without_loading_torch() -> None:
    code = ("import sys; from lightning_grok.commands.main import main; main(['measures'])\n"
            "assert 'torch' not in sys.modules")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for measure in BUILT_IN:
        assert f"{measure.name} " in done.stdout


@pytest.mark.usefixtures("plug_in")
def test_a_plug_in_adds_its_own(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    main(["measures", "--json"])
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert rows[-1]["name"] == "roundness"
    assert len(rows) == len(BUILT_IN) + 1
    warnings = sorted(shown.err.splitlines())
    assert warnings[0].startswith("warning: measure bad (my_plug_in:BAD): expected a Measure")
    assert warnings[1].startswith("warning: measure gone (no_such_module:X): No module named")
    run = fit(*BARE, "--trainer.max_epochs=1", "--measure=roundness")
    assert run.series("roundness/layers.0")[0].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"received gone.*No module named 'no_such_module'"):
        named_measures("gone")


@pytest.mark.parametrize(
    ("names", "said"),
    [("sharpnes", "did you mean sharpness?"), ("", "received none"), ("sharpness,", "received no")],
)
def test_unknown_names_are_refused(
    names: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["fit", f"--run.root={tmp_path / 'runs'}", f"--measure={names}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: expected measures of ")
    assert said in line
    assert not (tmp_path / "runs").exists()

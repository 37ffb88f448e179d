"""A measurement that nothing in the package knows is seen wherever the known ones are."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from drawn import of_gid, texts
from watched_runs import MEASURED, write_run

from lightning_grok.commands.main import main
from lightning_grok.dashboard.pages import Pages
from lightning_grok.dashboard.report import report_page
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.figures import further_figures
from lightning_grok.loggers.wandb_charts import views_of
from lightning_grok.loggers.wandb_workspace import build_workspace
from lightning_grok.runs.measures import BUILT_IN, Measure
from lightning_grok.runs.network import module_names
from lightning_grok.runs.panels import Logged, headlines, panels_of
from lightning_grok.runs.run import Run
from lightning_grok.runs.summary import run_summary
from lightning_grok.tasks.networks import QuadraticMLP

LAYERS = ("layers.0", "layers.2", "layers.10")
EPOCHS = MEASURED
KEYS = {
    "roundness": [f"roundness/{layer}/spread" for layer in LAYERS],
    "twist": ["twist"],
    "splits": ["train/f1", "test/f1"],
}
TITLES = {"roundness": "roundness/spread", "twist": "twist", "splits": "f1"}
EVERY = pytest.mark.parametrize("name", list(KEYS))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The measurements that the package has, and three of a user: by layer, by split, plain."""
    directory = write_run(tmp_path_factory.mktemp("own"))
    for epoch in EPOCHS:
        for event, keys in KEYS.items():
            values = {key: epoch + place for place, key in enumerate(keys)}
            directory.log(event, epoch, 8 * epoch, values)
    for step in (1, 2, 3):  # logged by step, as `self.log(on_step=True)` does
        directory.log("log", 1, step, {"grad_norm_step": float(step), "twist_se": 0.5})
    directory.close()
    return Run(directory.path)


def page_of(measured: Run, **request: str) -> dict[str, Any]:
    folder = RunFolder(measured.path.parent)
    folder.refresh()
    return Pages(folder).page(request)


@EVERY
def test_it_is_on_the_page(run: Run, name: str) -> None:
    views = {view["title"]: view for view in page_of(run, page="run", run="run")["views"]}
    view = views[TITLES[name]]
    lines = [trace for trace in view["figure"]["data"] if trace["mode"] == "lines+markers"]
    assert [trace["y"][2:] for trace in lines] == [
        [epoch + place for epoch in EPOCHS[1:]] for place in range(len(KEYS[name]))
    ]
    labels = LAYERS if name == "roundness" else KEYS[name]
    assert all(entry["label"].startswith(label)
               for entry, label in zip(view["legend"], labels, strict=True))  # fmt: skip
    assert len({entry["color"] for entry in view["legend"]}) == len(labels)


def test_steps_stand_at_their_epoch_and_bands_are_no_panels(run: Run) -> None:
    views = {view["title"]: view for view in page_of(run, page="run", run="run")["views"]}
    assert views["grad_norm_step"]["figure"]["data"][0]["y"] == [3.0]
    assert "twist_se" not in views
    assert views["twist"]["figure"]["data"][0]["fill"] == "toself"


@EVERY
def test_it_is_compared(run: Run, name: str) -> None:
    views = page_of(run, page="compare", by="run")["views"]
    drawn = {view["title"]: view["figure"]["data"][-1]["y"][2:] for view in views}
    if name == "roundness":
        assert drawn["roundness/spread of the last layer"] == [e + 2 for e in EPOCHS[1:]]
    else:
        for place, key in enumerate(KEYS[name]):
            assert drawn[key] == [epoch + place for epoch in EPOCHS[1:]]


@EVERY
def test_it_is_in_the_report(run: Run, name: str) -> None:
    (text,) = re.findall(
        r'id="report-data"[^>]*>(.*?)</script>', report_page([run.path], []), re.DOTALL
    )
    pages = json.loads(text)["pages"]
    assert TITLES[name] in [view["title"] for view in pages["run/."]["views"]]


@pytest.mark.slow
def test_it_is_in_the_figures_of_the_run(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (figure,) = further_figures(run)
    for name, keys in KEYS.items():
        assert any(text.endswith(TITLES[name]) for text in texts(figure))
        for place, key in enumerate(keys):
            (line,) = of_gid(figure, key)
            assert line.get_ydata().tolist() == [epoch + place for epoch in EPOCHS[1:]]
    copy = shutil.copytree(run.path, tmp_path / "copy")
    for file in ("arrays", "snapshots"):
        shutil.rmtree(copy / file, ignore_errors=True)
    main(["figures", str(copy), "--format=png"])
    assert str(copy / "figures" / "further.png") in capsys.readouterr().out.splitlines()


@EVERY
def test_it_is_in_the_workspace(run: Run, name: str) -> None:
    pytest.importorskip("wandb_workspaces.workspaces")
    sections = build_workspace("entity", "project", [run]).sections
    (own,) = [section for section in sections if section.name == "Own measurements"]
    asked = {panel.title: panel.y for panel in own.panels}
    assert asked[TITLES[name]] == KEYS[name]
    assert "Own measurements" not in [s.name for s in build_workspace("entity", "project").sections]


def test_layers_are_a_chart_in_weights_and_biases(run: Run) -> None:
    assert list(views_of("roundness", run, 10)) == ["roundness/spread"]
    assert views_of("twist", run, 10) == {}


@EVERY
def test_it_is_in_the_summary_and_on_the_progress_bar(run: Run, name: str) -> None:
    read = [line.key for _, line in headlines(panels_of(run), "reading")]
    assert read[:4] == [
        "train/accuracy", "test/accuracy", "kernel_distance/full/own",
        "manifold_capacity/layers.4/capacity",
    ]  # fmt: skip
    assert KEYS[name][-1] in read
    assert f"lag/{KEYS[name][-1]}" in run_summary(run)


def test_names_of_keys_are_text(tmp_path: Path) -> None:
    words = {"unit": "<b>$x"}
    directory = write_run(tmp_path, last=1, quantities={"a$b$_x": words})
    for key in ("a$b$_x", "a/b", "a-b", "<i>", r"$\frac$"):
        directory.log("odd", 1, 8, {key: 1.0})
    run = Run(directory.path)
    assert all(write(run) for write in (further_figures, lambda run: run_summary(run) or True))
    for kind in ("run", "compare"):
        views = page_of(run, page=kind, run="run", by="run")["views"]
        assert len({view["id"] for view in views}) == len(views)
        assert {"a/b", "a-b", "<i>"} <= {view["title"] for view in views}
        figures = [view["figure"] for view in views]
        drawn = [trace["name"] for figure in figures for trace in figure["data"] if "name" in trace]
        drawn += [figure["layout"]["yaxis"]["title"]["text"] for figure in figures]
        assert "&lt;i&gt;" in drawn or kind == "compare"
        assert not [text for text in drawn if "<" in re.sub(r"<sub>\w</sub>", "", text)]


def test_a_measurement_may_bring_its_own_words(tmp_path: Path) -> None:
    words = {"title": "Roundness of classes", "unit": "turns", "low": 0, "log": True}
    directory = write_run(tmp_path, last=1, quantities={"roundness/{layer}": words})
    directory.log("roundness", 1, 8, {"roundness/layers.0": 1.0, "roundness/conv.1": 2.0})
    panel = next(panel for panel in panels_of(Run(directory.path)) if panel.group.startswith("Own"))
    assert (panel.title, panel.unit, panel.low, panel.log) == (
        "Roundness of classes",
        "turns",
        0,
        True,
    )
    assert [line.layer for line in panel.lines] == ["layers.0", "conv.1"]


def test_layers_stand_as_the_network_has_them() -> None:
    network = QuadraticMLP(in_features=4, num_classes=2, hidden=3)
    names = module_names(network)
    assert names == ["hidden", "square", "readout"]
    logged = ("readout", "square@1", "square@0", "hidden", "other")
    run = Logged([f"manifold_capacity/{name}/capacity" for name in logged], {"modules": names}, {})
    (panel,) = panels_of(run)
    expected = ["hidden", "square@0", "square@1", "readout", "other"]
    assert [line.layer for line in panel.lines] == expected


@pytest.mark.parametrize("measure", BUILT_IN, ids=lambda each: each.name)
def test_a_measure_of_the_package_says_what_it_is(measure: Measure) -> None:
    """By its name alone, without a field, of a layer and with one."""
    keys = [measure.name, f"{measure.name}/layers.0", f"{measure.name}/layers.2/field"]
    panels = panels_of(Logged(keys, {"layer_names": list(LAYERS)}, {}))
    assert len(panels) == 3
    for panel in panels:
        assert panel.note.lower().startswith(measure.words.lower().split(";")[0])
        assert ". As logged: " in panel.note
        assert "arguments" not in panel.note

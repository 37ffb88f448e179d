"""Views of a run whose figures can be foretold, checked by Plotly's own validators."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from watched_runs import CLASSES, LAYERS, MEASURED, POINTS, save_pairs, umap_points, write_run

from lightning_grok.dashboard.run_views import run_views
from lightning_grok.dashboard.umap_view import umap_frame
from lightning_grok.dashboard.view import View
from lightning_grok.figures.epoch_axis import INITIALIZATION, Events, find_events
from lightning_grok.figures.palette import TEST, layer_color
from lightning_grok.runs.run import Run

EVENTS = Events(30.0, 900.0)


def views_of(run: Run, events: Events = EVENTS) -> dict[str, View]:
    return {view.id: view for view in run_views(run, events)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_run(tmp_path_factory.mktemp("views")).path)


@pytest.fixture(scope="module")
def views(run: Run) -> dict[str, View]:
    return views_of(run)


def lines(view: View) -> dict[str, dict]:
    """Trace by name, without bands and levels."""
    return {
        trace["name"]: trace
        for trace in view.figure["data"]
        if trace.get("mode") == "lines+markers"
    }


def test_everything_that_was_measured_has_a_view(views: dict[str, View]) -> None:
    assert list(views) == [
        "accuracy", "loss", "kernel", "capacity", "radius", "dimension", "pairs", "umap",
        "probe", "weights", "growth", "maps",
    ]  # fmt: skip


def test_plotly_accepts_every_figure(views: dict[str, View]) -> None:
    for view in views.values():
        go.Figure(view.figure)  # raises on a property or a value that Plotly doesn't know


def test_lines_are_the_series_with_epoch_0_behind_the_break(
    run: Run, views: dict[str, View]
) -> None:
    trace = lines(views["accuracy"])["test"]
    epochs, values = run.series("test/accuracy")
    assert trace["x"] == [INITIALIZATION, None, *epochs[1:].tolist()]
    assert trace["customdata"] == [0, 0, *epochs[1:].tolist()]
    np.testing.assert_allclose(trace["y"][2:], values[1:], rtol=1e-4)
    assert (trace["y"][0], trace["y"][1]) == (pytest.approx(values[0], rel=1e-4), None)
    assert trace["line"]["color"] == TEST


def test_layers_are_named_and_colored_as_in_the_figures(views: dict[str, View]) -> None:
    for quantity in ("capacity", "radius", "dimension"):
        legend = views[quantity].legend
        assert [entry["group"] for entry in legend] == LAYERS
        assert legend[0]["label"] == "layers.0 (linear)"
        assert legend[1]["label"] == "layers.1 (ReLU)"
        assert [entry["color"] for entry in legend] == [layer_color(k, 5) for k in range(5)]
        groups = {trace["legendgroup"] for trace in views[quantity].figure["data"]}
        assert groups == set(LAYERS)
    title = views["dimension"].figure["layout"]["yaxis"]["title"]["text"]
    assert title == "dimension D<sub>M</sub>"  # it has no unit


def test_a_loss_by_step_and_epoch_stands_beside_that_of_validation(tmp_path: Path) -> None:
    writer = write_run(tmp_path, groups=())
    writer.log("log", 1, 1, {"train/loss_epoch": 2.0, "train/loss_step": 1.0, "val/loss": 3.0})
    views = views_of(Run(writer.path))
    assert list(views) == ["loss", "own-loss-step"]
    assert [entry["label"] for entry in views["loss"].legend] == ["train", "validation"]
    assert lines(views["loss"])["train"]["y"] == [2.0]


def test_weights_have_the_color_of_their_layer_and_are_no_activation(tmp_path: Path) -> None:
    writer = write_run(tmp_path, groups=())
    keys = [f"spectrum/layers.{k}.weight/tail" for k in (0, 2, 4)]
    writer.log("spectrum", 1, 1, dict.fromkeys([*keys, "spectrum/other.7/tail"], 1.0))
    (view,) = views_of(Run(writer.path)).values()
    legend = {entry["label"]: entry["color"] for entry in view.legend}
    assert list(legend) == ["layers.0.weight", "layers.2.weight", "layers.4.weight", "other.7"]
    assert list(legend.values())[:3] == [layer_color(k, 5) for k in (0, 2, 4)]
    assert "-open" not in str(view.legend[:3])


def test_bands_lie_a_standard_error_about_the_line(run: Run, views: dict[str, View]) -> None:
    bands = [trace for trace in views["capacity"].figure["data"] if trace.get("fill")]
    top, bottom = {}, {}
    for x, y in zip(bands[2]["x"], bands[2]["y"], strict=True):
        if x is not None:
            top[x], bottom[x] = max(y, top.get(x, y)), min(y, bottom.get(x, y))
    epochs, values = run.series("manifold_capacity/layers.2/capacity")
    assert sorted(top) == [INITIALIZATION, *epochs[1:]]
    np.testing.assert_allclose([top[x] for x in sorted(top)], 1.02 * values, rtol=1e-4)
    np.testing.assert_allclose([bottom[x] for x in sorted(top)], 0.98 * values, rtol=1e-4)


def test_the_null_floor_is_a_band_along_the_whole_axis(views: dict[str, View]) -> None:
    floors = {
        trace["legendgroup"]: trace
        for trace in views["kernel"].figure["data"]
        if trace.get("fill") == "toself"
    }
    assert (
        min(floors["kernel_distance/full/floor"]["y"]),
        max(floors["kernel_distance/full/floor"]["y"]),
    ) == (0.42, 0.48)
    low, high = views["kernel"].figure["layout"]["xaxis"]["range"]
    assert np.log10(min(floors["kernel_distance/full/floor"]["x"])) < low
    assert np.log10(max(floors["kernel_distance/full/floor"]["x"])) > high
    assert views["kernel"].legend[-1]["label"] == "trace kernel: fresh networks, mean ± s.d."


def test_events_are_lines_in_every_view_over_epochs(views: dict[str, View]) -> None:
    for view in views.values():
        if view.kind == "epoch":
            dashes = {s["x0"]: s["line"]["dash"] for s in view.figure["layout"]["shapes"]}
            assert dashes == {30.0: "dash", 900.0: "solid"}
    both = [(s.get("xref"), s["x0"]) for s in views["pairs"].figure["layout"]["shapes"]]
    assert both.count(("x", 30.0)) == 2  # over a white line


def test_the_heatmap_says_that_it_is_an_estimate_until_it_is_exact(tmp_path: Path) -> None:
    directory = write_run(tmp_path)
    run = Run(directory.path)
    assert "standard error up to 0.008" in views_of(run)["pairs"].note
    directory.remove_arrays("kernel_distance", "pairwise_estimate")
    assert "pairs" not in views_of(run)
    exact = np.ones((len(MEASURED), len(MEASURED)))
    arrays = {"epochs": np.array(MEASURED), "distance": exact}
    directory.save_arrays("kernel_distance", "pairwise", arrays)
    view = views_of(run)["pairs"]
    assert "Estimate" not in view.note
    cells = np.array(view.figure["data"][0]["z"], dtype=float)
    assert cells.shape == (len(MEASURED) + 1,) * 2  # with the break between epochs 0 and 1
    assert np.nanmin(cells) == np.nanmax(cells) == 1
    assert len(view.figure["data"][0]["x"]) == len(MEASURED) + 2
    save_pairs(directory, MEASURED)


def test_frames_have_the_points_of_their_epoch_inside_the_window(
    run: Run, views: dict[str, View]
) -> None:
    view = views["umap"]
    assert sorted(view.frames or {}) == MEASURED
    assert [entry["label"] for entry in view.legend] == CLASSES
    (x0, x1), (y0, y1) = (view.figure["layout"][f"{side}axis"]["range"] for side in "xy")
    for epoch in MEASURED:
        frame = umap_frame(run, epoch)
        assert frame is not None
        assert sum(len(part["x"]) for part in frame.values()) == POINTS
        for label, part in frame.items():
            expected = umap_points(epoch)[np.arange(POINTS) % 4 == int(label)]
            np.testing.assert_allclose(np.c_[part["x"], part["y"]], expected, rtol=1e-3)
            assert x0 < min(part["x"]) <= max(part["x"]) < x1
            assert y0 < min(part["y"]) <= max(part["y"]) < y1
    assert umap_frame(run, 3) is None


def test_names_from_a_run_cannot_speak_html_to_plotly(tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)">%{x}'
    names = [evil, "one", "two", "three"]
    layers = [evil, *LAYERS[1:]]
    directory = write_run(tmp_path, last=10, class_names=names, layer_names=layers)
    directory.log("manifold_capacity", 10, 0, {f"manifold_capacity/{evil}/capacity": 1.0})
    for view in views_of(Run(directory.path)).values():
        for trace in view.figure["data"]:
            assert "<" not in trace.get("name", "")
            assert "%{" not in trace.get("name", "")


def test_a_run_that_has_only_begun_has_what_it_has(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, last=0).path)
    views = views_of(run, find_events(run))
    assert "pairs" not in views  # of one epoch
    assert lines(views["accuracy"])["test"]["x"] == [INITIALIZATION, None]
    empty = Run(tmp_path / "nothing")
    assert run_views(empty, find_events(empty)) == []

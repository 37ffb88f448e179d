"""Which classes generalize first, on a run whose order is known."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from watched_runs import CLASSES, RISE, accuracy_of_classes, write_run

from lightning_grok.analysis.accuracy import Counted
from lightning_grok.dashboard.class_views import (
    class_onsets,
    class_series,
    class_views,
    generalization_order,
)
from lightning_grok.figures.epoch_axis import Events
from lightning_grok.runs.run import Run

EVENTS = Events(30.0, 900.0)
ORDER = sorted(range(4), key=RISE.__getitem__)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_run(tmp_path_factory.mktemp("classes")).path)


def test_classes_stand_in_the_order_of_their_rise(run: Run) -> None:
    series = class_series(run, "evaluation", "test/accuracy_per_class")
    assert series is not None
    onsets = class_onsets(series, 30.0)
    assert generalization_order(onsets, series) == ORDER
    found = [onset.t_half for onset in onsets]
    np.testing.assert_allclose(found, RISE, rtol=0.05)


def test_all_views_have_the_same_rows(run: Run) -> None:
    views = class_views(run, EVENTS, "layers.4")
    assert [view.id for view in views] == ["order", "class-accuracy", "class-capacity"]
    for view in views:
        go.Figure(view.figure)
        assert view.figure["layout"]["yaxis"]["ticktext"] == [CLASSES[k] for k in ORDER]
    assert "First so far one, three, two" in views[0].note
    last = [row[-1] for row in views[1].figure["data"][0]["z"]]
    np.testing.assert_allclose(last, accuracy_of_classes(10_000)[ORDER], rtol=1e-4)
    last = [row[-1] for row in views[2].figure["data"][0]["z"]]
    np.testing.assert_allclose(last, 0.05 * accuracy_of_classes(10_000)[ORDER], rtol=1e-4)
    assert "layers.4" in views[2].title


def test_marks_stand_at_the_half_rise_and_lines_about_them(run: Run) -> None:
    order = class_views(run, EVENTS, None)[0]
    span, marks = order.figure["data"]
    np.testing.assert_allclose(marks["x"], sorted(RISE), rtol=0.05)
    assert marks["y"] == [0, 1, 2, 3]
    for k, mark in enumerate(marks["x"]):
        start, end, gap = span["x"][3 * k : 3 * k + 3]
        assert start < mark < end
        assert gap is None


def test_in_a_run_at_chance_no_class_comes_first(run: Run) -> None:
    (order, *_) = class_views(run, Events(30.0, None), None)
    assert order.note == "The network has not generalized so far: no class comes first."
    assert all(not trace["x"] for trace in order.figure["data"])


def test_few_images_of_a_class_show_no_rise(run: Run) -> None:
    """From 10 % to 90 % of 4 images is two or three of them more."""
    series = class_series(run, "evaluation", "test/accuracy_per_class")
    assert series is not None
    assert all(np.isfinite(each.t_half) for each in class_onsets(series, 30.0, Counted(400, 0.25)))
    assert all(np.isinf(each.t_half) for each in class_onsets(series, 30.0, Counted(4, 0.25)))


def test_a_run_without_class_accuracies_has_no_such_page(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=10)
    for file in directory.path.glob("arrays/evaluation/*.npz"):
        file.unlink()
    assert class_views(Run(directory.path), EVENTS, None) == []

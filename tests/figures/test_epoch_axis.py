from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from watched_runs import HALF, MEMORIZED, write_run

from lightning_grok.analysis.onset import run_events
from lightning_grok.figures.epoch_axis import (
    BREAK,
    INITIALIZATION,
    Events,
    draw_epoch_axis,
    draw_series,
    event_handles,
    find_events,
    limits,
    places,
)
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run


def drawn_axis(run: Run):
    from matplotlib.figure import Figure

    axes = Figure(figsize=(3, 2)).subplots()
    draw_epoch_axis(axes, run)
    return axes


def test_the_initialization_stands_left_of_the_break_and_is_named_0(whole_run: Run) -> None:
    axes = drawn_axis(whole_run)
    low, high = axes.get_xlim()
    assert low < INITIALIZATION < BREAK[0] < BREAK[1] < 1 < 10_000 < high
    assert (low, high) == limits(whole_run)
    ticks = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    names = {place: label.get_text() for place, label in ticks.items()}
    assert names[INITIALIZATION] == "0"
    assert names[1.0] == "1"
    assert names[10.0] == "10"
    assert names[1000.0] == "$10^{3}$"
    assert axes.get_xlabel() == "epoch"
    assert places(np.array([0, 1, 70])).tolist() == [INITIALIZATION, 1, 70]


def test_an_axis_that_ends_by_thousands_has_its_numbers_in_full(
    written: Callable[..., Run],
) -> None:
    axes = drawn_axis(written("evaluation", last=1000))
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["0", "1", "10", "100", "1000"]


def test_a_run_at_its_start_has_epochs_to_read(written: Callable[..., Run]) -> None:
    axes = drawn_axis(written("evaluation", last=0))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2", "5", "10"]


def test_no_line_crosses_the_break(whole_run: Run) -> None:
    axes = drawn_axis(whole_run)
    line = draw_series(axes, whole_run, "train/loss", color="#000000", label="train")
    assert line is not None
    epochs, values = whole_run.series("train/loss")
    assert epochs[0] == 0
    np.testing.assert_array_equal(line.get_xdata(), epochs[1:])
    np.testing.assert_array_equal(line.get_ydata(), values[1:])
    (point,) = [each for each in axes.lines if each.get_gid() == "train/loss/0"]
    np.testing.assert_array_equal(point.get_xydata(), [[INITIALIZATION, values[0]]])


def test_a_band_down_to_zero_ends_at_the_least_value_of_a_log_axis(
    whole_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = drawn_axis(whole_run)
    axes.set_yscale("log", nonpositive="mask")
    epochs, values = whole_run.series("train/loss")
    errors = np.where(epochs > 100, 2 * values, 0.1 * values)  # a lower edge below 0
    known = {"train/loss": (epochs, values), "train/loss_se": (epochs, errors)}
    monkeypatch.setattr(whole_run, "series", known.__getitem__)
    draw_series(axes, whole_run, "train/loss", color="#000000", label="train")
    (band,) = [each for each in axes.collections if each.get_gid() == "train/loss_se"]
    edge = band.get_paths()[0].vertices[:, 1]
    upper = (values + errors)[epochs > 0]
    assert (edge.min(), edge.max()) == pytest.approx((upper.min(), upper.max()))


def test_one_evaluation_is_seen(written: Callable[..., Run]) -> None:
    run = written("evaluation", last=1)
    axes = drawn_axis(run)
    line = draw_series(axes, run, "test/accuracy", color="#000000", label="test")
    assert line is not None
    assert line.get_marker() == "o"
    assert line.get_xdata().tolist() == [1]


def test_the_standard_error_is_a_band_about_the_line(whole_run: Run) -> None:
    axes = drawn_axis(whole_run)
    key = "manifold_capacity/layers.0/radius"
    draw_series(axes, whole_run, key, color="#000000", label="radius")
    (band,) = [each for each in axes.collections if each.get_gid() == f"{key}_se"]
    corners = band.get_paths()[0].vertices
    epochs, values = whole_run.series(key)
    for epoch, value in zip(epochs[1:], values[1:], strict=True):
        heights = corners[corners[:, 0] == epoch, 1]
        assert heights.min() == pytest.approx(0.98 * value)
        assert heights.max() == pytest.approx(1.02 * value)


def test_what_was_not_logged_is_not_drawn(whole_run: Run) -> None:
    axes = drawn_axis(whole_run)
    before = len(axes.lines)
    assert draw_series(axes, whole_run, "nothing", color="#000000", label="no") is None
    assert len(axes.lines) == before


def test_events_are_where_the_accuracies_were_made_to_have_them(whole_run: Run) -> None:
    events = find_events(whole_run)
    assert events.memorization == MEMORIZED
    assert events.generalization == pytest.approx(HALF, rel=0.03)


def test_no_events_in_two_evaluations_nor_without_any(written: Callable[..., Run]) -> None:
    assert find_events(written("evaluation", last=1)) == Events(None, None)
    assert find_events(written("umap", name="maps")) == Events(None, None)


def test_a_test_accuracy_that_falls_is_no_generalization(written: Callable[..., Run]) -> None:
    run = written()
    directory = RunDirectory(run.path)
    for k in range(60):
        late = {"train/accuracy": 1.0, "test/accuracy": 0.6 if k < 30 else 0.2}
        directory.log("evaluation", round(1.2**k) + k, k, late)
    directory.close()
    events = find_events(Run(run.path))
    assert events.memorization is not None
    assert events.generalization is None


def test_a_half_that_may_move_is_a_bound(tmp_path: Path) -> None:
    for last, bound in ((10_000, ""), (1500, "≥ ")):
        run = Run(write_run(tmp_path, f"to_{last}", last=last).path)
        assert run_events(run).bound == bound
        memorized, half = (handle.get_label() for handle in event_handles(run, meaning=True))
        assert memorized == f"memorization: train accuracy ≥ 99 %, epoch {MEMORIZED}"
        epoch = f"{find_events(run).generalization:,.0f}"
        assert half == f"generalization: half of the rise, epoch {bound}{epoch}"

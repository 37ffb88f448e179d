"""Bands over seeds against numpy, groups, and what happens to too many lines."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from watched_runs import EPOCHS, write_run

from lightning_grok.dashboard.comparison import (
    comparison_legend,
    comparison_views,
    groups_of,
    over_seeds,
)
from lightning_grok.dashboard.pages import Pages
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.dashboard.run_views import run_views
from lightning_grok.figures.curves import performance_figure
from lightning_grok.figures.epoch_axis import Events
from lightning_grok.runs.run import Run

EVENTS = Events(30.0, 900.0)


def test_the_band_over_seeds_is_median_and_range() -> None:
    values = np.random.default_rng(0).normal(size=(5, 30))
    epochs = np.arange(30)
    found, middle, low, high = over_seeds([(epochs, row) for row in values])
    np.testing.assert_array_equal(found, epochs)
    np.testing.assert_allclose(middle, np.median(values, axis=0))
    np.testing.assert_array_equal(low, values.min(axis=0))
    np.testing.assert_array_equal(high, values.max(axis=0))


def test_a_seed_that_lags_behind_shortens_nothing_and_epochs_of_one_are_left_out() -> None:
    long = (np.array([0, 1, 5, 10, 20]), np.array([0.0, 1, 5, 10, 20]))
    short = (np.array([0, 1, 7]), np.array([2.0, 3, 9]))
    epochs, middle, low, high = over_seeds([long, short, (np.array([]), np.array([]))])
    assert epochs.tolist() == [0, 1, 10, 20]  # 5 and 7: only one of the two has a value
    assert middle.tolist() == [1, 2, 10, 20]
    assert (low.tolist(), high.tolist()) == ([0, 1, 10, 20], [2, 3, 10, 20])
    assert over_seeds([])[0].size == 0


def test_measurements_of_one_kind_are_told_apart(tmp_path: Path) -> None:
    writer = write_run(tmp_path, "run", last=50)
    writer.log("kernel_distance_512", 0, 0, {"kernel_distance_512/full/own": 0.1})
    views = comparison_views(groups_of([(Run(writer.path), EVENTS)], "setup"))
    titles = {view.title for view in views if view.title.startswith("Kernel")}
    assert titles == {"Kernel distance", "Kernel distance (512)"}


def test_setups_are_grouped_over_seeds_and_runs_are_not(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, f"a{k}", last=50, seed=k) for k in range(3)]
    runs.append(write_run(tmp_path, "b", last=50, setup="AdamW-10-5000-1-0.001"))
    pairs = [(Run(run.path), EVENTS) for run in runs]
    by_setup, by_run = groups_of(pairs, "setup"), groups_of(pairs, "run")
    assert [len(group.runs) for group in by_setup] == [3, 1]
    assert "(3 seeds)" in by_setup[0].label
    assert [group.label for group in by_run] == ["a0", "a1", "a2", "b"]
    again = write_run(tmp_path, "a0_2", last=50, seed=0)
    (group,) = groups_of([*pairs[:3], (Run(again.path), EVENTS)], "setup")
    assert "(4 runs of 3 seeds)" in group.label
    views = {view.id: view for view in comparison_views(by_setup)}
    for view in views.values():
        go.Figure(view.figure)
    train = views["compare-train-accuracy"].figure["data"]
    assert [trace["mode"] for trace in train] == ["lines", "lines+markers", "lines+markers"]
    epochs = [epoch for epoch in EPOCHS if epoch <= 50]
    assert train[1]["x"][2:] == epochs[1:]
    assert train[1]["y"][3] < train[2]["y"][3]  # the median seed is a percent below seed 0
    legend = comparison_legend(by_setup)
    assert {trace["legendgroup"] for trace in train} == {entry["group"] for entry in legend}


def test_lines_beyond_those_that_can_be_told_apart_are_counted_not_drawn(tmp_path: Path) -> None:
    for k in range(23):
        write_run(tmp_path, f"r{k:02}", last=1)
    folder = RunFolder(tmp_path)
    folder.refresh()
    page = Pages(folder).page({"page": "compare", "by": "run"})
    looks = {(entry["color"], entry["dash"]) for entry in page["legend"]}
    assert len(looks) == len(page["legend"]) == 21
    assert "the first 21 runs are shown" in page["note"]


def test_losses_are_compared_and_those_below_0_have_a_linear_axis(tmp_path: Path) -> None:
    """A negative log likelihood; and a loss above 0 whose error is larger."""
    for name, least, scale in (("density", -3.0, "linear"), ("wide", 0.01, "log")):
        writer = write_run(tmp_path, name, groups=())
        for epoch in (1, 10, 100):
            loss = {"train/loss": 2.0 / epoch + least, "train/loss_se": 2.0}
            writer.log("log", epoch, epoch, loss)
        run = Run(writer.path)
        (view,) = run_views(run, Events(None, None))
        compared = comparison_views(groups_of([(run, Events(None, None))], "run"))[1]
        assert compared.title == "Train loss"
        for each in (view, compared):
            assert each.figure["layout"]["yaxis"].get("type", "linear") == scale
        assert performance_figure(run).axes[0].get_yscale() == scale

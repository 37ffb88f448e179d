"""The epoch axis in Plotly against that of the figures, and thinning against all points."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from watched_runs import write_run

from lightning_grok.dashboard import epoch_axis as page
from lightning_grok.dashboard.run_views import run_views
from lightning_grok.figures import epoch_axis as figures
from lightning_grok.figures.curves import performance_figure
from lightning_grok.runs.run import Run


@pytest.mark.parametrize("last", [0, 3, 100, 10_000])
def test_both_ends_are_those_of_the_figures(tmp_path: Path, last: int) -> None:
    run = Run(write_run(tmp_path, last=last).path)
    low, high = page.axis(last)["range"]
    assert (10**low, 10**high) == pytest.approx(figures.limits(run))


def test_every_label_is_on_the_axis_and_epoch_0_has_one() -> None:
    for last in (1, 9, 10, 99, 1000, 50_000):
        axis = page.axis(last)
        ticks = np.log10(axis["tickvals"])
        assert np.all((ticks >= axis["range"][0]) & (ticks <= axis["range"][1]))
        assert len(axis["tickvals"]) == len(axis["ticktext"]) >= 4
        assert axis["ticktext"][0] == "0"
        assert axis["tickvals"][0] == figures.INITIALIZATION


def test_what_lies_within_an_epoch_stands_right_of_the_break(tmp_path: Path) -> None:
    writer = write_run(tmp_path, groups=())
    epochs = [0, 0.0625, 0.25, 1, 1.75, 3]
    for epoch in epochs:
        writer.log("log", epoch, round(16 * epoch), {"train/loss": 1 + epoch})
    run = Run(writer.path)
    start = figures.INITIALIZATION * 0.0625
    (view,) = run_views(run, figures.Events(None, None))
    (trace,) = view.figure["data"]
    assert trace["x"] == [start, None, *epochs[1:]]
    assert trace["customdata"] == [0, 0, *epochs[1:]]
    axis = view.figure["layout"]["xaxis"]
    assert axis["tickvals"] == [start, 0.1, 0.2, 0.5, 1, 2]
    assert axis["ticktext"] == ["0", "0.1", "0.2", "0.5", "1", "2"]
    drawn = performance_figure(run).axes[0]
    assert drawn.get_xlim() == pytest.approx([10**end for end in axis["range"]])
    assert [label.get_text() for label in drawn.get_xticklabels()] == axis["ticktext"]
    break_ends = 0.0625 * np.array(figures.BREAK)
    assert start < break_ends[0] < break_ends[1] < 0.0625
    (mark,) = view.figure["layout"]["annotations"]
    assert break_ends[0] < 10 ** mark["x"] < break_ends[1]
    assert page.shown_epochs(run.epochs_of("log")) == epochs


@given(seed=st.integers(0, 10_000), count=st.integers(2, 30_000), most=st.sampled_from([100, 1000]))
def test_a_thinned_series_keeps_ends_and_extremes_of_every_stretch(
    seed: int, count: int, most: int
) -> None:
    generator = np.random.default_rng(seed)
    epochs = np.sort(generator.choice(60_000, count, replace=False))
    values = generator.normal(size=count)
    values[generator.random(count) < 0.05] = np.nan
    kept, shown = page.thin(epochs, values, most)
    assert len(kept) <= max(most, 100) + 2
    assert (kept[0], kept[-1]) == (epochs[0], epochs[-1])
    if np.isfinite(values).any():
        assert np.nanmin(shown) == np.nanmin(values)
        assert np.nanmax(shown) == np.nanmax(values)
    index = np.searchsorted(epochs, kept)
    np.testing.assert_array_equal(values[index], shown)


def test_a_spike_of_one_epoch_in_fifty_thousand_stays() -> None:
    epochs = np.arange(50_001)
    values = np.zeros(len(epochs))
    values[31_234] = -1.0
    kept, shown = page.thin(epochs, values)
    assert len(kept) < 1100
    assert kept[shown.argmin()] == 31_234


@given(st.sets(st.integers(0, 100_000), min_size=2, max_size=300))
def test_chosen_epochs_stay_chosen_while_a_run_grows(epochs: set[int]) -> None:
    ordered = sorted(epochs)
    half = ordered[: len(ordered) // 2 + 1]
    early, late = page.shown_epochs(half), page.shown_epochs(ordered)
    assert set(early[:-1]) <= set(late)
    assert late[-1] == ordered[-1]
    for decade in range(6):
        assert sum(10**decade <= epoch < 10 ** (decade + 1) for epoch in late) <= 25

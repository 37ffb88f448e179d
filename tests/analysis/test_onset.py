"""Event times on curves whose times are known."""

import csv
import json
import math
import os
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lightning_grok.analysis.onset import (
    OnsetDetector,
    find_onset,
    grokking_events,
    memorization_epoch,
    run_events,
)

DENSE = np.arange(0, 10_001)
LOG = np.unique(np.round(np.logspace(0, 4, 97)).astype(int))  # 24 a decade


def ramp(epochs, begin, end, low=0.1, high=0.5):
    """Flat at `low` to epoch `begin`, linear in log10(epoch), flat at `high` from `end`."""
    x = np.log10(np.maximum(epochs, 1))
    part = (x - math.log10(begin)) / (math.log10(end) - math.log10(begin))
    return low + (high - low) * np.clip(part, 0, 1)


def between(begin, end, part):
    return begin * (end / begin) ** part


def accuracies(epochs, *, t_mem=30, begin=1000, end=4000, low=0.1, high=0.5):
    train = np.where(epochs >= t_mem, 1.0, 0.5)
    return train, ramp(epochs, begin, end, low, high)


@pytest.mark.parametrize("epochs", [DENSE, LOG], ids=["dense", "log-spaced"])
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.5), (27.0, 14.0)], ids=["rising", "falling"])
def test_times_of_a_ramp_are_exact(epochs, low, high):
    found = find_onset(epochs, ramp(epochs, 1000, 4000, low, high), start=30)
    assert (found.plateau, found.final) == pytest.approx((low, high))
    # Linear interpolation in x is exact on a ramp, away from its two corners.
    assert found.t_half == pytest.approx(between(1000, 4000, 0.5), rel=1e-3)
    assert found.t_10 == pytest.approx(between(1000, 4000, 0.1), rel=0.02)
    assert found.t_90 == pytest.approx(between(1000, 4000, 0.9), rel=0.02)
    assert found.width == pytest.approx(0.8 * math.log10(4), rel=0.03)
    assert found.t_half_range[0] <= found.t_half <= found.t_half_range[1]
    assert found.change_point.epoch == pytest.approx(2000, rel=0.15)
    assert not found.censored


@pytest.mark.parametrize("begin", [4, 10, 30, 100])
def test_an_early_ramp_on_a_log_spaced_grid_is_not_bent(begin):
    found = find_onset(LOG, ramp(LOG, begin, 4 * begin), start=1)
    assert found.t_half == pytest.approx(between(begin, 4 * begin, 0.5), rel=1e-3)


def test_grid_bounds_a_step():
    epochs = np.array([1, 10, 100, 1000, 2000, 4000, 8000])
    found = find_onset(epochs, np.array([0, 0, 0, 0, 1, 1, 1.0]), start=10)
    assert found.t_half_range == (1000, 2000)
    assert found.t_half == pytest.approx(math.sqrt(1000 * 2000))


@pytest.mark.parametrize("seed", range(4))
def test_noise_and_a_late_collapse_move_nothing(seed):
    random = np.random.default_rng(seed)
    values = ramp(DENSE, 1000, 4000) + random.normal(0, 0.02, len(DENSE))
    values[900] = 0.9  # one evaluation above every level is not held
    values[8000:8020] = 0.02  # the unstable late phase: shorter than half the running median
    found = find_onset(DENSE, values, start=30)
    assert found.noise == pytest.approx(0.02, rel=0.1)
    assert found.t_half == pytest.approx(2000, rel=0.05)
    assert found.t_10 == pytest.approx(between(1000, 4000, 0.1), rel=0.08)
    assert found.final == pytest.approx(0.5, abs=0.01)


def test_range_covers_the_true_time():
    """Of 200 noisy curves, at least 95 % have the true half-way time within the stated range."""
    random = np.random.default_rng(0)
    clean, covered = ramp(LOG, 1000, 4000), 0
    for _ in range(200):
        low, high = find_onset(LOG, clean + random.normal(0, 0.02, len(LOG)), start=30).t_half_range
        covered += low <= 2000 <= high
    assert covered >= 190


def test_plateau_is_taken_after_memorization():
    values = ramp(DENSE, 1000, 4000)
    values[:30] = 0.8  # higher than everything later
    found = find_onset(DENSE, values, start=30)
    assert found.plateau == pytest.approx(0.1)
    assert found.t_half == pytest.approx(2000, rel=1e-3)


def test_a_second_plateau_does_not_end_the_rise():
    values = ramp(LOG, 300, 500, 0.1, 0.4) + ramp(LOG, 3000, 5000, 0, 0.6)
    found = find_onset(LOG, values, start=20)
    assert found.t_10 < 500
    assert 3000 < found.t_half < 5000


def test_known_plateau_starts_at_the_first_evaluation():
    distance = ramp(LOG, 1, 100, 0, 0.8)
    found = find_onset(LOG, distance, plateau=0.0)
    assert found.t_half == pytest.approx(10, rel=1e-6)


def test_plateau_between_two_measurements_is_interpolated():
    epochs = np.array([1, 10, 1000, 2000, 3000, 5000])
    values = np.array([0.0, 1.0, 3.0, 9.0, 9.0, 9.0])
    found = find_onset(epochs, values, start=100 / math.sqrt(2))
    assert found.plateau == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(5))
def test_noise_about_one_level_never_crosses(seed):
    noise = np.random.default_rng(seed).normal(0.3, 0.02, len(LOG))
    found = find_onset(LOG, noise, start=30)
    assert found.censored
    assert found.t_10 == math.inf
    assert found.t_half_range == (math.inf, math.inf)
    assert found.last == 10_000
    assert math.isnan(found.width)


def test_a_rise_that_is_not_held_three_times_is_censored():
    values = np.full(len(LOG), 0.1)
    values[-2:] = 0.5
    found = find_onset(LOG, values, start=30)
    # 0.95 x_end lies before the last two evaluations: the final level is still the plateau.
    assert found.censored
    short = find_onset(np.array([10, 20, 40, 80, 5000, 9900, 10_000]), np.r_[[0.1] * 5, 0.5, 0.5])
    assert short.final == 0.5
    assert short.censored


def test_nan_and_epoch_zero_are_left_out():
    values = ramp(LOG, 1000, 4000)
    holes = values.copy()
    holes[5] = np.nan
    with_start = find_onset(np.r_[0, LOG], np.r_[99.0, holes], start=30)
    assert with_start.t_half == pytest.approx(find_onset(LOG, values, start=30).t_half)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_evaluations_are_censored(count):
    found = find_onset(LOG[:count], np.ones(count))
    assert found.censored
    assert math.isnan(found.plateau)


def test_unordered_epochs_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="increasing"):
        find_onset(np.array([1, 3, 2]), np.zeros(3))
    with pytest.raises(ValueError, match="as many values as epochs"):
        find_onset(np.array([1, 2, 3]), np.zeros(2))


def test_memorization_needs_three_in_a_row():
    epochs = np.array([10, 20, 30, 40, 50, 60])
    assert memorization_epoch(epochs, np.array([0.5, 1, 1, 0.9, 1, 1])) == math.inf
    assert memorization_epoch(epochs, np.array([0.5, 1, 0.9, 0.99, 1, 1])) == 40


def test_a_run_that_never_memorizes_has_a_final_level():
    train, test = accuracies(DENSE)
    found = grokking_events(DENSE, 0.98 * train, test)
    assert math.isinf(found.t_mem)
    assert math.isnan(found.test.plateau)
    assert found.test.censored
    assert found.test.final == pytest.approx(0.5)


def test_grokking_is_late_and_large():
    events = grokking_events(LOG, *accuracies(LOG))
    assert events.grokked
    assert events.reason == ""
    assert 26 < events.t_mem <= 34  # the first evaluation of the grid from 30 on
    assert events.test.t_half == pytest.approx(2000, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"t_mem": 20_000}, "train accuracy never held"),
        ({"high": 0.1}, "never rose"),
        ({"high": 0.05}, "never rose"),
        ({"t_mem": 600}, "without delay"),
        ({"low": 0.3}, "small rise"),
    ],
)
def test_what_is_not_grokking_says_why(change, reason):
    events = grokking_events(LOG, *accuracies(LOG, **change))
    assert not events.grokked
    assert reason in events.reason


def test_a_fall_of_test_accuracy_is_no_generalization():
    epochs = np.arange(1, 1001)
    test = np.where(epochs < 300, 0.5, 0.2)
    events = grokking_events(epochs, np.clip(epochs / 20, 0, 1), test)
    assert (events.test.plateau, events.test.final) == (0.5, 0.2)
    assert math.isinf(events.test.t_10)
    assert math.isinf(events.test.t_half)
    assert find_onset(epochs, test, start=20).t_half == pytest.approx(299.5, abs=0.6)


def test_percent_is_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\], received 50"):
        grokking_events(LOG, np.ones(len(LOG)), np.full(len(LOG), 50.0))


def test_run_events_align_both_series():
    train, test = accuracies(LOG)

    class Fake:
        def series(self, key):
            return {"train/accuracy": (LOG, train), "test/accuracy": (LOG[3:], test[3:])}[key]

    assert run_events(Fake()) == grokking_events(LOG[3:], train[3:], test[3:])


def feed(detector, epochs, train, test):
    found = []
    for row in zip(epochs.tolist(), train.tolist(), test.tolist(), strict=True):
        found += detector.update(*row)
    return found


def test_live_events_and_when_they_are_known():
    train, test = accuracies(LOG)
    memorization, generalization = feed(OnsetDetector(), LOG, train, test)
    assert memorization.name == "memorization"
    assert memorization.epoch == grokking_events(LOG, train, test).t_mem
    index = LOG.tolist().index(memorization.epoch)
    assert memorization.known_at == LOG[index + 2]
    assert generalization.name == "generalization"
    first = int(np.argmax((test >= 0.1 + 0.05) & (LOG > 60)))
    assert (generalization.epoch, generalization.known_at) == (LOG[first], LOG[first + 2])


def test_live_state_goes_through_json_at_any_moment():
    train, test = accuracies(LOG)
    whole = feed(OnsetDetector(), LOG, train, test)
    for cut in range(len(LOG)):
        detector = OnsetDetector()
        found = feed(detector, LOG[:cut], train[:cut], test[:cut])
        resumed = OnsetDetector()
        resumed.load_state_dict(json.loads(json.dumps(detector.state_dict())))
        assert found + feed(resumed, LOG[cut:], train[cut:], test[cut:]) == whole


def test_live_ignores_nan_the_start_and_what_is_not_held():
    detector = OnsetDetector()
    assert detector.update(0, 1.0, 0.9) == []
    rows = [(1, 1, 0.1), (2, math.nan, 0.1), (3, 1, 0.1), (4, 1, math.nan), (5, 1, 0.1)]
    found = [event for row in rows for event in detector.update(*row)]
    assert [(event.name, event.epoch) for event in found] == [("memorization", 3)]
    assert detector.level == pytest.approx(0.15)
    later = [(7, 1, 0.4), (8, 1, 0.4), (9, 1, 0.1), (10, 1, 0.4), (11, 1, 0.4), (12, 1, 0.4)]
    found = [event for row in later for event in detector.update(*row)]
    assert [(event.name, event.epoch, event.known_at) for event in found] == [
        ("generalization", 10, 12)
    ]
    assert detector.update(13, 1, 0.4) == []


@given(
    t_mem=st.integers(1, 100),
    delay=st.floats(3, 30),
    width=st.floats(1.05, 4),
    low=st.floats(0.01, 0.4),
    high=st.floats(0.1, 1.0),
)
def test_live_is_never_later_than_half_way_where_a_run_groks(t_mem, delay, width, low, high):
    begin = t_mem * delay
    train, test = accuracies(LOG, t_mem=t_mem, begin=begin, end=begin * width, low=low, high=high)
    events = grokking_events(LOG, train, test)
    live = {event.name: event for event in feed(OnsetDetector(), LOG, train, test)}
    assert live["memorization"].epoch == events.t_mem
    if events.grokked and high >= low + 0.1:
        on_grid = LOG[np.searchsorted(LOG, events.test.t_half * (1 - 1e-9))]
        assert live["generalization"].epoch <= on_grid


def published():
    """run -> metric -> epochs and values in percent; and the scalars of the full series."""
    path = os.environ.get("LIGHTNING_GROK_PUBLISHED", "")
    if not os.path.isfile(path):
        pytest.skip("LIGHTNING_GROK_PUBLISHED does not name the published csv file")
    series, scalars = defaultdict(lambda: defaultdict(list)), defaultdict(dict)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] != "EMNIST" or row["layer"]:
                continue
            if row["epoch"]:
                point = (float(row["epoch"]), float(row["value"]))
                series[row["run"]][row["metric"]].append(point)
            else:
                scalars[row["run"]][row["metric"]] = float(row["value"])
    return series, scalars


@pytest.mark.parametrize("run", ["AdamW-10-1000-1-0.001", "AdamW-10-2000-0.5-0"])
def test_published_runs_grok_where_the_full_series_do(run):
    series, scalars = published()
    train = dict(series[run]["train_acc"])
    test = dict(series[run]["test_acc"])
    epochs = np.array(sorted(train))
    events = grokking_events(
        epochs,
        np.array([train[epoch] for epoch in epochs]) / 100,
        np.array([test[epoch] for epoch in epochs]) / 100,
    )
    assert events.grokked, events
    # 16 of up to 50,000 epochs: the event lies within the range, which is the grid's.
    low, high = events.test.t_half_range
    assert low <= scalars[run]["test_mid"] <= high

"""Memorization and generalization on accuracies whose times are known."""

import csv
import math
import os
from collections import defaultdict
from typing import ClassVar

import numpy as np
import pytest
from curves import DENSE, LOG, accuracies, between, ramp

from lightning_grok.analysis.accuracy import Counted
from lightning_grok.analysis.onset import grokking_events, run_events


def test_memorization_needs_three_in_a_row():
    epochs, test = np.array([10, 20, 30, 40, 50, 60]), np.zeros(6)
    train = np.array([0.5, 1, 1, 0.9, 1, 1])
    assert grokking_events(epochs, train, test).t_mem == math.inf
    train = np.array([0.5, 1, 0.9, 0.99, 1, 1])
    assert grokking_events(epochs, train, test).t_mem == 40


def test_a_run_that_never_memorizes_may_generalize():
    train, test = accuracies(DENSE)
    found = grokking_events(DENSE, 0.98 * train, test, Counted(1000, 0.1))
    assert (found.t_mem, found.begins) == (math.inf, math.inf)
    assert found.test.t_half == pytest.approx(2000, rel=1e-3)
    assert (found.grokked, found.delayed) == (False, False)
    assert found.reason == "train accuracy never held 0.99"


def test_grokking_is_late_and_large():
    events = grokking_events(LOG, *accuracies(LOG), Counted(1000, 0.1))
    assert events.grokked
    assert events.reason == ""
    assert 26 < events.t_mem <= 34  # the first evaluation of the grid from 30 on
    assert events.test.t_half == pytest.approx(2000, rel=1e-3)
    assert 1000 < events.begins < 2000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"t_mem": 20_000}, "train accuracy never held"),
        ({"high": 0.1}, "never rose"),
        ({"high": 0.05}, "never rose"),
        ({"high": 0.18}, "never rose"),  # 8 points of 90
        ({"t_mem": 600}, "half of the rise came before"),
        (
            {"low": 0.35},
            "half of the rise came before",
        ),  # 25 points above chance at memorization, 15 later
        (
            {"begin": 3000, "end": 100_000, "high": 0.9},
            "no final level yet: test accuracy still rising",
        ),
    ],
)
def test_what_is_not_grokking_says_why(change, reason):
    events = grokking_events(LOG, *accuracies(LOG, **change), Counted(1000, 0.1))
    assert not events.grokked
    assert reason in events.reason


def test_below_chance_is_no_place_to_rise_from():
    """A network that memorized is often worse than guessing; guessing later is no achievement."""
    to_chance = accuracies(LOG, low=0.3, high=0.5)
    assert grokking_events(LOG, *to_chance, Counted(1000, 0.1)).grokked
    at_chance = grokking_events(LOG, *to_chance, Counted(1000, 0.5))
    assert (at_chance.test.t_half, at_chance.begins) == (math.inf, math.inf)
    assert grokking_events(LOG, *accuracies(LOG, low=0.3, high=1.0), Counted(1000, 0.5)).grokked


def test_a_rise_counts_by_how_many_images_show_it():
    """From 10 % to 25 %: of 1,000 images no doubt, of 50 within what two counts may differ."""
    curves = accuracies(LOG, high=0.25)
    assert grokking_events(LOG, *curves, Counted(1000, 0.1)).grokked
    assert grokking_events(LOG, *curves, Counted(50, 0.1)).test.censored


@pytest.mark.parametrize("rest", [0.1, 0.3])
def test_what_was_lost_again_is_said(rest):
    """Ungrokking: up to 80 % and back, all the way or not."""
    train, test = accuracies(LOG, begin=300, end=600, high=0.8)
    test[-20:] = rest
    events = grokking_events(LOG, train, test, Counted(1000, 0.1))
    assert events.begins < 600
    assert events.lost == (rest == 0.1)
    assert events.grokked == (rest == 0.3)
    assert events.best == pytest.approx(0.8)
    early = ramp(LOG, 2, 10, 0.1, 0.8)
    early[-20:] = 0.1  # nothing after memorization, and yet it had generalized
    events = grokking_events(LOG, train, early, Counted(1000, 0.1))
    assert (events.lost, events.begins) == (True, math.inf)
    assert events.reason == "generalized and lost it again"


def test_a_plateau_that_sinks_a_little_had_not_generalized():
    """Of 47 classes 13 % at memorization and 10 % at the end: less than half of it is gone."""
    train, _ = accuracies(LOG)
    test = ramp(LOG, 3, 30, 0.02, 0.13)
    sunk = np.where(LOG > 300, 0.1, test)
    assert not grokking_events(LOG, train, sunk, Counted(18_800, 1 / 47)).lost
    gone = np.where(LOG > 300, 0.04, test)
    assert grokking_events(LOG, train, gone, Counted(18_800, 1 / 47)).lost


def test_a_fall_of_test_accuracy_is_no_generalization():
    epochs = np.arange(1, 1001)
    test = np.where(epochs < 300, 0.5, 0.2)
    events = grokking_events(epochs, np.clip(epochs / 20, 0, 1), test, Counted(1000, 0.15))
    assert (events.grokked, events.begins) == (False, math.inf)
    assert math.isinf(events.test.t_half)


@pytest.mark.parametrize("end", [12_000, 30_000, 300_000])
def test_what_still_climbs_at_its_end_has_no_final_level(end):
    """From a ramp that is cut off: half can only be later than what the part so far says."""
    train, test = accuracies(LOG, begin=500, end=end, high=0.9)
    events = grokking_events(LOG, train, test, Counted(2000, 0.1))
    assert events.moving == "rising"
    assert events.begins > 500
    assert events.test.t_half < between(500, end, 0.5)
    down = grokking_events(LOG, train, np.minimum(test, test[::-1]), Counted(2000, 0.1))
    assert down.moving != "rising"


@pytest.mark.parametrize("samples", [300, 1000, 20_000])
def test_what_stands_still_is_not_climbing(samples):
    """A quarter of a decade after a step, counted on so many images: 2 of 100 at most."""
    random = np.random.default_rng(samples)
    train, test = accuracies(LOG, begin=3000, end=5600, high=0.6)
    of = Counted(samples, 0.1)
    drawn = (random.binomial(samples, test) / samples for _ in range(100))
    found = [grokking_events(LOG, train, counted, of) for counted in drawn]
    assert sum(events.moving != "" for events in found) <= 2
    assert sum(not events.grokked for events in found) <= 2
    assert grokking_events(LOG, train, test, of).grokked


@pytest.mark.parametrize("samples", [1000, 20_000])
def test_a_slow_climb_is_told_from_counting_noise(samples):
    random = np.random.default_rng(samples)
    train, test = accuracies(LOG, begin=316, end=30_000, low=0.1, high=0.9)
    drawn = (random.binomial(samples, test) / samples for _ in range(100))
    found = [grokking_events(LOG, train, counted, Counted(samples, 0.1)) for counted in drawn]
    assert sum(events.moving == "rising" for events in found) >= 90


def test_a_rise_in_the_last_two_evaluations_is_under_way():
    train, test = accuracies(LOG, high=0.1)
    test[-2:] = 1.0
    events = grokking_events(LOG, train, test, Counted(1000, 0.1))
    assert (events.moving, events.grokked, events.test.t_half) == ("rising", False, math.inf)


@pytest.mark.parametrize("samples", [50, 200, 1000, 20_000])
@pytest.mark.parametrize("chance", [1 / 2, 1 / 10, 1 / 120])
def test_nothing_is_found_in_flat_series(samples, chance):
    """Of 250 networks at chance a case, 3,000 in all, none rises, climbs, or loses anything.

    Evaluations are drawn anew, or keep nine of ten images as the evaluation before had them.
    """
    random = np.random.default_rng(samples)
    for case in range(250):
        test = random.binomial(samples, chance, len(LOG)) / samples
        if case % 2 and samples <= 200:
            test = _slow(random, samples, chance, len(LOG))
        train = np.where(10 ** random.uniform(0, 3) <= LOG, 1.0, 0.5)
        events = grokking_events(LOG, train, test, Counted(samples, chance))
        found = (events.grokked, events.lost, events.moving, events.test.t_half, events.begins)
        assert found == (False, False, "", math.inf, math.inf), (case, events)


def _slow(random, samples, chance, count):
    right = random.random(samples) < chance
    shares = []
    for _ in range(count):
        right = np.where(random.random(samples) < 0.1, random.random(samples) < chance, right)
        shares.append(right.mean())
    return np.array(shares)


@pytest.mark.parametrize("samples", [500, 10_000])
def test_late_risers_are_found_in_counting_noise(samples):
    """Networks that come from chance to 40 to 100 %: each is found within the rise."""
    random, grokked = np.random.default_rng(samples), 0
    for _ in range(100):
        begin, high = 10 ** random.uniform(2.3, 3.5), random.uniform(0.4, 1)
        train, test = accuracies(LOG, begin=begin, end=1.6 * begin, low=0.02, high=high)
        counted = random.binomial(samples, test) / samples
        events = grokking_events(LOG, train, counted, Counted(samples, 0.02))
        assert events.delayed
        grokked += events.grokked
        assert begin * 0.9 < events.begins <= events.test.t_half * 1.1 < begin * 1.8
        assert events.test.t_half == pytest.approx(begin * math.sqrt(1.6), rel=0.15)
    assert grokked >= 98  # one in a hundred seems to move on


def test_percent_is_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\], received 50"):
        grokking_events(LOG, np.ones(len(LOG)), np.full(len(LOG), 50.0))


def test_run_events_align_both_series():
    train, test = accuracies(LOG)

    class Fake:
        meta: ClassVar = {"test_samples": 1000, "num_classes": 10}

        def series(self, key):
            return {"train/accuracy": (LOG, train), "test/accuracy": (LOG[3:], test[3:])}[key]

    assert run_events(Fake()) == grokking_events(LOG[3:], train[3:], test[3:], Counted(1000, 0.1))


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
    # 16 of up to 50,000 epochs: the full series' time lies between the same two of them.
    at = np.searchsorted(epochs, [events.test.t_half, scalars[run]["test_mid"]])
    assert at[0] == at[1]

"""Times of transitions on curves whose times are known."""

import math

import numpy as np
import pytest
from curves import DENSE, LOG, between, ramp

from lightning_grok.analysis.transition import find_transition


@pytest.mark.parametrize("epochs", [DENSE, LOG], ids=["dense", "log-spaced"])
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.5), (27.0, 14.0)], ids=["rising", "falling"])
def test_times_of_a_ramp_are_exact(epochs, low, high):
    found = find_transition(epochs, ramp(epochs, 1000, 4000, low, high), start=30)
    assert (found.plateau, found.final) == pytest.approx((low, high))
    # Linear interpolation in x is exact on a ramp, away from its two corners.
    assert found.t_half == pytest.approx(between(1000, 4000, 0.5), rel=1e-3)
    assert found.t_10 == pytest.approx(between(1000, 4000, 0.1), rel=0.02)
    assert found.t_90 == pytest.approx(between(1000, 4000, 0.9), rel=0.02)
    assert not found.censored


@pytest.mark.parametrize("begin", [4, 10, 30, 100])
def test_an_early_ramp_on_a_log_spaced_grid_is_not_bent(begin):
    found = find_transition(LOG, ramp(LOG, begin, 4 * begin), start=1)
    assert found.t_half == pytest.approx(between(begin, 4 * begin, 0.5), rel=1e-3)


def test_a_step_stands_half_way_between_two_evaluations():
    epochs = np.array([1, 10, 100, 1000, 2000, 4000, 8000])
    found = find_transition(epochs, np.array([0, 0, 0, 0, 1, 1, 1.0]), start=10)
    assert found.t_half == pytest.approx(math.sqrt(1000 * 2000))


@pytest.mark.parametrize("seed", range(4))
def test_noise_and_a_late_collapse_move_nothing(seed):
    random = np.random.default_rng(seed)
    values = ramp(DENSE, 1000, 4000) + random.normal(0, 0.02, len(DENSE))
    values[900] = 0.9  # one evaluation above every level is not held
    values[8000:8020] = 0.02  # the unstable late phase: shorter than half the running median
    found = find_transition(DENSE, values, start=30)
    assert found.t_half == pytest.approx(2000, rel=0.05)
    assert found.t_10 == pytest.approx(between(1000, 4000, 0.1), rel=0.08)
    assert found.final == pytest.approx(0.5, abs=0.01)


def test_plateau_is_taken_after_memorization():
    values = ramp(DENSE, 1000, 4000)
    values[:30] = 0.8  # higher than everything later
    found = find_transition(DENSE, values, start=30)
    assert found.plateau == pytest.approx(0.1)
    assert found.t_half == pytest.approx(2000, rel=1e-3)


def test_a_second_plateau_does_not_end_the_rise():
    values = ramp(LOG, 300, 500, 0.1, 0.4) + ramp(LOG, 3000, 5000, 0, 0.6)
    found = find_transition(LOG, values, start=20)
    assert found.t_10 < 500
    assert 3000 < found.t_half < 5000


def test_known_plateau_starts_at_the_first_evaluation():
    distance = ramp(LOG, 1, 100, 0, 0.8)
    found = find_transition(LOG, distance, plateau=0.0)
    assert found.t_half == pytest.approx(10, rel=1e-6)


def test_plateau_between_two_measurements_is_interpolated():
    epochs = np.array([1, 10, 1000, 2000, 3000, 5000])
    values = np.array([0.0, 1.0, 3.0, 9.0, 9.0, 9.0])
    found = find_transition(epochs, values, start=100 / math.sqrt(2))
    assert found.plateau == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(5))
def test_noise_about_one_level_never_crosses(seed):
    noise = np.random.default_rng(seed).normal(0.3, 0.02, len(LOG))
    found = find_transition(LOG, noise, start=30)
    assert found.censored
    assert found.t_10 == math.inf
    assert found.last == 10_000


def test_a_rise_that_is_not_held_three_times_is_censored():
    values = np.full(len(LOG), 0.1)
    values[-2:] = 0.5
    found = find_transition(LOG, values, start=30)
    # The last tenth of a decade has three evaluations: its median is still the plateau.
    assert found.censored
    short = find_transition(
        np.array([10, 20, 40, 80, 5000, 9900, 10_000]), np.r_[[0.1] * 5, 0.5, 0.5]
    )
    assert short.final == 0.5
    assert short.censored


def test_nan_and_epoch_zero_are_left_out():
    values = ramp(LOG, 1000, 4000)
    holes = values.copy()
    holes[5] = np.nan
    with_start = find_transition(np.r_[0, LOG], np.r_[99.0, holes], start=30)
    assert with_start.t_half == pytest.approx(find_transition(LOG, values, start=30).t_half)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_evaluations_are_censored(count):
    found = find_transition(LOG[:count], np.ones(count))
    assert found.censored
    assert math.isnan(found.plateau)


def test_unordered_epochs_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="increasing"):
        find_transition(np.array([1, 3, 2]), np.zeros(3))
    with pytest.raises(ValueError, match="as many values as epochs"):
        find_transition(np.array([1, 2, 3]), np.zeros(2))

import math

import numpy as np
import pytest

from lightning_grok.analysis.lag import (
    Level,
    Series,
    arrival,
    lag,
    on_common_epochs,
    settled,
)

DENSE = np.unique(np.round(np.geomspace(1, 10_000, 97)))
SPARSE = np.array([1, 10, 100, 300, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 9000, 10_000.0])
WAITING = Level(start=20, direction="rise")


def rise(half: float, epochs: np.ndarray = DENSE, height: float = 0.5) -> Series:
    """From 0.1 by `height`, half way at x = `half`, within 0.4 decades from 0.1 to 0.9."""
    x = np.log10(epochs)
    return epochs, 0.1 + height / (1 + np.exp(-(x - half) * 2 * math.log(9) / 0.4))


@pytest.mark.parametrize("true", [-0.4, 0.0, 0.02, 0.3])
def test_lags_of_equal_shapes(true: float) -> None:
    found = lag(rise(3 + true), rise(3.0), WAITING, WAITING)
    assert found.decades == pytest.approx(true, abs=2e-3)
    assert not found.at_least


def test_the_finer_series_is_read_at_the_coarser_ones_epochs() -> None:
    """A jump between two checkpoints is no lag, wherever in between it is."""
    for half in (3.25, 3.3, 3.4):
        sharp = DENSE, np.where(np.log10(DENSE) > half, 0.9, 0.1)
        coarse = SPARSE, np.interp(np.log10(SPARSE), np.log10(DENSE), sharp[1])
        assert lag(coarse, sharp, WAITING, WAITING).decades == pytest.approx(0, abs=1e-9)
    first, second = on_common_epochs(rise(3, SPARSE), rise(3))
    assert first[0].tolist() == second[0].tolist() == SPARSE.tolist()


def test_the_spacing_is_that_about_the_arrival() -> None:
    found = arrival(rise(np.log10(3500), SPARSE), WAITING)
    assert found.spacing == pytest.approx(math.log10(4000 / 3000))
    exact = arrival((SPARSE, (SPARSE >= 1000) + 0.0), Level(0.9, plateau=0.0, start=1))
    assert exact.spacing == pytest.approx(math.log10(1000 / 500))


def test_levels() -> None:
    falling = DENSE, 1 - rise(3)[1]
    assert arrival(falling, Level(start=20)).x == pytest.approx(3, abs=1e-2)
    assert arrival(falling, Level(start=20, direction="fall")).x == pytest.approx(3, abs=1e-2)
    assert arrival(falling, WAITING).censored
    tenth, most = (arrival(rise(3), Level(part, start=20)).x for part in (0.1, 0.9))
    assert most - tenth == pytest.approx(0.4, abs=0.02)
    saturating = DENSE, 1 - np.exp(-DENSE / 10)
    # Half of the way from 0 is at 10 log 2 = 6.9 epochs.
    found = arrival(saturating, Level(plateau=0.0))
    assert 10**found.x == pytest.approx(6.9, rel=0.02)


def test_what_never_comes_is_a_bound() -> None:
    flat = DENSE, np.full(len(DENSE), 0.1)
    found = lag(flat, rise(3), WAITING, WAITING)
    assert found.at_least
    assert found.decades == pytest.approx(4 - 3, abs=1e-2)
    assert math.isnan(lag(rise(3), flat, WAITING, WAITING).decades)
    short = (np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    assert math.isnan(arrival(short, WAITING).x)
    assert math.isnan(lag(short, rise(3), WAITING, WAITING).decades)
    empty = (np.array([]), np.array([]))
    assert math.isnan(lag(empty, rise(3), WAITING, WAITING).decades)


def test_a_half_rise_needs_time_behind_it() -> None:
    """Half-rises of one shape 0.3 decades apart are found so, as long as both are settled."""
    for half in (2.8, 3.1, 3.2):
        found = lag(rise(half + 0.3), rise(half), WAITING, WAITING).decades
        assert settled(half + 0.3, 10_000)
        assert found == pytest.approx(0.3, abs=0.02)
    assert not settled(3.6, 10_000)
    late = lag(rise(4.0), rise(3.7), WAITING, WAITING).decades
    assert late < 0.2  # drawn together by the end of the run

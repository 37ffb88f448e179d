"""Forecasts on seeds whose series tell of generalization, or don't."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimed_runs import Truth, write_run

from lightning_grok.claims.cohort import SeedRun
from lightning_grok.claims.forecast import forecast

HALVES = np.random.default_rng(0).permutation(np.linspace(2.6, 3.4, 10))


def told(root: Path, **of_half: Any) -> dict[str, Any]:
    """The forecast for ten seeds, of which some values depend on when they generalize."""
    runs = []
    for seed, half in enumerate(HALVES):
        truth = Truth(half=half, **{key: f(half, seed) for key, f in of_half.items()})
        runs.append(SeedRun(write_run(root, truth, seed=seed)))
    return forecast(runs, permutations=60)


def test_a_level_that_knows_it_all_along(tmp_path: Path) -> None:
    """Early kernel movement that grows with t_half tells from the start."""
    found = told(tmp_path, early=lambda half, seed: 0.2 * half)
    assert found["lead"] >= 0.3
    assert found["predictor"] in ("kernel distance", "trace kernel distance")
    assert found["c_index"] > 0.9 > found["epoch_c_index"]
    assert found["p_permuted"] < 0.05
    assert found["interval"][0] <= found["c_index"] <= found["interval"][1]
    assert found["performance_c_index"] < found["c_index"]
    assert f"{found['lead']:g} decades before" in found["reason"]


def test_series_that_know_nothing_before_the_onset(tmp_path: Path) -> None:
    """Levels drawn apart from t_half, and a transition too sharp to be seen coming.

    One draw of levels: a test at 5 % is wrong about some others.
    """
    levels = np.random.default_rng(100).uniform(0.4, 0.8, size=10)
    found = told(
        tmp_path,
        early=lambda half, seed: float(levels[seed]),
        width=lambda half, seed: 0.02,
        capacity_width=lambda half, seed: 0.02,
        norm_lag=lambda half, seed: 0.2,
    )
    assert found["lead"] is None
    assert found["reason"].startswith("not at all")
    assert found["gain_over_epoch"][1] < 0.02
    assert found["epoch_c_index"] > 0.5  # time passes: the later, the sooner


def test_so_few_seeds_cannot_tell(tmp_path: Path) -> None:
    """A measurement that knows, of five seeds: better than the epoch, or so by chance."""
    early = [0.62, 0.45, 0.66, 0.52, 0.5]
    runs = [
        SeedRun(write_run(tmp_path, Truth(half=half, early=level), seed=seed))
        for seed, (half, level) in enumerate(zip(HALVES[:5], early, strict=True))
    ]
    found = forecast(runs, permutations=60)
    assert found["lead"] is None
    assert found["gain_over_epoch"][1] > 0.02
    assert found["reason"].startswith("undecided: whether one orders the time left better")


def test_runs_that_never_generalize_take_part(tmp_path: Path) -> None:
    runs = [
        SeedRun(write_run(tmp_path, Truth(half=half, early=0.2 * half), seed=seed))
        for seed, half in enumerate(HALVES[:6])
    ]
    late = Truth(half=9.0, early=0.9, growth=[0.0] * 7)
    runs += [SeedRun(write_run(tmp_path, late, seed=20 + k)) for k in range(2)]
    found = forecast(runs, permutations=20)
    assert (found["seeds"], found["generalized"]) == (8, 6)
    assert found["c_index"] > 0.8


def test_few_seeds_and_few_measurements(tmp_path: Path) -> None:
    runs = [SeedRun(write_run(tmp_path, Truth(), seed=seed)) for seed in range(4)]
    found = forecast(runs)
    assert found["reason"] == "undecided: generalization in 4 seeds, at least 5 needed"
    assert found["lead"] is None
    assert forecast([])["reason"].startswith("undecided")
    groups = ["kernel", "manifold", "weight", "linear"]
    bare = [
        SeedRun(write_run(tmp_path / "bare", Truth(), seed=seed, leave_out=groups))
        for seed in range(5)
    ]
    assert forecast(bare)["reason"] == "undecided: no measurement that all runs have"


def test_the_same_twice(tmp_path: Path) -> None:
    runs = [
        SeedRun(write_run(tmp_path, Truth(half=half), seed=seed))
        for seed, half in enumerate(HALVES[:5])
    ]
    assert forecast(runs, permutations=10) == forecast(runs, permutations=10)


def test_c_index_by_hand() -> None:
    from lightning_grok.claims.forecast import _Fitted, _index, _resampled

    r = np.array([0.5, 0.2, 0.4, 0.1])
    owner = np.array([0, 0, 1, 1])
    sooner = (r[:, None] < r) & (owner[:, None] != owner)
    guess = np.array([0.3, 0.3, 0.35, 0.1])
    # Pairs of two seeds, sooner first: (.4, .5) is wrong, the other three are right.
    fitted = _Fitted(r, owner, sooner, {"p": guess})
    assert _index(fitted, "p", 0.0) == pytest.approx(3 / 4)
    assert _index(fitted, "p", 0.3) == 0  # only (.4, .5) is left
    weights = np.array([[1.0, 1.0], [2.0, 1.0], [2.0, 0.0]])
    found = _resampled(fitted, "p", 0.0, weights)
    assert found[:2] == pytest.approx([3 / 4, 3 / 4])
    assert np.isnan(found[2])

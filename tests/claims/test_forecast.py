"""Forecasts on seeds whose series tell of generalization, or don't."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from claimed_runs import Truth, write_run

from lightning_grok.claims.cohort import SeedRun
from lightning_grok.claims.forecast import forecast, forecast_runs, telling_series
from lightning_grok.runs.run import Run

HALVES = np.random.default_rng(0).permutation(np.linspace(2.6, 3.4, 10))


def told(root: Path, **of_half: Any) -> dict[str, Any]:
    """The forecast for ten seeds, of which some values depend on when they generalize."""
    runs = []
    for seed, half in enumerate(HALVES):
        truth = Truth(half=half, **{key: f(half, seed) for key, f in of_half.items()})
        runs.append(SeedRun(write_run(root, truth, seed=seed)))
    return forecast(runs, permutations=25)


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
    found = forecast(runs, permutations=25)
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
    assert found["reason"] == "undecided: the event in 4 seeds, at least 5 needed"
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


def test_series_measured_twice_and_too_rarely(tmp_path: Path) -> None:
    """A second capacity has its own key for a name; a series that begins late is left out."""
    late = {"extra/late": 0.1}
    runs = []
    for seed, half in enumerate(HALVES[:5]):
        run = write_run(tmp_path, Truth(half=half), seed=seed, also=late)
        lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
        for line in lines:
            if line["epoch"] < 100:
                line.pop("extra/late", None)
        (run.path / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
        runs.append(SeedRun(Run(run.path)))
    names = telling_series(runs)
    assert names["capacity layers.5"] == "manifold_capacity/layers.5/capacity"
    assert names["manifold_capacity_20/layers.5/capacity"].startswith("manifold_capacity_20/")
    found = forecast(runs, permutations=10)
    assert found["left_out"] == {"extra/late": "measured from epoch 100 on only"}
    assert "extra/late" not in found["leads"][0]["series"]


def test_a_series_that_stands_in_every_table_stands_there_once(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, Truth(half=half), seed=k) for k, half in enumerate(HALVES[:5])]
    found = forecast_runs(runs, series=["test/accuracy"], permutations=10)
    assert "test accuracy" in found["leads"][0]["series"]
    assert "test/accuracy" not in found["leads"][0]["series"]


def without(runs: list[Run], *keys: str) -> list[SeedRun]:
    """The runs as if some keys had never been logged."""
    for run in runs:
        log = run.path / "events.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        kept = [{k: each for k, each in line.items() if k not in keys} for line in lines]
        log.write_text("".join(json.dumps(line) + "\n" for line in kept))
    return [SeedRun(Run(run.path)) for run in runs]


def test_what_was_never_logged_stands_in_no_table(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, Truth(half=half), seed=k) for k, half in enumerate(HALVES[:5])]
    found = forecast(without(runs, "test/loss"), rate=0.1, permutations=10)
    assert "test accuracy" in found["leads"][0]["series"]
    assert "test loss" not in found["leads"][0]["series"]
    assert "test loss" not in found["alarms"]
    event = "test/accuracy >= 0.3"
    bare = without(runs, "train/accuracy")
    assert forecast(bare, event=event, since="start", permutations=10)["generalized"] == 5


def test_a_run_that_cannot_tell_is_no_control(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, Truth(half=half), seed=k) for k, half in enumerate(HALVES[:6])]
    event = "kernel_distance/full/own >= 0.1"
    some = [*map(SeedRun, runs[:5]), *without(runs[5:], "kernel_distance/full/own")]
    found = forecast(some, event=event, permutations=10)
    assert (found["seeds"], found["generalized"], found["controls"]) == (5, 5, 0)
    nobody = forecast(without(runs, "kernel_distance/full/own"), event=event)
    assert nobody["reason"] == (
        "undecided: kernel_distance/full/own was not measured, which tells of it"
    )

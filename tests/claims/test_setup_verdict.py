"""Why a claim could not be tested on a setup, and which runs count."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimed_runs import SMALL_OUTPUT, Truth, by_layer, judged, write_run, write_runs

from lightning_grok.analysis.interval import Interval, wilson_interval
from lightning_grok.claims.cohort import Cohort
from lightning_grok.claims.content import parse_claims
from lightning_grok.claims.setup_verdict import SetupVerdict
from lightning_grok.claims.verdict import judge
from lightning_grok.errors import InputError
from lightning_grok.runs.run import Run

FLAT = Truth(half=0.8, width=1.0)  # generalizes while it memorizes


def test_what_is_wanting_is_said(tmp_path: Path) -> None:
    few = judged(tmp_path, "C2", write_runs(tmp_path / "few", Truth(), count=3))
    assert few["verdict"] == "undecided"
    assert "n1000: 3 seeds, at least 5 needed" in few["reason"]
    assert few["estimate"] == pytest.approx(0, abs=0.02)  # shown all the same
    assert "n2000, output_0.5: no runs of this setup" in few["reason"]
    assert "--config configs/table1/AdamW-10-1000-1-0.001.yaml" in few["reason"]
    none = judged(tmp_path, "C9", [])
    assert none["reason"].startswith("undecided: output_0.001: no runs of this setup. To test")
    short = judged(tmp_path, "C9", write_runs(tmp_path / "s", FLAT, setup=SMALL_OUTPUT, count=5))
    assert "too short, needs epoch 50,000" in short["reason"]
    assert "--trainer.max_epochs=50000" in short["reason"]
    bare = write_runs(tmp_path / "bare", Truth(), count=5, leave_out=["manifold_capacity"])
    found = judged(tmp_path, "C4", bare)
    assert "manifold_capacity/layers.2/capacity was not measured" in found["reason"]
    assert "measure RUN --manifold_capacity.enabled=true" in found["reason"]
    one = write_runs(tmp_path / "one", Truth(), count=5, leave_out=["manifold_capacity_20"])
    assert "measure RUN --config configs/measurements/" in judged(tmp_path, "C12", one)["reason"]


def test_an_infinite_estimate_is_no_number_in_json() -> None:
    interval = Interval(math.inf, 0.5, math.inf, 0.95, 5)
    nothing = Cohort([], 0, 0, wilson_interval(0, 0))
    record = SetupVerdict("undecided", True, "width", interval, "", "", nothing, []).record()
    assert (record["estimate"], record["interval"]) == (None, [0.5, None])
    json.dumps(record, allow_nan=False)


def test_runs_that_do_not_grok_are_counted(tmp_path: Path) -> None:
    grokked = write_runs(tmp_path / "a", Truth(), count=5)
    others = [write_run(tmp_path / "b", FLAT, seed=10 + k) for k in range(3)]
    found = judged(tmp_path, "C2", [*grokked, *others])
    assert found["verdict"] == "held"
    assert found["seeds"] == 5
    assert "5 of 8 runs grokked [0.31, 0.86]" in found["reason"]  # Wilson, by hand
    induction = found["setups"]["n1000"]["induction"]
    assert (induction["grokked"], induction["runs"]) == (5, 8)
    found = judged(tmp_path, "C2", [*grokked[:4], *others])
    assert "4 of 7 runs grokked, at least 5 needed" in found["reason"]


def test_unfinished_and_repeated_runs_are_left_out(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "a", Truth(), count=5)
    runs += [write_run(tmp_path / "b", Truth(lags=by_layer(1.0), last=5000), seed=2)]
    runs += [write_run(tmp_path / "c", Truth(), seed=9, state="interrupted")]
    found = judged(tmp_path, "C2", runs)
    setup = found["setups"]["n1000"]
    assert (found["verdict"], found["seeds"]) == ("held", 5)
    assert (setup["repeated"], setup["unfinished"]) == (1, 1)


def test_runs_of_fixed_samples_are_another_design(tmp_path: Path) -> None:
    drawn, fixed = ({"data": {"subset": subset}} for subset in ("random", "first"))
    seeds = write_runs(tmp_path / "drawn", Truth(), count=5, config=drawn)
    early = Truth(lags=by_layer(-0.5))
    others = [write_run(tmp_path / "f", early, seed=10 + k, config=fixed) for k in range(5)]
    found = judged(tmp_path, "C2", [*seeds, *others])
    assert (found["verdict"], found["seeds"]) == ("held", 5)
    assert "5 runs of fixed training samples left out" in found["reason"]
    alone = judged(tmp_path, "C2", others)
    assert (alone["verdict"], alone["seeds"]) == ("failed", 5)
    assert "all seeds train on the same samples" in alone["reason"]


def test_runs_that_lack_the_measurement_are_counted(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "a", Truth(), count=5)
    runs.append(write_run(tmp_path / "b", Truth(), seed=9, leave_out=["manifold_capacity"]))
    reason = judged(tmp_path, "C2", runs)["reason"]
    assert "1 run without manifold_capacity/layers.2/capacity" in reason


def test_stand_in_data_are_not_the_papers(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, Truth(), count=5, dataset="embedded digits")
    assert judged(tmp_path, "C2", runs)["verdict"] == "undecided"


def test_measurements_too_far_apart_time_nothing(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", Truth(), count=5)
    for run in runs:
        lines = (run.path / "events.jsonl").read_text().splitlines(keepends=True)
        (run.path / "events.jsonl").write_text("".join(lines[:1] + lines[1::6]))  # 4 a decade
    found = judged(tmp_path, "C2", [Run(run.path) for run in runs])
    assert found["verdict"] == "undecided"
    assert "measured too sparsely: 0.25 decades apart" in found["reason"]


EPOCHS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
VALUE = {"statistic": "value", "of": "level", "at": "end"}


def write_own(
    root: Path, setup: str, levels: Mapping[str, float], *, last: int = 1000, seeds: int = 6
) -> list[Run]:
    """Runs without accuracies of which each series is a level plus its seed's share of log10."""
    for seed in range(seeds):
        path = root / f"{setup}_{seed}"
        path.mkdir(parents=True)
        meta = {"dataset": "own", "setup": setup, "seed": seed, "state": "finished"}
        (path / "run.json").write_text(json.dumps(meta))
        (path / "config.yaml").write_text("model: {betas: [0.9, 0.99], width: 8}")
        slope = 1 + (seed - 2.5) / 100
        rows = [
            {"event": "evaluation", "epoch": epoch, "step": epoch}
            | {key: each + slope * np.log10(max(epoch, 1)) for key, each in levels.items()}
            for epoch in EPOCHS
            if epoch <= last
        ]
        (path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [Run(root / f"{setup}_{seed}") for seed in range(seeds)]


def own_verdict(runs: Sequence[Run], where: Any = None, **claim: Any) -> dict[str, Any]:
    """Of one claim on the setup `own`, or on runs with other options."""
    setups = {name: {"where": {"setup": name}} for name in ("own", "other")}
    setups["own"] = {"where": where or {"setup": "own"}}
    content = {"setups": setups, "claims": {"C": {"statement": "S", "setups": ["own"]} | claim}}
    return judge(parse_claims(content, "test"), runs)["C"]


@pytest.mark.parametrize(
    ("test", "held", "failed", "expected"),
    [
        ("above", 0, 0, "failed"), ("above", -2, -3, "held"), ("above", 1, -2, "undecided"),
        ("below", 0, 0, "held"), ("below", -2, -0.5, "undecided"), ("below", -5, -5, "failed"),
    ],
)  # fmt: skip
def test_controls_are_compared_by_the_claims_own_thresholds(
    test: str, held: float, failed: float, expected: str, tmp_path: Path
) -> None:
    runs = write_own(tmp_path, "own", {"level": 0}) + write_own(tmp_path, "other", {"level": 1})
    rule = {"test": test, "held": held, "failed": failed}
    found = own_verdict(runs, controls=["other"], quantities={"q": VALUE | rule})
    assert found["estimate"] == pytest.approx(-1)
    assert found["verdict"] == expected


def test_controls_that_ended_sooner_are_compared_at_their_end(tmp_path: Path) -> None:
    runs = write_own(tmp_path, "own", {"level": 0})
    runs += write_own(tmp_path, "other", {"level": 1}, last=100)
    for statistic, expected in (
        (VALUE, -1),
        ({"statistic": "ratio", "of": "level", "at": "largest", "to_at": 10}, 2 - 3 / 2),
        ({"statistic": "happens", "event": "level >= 2.5", "before": "end"}, 0),
    ):
        each = {"q": statistic | {"test": "below", "held": 0}}
        found = own_verdict(runs, controls=["other"], quantities=each)
        assert found["estimate"] == pytest.approx(expected, abs=1e-3)
    at_200 = {"q": VALUE | {"at": 200, "test": "below", "held": 0}}
    found = own_verdict(runs, controls=["other"], quantities=at_200)
    assert "level was not measured there in 6 seeds" in found["reason"]


def test_what_a_pair_lacks_is_said(tmp_path: Path) -> None:
    runs = write_own(tmp_path, "own", {"level": 0, "more": 0})
    runs += write_own(tmp_path, "other", {"level": 1}, seeds=5)
    above = {"test": "above", "held": 0}
    found = own_verdict(runs, paired_with="other", quantities={"q": VALUE | above})
    assert found["estimate"] == pytest.approx(-1)
    assert "1 seed without q: no other of the same seed" in found["reason"]
    of_more = {"q": VALUE | above | {"of": "more"}}
    found = own_verdict(runs, paired_with="other", quantities=of_more)
    assert "mostly more was not measured in other of the same seed in 6 seeds" in found["reason"]


@pytest.mark.parametrize("beside", [{"controls": ["other"]}, {"paired_with": "other"}])
@pytest.mark.parametrize("rule", [{"test": "share"}, {"test": "above", "scale": "log"}])
def test_differences_are_no_shares_and_have_no_logarithms(
    beside: dict[str, Any], rule: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"expected a test of above, below.* received .* for q"):
        own_verdict([], **beside, quantities={"q": VALUE | {"held": 0.5} | rule})


def test_what_may_have_been_meant_is_said(tmp_path: Path) -> None:
    runs = write_own(tmp_path, "own", {"level": 0})
    misspelled = {"q": VALUE | {"of": "levle", "test": "above", "held": 0}}
    found = own_verdict(runs, quantities=misspelled)
    assert found["reason"] == "undecided: own: levle was not measured (did you mean level?)"
    measured = own_verdict(runs, quantities=misspelled, measure="--config a.yaml")
    assert (
        "levle was not measured. To test own: python -m lightning_grok measure RUN --config"
        in (measured["reason"])
    )
    found = own_verdict(runs, {"modle.width": 8}, quantities=misspelled)
    assert "none has an option modle.width (did you mean model.width?)" in found["reason"]
    for where in ({"setup": "none"}, {"modle.width": [8, None], "setup": "none"}):
        found = own_verdict(runs, where, quantities=misspelled)
        assert found["reason"] == "undecided: own: no runs of this setup"


@pytest.mark.parametrize(
    ("betas", "seeds"),
    [([0.9, 0.99], 6), ([[0.9, 0.99], [0.9, 0.999]], 6), ([0.9], 0), ([[0.9, 0.999]], 0)],
)
def test_an_option_that_is_a_list(betas: list[Any], seeds: int, tmp_path: Path) -> None:
    runs = write_own(tmp_path, "own", {"level": 0})
    each = {"q": VALUE | {"test": "above", "held": 0}}
    assert own_verdict(runs, {"model.betas": betas}, quantities=each)["seeds"] == seeds

import json
import math
from pathlib import Path

import pytest
from claimed_runs import N1000, Truth, write_run

from lightning_grok.analysis.reading import NotMeasuredError
from lightning_grok.analysis.statistics import level_at
from lightning_grok.analysis.timing import SpeedRatio
from lightning_grok.claims.cohort import SeedRun, cohort
from lightning_grok.claims.content import Setup, parse_claims
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run

SETUP = Setup(where={"dataset": "EMNIST balanced", "setup": N1000})
SERIES = {
    f"over {count}": [
        {"key": "kernel_distance/full/own", "where": {"kernel_distance.samples": count}},
        {"key": f"kernel_distance_{count}/full/own"},
    ]
    for count in (256, 512, 1024)
}
CONTENT = parse_claims({"setups": {}, "claims": {}, "series": SERIES}, "a test")


def test_one_run_a_seed(tmp_path: Path) -> None:
    usual = {"kernel_distance": {"samples": 256}, "data": {"subset": "random"}}
    other = {"kernel_distance": {"samples": 512}}
    first = {"kernel_distance": {"samples": 256}, "data": {"subset": "first"}}
    runs = {
        "a": write_run(tmp_path, Truth(), seed=1, name="a", config=other),
        "b": write_run(tmp_path, Truth(last=2000), seed=1, name="b", config=usual),
        "c": write_run(tmp_path, Truth(), seed=1, name="c", config=first),
        "d": write_run(tmp_path, Truth(), seed=0, name="d"),
        "e": write_run(tmp_path, Truth(), seed=2, name="e", setup="AdamW-1-2000-1-0.001"),
        "f": write_run(tmp_path, Truth(), seed=3, name="f", state="failed"),
    }
    found = cohort(
        [SeedRun(run, CONTENT) for run in runs.values()],
        SETUP,
        prefer={"kernel_distance.samples": [256, None]},
    )
    assert [run.run.name for run in found.runs] == ["d", "b"]
    assert (found.repeated, found.unfinished, found.other) == (1, 1, 1)
    assert {run.run.name for run in found.runs[1].siblings} == {"a"}
    assert found.runs[1].series("over 512")[0].max() == 10_000  # of its sibling
    assert found.runs[1].whole("over 512")[0].max() == 10_000
    with pytest.raises(NotMeasuredError, match="over 1024"):
        found.runs[1].series("over 1024")


def test_the_run_that_holds_a_key_is_preferred(tmp_path: Path) -> None:
    bare = write_run(tmp_path, Truth(), name="a", leave_out=["manifold_capacity_20/train"])
    full = write_run(tmp_path, Truth(last=5000), name="b")
    seeds = [SeedRun(bare), SeedRun(full)]
    assert cohort(seeds, SETUP).runs[0].run.name == "a"
    key = "manifold_capacity_20/train/layers.2/capacity"
    assert cohort(seeds, SETUP, [key]).runs[0].run.name == "b"


def test_a_named_series_is_read_as_its_key_is(tmp_path: Path) -> None:
    key = "kernel_distance/full/previous"
    content = parse_claims({"setups": {}, "claims": {}, "series": {"steps": [{"key": key}]}}, "it")
    run = SeedRun(write_run(tmp_path, Truth()), content)
    ratios = [SpeedRatio(of=each, test="above", held=3) for each in ("steps", key)]
    named, plain = (each.read(run) for each in ratios)
    assert named == plain
    assert named.value > 1


@pytest.mark.parametrize("back", [True, False])
def test_a_training_set_that_is_lost_for_good_is_no_breakdown(tmp_path: Path, back: bool) -> None:
    run = write_run(tmp_path, Truth())
    lines = (run.path / "events.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows[-12 : -4 if back else None]:
        row["train/accuracy"] = 0.05
    (run.path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seed = SeedRun(Run(run.path))
    lost = [row["epoch"] for row in rows[-12:-4]]
    assert seed.breakdown.tolist() == (lost if back else [])
    assert (seed.series("weight_norm/total")[0][-1], len(seed.breakdown)) == (10_000, 8 * back)


def test_values_between_measurements(tmp_path: Path) -> None:
    run = SeedRun(write_run(tmp_path, Truth(creep=0.1, early=0.0, jump=0.0)))
    key = "kernel_distance/full/own"
    assert level_at(run, key, 500) == pytest.approx(0.1 * math.log10(500), abs=1e-9)
    assert math.isnan(level_at(run, key, 20_000))
    assert run.last_layer == "layers.6"
    with pytest.raises(NotMeasuredError):
        run.series("nothing")


def test_events_are_those_of_the_run(tmp_path: Path) -> None:
    run = SeedRun(write_run(tmp_path, Truth(half=3.2)))
    assert run.events.grokked
    assert math.log10(run.events.test.t_half) == pytest.approx(3.2, abs=0.01)
    assert SETUP.command() == ""
    made = Setup(where=SETUP.where, configs=["a.yaml", "--data.p=97", "b.yaml"])
    assert made.command("--x=1") == (
        "python -m lightning_grok fit --config a.yaml --data.p=97 --config b.yaml "
        "--seed_everything=SEED --x=1"
    )


def test_the_last_layer_is_that_of_the_network_whatever_it_is_called(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    directory.update_meta(modules=["enter", "between", "answer"])
    assert SeedRun(Run(directory.path)).last_layer == ""
    for layer in ("answer", "enter"):
        directory.log("weight_norm", 1, 8, {f"weight_norm/{layer}": 1.0})
    directory.close()
    assert SeedRun(Run(directory.path)).last_layer == "answer"

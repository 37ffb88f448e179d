"""Compact copies of runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from claimed_runs import N1000, Truth, write_run, write_runs

from lightning_grok.commands.main import main
from lightning_grok.errors import InputError
from lightning_grok.paper.claims.cohort import SeedRun
from lightning_grok.paper.claims.verdict import verdict
from lightning_grok.runs.compact import size_of, write_compact
from lightning_grok.runs.run import Run, find_runs

CONFIG = {
    "run": {"root": "/home/somebody/runs", "name": None},
    "data": {"root": "C:\\data", "subset": "random"},
    "trainer": {"callbacks": ["/a/b", "plain"]},
}


def big_run(root: Path, name: str = "big", seed: int = 0) -> Run:
    """A run with arrays, snapshots and keys that nobody draws."""
    run = write_run(root, Truth(), name=name, seed=seed, config=CONFIG, wandb_id="abc")
    (run.path / "snapshots").mkdir()
    (run.path / "snapshots" / "epoch_0000000.pt").write_bytes(bytes(100_000))
    for name in ("kernel_distance/pairwise", "kernel_distance/pairwise_estimate", "umap/epoch_1"):
        file = run.path / "arrays" / f"{name}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, epochs=np.arange(2), distance=np.eye(2))
    lines = [
        {"event": "timing", "epoch": 5, "step": 40, "umap/summary_seconds": 1.25},
        {"event": "umap", "epoch": 5, "step": 40, "umap/preservation": 0.5},
        {"event": "memorization", "epoch": 20, "step": 160, "known_at": 22},
        {"event": "other", "epoch": 5, "step": 40, "mine/layers.0": 0.123456789, "flag": "text"},
        {"event": "se", "epoch": 5, "step": 40, "mine/x_se": 0.123456789, "mine/null": None},
    ]
    with open(run.path / "events.jsonl", "a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return Run(run.path)


def test_a_copy_reads_as_an_ordinary_run(tmp_path: Path) -> None:
    run = big_run(tmp_path / "runs")
    copy = Run(write_compact(run, tmp_path / "out"))
    assert copy.path == tmp_path / "out" / "big"
    assert (copy.setup, copy.seed, copy.state) == (N1000, 0, "finished")
    assert {path.name for path in copy.path.iterdir()} == {
        "run.json",
        "config.yaml",
        "events.jsonl",
        "arrays",
    }
    assert [path.name for path in copy.path.rglob("*.npz")] == ["pairwise.npz"]
    distance = copy.array("kernel_distance", "pairwise")["distance"]
    np.testing.assert_array_equal(distance, np.eye(2))
    left = set(run.keys) - set(copy.keys)
    assert left == {"umap/summary_seconds", "umap/preservation", "known_at"}
    for key in ("test/accuracy", "kernel_distance/full/own", "manifold_capacity/layers.6/capacity"):
        for ours, theirs in zip(run.series(key), copy.series(key), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=5e-6)
    assert copy.series("mine/layers.0")[1].tolist() == [0.123457]
    assert copy.series("mine/x_se")[1].tolist() == [0.123]
    assert np.isnan(copy.series("mine/null")[1]).all()
    assert any(event["event"] == "memorization" for event in copy.events)
    assert SeedRun(copy).events.grokked
    assert size_of(copy.path) < size_of(run.path) / 1.5


def test_no_folder_of_this_machine_is_named(tmp_path: Path) -> None:
    copy = Run(write_compact(big_run(tmp_path / "runs"), tmp_path / "out"))
    assert copy.config == {
        "run": {"name": None},
        "data": {"subset": "random"},
        "trainer": {"callbacks": ["plain"]},
    }
    assert "wandb_id" not in copy.meta
    for file in (path for path in copy.path.rglob("*") if path.suffix != ".npz" and path.is_file()):
        assert str(tmp_path) not in file.read_text()
        assert "/home" not in file.read_text()


def test_verdicts_are_those_of_the_originals(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", Truth(lags=[0.05] * 7), count=5)
    paths = [write_compact(run, tmp_path / "out") for run in runs]
    for path in paths:
        (path / "config.yaml").unlink(missing_ok=True)  # run.json and events.jsonl are enough
    before, after = verdict(runs), verdict([Run(path) for path in paths])
    for name, claim in before.items():
        assert after[name]["verdict"] == claim["verdict"]
        assert (after[name]["estimate"] is None) == (claim["estimate"] is None)
        if claim["estimate"] is not None:
            assert after[name]["estimate"] == pytest.approx(claim["estimate"], rel=1e-3, abs=1e-4)


def test_copies_are_replaced_but_no_other_run_is(tmp_path: Path) -> None:
    run = big_run(tmp_path / "runs")
    write_compact(run, tmp_path / "out")
    with open(run.path / "events.jsonl", "a") as file:
        file.write('{"event": "late", "epoch": 99, "step": 1, "late/value": 1.5}\n')
    copy = Run(write_compact(Run(run.path), tmp_path / "out"))
    assert copy.series("late/value")[1].tolist() == [1.5]
    other = big_run(tmp_path / "others", seed=7)
    with pytest.raises(InputError, match="received another run"):
        write_compact(other, tmp_path / "out")
    with pytest.raises(InputError, match="another folder"):
        write_compact(run, tmp_path / "runs")
    assert Run(copy.path).seed == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big_run(tmp_path / "runs" / "a", name="one")
    big_run(tmp_path / "runs", name="two", seed=1)
    out = tmp_path / "runs" / "compact"  # below the root: it is not copied into itself
    for _ in range(2):
        main(["runs", str(tmp_path / "runs"), "--compact", str(out)])
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in lines] == [str(out / "one"), str(out / "two")]
    assert [path.name for path in find_runs(out)] == ["one", "two"]
    big_run(tmp_path / "runs" / "b", name="one")
    with pytest.raises(SystemExit) as stopped:
        main(["runs", str(tmp_path / "runs"), "--compact", str(out)])
    assert stopped.value.code == 2
    assert "received one twice" in capsys.readouterr().err

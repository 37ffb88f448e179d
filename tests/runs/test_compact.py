"""Compact copies of runs."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from claimed_runs import N1000, Truth, write_run, write_runs

from lightning_grok.claims.cohort import SeedRun
from lightning_grok.commands.main import main
from lightning_grok.dashboard.report import write_report
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.errors import InputError
from lightning_grok.paper.claims.verdict import verdict
from lightning_grok.runs.compact import write_compact
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run, read_runs

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


def copied(run: Run, out: Path) -> Run:
    write_compact([run], out)
    return Run(out / run.name)


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_a_copy_reads_as_an_ordinary_run(tmp_path: Path) -> None:
    run, out = big_run(tmp_path / "runs"), tmp_path / "out.zip"
    copy = copied(run, out)
    assert copy.path == out / "big"
    assert (copy.name, copy.setup, copy.seed, copy.state) == ("big", N1000, 0, "finished")
    files = ["run.json", "config.yaml", "events.jsonl", "arrays/kernel_distance/pairwise.npz"]
    assert list(contents(out)) == [f"big/{name}" for name in files]
    distance = copy.array("kernel_distance", "pairwise")["distance"]
    np.testing.assert_array_equal(distance, np.eye(2))
    assert copy.arrays("umap") == {}
    assert copy.snapshot_epochs() == []
    left = set(run.keys) - set(copy.keys)
    assert left == {"umap/summary_seconds", "umap/preservation", "known_at"}
    for key in ("test/accuracy", "kernel_distance/full/own", "manifold_capacity/layers.6/capacity"):
        for ours, theirs in zip(run.series(key), copy.series(key), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=5e-6)
    assert copy.series("mine/layers.0")[1].tolist() == [0.123457]
    assert copy.series("mine/x_se")[1].tolist() == [0.123]
    assert np.isnan(copy.series("mine/null")[1]).all()
    assert copy.measured("memorization") == [20]
    assert SeedRun(copy).events.grokked
    assert out.stat().st_size < 50_000
    assert not copy.refresh()
    assert (copy.damage, Run(out / "nowhere").damage) == ("", "")
    assert copy.costs() == run.costs() == {"umap": 1.25}


def test_no_folder_of_this_machine_is_named(tmp_path: Path) -> None:
    copy = copied(big_run(tmp_path / "runs"), tmp_path / "out.zip")
    assert copy.config == {
        "run": {"name": None},
        "data": {"subset": "random"},
        "trainer": {"callbacks": ["plain"]},
    }
    assert "wandb_id" not in copy.meta
    for name, content in contents(tmp_path / "out.zip").items():
        if not name.endswith(".npz"):
            assert str(tmp_path).encode() not in content
            assert b"/home" not in content


def test_verdicts_are_those_of_the_originals(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", Truth(lags=[0.05] * 7), count=5)
    write_compact(runs, tmp_path / "out.zip")
    before, after = verdict(runs), verdict(read_runs([tmp_path / "out.zip"]))
    for name, claim in before.items():
        assert after[name]["verdict"] == claim["verdict"]
        assert (after[name]["estimate"] is None) == (claim["estimate"] is None)
        if claim["estimate"] is not None:
            assert after[name]["estimate"] == pytest.approx(claim["estimate"], rel=1e-3, abs=1e-4)


def test_copies_are_replaced_but_no_other_run_is(tmp_path: Path) -> None:
    run, out = big_run(tmp_path / "runs"), tmp_path / "out.zip"
    first = copied(run, out)
    before = out.read_bytes()
    with open(run.path / "events.jsonl", "a") as file:
        file.write('{"event": "late", "epoch": 99, "step": 1, "late/value": 1.5}\n')
    copy = copied(Run(run.path), out)
    assert copy.series("late/value")[1].tolist() == [1.5]
    assert first.refresh()  # a reader of the old file sees the new one
    assert first.series("late/value")[1].tolist() == [1.5]
    with pytest.raises(InputError, match="without another big"):
        write_compact([big_run(tmp_path / "others", seed=7)], out)
    assert Run(copy.path).seed == 0
    with pytest.raises(InputError, match="received big twice"):
        write_compact([run, run], out)
    again = tmp_path / "again.zip"
    write_compact([Run(copy.path)], again)
    assert contents(again) == contents(out)  # a copy of a copy is the same
    out.unlink()
    write_compact([big_run(tmp_path / "anew")], out)
    assert out.read_bytes() == before


def test_what_is_no_archive_is_left_alone(tmp_path: Path) -> None:
    run = big_run(tmp_path / "runs")
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file", tmp_path / "runs"):
        with pytest.raises(InputError, match="expected a new file or an archive of runs"):
            write_compact([run], out)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.slow
def test_the_commands_read_an_archive_like_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big_run(tmp_path / "runs" / "a", name="one")
    big_run(tmp_path / "runs", name="two", seed=1)
    out = tmp_path / "runs.zip"
    for _ in range(2):
        main(["runs", str(tmp_path / "runs"), "--compact", str(out)])
        assert capsys.readouterr().out.startswith(f"{out}: 2 runs, 0.")
    assert find_runs(out) == [out / "one", out / "two"]
    shown = {}
    for root in (tmp_path / "runs", out):
        main(["runs", str(root)])
        shown[root] = [line.split()[1:] for line in capsys.readouterr().out.splitlines()]
    assert shown[out] == shown[tmp_path / "runs"]
    folder = RunFolder(out)
    folder.refresh()
    assert folder.ids == ["one", "two"]
    assert folder.rows()[1]["memorization"] == folder.rows()[0]["memorization"]
    (report, *figures) = write_report([out / "one"], tmp_path / "report")
    assert "one" in report.read_text(encoding="utf-8")
    assert {path.parent for path in figures} == {tmp_path / "report" / "figures" / "one"}
    assert out.is_file()


def test_runs_of_an_archive_are_named_one_by_one(tmp_path: Path) -> None:
    archive = tmp_path / "runs.zip"
    write_compact([big_run(tmp_path, name, seed) for seed, name in enumerate("abc")], archive)
    assert [run.name for run in read_runs([archive / "c", archive / "a"])] == ["c", "a"]
    for wrong in (archive / "d", archive / "a" / "run.json"):
        with pytest.raises(InputError, match="expected a run or a folder with runs"):
            read_runs([wrong])

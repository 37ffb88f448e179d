"""Damaged, hostile and half-written files of a run, by kind; `benchmarks.faults` has them all."""

import json
import os
import random
import shutil
import threading
import tracemalloc
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from small_runs import wait_until

from benchmarks.faults.damage import LINES, Damage, insert_line, kinds, lying_array, no_file
from benchmarks.faults.damaged import EPOCHS, READERS, tried, write_run
from lightning_grok.dashboard.pages import Pages
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.dashboard.server import DashboardServer
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run

_EACH = 3
KINDS: dict[str, list[Damage]] = defaultdict(list)
for _kind, _damage in kinds(random.Random(0), 3):
    KINDS[_kind].append(_damage)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("made"), "whole")


@pytest.fixture
def hurt(whole: Path, tmp_path: Path) -> Path:
    """A copy of a run, beside a whole one."""
    shutil.copytree(whole, tmp_path / "whole")
    shutil.copytree(whole, tmp_path / "hurt")
    return tmp_path / "hurt"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_run_is_told_and_the_others_are_shown(kind: str, hurt: Path) -> None:
    checks = {name: READERS[name] for name in ("runs", "page")}
    for spoil in random.Random(1).sample(KINDS[kind], min(_EACH, len(KINDS[kind]))):
        shutil.rmtree(hurt)
        shutil.copytree(hurt.with_name("whole"), hurt)
        spoil(hurt)
        assert tried(hurt.parent, checks) == ""


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line[:20]))
def test_every_bad_line_is_left_out_and_counted(line: bytes, hurt: Path) -> None:
    before = Run(hurt)
    insert_line(line, hurt)
    after = Run(hurt)
    shared = set(before.keys)
    assert shared <= set(after.keys)
    for key in shared:
        epochs, values = after.series(key)
        kept = np.isin(epochs, EPOCHS)
        np.testing.assert_array_equal(values[kept], before.series(key)[1])
    assert not line.strip() or after.damage or set(after.keys) > shared
    assert len(after.events) in (len(before.events), len(before.events) + 1)


@pytest.mark.parametrize("event", ["umap", "manifold_capacity", "kernel_distance"])
def test_a_measurement_in_the_middle_of_an_epoch_is_shown(event: str, hurt: Path) -> None:
    insert_line(f'{{"event": "{event}", "epoch": 50.5, "step": 404}}'.encode(), hurt)
    assert tried(hurt.parent, {"page": READERS["page"]}) == ""


def test_a_line_without_an_end_takes_no_memory_and_the_next_is_read(hurt: Path) -> None:
    log = hurt / "events.jsonl"
    lines = log.read_bytes()
    with open(log, "wb") as file:
        file.write(b"x")
        file.truncate(60_000_000)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + lines)
    tracemalloc.start()
    run = Run(hurt)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.series("test/accuracy")[0].tolist() == list(EPOCHS)
    assert run.damage.startswith("1 line of ")
    assert peak < 50e6


@pytest.mark.parametrize("shape", [(10**9, 10**9), (10,), (-1,), (2**62, 4)])
def test_arrays_are_not_unpacked_beyond_what_their_head_says(
    shape: tuple[int, ...], hurt: Path
) -> None:
    (hurt / "arrays/umap/0000100.npz").write_bytes(lying_array(shape, 3_000_000))
    run = Run(hurt)
    tracemalloc.start()
    assert run.array_of("umap", 100, "coordinates") is None
    assert 100 not in run.arrays("umap")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
    assert "0000100.npz holds" in run.damage or "0000100.npz can't be read" in run.damage


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "loop"])
def test_what_is_no_file_is_told(kind: str, hurt: Path) -> None:
    no_file("events.jsonl", kind, hurt)
    assert "events.jsonl is no ordinary file of the run" in Run(hurt).damage
    no_file("config.yaml", kind, hurt)
    assert "config.yaml is no ordinary file of the run" in Run(hurt).damage


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", "five"), ("state", "done"), ("layer_names", 5), ("epoch", -1), ("network", [1]),
     ("steps_per_epoch", 0), ("seconds", None), ("seconds", 1e300), ("seconds", -1.0),
     ("class_names", [1]), ("max_epochs", 1.5),
     ("transfer", {"name": 5}), ("logged", 2**70), ("dataset", {"a": 1})],
)  # fmt: skip
def test_what_is_of_the_wrong_type_in_run_json_is_left_out_and_named(
    key: str, value: object, hurt: Path
) -> None:
    path = hurt / "run.json"
    meta = json.loads(path.read_text()) | {"own": [1], key: value}
    path.write_text(json.dumps(meta))
    run = Run(hurt)
    assert run.meta == {k: v for k, v in meta.items() if k != key}
    assert f"run.json is damaged in {key}" in run.damage


def test_folders_with_any_bytes_are_listed(whole: Path, tmp_path: Path) -> None:
    names = [b"\xff\xfe", b"a\nb", b"\x1b[2J", "ü".encode(), b"$x^"]
    for name in names:
        shutil.copytree(whole, Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))))
    assert len(find_runs(tmp_path)) == len(names)
    folder = RunFolder(tmp_path)
    folder.refresh()
    assert sorted(folder.ids) == sorted(["\\xff\\xfe", "a\\nb", "\\x1b[2J", "ü", "$x^"])
    assert all(row["complete"] for row in folder.rows())


class SlowRun(Run):
    """A run on a disk that doesn't answer until it is told to."""

    answer = threading.Event()

    def refresh(self) -> bool:
        """Wait where it is the slow one."""
        if self.path.name == "hurt":
            self.answer.wait(60)
        return super().refresh()


def test_a_run_that_takes_long_delays_no_other(hurt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_grok.dashboard.run_folder.Run", SlowRun)
    SlowRun.answer.clear()
    with DashboardServer(hurt.parent, 0) as server:
        try:
            _, body = server.answer("/runs", {}, "") or ("", b"")
            assert json.loads(body)["complete"] is False
            answer = server.answer("/page", {"page": "run", "run": "whole"}, "")
            assert answer is not None
            assert b"Accuracy" in answer[1]
        finally:
            SlowRun.answer.set()
        server.folder.refresh()
        assert Pages(server.folder).runs()["complete"]


def test_new_runs_do_not_wait_for_known_ones(hurt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_grok.dashboard.run_folder.Run", SlowRun)
    SlowRun.answer.set()
    folder = RunFolder(hurt.parent)
    folder.refresh()
    shutil.copytree(hurt.parent / "whole", hurt.parent / "zz")
    folder._looked = -np.inf  # as a second later
    SlowRun.answer.clear()
    try:
        folder.refresh_aside()
        wait_until(lambda: folder.rows()[-1]["complete"])
        assert folder.rows()[-1]["id"] == "zz"
    finally:
        SlowRun.answer.set()

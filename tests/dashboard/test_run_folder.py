"""Runs are found as they appear, and only below the folder."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from watched_runs import RISE, evaluate, write_run

from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.figures.epoch_axis import find_events
from lightning_grok.runs.run import Run


def test_many_may_ask_at_once(tmp_path: Path) -> None:
    write_run(tmp_path, "a", last=10)
    for _ in range(20):
        folder, gate = RunFolder(tmp_path), threading.Barrier(16)

        def ask(folder: RunFolder = folder, gate: threading.Barrier = gate) -> list[str]:
            gate.wait()
            folder.refresh_aside()
            return folder.ids

        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(ask) for _ in range(16)]
            assert [each.result() for each in asked] == [["a"]] * 16


def test_rows_say_what_the_runs_command_says(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "sweep", "b")
    write_run(tmp_path, "a", last=10)
    folder = RunFolder(tmp_path)
    folder.refresh()
    first, second = folder.rows()
    assert (first["id"], second["id"]) == ("a", "sweep/b")
    assert second["state"] == "running"
    events = find_events(Run(directory.path))
    assert second["memorization"] == round(events.memorization or 0)
    assert second["half"] == round(events.generalization or 0)
    assert min(RISE) < second["half"] < max(RISE)
    assert second["begins"] < second["half"]
    half = f"half {second['half']:,} so far"
    assert second["words"] == ["memorized 32", f"begins {second['begins']:,}", half]
    assert second["outcome"].startswith("Memorized at 32; generalization begins at ")
    assert second["outcome"].endswith(
        "grokked so far; no instability of the optimizer is seen at its onset"
    )
    assert (first["half"], first["complete"]) == (None, True)


def test_events_follow_a_run_that_grows(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=10)
    folder = RunFolder(tmp_path)
    folder.refresh()
    assert folder.events("run")[0].memorization is None
    for epoch in (30, 40, 50):
        evaluate(directory, epoch)
    folder.refresh()
    assert folder.events("run")[0].memorization == 30


def test_a_run_has_a_row_once_it_is_found_and_all_of_it_once_it_is_read(tmp_path: Path) -> None:
    for k in range(2):
        write_run(tmp_path, f"r{k}", last=1)
    folder = RunFolder(tmp_path)
    assert [(row["id"], row["complete"]) for row in folder.rows()] == [("r0", False), ("r1", False)]
    assert folder.run("r1") is not None  # a run that is asked for is read at once
    folder.refresh()
    assert all(row["complete"] for row in folder.rows())


def test_new_runs_appear_and_removed_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_grok.dashboard.run_folder._DISCOVERY_SECONDS", 0.01)
    folder = RunFolder(tmp_path)
    assert folder.ids == []
    directory = write_run(tmp_path, "late", last=1)
    time.sleep(0.02)
    folder.refresh()
    assert folder.ids == ["late"]
    directory.discard()
    time.sleep(0.02)
    folder.refresh()
    assert folder.run("late") is None


def test_a_run_that_a_link_leads_to_from_outside_is_not_among_them(tmp_path: Path) -> None:
    outside = write_run(tmp_path / "outside", "secret", last=1)
    inside = tmp_path / "runs"
    write_run(inside, "mine", last=1)
    (inside / "link").symlink_to(outside.path, target_is_directory=True)
    (inside / "loop").symlink_to(inside / "loop")
    folder = RunFolder(inside)
    folder.refresh()
    assert folder.ids == ["mine"]
    for key in ("link", "../outside/secret", str(outside.path), "", "mine/.."):
        assert folder.run(key) is None

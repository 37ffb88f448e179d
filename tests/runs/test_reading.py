"""Incremental reading against reading all at once; damaged, rewound and hostile directories."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from watched_runs import MEASURED, evaluate, measure, umap_points, write_run

from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run


def assert_same_series(watched: Run, run: Run) -> None:
    assert watched.keys == run.keys
    for key in run.keys:
        for mine, other in zip(watched.series(key), run.series(key), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_growing_by_pieces_gives_what_reading_at_once_gives(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=100)
    watched = Run(directory.path)
    for epoch in (120, 150, 500):
        evaluate(directory, epoch)
        assert watched.refresh()
        assert_same_series(watched, Run(directory.path))
    measure(directory, 500)
    before = watched.version
    assert watched.refresh()
    assert watched.version > before
    assert not watched.refresh()
    assert_same_series(watched, Run(directory.path))
    assert watched.epoch == 500
    assert watched.measured("umap") == [each for each in MEASURED if each <= 500]
    assert watched.table().equals(Run(directory.path).table()[watched.keys])


def test_the_newest_value_of_an_epoch_counts_and_what_is_no_number_is_nan(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    directory.update_meta(state="running")
    for value in (1.0, 2.0, float("nan")):
        directory.log("a", 5, 0, {"x": value})
    directory.log("a", 3, 0, {"x": 7.0, "text": "words"})
    with open(directory.events_path, "a") as file:
        file.write('{"event": "a", "epoch": 9, "step": 0, "x": ' + "9" * 400 + "}\n")
        file.write('5\n[1]\n{"epoch": "two", "x": 1}\n{"epoch": -1, "x": 1}\n\x00\x00\n')
        file.write('{"event": "a", "epoch": 11, "x": 4}')  # not ended: still being written
    watched = Run(directory.path)
    epochs, values = watched.series("x")
    assert epochs.tolist() == [3, 5]
    np.testing.assert_array_equal(values, [7.0, np.nan])
    assert watched.damage.startswith(f"6 lines of {directory.events_path} are damaged")
    assert watched.keys == ["x"]
    assert watched.series("unknown")[0].size == 0


def test_a_log_that_was_rewound_is_read_anew(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=100)
    size = directory.log_size
    for epoch in (120, 150):
        evaluate(directory, epoch)
    watched = Run(directory.path)
    directory.rewind(size, 100)
    for epoch in (110, 140, 180, 220, 260, 300):  # longer than before, with other lines
        evaluate(directory, epoch)
    assert watched.refresh()
    assert_same_series(watched, Run(directory.path))
    assert 120 not in watched.series("test/accuracy")[0]


def test_arrays_are_read_anew_only_where_the_file_changed(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=10)
    watched = Run(directory.path)
    first = watched.array_of("umap", 10, "coordinates")
    np.testing.assert_array_equal(first, umap_points(10))
    assert watched.array_of("umap", 10, "coordinates") is first
    zeros = np.zeros((2, 2))
    directory.save_arrays("umap", 10, {"coordinates": zeros, "labels": zeros[0]})
    np.testing.assert_array_equal(watched.array_of("umap", 10, "coordinates"), zeros)
    assert watched.array_of("umap", 10, "colors") is None
    assert watched.array_of("umap", 11, "coordinates") is None
    path = directory.path / "arrays/umap/0000010.npz"
    path.write_bytes(path.read_bytes()[:50])
    assert watched.array_of("umap", 10, "coordinates") is None


def test_objects_in_array_files_are_not_unpickled(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=1)
    path = directory.path / "arrays/umap/0000001.npz"
    np.savez(path, coordinates=np.array([{}], dtype=object))
    assert Run(directory.path).array_of("umap", 1, "coordinates") is None


@pytest.mark.parametrize("part", ["events.jsonl", "run.json", "config.yaml"])
def test_links_that_lead_out_are_not_followed(tmp_path: Path, part: str) -> None:
    directory = write_run(tmp_path / "runs", last=10)
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"event": "a", "epoch": 1, "step": 0, "secret": 42}) + "\n")
    (directory.path / part).unlink(missing_ok=True)
    (directory.path / part).symlink_to(secret)
    watched = Run(directory.path, tmp_path / "runs")
    assert "secret" not in watched.keys
    assert "secret" not in watched.meta
    assert "secret" not in watched.config


def test_a_lock_that_leads_out_is_not_touched(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "runs", last=1)
    directory.close()
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (directory.path / ".lock").unlink(missing_ok=True)
    (directory.path / ".lock").symlink_to(outside)
    assert Run(directory.path, tmp_path / "runs").state == "interrupted"
    assert outside.read_text() == "kept"


def test_state_follows_run_json_and_the_writer(tmp_path: Path) -> None:
    directory = write_run(tmp_path, last=1)
    watched = Run(directory.path)
    assert watched.state == "running"
    directory.close()
    assert watched.state == "interrupted"
    directory.update_meta(state="finished")
    assert watched.state == "finished"
    (directory.path / "run.json").write_text("[1, 2")
    assert (watched.meta, watched.state) == ({}, "interrupted")
    os.remove(directory.path / "run.json")
    assert watched.meta == {}

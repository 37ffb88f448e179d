"""What is written is kept or its loss is said, on whatever disk."""

import errno
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults.broken import LOSSES
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import DiskError, Lost, is_disk_error, write_atomically
from lightning_grok.runs.folders import find_runs, is_alive
from lightning_grok.runs.run import Run


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory.create(tmp_path / "runs", "run", numbered=False)
    made.update_meta(name="run", state="running")
    for epoch in range(5):
        made.log("evaluation", epoch, epoch, {"train/loss": 1.0})
    return made


@pytest.mark.parametrize("what", LOSSES)
def test_what_was_taken_away_is_never_written_anew(what: str, directory: RunDirectory) -> None:
    LOSSES[what](directory.path)
    left = sorted(directory.path.parent.parent.rglob("*"))
    if what != "run.json is removed":
        for write in (
            lambda: directory.log("evaluation", 5, 5, {}),
            directory.sync,
            directory.expect_whole,
        ):
            with pytest.raises(Lost):
                write()
    if "log" not in what:
        with pytest.raises(Lost):
            directory.update_meta(state="finished")
    if "folder" in what:
        with pytest.raises(Lost):
            directory.save_snapshot(5, {})
        with pytest.raises(Lost):
            directory.save_arrays("umap", 5, {})
    assert sorted(directory.path.parent.parent.rglob("*")) == left
    directory.discard()
    if "folder" in what:
        assert sorted(directory.path.parent.parent.rglob("*")) == left


def test_lines_that_others_append_and_readers_are_no_loss(directory: RunDirectory) -> None:
    Run(directory.path)
    with open(directory.events_path, "a") as file:
        file.write("{}\n")
    directory.log("evaluation", 5, 5, {})
    directory.expect_whole()


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_whatever_keeps_a_file_of_a_run_from_being_written_is_an_error_of_the_disk(
    number: int, tmp_path: Path
) -> None:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DiskError) as caught:
        write_atomically(tmp_path / "file", fail)
    assert is_disk_error(caught.value)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "file"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "number", sorted({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
)
def test_a_disk_without_locks_is_said_and_used(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    directory = RunDirectory.create(tmp_path, "run", numbered=False)
    directory.update_meta(state="running")
    directory.log("evaluation", 0, 0, {})
    is_alive(directory.path)
    directory.close()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert str(directory.path) in said[0]
    assert find_runs(tmp_path) == [directory.path]


def test_a_run_that_is_renamed_stops_with_what_is_known(
    fit: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"epoch": 2, "what": "the folder is renamed"}
    entry = {"class_path": "benchmarks.faults.broken.Lose", "init_args": arguments}
    groups = ("kernel_distance", "manifold_capacity", "linear_probe", "weight_norm")
    off = [f"--{group}.enabled=false" for group in groups]
    with pytest.raises(SystemExit) as stopped:
        fit(*off, f"--trainer.callbacks+={json.dumps(entry)}")
    assert stopped.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert str(tmp_path / "run") in line
    assert "test/accuracy" in line
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert Run(tmp_path / "elsewhere").state == "interrupted"

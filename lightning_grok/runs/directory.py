"""The writing side of a run's directory: nothing half written, nothing lost, one writer.

    runs/<name>/
        run.json            name, dataset, setup, seed, state, machine: one object
        config.yaml         the resolved configuration
        events.jsonl        one JSON object a logged event; NaN and infinities are null
        arrays/<measurement>/<epoch>.npz    what is not a scalar
        snapshots/epoch_<epoch>.pt          weights at the measured epochs
        checkpoints/        Lightning's format, for resuming
        figures/            made at the end of the run

A run is alive while its writer holds the lock file `.lock`, so a killed run is told from a running
one. `lightning_grok.runs.run` reads.
"""

import io
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import Timeout

from lightning_grok.errors import InputError
from lightning_grok.locks import hold
from lightning_grok.runs.event_log import is_after, is_of
from lightning_grok.runs.files import PART, Kept, Lost, naming, read_json, write_content
from lightning_grok.runs.names import place_inside, validate_name
from lightning_grok.runs.snapshots import epoch_of_file, epoch_stem, load_snapshot, snapshot_path


class RunDirectory:
    """The directory of one run, held for writing by one process.

    Args:
        path: the directory; it must exist (see `create`).

    Raises:
        InputError: another process writes into it, or links in it lead out of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        for entry in path.iterdir():
            place_inside(path, entry.name)
        lock = path / ".lock"
        for file in (lock, path / "run.json", path / "events.jsonl"):
            if (file.exists() and not file.is_file()) or (file == lock and lock.is_symlink()):
                raise InputError(f"expected an ordinary file at {file}, received something else")
        try:
            # A reader that asks whether the run is alive holds the lock for microseconds.
            self._lock = hold(path / ".lock", seconds=1.0)
        except Timeout:
            raise InputError(
                f"expected a run directory that nobody writes to, but another process runs {path}"
            ) from None
        if self._lock is None:
            print(f"{path} is on a disk without locks: nothing keeps a second process out of it")
        self._folder, self._log = Kept(path), Kept(self.events_path)
        self._is_described = bool(self.meta)

    @classmethod
    def create(cls, root: Path, name: str, *, numbered: bool) -> Self:
        """Make and hold ``root/name``, or the first free ``root/name_2``, ... if `numbered`.

        Two processes that start at the same moment get two directories: the making of a directory
        either succeeds or fails as a whole.

        Raises:
            InputError: the name is taken (and not `numbered`), unsafe, or `root` is not writable.
        """
        validate_name(name)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"expected a folder for runs at {root}, received: {error.strerror}"
            ) from None
        for number in range(1, 100_000):
            path = root / (name if number == 1 else f"{name}_{number}")
            directory = cls._claimed(path, wait=not numbered)
            if directory is not None:
                return directory
            if not numbered:
                reason = "exists; add --resume to continue it" if path.is_dir() else "is a file"
                raise InputError(f"expected a new run name, but {path} {reason}")
        raise InputError(f"expected a free name, but {name}_2 to {name}_99999 exist in {root}")

    @classmethod
    def _claimed(cls, path: Path, *, wait: bool) -> Self | None:
        """Hold `path`, new or left by a process that died before it wrote anything, if it is free.

        A folder that holds anything else is somebody's: it is taken, and nothing in it touched.

        Raises:
            InputError: it can't be made or, if `wait`, another process begins in it.
        """
        try:
            path.mkdir()
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                return None
            if not all(_is_left_over(entry) for entry in path.iterdir()):
                return None
        except OSError as error:
            raise InputError(
                f"expected a writable folder for runs, received {path.parent}: {error.strerror}"
            ) from None
        try:
            directory = cls(path)
        except InputError:
            if wait:
                raise
            return None
        except FileNotFoundError:  # whoever made it has given it up
            return None
        if directory.meta:  # whoever was faster has already come to an end
            directory.close()
            return None
        return directory

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def meta(self) -> dict[str, Any]:
        """The content of run.json; empty before the first `update_meta`."""
        return read_json(self.path / "run.json")

    @property
    def events_path(self) -> Path:
        """The event log."""
        return place_inside(self.path, "events.jsonl")

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return place_inside(self.path, "checkpoints")

    def _arrays_of(self, measurement: str) -> Path:
        validate_name(measurement, "the name of a measurement")
        return place_inside(self.path, "arrays", measurement)

    def update_meta(self, **values: Any) -> None:
        """Set keys of run.json, atomically."""
        self._folder.expect()
        known = self.meta
        if self._is_described and not known:
            raise Lost(self.path / "run.json")
        text = json.dumps({**known, **values}, indent=2) + "\n"
        write_content(self.path / "run.json", text)
        self._is_described = True

    def log(self, event: str, epoch: float, step: int, values: Mapping[str, float | str]) -> None:
        """Append one line to the event log. On an error (disk full) the line is taken back."""
        record = {"event": event, "epoch": epoch, "step": step}
        record |= {key: _jsonable(value) for key, value in values.items()}
        rest = (json.dumps(record) + "\n").encode()
        self.expect_whole()
        # Unbuffered: a buffer would try again to write what could not be written when it closes.
        with naming(self.events_path), open(self.events_path, "ab", buffering=0) as file:
            start = file.tell()
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                os.truncate(self.events_path, start)
                raise
        self._log.note()

    def begin_log(self, lines: bytes) -> None:
        """Have the log begin with another run's lines, in place of what it holds."""
        self.events_path.write_bytes(lines)
        self._log.note()

    def expect_whole(self) -> None:
        """Refuse to write on where somebody has removed or replaced what was written.

        Raises:
            Lost: the directory or its event log is gone, another one, or shorter than it was.
        """
        self._folder.expect()
        self._log.expect()

    def sync(self) -> None:
        """Flush the event log to disk, before a checkpoint names its length."""
        self.expect_whole()
        if self.events_path.exists():
            with open(self.events_path, "rb+") as file:
                os.fsync(file.fileno())

    @property
    def log_size(self) -> int:
        """Length of the event log in bytes: where a resumed run continues it."""
        return self.events_path.stat().st_size if self.events_path.exists() else 0

    @property
    def has_begun(self) -> bool:
        """Whether anything of a run was written, wherever it is now."""
        return self._log.is_noted or self.checkpoints.exists()

    def rewind(self, log_size: int, epoch: int) -> None:
        """Forget all that was written after `epoch`: log lines, arrays and snapshots.

        A run that resumes from its checkpoint of `epoch` then writes them anew. So are files that
        a killed process has left half written.
        """
        for folder in (".", "arrays/*", "snapshots", "checkpoints", "figures"):
            for file in self.path.glob(f"{folder}/.*{PART}*"):
                self._remove(file)
        if log_size < self.log_size:
            os.truncate(self.events_path, log_size)
            self._log.note()
        for file in [*self.path.glob("arrays/*/*.npz"), *self.path.glob("snapshots/epoch_*.pt")]:
            written = epoch_of_file(file)
            if written is not None and written > epoch:
                self._remove(file)

    def forget_after(self, epoch: int) -> None:
        """Forget all that was logged of later epochs, with their arrays and snapshots."""
        self._leave_out(lambda line: is_after(line, epoch))
        self.rewind(self.log_size, epoch)

    def forget(self, measurement: str) -> bool:
        """Remove all that is logged of one measurement, and its arrays, to be written anew.

        Its errors and what it cost go too, and a last line that a killed process has cut short.

        Returns:
            Whether there was anything.
        """
        self._arrays_of(measurement)  # refused before anything is removed
        found = self._leave_out(lambda line: is_of(line, measurement))
        shutil.rmtree(self._arrays_of(measurement), ignore_errors=True)
        return found

    def _leave_out(self, is_gone: Callable[[bytes], bool]) -> bool:
        """Write the log anew without some of its lines; whether there were any."""
        if not self.events_path.exists():
            return False
        lines = self.events_path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not is_gone(line)]
        write_content(self.events_path, b"".join(kept))
        self._log.note()
        return len(kept) < len(lines)

    def save_arrays(self, measurement: str, epoch: float | str, arrays: Mapping[str, Any]) -> None:
        """Write named arrays of one measurement at one epoch (or of a whole run, by a name)."""
        self._folder.expect()
        stem = epoch if isinstance(epoch, str) else epoch_stem(epoch)
        path = self._arrays_of(measurement) / f"{validate_name(stem, 'the name of arrays')}.npz"
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_content(path, content.getbuffer())

    def remove_arrays(self, measurement: str, name: str) -> None:
        """Remove the arrays that a measurement wrote for the whole run under a name."""
        validate_name(name, "the name of arrays")
        self._remove(self._arrays_of(measurement) / f"{name}.npz")

    def save_snapshot(self, epoch: float, state: Mapping[str, Any]) -> None:
        """Write the weights of one epoch, from whatever device they are on."""
        import torch

        # In memory: given a path, torch writes its name into the file and hides a full disk.
        self._folder.expect()
        content = io.BytesIO()
        torch.save({name: value.cpu() for name, value in state.items()}, content)
        path = place_inside(self.path, "snapshots") / snapshot_path(self.path, epoch).name
        write_content(path, content.getbuffer())

    def load_snapshot(self, epoch: float) -> dict[str, Any]:
        """The weights of one epoch; see `load_snapshot`."""
        return load_snapshot(self.path, epoch)

    def _remove(self, file: Path) -> None:
        """Remove a file, or a link to one, from a folder of the run."""
        if file.parent != self.path:
            place_inside(self.path, *file.relative_to(self.path).parent.parts)
        file.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()

    def discard(self) -> None:
        """Remove a directory whose run never began."""
        with suppress(Lost):  # then it isn't ours
            self._folder.expect()
            shutil.rmtree(self.path, ignore_errors=True)  # held: nobody else begins in it meanwhile
        self.close()


def _is_left_over(entry: Path) -> bool:
    """Whether it is what a process leaves that dies before there is a run.json."""
    return entry.name == ".lock" or (entry.name.startswith(".run.") and PART in entry.name)


def _jsonable(value: float | str) -> float | int | str | None:
    if isinstance(value, str | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None

"""A run that is looked at again and again while it may be written.

Reading is incremental: of a log only what was appended, of other files only those that changed.
What stands in a directory is not trusted: links that lead out of the folder are not followed, and
values of the wrong kind read as NaN.
"""

import zipfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightning_grok.runs.directory import epoch_of
from lightning_grok.runs.run import STATES, Run, is_alive

_MARK = 64  # bytes of a log that must stand unchanged for what was read before them to hold
_META = {"layer_names": list, "class_names": list, "network": dict, "transfer": dict}
_NOT_SERIES = frozenset({"event", "epoch", "step"})

Signature = tuple[int, int, int]
"""Changes whenever a file does: its inode, size and time of change."""


class _Column(NamedTuple):
    epochs: "array[int]"
    values: "array[float]"


class WatchedRun(Run):
    """A `Run` that costs little to refresh and keeps little: numbers in columns, no events.

    `events`, and with it `costs`, is empty.

    Args:
        path: the directory of the run.
        base: the folder that nothing may lead out of; None takes the directory itself.
    """

    def __init__(self, path: Path, base: Path | None = None) -> None:
        self.path = path
        self.version = 0
        """Grows with every refresh that brought something new."""
        self._signature: Signature | None = None
        self._base = (base or path).resolve()
        self._files: dict[tuple[Path, str], tuple[Signature, Any]] = {}
        self._inside: dict[Path, tuple[Signature, bool]] = {}
        self._forget()
        super().__init__(path)

    def refresh(self) -> bool:
        """Read what was appended to the log since the last call; True if there was anything."""
        path = self.path / "events.jsonl"
        signature = self.signature_of(path)
        if signature is None or signature == self._signature:
            return False
        if self._is_another(path):
            self._forget()
            self.version += 1
        try:
            super().refresh()
        except (OSError, RecursionError):  # removed meanwhile, or no log of ours
            return False
        new, self.events = self.events, []
        for event in new:
            self._take(event)
        self._mark = self._tail(path)
        self._signature = signature
        self.version += bool(new)
        return bool(new)

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs (T,) and values (T,) of one logged key, by epoch; both empty for an unknown key.

        The newest value of an epoch counts. Null, infinite and not numeric values read as NaN.
        """
        column = self._columns.get(key)
        if column is None:
            return np.array([], dtype=np.int64), np.array([], dtype=np.float64)
        known = self._sorted.get(key)
        if known is None or known[0] != len(column.epochs):
            epochs, newest = np.unique(
                np.array(column.epochs, dtype=np.int64)[::-1], return_index=True
            )
            values = np.array(column.values, dtype=np.float64)[::-1][newest]
            known = self._sorted[key] = (len(column.epochs), epochs, values)
        return known[1], known[2]

    @property
    def keys(self) -> list[str]:
        """All logged keys that hold numbers, sorted."""
        return sorted(self._columns)

    def _numeric_keys(self) -> list[str]:
        return self.keys

    @property
    def epoch(self) -> int:
        """The newest logged epoch; 0 where there is none."""
        return self._last

    @property
    def meta(self) -> dict[str, Any]:
        """run.json without lists and mappings that are none; empty where it can't be read."""
        return self._read("run.json", self._read_meta) or {}

    @property
    def config(self) -> dict[str, Any]:
        """config.yaml; empty where it can't be read."""
        return self._read("config.yaml", lambda: _mapping(super(WatchedRun, self).config)) or {}

    @property
    def state(self) -> str:
        """One of `STATES`; a run that says it is running but has no writer was interrupted."""
        state = self.meta.get("state")
        if state not in STATES:
            return "interrupted"
        if state == "running" and not (
            self._is_inside(self.path / ".lock") and is_alive(self.path)
        ):
            return "interrupted"
        return str(state)

    def measured(self, event: str) -> list[int]:
        """Epochs at which an event was logged, increasing."""
        return sorted(self._measured.get(event, ()))

    def array_of(self, measurement: str, at: int | str, name: str) -> np.ndarray | None:
        """One array of one epoch, or of those written for the whole run under a name.

        None where there is none, or where it can't be read (yet).
        """
        stem = f"{at:07d}" if isinstance(at, int) else at
        relative = f"arrays/{measurement}/{stem}.npz"
        return self._read(relative, lambda: _load(self.path / relative, [name]).get(name), name)

    def array(self, measurement: str, name: str) -> dict[str, np.ndarray]:
        """The arrays that a measurement wrote for the run as a whole; empty if there are none."""
        relative = f"arrays/{measurement}/{name}.npz"
        return self._read(relative, lambda: _load(self.path / relative)) or {}

    def arrays(self, measurement: str) -> dict[int, dict[str, np.ndarray]]:
        """The arrays of a measurement: epoch -> name -> array. Files out of the folder are not."""
        files = sorted(self.path.glob(f"arrays/{measurement}/*.npz"))
        epochs = [epoch for file in files if (epoch := epoch_of(file)) is not None]
        found = {epoch: self.array(measurement, f"{epoch:07d}") for epoch in epochs}
        return {epoch: arrays for epoch, arrays in found.items() if arrays}

    def signature_of(self, path: Path) -> Signature | None:
        """Changes whenever the file does; None where there is none inside the folder."""
        try:
            status = path.stat()
        except OSError:
            return None
        signature = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._inside.get(path)
        if known is None or known[0] != signature:  # following links costs more than all the rest
            known = self._inside[path] = (signature, self._is_inside(path))
        return signature if known[1] else None

    def _forget(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._offset = 0
        self._mark = b""
        self._signature = None
        self._last = 0
        self._columns: dict[str, _Column] = {}
        self._sorted: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
        self._measured: dict[str, set[int]] = {}

    def _take(self, event: Any) -> None:
        if not isinstance(event, dict):
            return
        epoch, name = event.get("epoch"), event.get("event")
        if type(epoch) is not int or not 0 <= epoch < 2**53:
            return
        self._last = max(self._last, epoch)
        self._measured.setdefault(str(name), set()).add(epoch)
        for key, value in event.items():
            if key in _NOT_SERIES or isinstance(value, str | list | dict):
                continue
            column = self._columns.setdefault(key, _Column(array("q"), array("d")))
            column.epochs.append(epoch)
            column.values.append(_number(value))

    def _read_meta(self) -> dict[str, Any]:
        found = _mapping(super().meta)
        return {k: v for k, v in found.items() if isinstance(v, _META.get(k, object))}

    def _is_another(self, path: Path) -> bool:
        """Whether the log is no continuation of what was read (a resumed run rewound it)."""
        return self._tail(path) != self._mark

    def _tail(self, path: Path) -> bytes:
        start = max(0, self._offset - _MARK)
        try:
            with open(path, "rb") as file:
                file.seek(start)
                return file.read(self._offset - start)
        except OSError:
            return b""

    def _read(self, relative: str, read: Callable[[], Any], part: str = "") -> Any:
        """What `read` makes of a file, kept until the file changes; None for no file inside."""
        path = self.path / relative
        signature = self.signature_of(path)
        if signature is None:
            return None
        known = self._files.get((path, part))
        if known is None or known[0] != signature:
            known = self._files[path, part] = (signature, read())
        return known[1]

    def _is_inside(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self._base)
        except (OSError, RuntimeError):  # a loop of links
            return False


def _load(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of those names in a file, or all; none where it can't be read (yet)."""
    try:
        # Opened here: numpy leaves a damaged file open that it is given by its path.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names or archive.files if name in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, OverflowError):
        return np.nan
    return number if np.isfinite(number) else np.nan

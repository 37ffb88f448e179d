"""Reading a run back, finished or in progress, again and again: the one reader that all share.

Reading is incremental: of a log only what was appended, of other files only those that changed. A
run may be written meanwhile by another process, on another machine, and may come from somebody
else: what does not fit (`lightning_grok.runs.schema`) is left out and told by `Run.damage`.
`lightning_grok.runs.directory` is the writing side.
"""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lightning_grok.errors import InputError, hint_path
from lightning_grok.runs import event_log
from lightning_grok.runs.arrays import ArrayFiles
from lightning_grok.runs.folders import find_runs, is_alive
from lightning_grok.runs.names import printable
from lightning_grok.runs.schema import (
    SHAPES,
    Config,
    DamageError,
    Meta,
    fitting,
    parse_json,
    parse_yaml_mapping,
)
from lightning_grok.runs.snapshots import epoch_of_file, epoch_stem, snapshot_epochs
from lightning_grok.runs.source import (
    UNREADABLE,
    Signature,
    read_all,
    source_of,
)

if TYPE_CHECKING:
    import pandas as pd

EVENT_KEYS = {
    "memorization": "memorization", "generalization": "begins",
    "collapse": "collapse", "instability": "instability", "ungrokking": "ungrokking",
}  # fmt: skip
"""Events of a run's life, and the key of run.json at which the epoch of the first one stands."""

_META_LIMIT, _CONFIG_LIMIT = 2**22, 2**20  # bytes

_FIRST_RUN = "python -m lightning_grok fit --config modular/quadratic"


class Run:
    """A run read back from its directory, or from an archive of runs (``runs.zip/<name>``).

    It may be read by several threads.

    Args:
        path: the directory.
        base: the folder that no link in it may lead out of; None takes the directory itself.

    Attributes:
        path: the directory.
    """

    def __init__(
        self, path: str | os.PathLike[str], base: str | os.PathLike[str] | None = None
    ) -> None:
        self.path = Path(path)
        self._source = source_of(self.path, None if base is None else Path(base))
        self._log = event_log.EventLog(self._source)
        self._lock = threading.RLock()
        self._files: dict[str, tuple[Signature, dict[str, Any]]] = {}
        self._faults: dict[str, str] = {}
        self._arrays = ArrayFiles(self._source, self._tell)
        self.refresh()

    def refresh(self) -> bool:
        """Read the lines written since the last call; True if there were any.

        A log that became another (a resumed run rewound it) is read anew.
        """
        with self._lock:
            return self._log.refresh()

    @property
    def version(self) -> int:
        """Grows with every refresh that brought something new."""
        return self._log.version

    @property
    def name(self) -> str:
        """The name of the directory, as it can be shown."""
        return printable(self.path.name)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first, with ``event``, ``epoch``, ``step``; read anew each time."""
        try:
            return list(event_log.read_events(self._source))
        except UNREADABLE:
            return []

    @property
    def meta(self) -> dict[str, Any]:
        """The content of run.json, as far as it is of the right types."""
        return self._described("run.json", Meta, _META_LIMIT, parse_json)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as far as it is of the right types."""
        return self._described("config.yaml", Config, _CONFIG_LIMIT, parse_yaml_mapping)

    @property
    def setup(self) -> str:
        """The setup as published: optimizer-weight_scale-train_size-output_scale-weight_decay."""
        return printable(self.meta.get("setup", ""))

    @property
    def dataset(self) -> str:
        """The data that was really used, for example ``EMNIST balanced``."""
        return printable(self.meta.get("dataset", ""))

    @property
    def seed(self) -> int | None:
        """The seed of the run."""
        return self.meta.get("seed")

    @property
    def state(self) -> str:
        """A `RunState`; a run that says it is running but has no writer was interrupted."""
        state = str(self.meta.get("state", "interrupted"))
        return "interrupted" if state == "running" and not is_alive(self.path) else state

    @property
    def epoch(self) -> int:
        """The newest logged epoch; 0 where there is none."""
        return self._log.columns.last

    @property
    def first(self) -> float:
        """The earliest logged epoch after 0, where that lies within epoch 1; else 1."""
        return self._log.columns.first

    @property
    def damage(self) -> str:
        """What is wrong with its files, in one line; empty where they are whole.

        A run in progress, or broken off, may end anywhere; a finished one ends where run.json says.
        Of arrays only those are known that were read.
        """
        if not self._source.exists("run.json"):
            return ""
        meta, _ = self.meta, self.config
        found = [f"{self._shown(name)} {fault}" for name, fault in sorted(self._faults.items())]
        log, shown = self._log, self._shown(event_log.LOG_NAME)
        if log.damaged:
            lines = "1 line" if log.damaged == 1 else f"{log.damaged:,} lines"
            found.append(f"{lines} of {shown} {'is' if log.damaged == 1 else 'are'} damaged")
        if log.columns.wrong:
            found.append(f"{log.columns.wrong:,} values in {shown} are none of their key")
        unread = self._source.exists(event_log.LOG_NAME) and not self._source.signature(
            event_log.LOG_NAME
        )
        if log.fault or unread:
            found.append(f"{shown} {log.fault or 'is no ordinary file of the run'}")
        last = meta.get("logged", 0)
        if meta.get("state") == "finished" and self.epoch < last:
            found.append(
                f"expected events up to epoch {last:,} in {shown}, received {self.epoch:,}"
            )
        return "; ".join(found)

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs (T,) and values (T,) of one logged key, by epoch; null reads as NaN.

        The newest value of an epoch counts. Both are empty for a key that was never logged, and are
        not to be written to.
        """
        column = self._log.columns.series.get(key)
        if column is None:
            return np.array([], dtype=np.int64), np.array([], dtype=np.float64)
        return column.series()

    @property
    def keys(self) -> list[str]:
        """All logged keys that hold numbers, sorted, without ``event``, ``epoch`` and ``step``."""
        return sorted(self._log.columns.series.copy())

    @property
    def event_names(self) -> list[str]:
        """What was logged, sorted: names of measurements, ``evaluation``, ``error`` and so on."""
        return sorted(self._log.columns.events.copy())

    def measured(self, event: str) -> list[int]:
        """Epochs at which an event was logged, increasing."""
        return self.epochs_of(event).tolist()

    def epochs_of(self, event: str) -> np.ndarray:
        """The same as an array (T,), at no cost however many there are."""
        column = self._log.columns.events.get(event)
        return np.array([], dtype=np.int64) if column is None else column.series()[0]

    def table(self) -> "pd.DataFrame":
        """All scalars as a table: one row an epoch (the index), one column a key."""
        import pandas as pd

        columns = {key: pd.Series(*reversed(self.series(key))) for key in self.keys}
        return pd.DataFrame(columns).sort_index().rename_axis("epoch")

    def costs(self) -> dict[str, float]:
        """Seconds that each measurement took, with what it wrote and showed, ``training`` the rest.

        Of a run that is in progress, or whose wall time is not known, without ``training``.
        """
        meta = self.meta
        spent = meta.get("costs") or dict(self._log.columns.spent)
        total = meta.get("seconds")
        if total is None:
            return spent
        return {"training": max(0.0, total - sum(spent.values())), **spent}

    @property
    def with_arrays(self) -> list[str]:
        """Names of the measurements that wrote arrays, sorted."""
        return self._source.names("arrays")

    def arrays(self, measurement: str) -> dict[int, dict[str, np.ndarray]]:
        """The arrays of a measurement at whole epochs: epoch -> name -> array."""
        files = [Path(name) for name in self._source.names(f"arrays/{measurement}")]
        epochs = [epoch_of_file(file) for file in files if file.suffix == ".npz"]
        found = {
            e: self._arrays.read(measurement, epoch_stem(e)) for e in epochs if isinstance(e, int)
        }
        return {epoch: arrays for epoch, arrays in found.items() if arrays}

    def array(self, measurement: str, at: float | str) -> dict[str, np.ndarray]:
        """The arrays that a measurement wrote of an epoch, or of the run as a whole under a name.

        Empty where there are none of that name.

        Raises:
            InputError: there are none of that epoch; with those that there are.
        """
        if isinstance(at, str):
            return self._arrays.read(measurement, at) or {}
        found = self._arrays.read(measurement, epoch_stem(at))
        if found is None:
            files = map(Path, self._source.names(f"arrays/{measurement}"))
            known = sorted(epoch for epoch in map(epoch_of_file, files) if epoch is not None)
            raise InputError(
                f"expected an epoch with arrays of {measurement} "
                f"({', '.join(map(str, known)) or 'none has any'}), received {at}"
            )
        return found

    def array_of(self, measurement: str, at: float | str, name: str) -> np.ndarray | None:
        """One array of one epoch, or of those written for the whole run under a name.

        None where there is none, where it can't be read (yet), or is too large to be shown.
        """
        stem = at if isinstance(at, str) else epoch_stem(at)
        together = SHAPES.get(stem) or SHAPES.get(measurement, {})
        names = tuple(together) if name in together else (name,)
        return (self._arrays.read(measurement, stem, names) or {}).get(name)

    def snapshot_epochs(self) -> list[int]:
        """Epochs whose weights are kept."""
        return snapshot_epochs(self.path)

    def signature_of(self, path: Path) -> Signature | None:
        """Changes whenever the file does; None where there is none inside the folder."""
        return self._source.signature(path.relative_to(self.path).as_posix())

    def files(self) -> list[tuple[str, int]]:
        """Names and sizes in bytes of its files, and of those in its folders one level deep."""
        source = self._source
        top = [name for name in source.names("") if not name.startswith(".")]
        below = [f"{folder}/{name}" for folder in top for name in source.names(folder)]
        signatures = ((name, source.signature(name)) for name in [*top, *below])
        return [(name, found[1]) for name, found in signatures if found is not None]

    def open(self, name: str) -> BinaryIO:
        """One of its files, for reading.

        Raises:
            OSError: there is none.
        """
        return self._source.open(name)

    def _shown(self, name: str) -> str:
        return printable(self.path / name)

    def _described(
        self, name: str, kind: type, limit: int, parse: Callable[[bytes], dict[str, Any]]
    ) -> dict[str, Any]:
        """The fitting entries of a file, read anew when it changes; empty where there is none."""
        signature = self._source.signature(name)
        known = self._files.get(name)
        if known is None or known[0] != signature:
            content: dict[str, Any] = {}
            fault = ""
            if signature is not None:
                try:
                    content, wrong = fitting(parse(read_all(self._source, name, limit)), kind)
                    fault = f"is damaged in {', '.join(map(printable, wrong))}" if wrong else ""
                except DamageError as error:
                    fault = printable(error)
            elif self._source.exists(name):
                fault = "is no ordinary file of the run"
            self._tell(name, fault)
            known = self._files[name] = (signature or (0, 0, 0), content)
        return dict(known[1])

    def _tell(self, name: str, fault: str) -> None:
        with self._lock:
            if fault:
                self._faults[name] = fault
            else:
                self._faults.pop(name, None)


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in the directory `path`.

    Raises:
        InputError: there is no run in it.
    """
    run = Run(path)
    if run.signature_of(run.path / "run.json") is None:
        near = "" if run.path.exists() else hint_path(run.path)
        raise InputError(
            f"expected the directory of a run (with run.json), received {run.path}{near}"
        )
    return run


def read_runs(paths: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """The runs in directories and in folders of runs, each once.

    Raises:
        InputError: a path holds no run.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        below = find_runs(path)
        if not below:
            near = "" if Path(path).exists() else hint_path(Path(path))
            made = near or f" (one is made by {_FIRST_RUN})"
            raise InputError(f"expected a run or a folder with runs, received {path}{made}")
        for each in below:
            if each.resolve() not in found:
                found[each.resolve()] = Run(each)
    return list(found.values())

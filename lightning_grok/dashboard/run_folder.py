"""All runs below a folder, found and refreshed as they appear and grow."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_grok.analysis.onset import run_events
from lightning_grok.analysis.outcome import event_words
from lightning_grok.figures.epoch_axis import Events, events_of
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.names import printable
from lightning_grok.runs.run import Run
from lightning_grok.runs.source import is_archive
from lightning_grok.runs.summary import run_record

_DISCOVERY_SECONDS = 1.0
_MOMENT = 0.3  # seconds that whoever asks waits for what is new
_MANY = 5_000  # evaluations from which on events are looked for again only after some growth
_GROWTH = 1.05


class _Entry:
    """A run of the folder, and what the list says of it.

    Attributes:
        path: of its directory.
        run: None while it was found only.
        row: None until it was asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: Run | None = None
        self.row: dict[str, Any] | None = None
        self.lock = threading.Lock()  # two who ask for a run read it once
        self._events: tuple[tuple[int, int], Events, dict[str, Any]] | None = None
        self._state = ""  # in which they were looked for
        self._seen: tuple[Any, ...] = ()

    def read(self, base: Path) -> Run:
        """The run, read when it is asked for first."""
        with self.lock:
            if self.run is None:
                self.run = Run(self.path, base)
            return self.run

    def events(self, run: Run) -> tuple[Events, dict[str, Any]]:
        """Memorization and generalization of the run, and its `run_record`.

        ``words`` beside it are its times in short (`event_words`).
        """
        version, evaluations = run.version, len(run.epochs_of("evaluation"))
        if self._events is not None:
            (known, size), events, record = self._events
            growth = _GROWTH if evaluations > _MANY else 1.0
            few = size <= evaluations < max(growth * size, size + 1)
            if run.state == self._state and (version == known or few):
                return events, record
        events, record = _events_of(run)
        self._events, self._state = ((version, evaluations), events, record), run.state
        return events, record

    def describe(self, key: str, run: Run) -> dict[str, Any]:
        """What a list says of it, anew where the run has changed."""
        seen = (run.version, run.signature_of(run.path / "run.json"), run.state)
        if self.row is None or seen != self._seen:
            self._seen = seen
            self.row = self._described(key, run)
        return self.row

    def _described(self, key: str, run: Run) -> dict[str, Any]:
        meta = run.meta
        return {
            "id": key,
            "name": run.name,
            "dataset": printable(meta.get("dataset", "")),
            "setup": printable(meta.get("setup", "")),
            "seed": meta.get("seed"),
            "state": self._seen[2],
            "epoch": run.epoch,
            "last": _positive(meta.get("max_epochs")),
            "created": printable(meta.get("created", "")),
            "seconds": meta.get("seconds"),
            **self.events(run)[1],
            "reason": reason_of(meta),
            "complete": True,
        }


class RunFolder:
    """The runs at or below `root`; one that links lead to from outside is not among them.

    A run's id is its path below `root`. Ids that come from elsewhere are looked up, never opened.

    Args:
        root: a folder, an archive of runs, or the directory of one run.
        paths: of the runs, all below `root`; None finds them, and goes on finding new ones.
    """

    def __init__(self, root: Path, paths: Sequence[Path] | None = None) -> None:
        self.given = root
        self.root = root.resolve()
        self._base = self.root.parent if is_archive(self.root) else self.root
        self._paths = paths
        self._entries: dict[str, _Entry] = {}
        self._refreshing = threading.Lock()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        self._find()

    @property
    def ids(self) -> list[str]:
        """Ids of all runs found so far, by name."""
        return list(self._entries)

    def refresh(self) -> None:
        """Look for new runs and read them, then what is new in the others."""
        with self._refreshing:
            if time.monotonic() - self._looked > _DISCOVERY_SECONDS:
                self._find()
            for key, entry in sorted(self._entries.items(), key=lambda item: bool(item[1].row)):
                run = entry.read(self._base)
                run.refresh()
                entry.describe(key, run)

    def refresh_aside(self) -> None:
        """Have another thread refresh all there is, and wait for it a moment at most.

        A slow disk, or a run that takes long to be read, delays what is new and nobody's answer.
        """
        with self._starting:  # several ask at once: one thread serves them all
            worker = self._worker
            if worker is None or not worker.is_alive():
                worker = threading.Thread(target=self.refresh, daemon=True)
                worker.start()
                self._worker = worker
        worker.join(_MOMENT)

    def run(self, key: str) -> Run | None:
        """The run of an id; None where there is none."""
        entry = self._entries.get(key)
        return None if entry is None else entry.read(self._base)

    def place(self, key: str) -> str:
        """Where a run lies, from the folder as it was given."""
        return printable(self.given if key == "." else self.given / key)

    def ids_by_path(self) -> dict[Path, str]:
        """Directory of a run -> its id."""
        return {entry.path: key for key, entry in list(self._entries.items())}

    def events(self, key: str) -> tuple[Events, dict[str, Any]]:
        """Memorization and generalization of a run, and its `run_record`."""
        entry = self._entries[key]
        return entry.events(entry.read(self._base))

    def rows(self) -> list[dict[str, Any]]:
        """What a list says of every run: description, state, epoch and events.

        Of a run that was found only, its name; ``complete`` tells.
        """
        return [
            entry.row or {"id": key, "name": printable(entry.path.name), "complete": False}
            for key, entry in list(self._entries.items())
        ]

    def _find(self) -> None:
        """Runs that are there now; what is known of those that were there is kept."""
        known = {entry.path: (key, entry) for key, entry in self._entries.items()}
        found: dict[str, _Entry] = {}
        for path in find_runs(self.root) if self._paths is None else self._paths:
            if path in known:
                found[known[path][0]] = known[path][1]
            elif self._is_inside(path / "run.json"):
                key = printable(path.relative_to(self.root).as_posix())
                while key in found:  # of bytes that are shown alike
                    key += "+"
                found[key] = _Entry(path)
        self._entries = found
        self._looked = time.monotonic()

    def _is_inside(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError):
            return False


def _events_of(run: Run) -> tuple[Events, dict[str, Any]]:
    """As `lightning_grok.figures.epoch_axis.find_events`; none for accuracies outside [0, 1]."""
    try:
        found = run_events(run)
    except ValueError:
        return Events(None, None), run_record(run) | {"words": []}
    so_far = run.state != "finished"
    words = {"words": event_words(found, so_far=so_far)}
    return events_of(found), run_record(run, so_far=so_far, events=found) | words


def reason_of(meta: Mapping[str, Any]) -> str | None:
    """Why a run ended before its end, as run.json says; None where it does not, or goes on."""
    reason = None if meta.get("state") == "running" else meta.get("reason")
    return printable(reason) if isinstance(reason, str) and reason else None


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None

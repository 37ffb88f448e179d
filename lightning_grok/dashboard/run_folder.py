"""All runs below a folder, found and refreshed as they appear and grow."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning_grok.analysis.onset import run_events
from lightning_grok.figures.epoch_axis import Events
from lightning_grok.runs.run import Run, find_runs

_DISCOVERY_SECONDS = 1.0
_BUDGET_SECONDS = 0.3  # of one refresh: 200 runs are read in the course of several
_MANY = 5_000  # evaluations from which on events are looked for again only after some growth
_GROWTH = 1.05


class RunFolder:
    """The runs at or below `root`; one that links lead to from outside is not among them.

    A run's id is its path below `root`. Ids that come from elsewhere are looked up, never opened.

    Args:
        root: a folder, or the directory of one run.
        paths: of the runs, all below `root`; None finds them, and goes on finding new ones.
    """

    def __init__(self, root: Path, paths: Sequence[Path] | None = None) -> None:
        self.root = root.resolve()
        self._paths = paths
        self._runs: dict[str, Run | None] = {}  # None: found, but not read yet
        self._events: dict[str, tuple[tuple[int, float], Events, bool]] = {}
        self._looked = -math.inf

    @property
    def ids(self) -> list[str]:
        """Ids of all runs found so far, by name."""
        return list(self._runs)

    def refresh(self, budget: float = _BUDGET_SECONDS) -> None:
        """Look for new runs and read what is new in the known ones, for about `budget` seconds."""
        start = time.monotonic()
        if start - self._looked > _DISCOVERY_SECONDS:
            self._looked = start
            found = dict(self._find())
            self._runs = {key: self._runs.get(key) for key in found}
        for key in self._runs:
            if self._runs[key] is None and time.monotonic() - start > budget:
                continue
            run = self.run(key)
            if run is not None and run.refresh():
                self._looked = min(self._looked, start)

    def run(self, key: str) -> Run | None:
        """The run of an id; None where there is none."""
        if key not in self._runs:
            return None
        run = self._runs[key]
        if run is None:
            run = self._runs[key] = Run(self.root / key, self.root)
        return run

    def events(self, key: str) -> tuple[Events, bool]:
        """Memorization and generalization of a run, and whether it grokked."""
        run = self.run(key)
        assert run is not None
        evaluations = len(run.measured("evaluation"))
        growth = _GROWTH if evaluations > _MANY and run.state == "running" else 1.0
        known = self._events.get(key)
        if known is not None:
            (version, size), events, grokked = known
            if version == run.version or size <= evaluations < max(growth * size, size + 1):
                return events, grokked
        events, grokked = _events_of(run)
        self._events[key] = ((run.version, evaluations), events, grokked)
        return events, grokked

    def rows(self, budget: float = _BUDGET_SECONDS) -> list[dict[str, Any]]:
        """What a list says of every run: description, state, epoch and events.

        What is not known within `budget` seconds is left out; ``complete`` tells.
        """
        start = time.monotonic()
        return [
            self._row(key, run, time.monotonic() - start < budget)
            for key, run in self._runs.items()
        ]

    def _row(self, key: str, run: Run | None, may_compute: bool) -> dict[str, Any]:
        if run is None:
            return {"id": key, "name": Path(key).name, "complete": False}
        meta = run.meta
        row = {
            "id": key,
            "name": run.path.name,
            "dataset": run.dataset,
            "setup": run.setup,
            "seed": run.seed if isinstance(run.seed, int) else None,
            "state": run.state,
            "epoch": run.epoch,
            "last": _positive(meta.get("max_epochs")),
            "created": str(meta.get("created", "")),
        }
        known = self._events.get(key)
        if not may_compute and (known is None or known[0][0] != run.version):
            return row | {"complete": False}
        events, grokked = self.events(key)
        return row | {
            "memorization": _rounded(events.memorization),
            "generalization": _rounded(events.generalization),
            "grokked": grokked,
            "complete": True,
        }

    def _find(self) -> Iterator[tuple[str, Path]]:
        for path in find_runs(self.root) if self._paths is None else self._paths:
            try:
                inside = (path / "run.json").resolve().is_relative_to(self.root)
            except (OSError, RuntimeError):
                continue
            if inside:
                yield path.relative_to(self.root).as_posix(), path


def _events_of(run: Run) -> tuple[Events, bool]:
    """As `lightning_grok.figures.epoch_axis.find_events`; none for accuracies outside [0, 1]."""
    try:
        found = run_events(run)
    except ValueError:
        return Events(None, None), False
    times = (found.t_mem, found.test.t_half)
    finite = [float(epoch) if math.isfinite(epoch) else None for epoch in times]
    return Events(*finite), found.grokked


def _rounded(epoch: float | None) -> int | None:
    return None if epoch is None else round(epoch)


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None

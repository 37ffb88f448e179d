"""Reading runs back from their directories, as tables and arrays, finished or running.

A last line cut short and half-written files are passed over: a run may be written meanwhile by
another process, on another machine (`lightning_grok.runs.directory` is the writing side).
"""

import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import Timeout

from lightning_grok.errors import InputError
from lightning_grok.runs.directory import epoch_of, load_snapshot, snapshot_epochs
from lightning_grok.runs.files import hold, read_json

if TYPE_CHECKING:
    import pandas as pd

    from lightning_grok.tasks.mlp import MLP

STATES = ("running", "finished", "interrupted", "failed")


class Run:
    """A run read back from its directory.

    Attributes:
        path: the directory.
        events: all events, oldest first, each a dict with keys ``event``, ``epoch``, ``step``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.events: list[dict[str, Any]] = []
        self._offset = 0
        self.refresh()

    def refresh(self) -> bool:
        """Read the lines written since the last call; True if there were any.

        A log that became shorter (a resumed run rewound it) is read anew.
        """
        file_path = self.path / "events.jsonl"
        if not file_path.exists():
            return False
        if file_path.stat().st_size < self._offset:
            self.events, self._offset = [], 0
        with open(file_path, "rb") as file:
            file.seek(self._offset)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]  # a last line without its end is still being written
        self._offset += len(text)
        for line in text.splitlines():
            try:
                self.events.append(json.loads(line))
            except ValueError:  # a block lost in a crash of the machine: the rest is still good
                continue
        return bool(text)

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.path.name

    @property
    def meta(self) -> dict[str, Any]:
        """The content of run.json; empty where it isn't there."""
        return read_json(self.path / "run.json")

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration; empty where it isn't there."""
        import yaml

        try:
            return yaml.safe_load((self.path / "config.yaml").read_text()) or {}
        except (OSError, yaml.YAMLError):
            return {}

    @property
    def setup(self) -> str:
        """The setup as published: optimizer-weight_scale-train_size-output_scale-weight_decay."""
        return str(self.meta.get("setup", ""))

    @property
    def dataset(self) -> str:
        """The data that was really used, for example ``EMNIST balanced``."""
        return str(self.meta.get("dataset", ""))

    @property
    def seed(self) -> int | None:
        """The seed of the run."""
        return self.meta.get("seed")

    @property
    def state(self) -> str:
        """One of `STATES`; a run that says it is running but has no writer was interrupted."""
        state = str(self.meta.get("state", "interrupted"))
        return "interrupted" if state == "running" and not is_alive(self.path) else state

    @property
    def epoch(self) -> int:
        """The newest logged epoch; 0 where there is none."""
        return max((event["epoch"] for event in self.events), default=0)

    @property
    def damage(self) -> str:
        """What is wrong with its files, in one line; empty where they are whole.

        A run in progress, or broken off, may end anywhere; a finished one ends where run.json says.
        """
        meta = self.meta
        if not (self.path / "run.json").exists():
            return ""
        if not meta:
            return f"expected the description of a run in {self.path / 'run.json'}, received none"
        last = meta.get("logged", 0)
        if meta.get("state") == "finished" and self.epoch < last:
            log = self.path / "events.jsonl"
            return f"expected events up to epoch {last:,} in {log}, received {self.epoch:,}"
        return ""

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs (T,) and values (T,) of one logged key, by epoch; null reads as NaN.

        Both are empty for a key that was never logged.
        """
        found = {event["epoch"]: event[key] for event in self.events if key in event}
        epochs = np.array(sorted(found), dtype=np.int64)
        values = [np.nan if found[epoch] is None else found[epoch] for epoch in epochs]
        return epochs, np.array(values, dtype=np.float64)

    @property
    def keys(self) -> list[str]:
        """All logged keys, sorted, without ``event``, ``epoch`` and ``step``."""
        return sorted({key for event in self.events for key in event} - {"event", "epoch", "step"})

    def table(self) -> "pd.DataFrame":
        """All scalars as a table: one row an epoch (the index), one column a key."""
        import pandas as pd

        columns = {key: pd.Series(*reversed(self.series(key))) for key in self._numeric_keys()}
        return pd.DataFrame(columns).sort_index().rename_axis("epoch")

    def _numeric_keys(self) -> list[str]:
        text = {key for event in self.events for key, value in event.items() if type(value) is str}
        return [key for key in self.keys if key not in text]

    def costs(self) -> dict[str, float]:
        """Seconds that each measurement took, with what it wrote and showed, ``training`` the rest.

        Of a run that is in progress, or whose wall time is not known, without ``training``.
        """
        spent: dict[str, float] = {}
        for event in self.events:
            for key, value in event.items():
                group, _, what = key.rpartition("/")
                if what in ("seconds", "summary_seconds") and value is not None:
                    spent[group] = spent.get(group, 0.0) + value
        total = self.meta.get("seconds")
        return (
            spent if total is None else {"training": max(0.0, total - sum(spent.values())), **spent}
        )

    def arrays(self, measurement: str) -> dict[int, dict[str, np.ndarray]]:
        """The arrays of a measurement: epoch -> name -> array."""
        files = sorted(self.path.glob(f"arrays/{measurement}/*.npz"))
        found = {
            epoch: _read_arrays(file) for file in files if (epoch := epoch_of(file)) is not None
        }
        return {epoch: arrays for epoch, arrays in found.items() if arrays}

    def array(self, measurement: str, name: str) -> dict[str, np.ndarray]:
        """The arrays that a measurement wrote for the run as a whole; empty if there are none."""
        return _read_arrays(self.path / "arrays" / measurement / f"{name}.npz")

    def snapshot_epochs(self) -> list[int]:
        """Epochs whose weights are kept."""
        return snapshot_epochs(self.path)


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in the directory `path`.

    Raises:
        InputError: there is no run in it.
    """
    directory = Path(path)
    if not (directory / "run.json").is_file():
        raise InputError(f"expected the directory of a run (with run.json), received {directory}")
    return Run(directory)


def read_runs(paths: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """The runs in directories and in folders of runs, each once.

    Raises:
        InputError: a path holds no run.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        below = find_runs(path)
        if not below:
            raise InputError(f"expected a run or a folder with runs, received {path}")
        for each in below:
            if each.resolve() not in found:
                found[each.resolve()] = Run(each)
    return list(found.values())


def find_runs(root: str | os.PathLike[str]) -> list[Path]:
    """Directories of runs at or below `root`, two levels deep, by name."""
    base = Path(root)
    files = [*base.glob("run.json"), *base.glob("*/run.json"), *base.glob("*/*/run.json")]
    return sorted(file.parent for file in files)


def is_alive(path: Path) -> bool:
    """Whether a process holds the run directory `path` for writing."""
    if not (path / ".lock").exists():
        return False
    try:
        lock = hold(path / ".lock")
    except Timeout:
        return True
    except OSError:  # a copy on a read-only disk: nobody writes there
        return False
    if lock is not None:
        lock.release()
    return False


def load_model(run: str | os.PathLike[str], epoch: int) -> "MLP":
    """The network of a run at one of its snapshots, in evaluation mode.

    Raises:
        InputError: no snapshot of that epoch, or one that is damaged or of another network.
    """
    from lightning_grok.tasks.mlp import MLP

    directory = read_run(run)
    state = load_snapshot(directory.path, epoch)
    try:
        model = MLP(**directory.meta["network"])
        model.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"expected the weights of an MLP in {run}, received: {reason}") from None
    return model.eval()


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here: np.load leaves the file of a damaged archive open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}

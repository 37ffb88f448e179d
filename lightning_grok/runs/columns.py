"""The scalars of an event log in columns that grow: a series per key, ordered by epoch."""

import math
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from lightning_grok.analysis.lag import Series

_HEAD = frozenset({"event", "epoch", "step"})
_MOST = 10_000  # different keys, and events; a log with more is no log of ours
_LAST = 2.0**53
_SHARES = ("train/accuracy", "test/accuracy")
_HUGE = 1e100  # of which squares can still be summed
_COSTS = ("seconds", "summary_seconds")


EventRow = dict[str, Any]


class Column:
    """One series; the newest value of an epoch counts."""

    def __init__(self) -> None:
        self._epochs = np.empty(0, dtype=np.int64)
        self._values = np.empty(0, dtype=np.float64)
        self._size = 0

    def add(self, epochs: np.ndarray, values: np.ndarray) -> None:
        """Append values in the order in which they were logged."""
        last = self._epochs[self._size - 1] if self._size else -1
        if (np.diff(epochs, prepend=last) > 0).all():
            self._append(epochs, values)
            return
        known, found = self.series()
        reversed_epochs = np.concatenate([known, epochs])[::-1]
        ordered, newest = np.unique(reversed_epochs, return_index=True)
        self._size = 0
        self._epochs, self._values = np.empty(0, np.int64), np.empty(0)  # views were handed out
        self._append(ordered, np.concatenate([found, values])[::-1][newest])

    def _append(self, epochs: np.ndarray, values: np.ndarray) -> None:
        end = self._size + len(epochs)
        self._epochs = self._epochs.astype(np.result_type(self._epochs, epochs), copy=False)
        if end > len(self._epochs):
            room = max(end, math.ceil(1.3 * self._size))
            for name in ("_epochs", "_values"):
                old = getattr(self, name)
                grown = np.empty(room, old.dtype)
                grown[: self._size] = old[: self._size]
                setattr(self, name, grown)
        self._epochs[self._size : end], self._values[self._size : end] = epochs, values
        self._size = end

    def series(self) -> Series:
        """Epochs (T,), increasing, and values (T,); not to be written to."""
        views = self._epochs[: self._size], self._values[: self._size]
        for view in views:
            view.flags.writeable = False
        return views


class Columns:
    """All series of a log.

    Attributes:
        series: by key.
        events: the epochs of every event, by its name; their values are 0.
        spent: seconds by what they were spent on.
        last: the newest epoch; 0 where there is none.
        first: the earliest after 0, where that lies within epoch 1; else 1.
    """

    def __init__(self) -> None:
        self.series: dict[str, Column] = {}
        self.events: dict[str, Column] = {}
        self.spent: dict[str, float] = {}
        self.last = 0
        self.first = 1.0
        self._wrong: dict[str, int] = defaultdict(int)

    @property
    def wrong(self) -> int:
        """How many values were none of their key and are left out: text, accuracies above 1."""
        return sum(count for key, count in self._wrong.items() if key in self.series)

    def add(self, rows: Sequence[EventRow]) -> int:
        """Take lines of the log in their order; how many were none and are left out.

        Lines of the same keys are taken together: what they hold is then one array a key.
        """
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, keys in enumerate(map(tuple, rows)):
            groups[keys].append(index)
        taken = 0
        events, series = _Pieces(), _Pieces()
        for keys, indices in groups.items():
            members = [rows[index] for index in indices] if len(groups) > 1 else rows
            flat = list(chain.from_iterable(map(dict.values, members)))
            found = {key: flat[place :: len(keys)] for place, key in enumerate(keys)}
            kept = _events_among(found, len(members))
            if len(kept) < len(members):
                found = {key: [column[k] for k in kept] for key, column in found.items()}
            if len(kept):
                self._take(found, np.array(indices)[kept], events, series)
            taken += len(kept)
        events.move_to(self.events)
        series.move_to(self.series)
        return len(rows) - taken

    def _take(
        self, found: Mapping[str, list[Any]], at: np.ndarray, events: "_Pieces", series: "_Pieces"
    ) -> None:
        """Take events of the same keys, which stand at the places `at` among the lines."""
        epochs, names = _epochs_from(found["epoch"]), found["event"]
        self.last = max(self.last, int(epochs.max()))
        if epochs.dtype.kind == "f":
            self.first = float(epochs[epochs > 0].min(initial=self.first))
        different = set(names)
        for event in different:
            of: Any = slice(None)
            if len(different) > 1:
                of = np.array([name == event for name in names])
            events.add(event, at[of], epochs[of], np.zeros(len(epochs))[of])
        for key in found.keys() - _HEAD:
            of, values = self._numbers(key, found[key])
            series.add(key, at[of], epochs[of], values)

    def _numbers(self, key: str, values: Sequence[Any]) -> tuple[Any, np.ndarray]:
        """Which of the values are numbers or null, and these; null is NaN."""
        group, _, what = key.rpartition("/")
        try:
            kept, numbers = slice(None), np.array(array("d", values))
        except TypeError:
            text = np.array([isinstance(value, str) for value in values])
            self._wrong[key] += int(text.sum())
            numbers = np.array([v for v in values if not isinstance(v, str)], dtype=np.float64)
            kept = ~text  # type: ignore[assignment]
        least, most = (0.0, 1.0) if key in _SHARES else (-_HUGE, _HUGE)
        outside = (numbers < least) | (numbers > most)
        if outside.any():
            self._wrong[key] += int(outside.sum())
            numbers[outside] = np.nan
        if what in _COSTS:
            self.spent[group] = self.spent.get(group, 0.0) + float(np.nansum(numbers))
        return kept, numbers


class _Pieces:
    """Parts of columns, each with the places of its values among the lines of a block."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[np.ndarray, ...]]] = defaultdict(list)

    def add(self, key: str, *part: np.ndarray) -> None:
        """Places in the block, epochs and values."""
        self._parts[key].append(part)

    def move_to(self, columns: dict[str, Column]) -> None:
        """Append them to the columns of their keys, in the order in which they were logged."""
        for key, parts in self._parts.items():
            if key not in columns and len(columns) >= _MOST:
                continue
            at, epochs, values = (
                parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
            )
            if len(parts) > 1:
                order = np.argsort(at)
                epochs, values = epochs[order], values[order]
            if len(at):
                columns.setdefault(key, Column()).add(epochs, values)


def _epochs_from(values: Sequence[float]) -> np.ndarray:
    """Whole numbers; or real ones where something was measured in the middle of an epoch."""
    epochs = np.array(values, dtype=np.float64)
    whole = epochs.astype(np.int64)
    return whole if (whole == epochs).all() else epochs


def _events_among(columns: Mapping[str, Sequence[Any]], count: int) -> np.ndarray:
    """Which of `count` lines of the same keys are events: with a name, an epoch and steps."""
    if "event" not in columns or "epoch" not in columns:
        return np.arange(0)
    good = np.ones(count, dtype=bool)
    for key in ("epoch", "step"):
        try:
            values = np.array(array("d", columns.get(key, [0.0] * count)))
        except TypeError:
            values = np.array([v if isinstance(v, float) else np.nan for v in columns[key]])
        good &= (values >= 0) & (values <= _LAST)
        if key == "step":
            good &= values == np.floor(values)
    if set(map(type, columns["event"])) != {str}:
        good &= [isinstance(event, str) for event in columns["event"]]
    return np.flatnonzero(good)

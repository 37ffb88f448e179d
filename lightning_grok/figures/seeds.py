"""Runs of one setup with different seeds, drawn together: medians, and bands over the seeds."""

import copy
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from lightning_grok.analysis.lag import Series
from lightning_grok.analysis.onset import GrokkingEvents, run_events
from lightning_grok.runs.run import Run

QUANTILES = (0.1, 0.9)
"""Both edges of a band over seeds."""


class Seeds:
    """Some runs of one setup, which answer what a figure asks of a single run.

    A value is the median over the runs at the epochs that all of them share; arrays of whole runs
    (the distances of pairs) likewise. Frames (UMAP), configuration and names are those of the first
    run.

    Args:
        runs: at least one, of one setup and data set.
        unit: of the horizontal axis; a step is one update of the weights.
        published: key -> points that a figure lays over ours, on the same axis.

    Attributes:
        path, name, meta, config: of the first run.
        setup, dataset: of all runs.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        unit: Literal["epoch", "step"] = "epoch",
        published: Mapping[str, Series] | None = None,
    ) -> None:
        self.runs = tuple(runs)
        first = self.runs[0]
        self.path, self.name, self.meta, self.config = (
            first.path,
            first.name,
            first.meta,
            first.config,
        )
        self.setup, self.dataset = first.setup, first.dataset
        self.unit = unit
        self.published = dict(published or {})
        self.marker = "o"  # of published points
        self._least_end = 0.0
        steps = self.meta.get("steps_per_epoch", 1)
        self.factor = int(steps) if unit == "step" else 1

    @property
    def seed(self) -> int | None:
        """Of a single run."""
        return self.runs[0].seed if len(self.runs) == 1 else None

    @property
    def in_words(self) -> str:
        """How many seeds, and what is shown of them."""
        if len(self.runs) == 1:
            return f"seed {self.runs[0].seed}"
        low, high = (round(100 * each) for each in QUANTILES)
        return f"median and {low} to {high} % band of {len(self.runs)} seeds"

    @property
    def epoch(self) -> int:
        """The last epoch, or step, that all runs have reached."""
        return self.factor * min(run.epoch for run in self.runs)

    @property
    def axis_end(self) -> float:
        """Where the axis ends: the last epoch or step, of ours or published."""
        ends = [float(places[-1]) for places, _ in self.published.values() if len(places)]
        return max([float(self.epoch), self._least_end, *ends])

    def until(self, end: float) -> "Seeds":
        """The same on an axis that ends at `end` at least, to stand beside others."""
        other = copy.copy(self)
        other._least_end = end
        return other

    @property
    def keys(self) -> list[str]:
        """All keys that one of the runs logged."""
        return sorted({key for run in self.runs for key in run.keys})

    def series(self, key: str) -> Series:
        """Places (T,) and medians (T,) over the runs that logged the key."""
        epochs, values = self._stacked(key)
        return epochs, np.median(values, axis=0) if len(values) else np.zeros(0)

    def band(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places (T,), lower and upper edges (T,) at `QUANTILES`; empty for a single run."""
        epochs, values = self._stacked(key)
        if len(values) < 2:
            return (np.zeros(0),) * 3
        low, high = np.quantile(values, QUANTILES, axis=0)
        return epochs, low, high

    def _stacked(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Shared places (T,) and the values (runs, T) there."""
        logged = [series for run in self.runs if len((series := run.series(key))[0])]
        if not logged:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0))
        shared = _shared([epochs for epochs, _ in logged])
        rows = [values[np.searchsorted(epochs, shared)] for epochs, values in logged]
        return self.factor * shared, np.stack(rows)

    def arrays(self, measurement: str) -> dict[int, dict[str, np.ndarray]]:
        """The arrays of the first run, by epoch or step."""
        found = self.runs[0].arrays(measurement)
        return {self.factor * epoch: arrays for epoch, arrays in found.items()}

    def array(self, measurement: str, name: str) -> dict[str, np.ndarray]:
        """Medians over the runs of arrays over pairs of epochs, at the epochs that they share."""
        found = [each for run in self.runs if (each := run.array(measurement, name))]
        if not found or "epochs" not in found[0]:
            return found[0] if found else {}
        shared = _shared([each["epochs"] for each in found])
        medians = {}
        for key in set.intersection(*(set(each) for each in found)) - {"epochs"}:
            at = [np.searchsorted(each["epochs"], shared) for each in found]
            pairs = [each[key][np.ix_(i, i)] for each, i in zip(found, at, strict=True)]
            medians[key] = np.median(np.stack(pairs), axis=0)
        return {"epochs": self.factor * shared, **medians}

    @cached_property
    def onsets(self) -> list[GrokkingEvents]:
        """What the accuracies of each run say, in epochs."""
        return [run_events(run) for run in self.runs]

    def median_event(self, times: Sequence[float]) -> float | None:
        """Median of event times in epochs, on the axis; None where most runs have no such event."""
        middle = float(np.median(times))
        return self.factor * middle if math.isfinite(middle) else None


Runs = Run | Seeds
"""What a figure is drawn of."""


def _shared(epochs: Sequence[np.ndarray]) -> np.ndarray:
    shared = np.asarray(epochs[0], dtype=np.int64)
    for each in epochs[1:]:
        shared = np.intersect1d(shared, each)
    return shared

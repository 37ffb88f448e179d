"""The runs that test a claim: which of many runs are of a setup, one a seed, come to their end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lightning_grok.analysis.breakdown import breakdown
from lightning_grok.analysis.interval import Interval, wilson_interval
from lightning_grok.analysis.lag import Series
from lightning_grok.analysis.onset import GrokkingEvents, run_events
from lightning_grok.analysis.reading import NotMeasuredError
from lightning_grok.claims.content import Claims, SeriesSource, Setup, Where
from lightning_grok.runs.panels import panel_of
from lightning_grok.runs.run import Run


class SeedRun:
    """One run, its events and its series read once.

    Args:
        run: read back from its directory.
        content: of a claims file; names series, and says whether breakdowns count.

    Attributes:
        siblings: other finished runs of the same setup and seed, measured otherwise.
    """

    def __init__(self, run: Run, content: Claims | None = None) -> None:
        self.run = run
        self._named: Mapping[str, Sequence[SeriesSource]] = content.series if content else {}
        self._breakdowns_count = content is not None and content.breakdowns == "in"
        self.siblings: list[SeedRun] = []
        self.seed = run.seed
        self.last = run.epoch
        self._read: dict[str, Series] = {}
        self._options = {**run.config, **run.meta}

    @cached_property
    def events(self) -> GrokkingEvents:
        """Memorization and generalization."""
        return run_events(self.run)

    @cached_property
    def keys(self) -> list[str]:
        """All logged keys."""
        return self.run.keys

    @cached_property
    def breakdown(self) -> np.ndarray:
        """Epochs at which the training set was lost (`lightning_grok.analysis.breakdown`)."""
        if self._breakdowns_count:
            return np.array([], dtype=np.int64)
        return breakdown(*self.run.series("train/accuracy"), self.events.t_mem)

    def series(self, key: str) -> Series:
        """Epochs and values of a key, or of a name of the claims file, without NaN.

        What was measured in a breakdown is left out, but for the accuracies and losses: the network
        is then neither what it was nor what it becomes. ``{last}`` in a key stands for the layer
        that gives the logits. A name is looked for in this run and in its siblings.

        Raises:
            NotMeasuredError: it was never logged, or as NaN only.
        """
        run, key = self._stands_for(key)
        if run is not self:
            return run.series(key)
        if key not in self._read:
            epochs, values = self.run.series(key)
            keep = np.isfinite(values)
            if not key.startswith(("train/", "test/")):
                keep &= ~np.isin(epochs, self.breakdown)
            self._read[key] = epochs[keep], values[keep]
        if not len(self._read[key][0]):
            raise NotMeasuredError(key)
        return self._read[key]

    def whole(self, key: str) -> Series:
        """All that was logged of what `series` gives, NaN and breakdowns among it."""
        run, key = self._stands_for(key)
        return run.run.series(key)

    def _stands_for(self, key: str) -> tuple["SeedRun", str]:
        """The run, this one or a sibling, and its key that a key or a name stands for."""
        if key not in self._named:
            return self, key.replace("{last}", self.last_layer)
        for run in (self, *self.siblings):
            for source in self._named[key]:
                if source.key in run.keys and run.matches(source.where):
                    return run, source.key
        raise NotMeasuredError(key)

    def measured(self, key: str) -> bool:
        """Whether `series` has a value of it."""
        try:
            return bool(len(self.series(key)[0]))
        except NotMeasuredError:
            return False

    def option(self, key: str) -> Any:
        """The value under a dotted key of run.json or config.yaml; None where there is none."""
        value: Any = self._options
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    @property
    def options(self) -> set[str]:
        """The keys that `option` takes."""
        return {*_dotted(self._options)}

    def matches(self, where: Where) -> bool:
        """Whether all options are, by `option`, what they must be, or among it."""
        return all(
            value == wanted or (isinstance(wanted, list) and value in wanted)
            for value, wanted in ((self.option(key), wanted) for key, wanted in where.items())
        )

    @property
    def draws_its_samples(self) -> bool:
        """Whether its seed draws the training samples too."""
        return self.option("data.subset") != "first" and self.option("data.seed") is None

    @property
    def last_layer(self) -> str:
        """The name of the layer that gives the logits; empty where the run doesn't tell."""
        names = self.run.meta.get("layer_names")
        if names:
            return str(names[-1])
        panel = panel_of(self.run, "weights")
        layers = [line.layer for line in panel.lines if line.layer] if panel else []
        return layers[-1] if layers else ""


def _dotted(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        yield key
        yield from (f"{key}.{each}" for each in _dotted(value)) if isinstance(value, dict) else ()


class Shortened:
    """A run as it was at an epoch; what its accuracies say of it stays that of the whole run.

    Args:
        run: the whole run.
        last: the epoch.
    """

    def __init__(self, run: SeedRun, last: int) -> None:
        self._run = run
        self.last = last
        self.events = run.events
        self.breakdown = run.breakdown

    def series(self, key: str) -> Series:
        """As of the run, up to the epoch."""
        epochs, values = self.whole(key, self._run.series)
        if not len(epochs):
            raise NotMeasuredError(key)
        return epochs, values

    def whole(self, key: str, read: Callable[[str], Series] | None = None) -> Series:
        """The same with NaN and breakdowns among them."""
        epochs, values = (read or self._run.whole)(key)
        kept = epochs <= self.last
        return epochs[kept], values[kept]


class Cohort(NamedTuple):
    """The runs of a setup.

    Attributes:
        runs: one a seed, finished.
        unfinished: runs left out since they have not come to their end.
        repeated: runs left out since another one of the same seed is there.
        induction: share of runs that grokked, with Wilson's interval.
        fixed: whether all of them train on the same samples, so that a seed draws the
            initialization and the order only.
        other: runs left out since they do, while others draw their samples.
    """

    runs: list[SeedRun]
    unfinished: int
    repeated: int
    induction: Interval
    fixed: bool = False
    other: int = 0

    @property
    def grokked(self) -> list[SeedRun]:
        """The runs that grokked."""
        return [run for run in self.runs if run.events.grokked]


def cohort(
    runs: Sequence[SeedRun], setup: Setup, keys: Sequence[str] = (), prefer: Where | None = None
) -> Cohort:
    """The runs of `setup`.

    Runs on a fixed training subset are another design than runs whose seeds draw it: they count
    only where there are no others. Of several runs of one seed the one that holds most of `keys`
    stays, then one that matches `prefer`, then the one that measured them most often, then the
    longest, then the first by name; the others are its siblings. A run without a seed is one of its
    own.
    """
    own = [run for run in runs if run.matches(setup.where)]
    finished = [run for run in own if run.run.state == "finished"]
    drawn = [run for run in finished if run.draws_its_samples]
    other = len(finished) - len(drawn) if drawn else 0
    unfinished = len(own) - len(finished)
    finished = drawn or finished

    def rank(run: SeedRun) -> tuple[Any, ...]:
        held = [key for key in keys if key in run.keys]
        often = sum(len(run.whole(key)[0]) for key in held)
        return -len(held), not run.matches(prefer or {}), -often, -run.last, run.run.name

    by_seed: dict[str, list[SeedRun]] = {}
    for run in sorted(finished, key=rank):
        seed = str(run.run.path) if run.seed is None else f"{run.seed:012}"
        by_seed.setdefault(seed, []).append(run)
    kept = [by_seed[seed][0] for seed in sorted(by_seed)]
    for first, *others in by_seed.values():
        first.siblings = others
    grokked = sum(run.events.grokked for run in kept)
    return Cohort(
        runs=kept,
        unfinished=unfinished,
        repeated=len(finished) - len(kept),
        induction=wilson_interval(grokked, len(kept)),
        fixed=bool(finished) and not drawn,
        other=other,
    )

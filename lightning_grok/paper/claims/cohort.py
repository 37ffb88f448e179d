"""The runs that test a claim: which of many runs are of a setup, one a seed, come to their end."""

import math
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lightning_grok.analysis.breakdown import breakdown
from lightning_grok.analysis.interval import Interval, wilson_interval
from lightning_grok.analysis.lag import Series
from lightning_grok.analysis.onset import GrokkingEvents, run_events
from lightning_grok.runs.run import Run

_KERNEL = re.compile(r"kernel_distance(?:_(train|test)(\d+))?/full/own")


class NotMeasuredError(Exception):
    """A run does not hold a series that a statistic needs."""


class SeedRun:
    """One run, its events and its series read once.

    Args:
        run: read back from its directory.

    Attributes:
        siblings: other finished runs of the same setup and seed, measured otherwise.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.siblings: list[SeedRun] = []
        self.seed = run.seed
        self.last = run.epoch
        self._read: dict[str, Series] = {}

    @cached_property
    def events(self) -> GrokkingEvents:
        """Memorization and generalization."""
        return run_events(self.run)

    @cached_property
    def keys(self) -> list[str]:
        """All logged keys."""
        return self.run.keys

    @property
    def x_half(self) -> float:
        """log10 t_half of a rise of test accuracy; infinite where none was seen."""
        return math.log10(self.events.test.t_half)

    @cached_property
    def breakdown(self) -> np.ndarray:
        """Epochs at which the training set was lost (`lightning_grok.analysis.breakdown`)."""
        return breakdown(*self.run.series("train/accuracy"), self.events.t_mem)

    def series(self, key: str) -> Series:
        """Epochs and values of a key, without NaN.

        What was measured in a breakdown is left out, but for the accuracies and losses: the network
        is then neither what it was nor what it becomes.

        Raises:
            NotMeasuredError: it was never logged, or as NaN only.
        """
        if key not in self._read:
            epochs, values = self.run.series(key)
            keep = np.isfinite(values)
            if not key.startswith(("train/", "test/")):
                keep &= ~np.isin(epochs, self.breakdown)
            self._read[key] = epochs[keep], values[keep]
        if not len(self._read[key][0]):
            raise NotMeasuredError(key)
        return self._read[key]

    def measured(self, key: str) -> bool:
        """Whether `series` has a value of it."""
        try:
            return bool(len(self.series(key)[0]))
        except NotMeasuredError:
            return False

    def value_at(self, key: str, epoch: float) -> float:
        """The value at `epoch` > 0, a straight line in x between two; NaN beyond the measurements.

        Raises:
            NotMeasuredError: it was never logged.
        """
        epochs, values = self.series(key)
        epochs, values = epochs[epochs > 0], values[epochs > 0]
        if not len(epochs) or not epochs[0] <= epoch <= epochs[-1]:
            return math.nan
        return float(np.interp(math.log10(epoch), np.log10(epochs), values))

    def option(self, group: str, name: str, default: Any) -> Any:
        """An option of the run's configuration; `default` where there is none, or no file."""
        options = self._config.get(group)
        return options.get(name, default) if isinstance(options, dict) else default

    @cached_property
    def _config(self) -> dict[str, Any]:
        return self.run.config

    @property
    def draws_its_images(self) -> bool:
        """Whether its seed draws the training images too."""
        drawn = self.option("data", "subset", "random") != "first"
        return drawn and self.option("data", "seed", None) is None

    @property
    def is_standard(self) -> bool:
        """Whether kernel and capacity were measured on the paper's numbers of images."""
        return (
            self._images == ("train", 256)
            and self.option("manifold_capacity", "per_class", 200) >= 200
        )

    @property
    def _images(self) -> tuple[str, int]:
        split = self.option("kernel_distance", "split", "train")
        return str(split), int(self.option("kernel_distance", "samples", 256))

    def kernel_over(self, split: str, count: int) -> Series:
        """Distance of the full kernel over some images to its start, from this run or a sibling.

        The group ``kernel_distance`` is over the images that the configuration names, a group
        ``kernel_distance_<split><count>`` over those of its name.

        Raises:
            NotMeasuredError: neither has it.
        """
        for run in (self, *self.siblings):
            for key in run.keys:
                match = _KERNEL.fullmatch(key)
                if match is None:
                    continue
                images = (match[1], int(match[2])) if match[1] else run._images
                if images == (split, count):
                    return run.series(key)
        raise NotMeasuredError(f"kernel distance over {count} {split} images")

    @property
    def last_layer(self) -> str:
        """The name of the layer that gives the logits."""
        names = self.run.meta.get("layer_names")
        if names:
            return str(names[-1])
        norms = [key.partition("/")[2] for key in self.keys if key.startswith("weight_norm/layers")]
        return max(norms, key=lambda name: int(name.rpartition(".")[2]), default="layers.6")


class Setup(NamedTuple):
    """A condition of the paper.

    Attributes:
        name: short, as in claims.yaml.
        dataset, setup: as they stand in run.json.
        configs: files that make such a run.
    """

    name: str
    dataset: str
    setup: str
    configs: tuple[str, ...]

    def command(self, *options: str) -> str:
        """The command line that makes a run of it."""
        files = [f"--config {file}" for file in self.configs]
        rest = ["--data.subset=random --seed_everything=SEED", *options]
        return " ".join(["python -m lightning_grok fit", *files, *rest])


class Cohort(NamedTuple):
    """The runs of a setup.

    Attributes:
        runs: one a seed, finished.
        unfinished: runs left out since they have not come to their end.
        repeated: runs left out since another one of the same seed is there.
        induction: share of runs that grokked, with Wilson's interval.
        fixed: whether all of them train on the same images, so that a seed draws the initialization
            and the order only.
        other: runs left out since they do, while others draw their images.
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


def cohort(runs: Sequence[SeedRun], setup: Setup, keys: Sequence[str] = ()) -> Cohort:
    """The runs of `setup`.

    Runs on a fixed training subset are another design than runs whose seeds draw it: they count
    only where there are no others. Of several runs of one seed the one that holds most of `keys`
    stays, then one that was measured on the usual images, then the longest, then the first by name;
    the others are its siblings. A run without a seed is one of its own.
    """
    own = [r for r in runs if (r.run.dataset, r.run.setup) == (setup.dataset, setup.setup)]
    finished = [run for run in own if run.run.state == "finished"]
    drawn = [run for run in finished if run.draws_its_images]
    other = len(finished) - len(drawn) if drawn else 0
    unfinished = len(own) - len(finished)
    finished = drawn or finished

    def rank(run: SeedRun) -> tuple[Any, ...]:
        held = sum(key in run.keys for key in keys)
        return -held, not run.is_standard, -run.last, run.run.name

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


def read_setups(content: dict[str, Any]) -> dict[str, Setup]:
    """The setups of a claims file, by name."""
    return {
        name: Setup(name, str(each["dataset"]), str(each["setup"]), tuple(each["configs"]))
        for name, each in content.items()
    }

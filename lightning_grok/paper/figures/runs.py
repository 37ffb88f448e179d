"""The runs of the paper's figures: found by setup, and the commands that make them."""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.published import Published, belongs_to
from lightning_grok.runs.run import Run, read_runs

MNIST_CONFIGS = {
    "AdamW-8-1000-0.5-0-mse-200x200": "output_scale_0.5",
    "AdamW-8-1000-0.001-0-mse-200x200": "output_scale_0.001",
    "AdamW-2-1000-1-0.01-mse-200x200": "weight_scale_2",
    "AdamW-8-1000-1-0.01-mse-200x200": "weight_scale_8",
}
"""Setups that the paper follows in steps -> their file in configs/mnist."""

_COMPLETE = 0.9  # of the longest run's epochs: shorter runs would cut the others short
_SAMPLES, _PER_CLASS = 256, 200  # images of the kernel and of a manifold in the main runs


class PaperRuns:
    """Runs by setup.

    Of a setup that ran on several data sets those on the paper's own are taken.

    Args:
        paths: directories of runs, or folders of them.
        published: numbers to lay over ours.

    Attributes:
        runs: all of them.
        left_out: a line for every run that no figure shows, filled as setups are asked for.

    Raises:
        InputError: a path holds no run.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], published: Published | None = None
    ) -> None:
        self.published = published
        self.left_out: list[str] = []
        self._runs: dict[str, list[Run]] = defaultdict(list)
        self._seeds: dict[str, Seeds | None] = {}
        self.runs = read_runs(paths)
        for run in self.runs:
            self._runs[run.setup].append(run)

    def every(self, setup: str) -> list[Run]:
        """All runs of a setup on one data set."""
        runs = [run for run in self._runs.get(setup, []) if run.keys]
        own = [run for run in runs if belongs_to(setup, run.dataset)]
        return own or [run for run in runs if run.dataset == runs[0].dataset]

    def seeds(self, setup: str) -> Seeds | None:
        """One run a seed; None where there is no run of the setup."""
        if setup not in self._seeds:
            runs = self.every(setup)
            kept, left_out = comparable_runs(runs) if runs else ([], [])
            self.left_out += left_out
            self._seeds[setup] = self.shown(setup, kept) if kept else None
        return self._seeds[setup]

    def shown(self, setup: str, runs: Sequence[Run]) -> Seeds:
        """Some runs of a setup in the paper's unit, with published points on the same data set."""
        unit: Literal["epoch", "step"] = "step" if setup in MNIST_CONFIGS else "epoch"
        keys = sorted({key for run in runs for key in run.keys})
        own = self.published is not None and belongs_to(setup, runs[0].dataset)
        points = self.published.all_points(setup, keys) if self.published and own else {}
        return Seeds(runs, unit, points)


def comparable_runs(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """One run a seed, by seed, and a line for each run that is left out.

    Of several runs with one seed the one with the main runs' numbers of images, then the longest.
    Runs much shorter than the longest are left out: shared epochs would end with them.
    """
    longest = max(run.epoch for run in runs)
    of_seed: dict[Any, list[Run]] = defaultdict(list)
    left_out = []
    for run in runs:
        if run.epoch < _COMPLETE * longest:
            left_out.append(f"left out {run.path}: ends at epoch {run.epoch:,} of {longest:,}")
        else:
            of_seed[run.seed].append(run)
    kept = []
    for seed in sorted(of_seed, key=lambda seed: (seed is None, seed)):
        best, *rest = sorted(of_seed[seed], key=_preference)
        kept.append(best)
        left_out += [
            f"left out {run.path}: of the seed of {best.path}"
            for run in rest
            if _preference(run)[0] == _preference(best)[0]  # others belong to Figures 6, 13, 14
        ]
    return kept, left_out


def _preference(run: Run) -> tuple[bool, int, str]:
    options = run.config
    kernel = options.get("kernel_distance", {})
    standard = (
        (kernel.get("samples") or _SAMPLES) == _SAMPLES
        and kernel.get("split", "train") == "train"
        and options.get("manifold_capacity", {}).get("per_class", _PER_CLASS) == _PER_CLASS
    )
    return (not standard, -run.epoch, str(run.path))


def command_for(setup: str) -> str:
    """The command that makes a run of a setup."""
    files = ["configs/grok.yaml", f"configs/table1/{setup}.yaml"]
    if setup in MNIST_CONFIGS:
        name = MNIST_CONFIGS[setup]
        both = dict.fromkeys(("weight_scale_8", name))
        files = [f"configs/mnist/{each}.yaml" for each in both]
    return "python -m lightning_grok fit " + " ".join(f"--config {file}" for file in files)

"""Memory and disk of a run of 50,000 epochs with all logging."""

import time
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.faults.process import Fit, Outcome, environment, meta, outcome, the_run
from lightning_grok.runs.folders import find_runs

POINTS = 10
GROWTH = 0.05  # of the resident memory, from the first tenth of the run to its end


class Sample(NamedTuple):
    """The process at one moment.

    Attributes:
        epoch: completed epochs, of the newest checkpoint.
        resident: MB of the training process.
        helper: MB of W&B's process.
        log: MB of the event log.
    """

    epoch: int
    resident: float
    helper: float
    log: float


def long(work: Path, epochs: int = 50_000) -> tuple[list[Outcome], list[Sample]]:
    """Train so many epochs with every measurement, evaluation and W&B offline at their defaults."""
    root = work / "long"
    options = (f"--trainer.max_epochs={epochs}", "--run.checkpoint_seconds=1")
    env = environment(WANDB_MODE="offline", WANDB_DATA_DIR=str(work / "staging"))
    fit = Fit(root, *options, env=env)
    samples = [sample for sample in _samples(fit) if sample.epoch > 0]
    if fit.wait() != 0:
        raise RuntimeError(fit.errors)
    wanted = [round(epochs * (index + 1) / POINTS) for index in range(POINTS)]
    chosen = [min(samples, key=lambda sample: abs(sample.epoch - epoch)) for epoch in wanted]
    run = the_run(root)
    growth = chosen[-1].resident / chosen[0].resident - 1
    folders = sorted(run.path.rglob("*"))
    total = sum(file.stat().st_size for file in folders if file.is_file()) / 1e6
    peak = max(sample.resident for sample in samples)
    seen = (
        f"resident memory {chosen[0].resident:.0f} MB after a tenth of the run, "
        f"{chosen[-1].resident:.0f} MB at its end ({100 * growth:+.1f} %), {peak:.0f} MB at most; "
        f"event log {chosen[-1].log:.2f} MB, {len(run.events)} lines; the directory {total:.1f} MB"
    )
    problem = "" if growth <= GROWTH else seen
    return [outcome(f"{epochs} epochs with all logging", [problem], seen)], chosen


def _samples(fit: Fit) -> list[Sample]:
    """What the process holds, five times a second, until it ends."""
    found = []
    while fit.status is None:
        for path in find_runs(fit.root):
            try:
                process = psutil.Process(fit.process.pid)
                helpers = [child.memory_info().rss for child in process.children(recursive=True)]
                log = path / "events.jsonl"
                sizes = (process.memory_info().rss, sum(helpers), log.stat().st_size)
            except (psutil.Error, OSError):
                continue
            epoch = int(meta(fit.root).get("epoch", 0))
            found.append(Sample(epoch, *(size / 1e6 for size in sizes)))
        time.sleep(0.2)
    return found

"""Runs that are started with one name at the same moment."""

import multiprocessing
from pathlib import Path

from benchmarks.faults.claim import claim
from benchmarks.faults.process import OFF, Fit, Outcome, differences, outcome, problem_of_line
from lightning_grok.runs.folders import find_runs

OPTIONS = (*OFF, "--wandb.mode=disabled", "--trainer.max_epochs=50")
PROCESSES, ROUNDS = 8, 25


def names(work: Path, times: int = 10, races: int = 4) -> list[Outcome]:
    """Pairs of fits with a given name and with the default one, and a race for directories."""
    named = [_named(work / f"named{index}") for index in range(times)]
    unnamed = [_unnamed(work / f"unnamed{index}") for index in range(times)]
    raced = [race(work / f"race{index}", ROUNDS) for index in range(races)]
    return [
        outcome(
            "two runs with one `--run.name` at once",
            named,
            "one ran, the other was refused in one line",
        ),
        outcome("two runs without a name at once", unnamed, "two directories, two equal runs"),
        outcome(
            f"{PROCESSES} processes make one directory at once, {ROUNDS} names in turn",
            raced,
            "each name was had by one process; numbered names by all, each its own",
        ),
    ]


def _named(root: Path) -> str:
    pair = [Fit(root, *OPTIONS, "--run.name=same") for _ in range(2)]
    statuses = sorted(fit.wait() for fit in pair)
    if statuses != [0, 2]:
        return f"exit statuses {statuses}: {pair[0].errors[-200:]} {pair[1].errors[-200:]}"
    (refused,) = [fit for fit in pair if fit.status == 2]
    return problem_of_line(refused, "same")


def _unnamed(root: Path) -> str:
    pair = [Fit(root, *OPTIONS) for _ in range(2)]
    statuses = [fit.wait() for fit in pair]
    found = find_runs(root)
    if statuses != [0, 0] or len(found) != 2:
        return f"exit statuses {statuses}, {len(found)} directories: {pair[1].errors[-200:]}"
    differ = [each for each in differences(*found) if "run.json/name" not in each]
    return differ[0] if differ else ""


def race(root: Path, rounds: int) -> str:
    """Processes that make the same directories at once: what is wrong, or nothing."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    with context.Manager() as manager:
        held = manager.list()
        arguments = (root, rounds, barrier, held)
        workers = [context.Process(target=claim, args=arguments) for _ in range(PROCESSES)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        had = list(held)
    named = sorted(name for name in had if name.startswith("named"))
    numbered = {name for name in had if name.startswith("numbered")}
    if named != sorted(f"named{index}" for index in range(rounds)):
        return f"{len(named)} claims of {rounds} names"
    if len(numbered) != rounds * PROCESSES or len(had) != rounds * (PROCESSES + 1):
        return f"{len(numbered)} directories for {rounds * PROCESSES} runs"
    return ""

"""Runs killed and interrupted at random moments, then resumed to their end."""

import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

from benchmarks.faults.process import (
    Fit,
    Outcome,
    differences,
    finish,
    has_run,
    outcome,
    the_run,
)
from lightning_grok.runs.folders import find_runs

OPTIONS = ("--trainer.max_epochs=600", "--run.checkpoint_seconds=0.2")
_RESUMES = 10  # more than any run here needs
_SAME = "every end bit-identical to the uninterrupted run's"


def kill(work: Path, kills: int, stops: int = 4, seed: int = 0) -> list[Outcome]:
    """SIGKILL at `kills` random moments, SIGTERM and SIGINT at `stops` each; the ends compared.

    One run in five is killed a second time while it resumes, one in five logs to W&B offline, and
    one in five is killed while Python and Lightning still load; the moments of the others lie
    evenly between the making of the directory and the end of the process. Moments are counted in
    the process's own seconds of CPU, so that a busy machine does not shift them.
    """
    whole, begins, ends = _uninterrupted(work / "whole")
    draw = random.Random(seed)
    problems, seen = [], Counter[str]()
    for index in range(kills):
        root = work / f"kill{index}"
        more = ("--wandb.mode=offline" if index % 5 == 1 else "--wandb.mode=disabled",)
        moments = [draw.uniform(0, begins) if index % 5 == 2 else draw.uniform(begins, ends)]
        if index % 5 == 3:
            moments.append(draw.uniform(begins, ends))
        found, place = _killed(whole, root, more, moments)
        seen[place] += 1
        problems.append(f"run {index}: {found[0]}" if found else "")
    died = ", ".join(f"{number} {place}" for place, number in sorted(seen.items()))
    return [
        outcome("SIGKILL at a random moment, then `--resume`", problems, f"{_SAME}; died {died}"),
        *(interrupt(work, whole, each, stops, draw) for each in _STOPS if stops),
    ]


_STOPS = (signal.SIGTERM, signal.SIGINT)


def _uninterrupted(root: Path) -> tuple[Path, float, float]:
    """A run to compare with: its directory, and the CPU seconds to its directory and to its end."""
    finish(root / "warm-up", "--trainer.max_epochs=1", "--wandb.mode=disabled")  # compiles
    fit = Fit(root / "run", *OPTIONS, "--wandb.mode=disabled")
    fit.until(lambda: bool(find_runs(fit.root)))
    begins = ends = fit.cpu_seconds
    while fit.status is None:
        ends = fit.cpu_seconds or ends
        time.sleep(0.01)
    if fit.status != 0:
        raise RuntimeError(fit.errors)
    return the_run(fit.root).path, begins, ends


def _killed(
    whole: Path, root: Path, more: tuple[str, ...], moments: list[float]
) -> tuple[list[str], str]:
    """Kill a run at the moments, resume it to its end: what is wrong with it, where it died."""
    options = (*OPTIONS, *more)
    while not _is_killed(Fit(root, *options), moments[0]):  # it was faster than the one before
        shutil.rmtree(root)
        moments[0] *= 0.98
    place = _place(root)
    for moment in moments[1:]:
        _is_killed(Fit(root, *options, "--resume"), moment)
    for _ in range(_RESUMES):
        fit = finish(root, *options, "--resume")
        if fit.status != 0:
            return [fit.errors.strip()[-300:]], place
        if the_run(root).state == "finished":
            break
    return differences(whole, the_run(root).path), place


def _is_killed(fit: Fit, moment: float) -> bool:
    """Kill it after so many CPU seconds; False where it ends before."""
    return fit.until(lambda: fit.cpu_seconds >= moment) and fit.kill()


def _place(root: Path) -> str:
    """How far a killed run had come."""
    if not find_runs(root):
        return "before its directory"
    run = the_run(root)
    if run.state == "finished":
        return "after its last line"
    if not (run.path / "checkpoints" / "last.ckpt").exists():
        return "before its first checkpoint"
    return "after a checkpoint"


def interrupt(
    work: Path, whole: Path, number: signal.Signals, times: int, draw: random.Random
) -> Outcome:
    """Runs that are asked to stop say how to go on, and are resumed."""
    problems = [
        _interrupted(whole, work / f"{number.name}{index}", number, draw.randrange(1, 400))
        for index in range(times)
    ]
    seen = f"{_SAME}; exit status {128 + number}, the command that resumes is printed"
    return outcome(f"{number.name} while it trains, then `--resume`", problems, seen)


def _interrupted(whole: Path, root: Path, number: signal.Signals, epoch: int) -> str:
    """Ask a run to stop once it has logged an epoch, and resume it: what is wrong, or nothing."""
    options = (*OPTIONS, "--wandb.mode=disabled")
    fit = Fit(root, *options)
    fit.until(lambda: has_run(root, epoch))
    fit.send(number)
    if fit.wait() != 128 + number:
        return f"exit status {fit.status}: {fit.errors[-300:]}"
    if "--resume" not in fit.printed.strip().splitlines()[-1]:
        return f"no command that resumes: {fit.printed[-300:]}"
    resumed = finish(root, *options, "--resume")
    if resumed.status != 0:
        return resumed.errors[-300:]
    return "; ".join(differences(whole, the_run(root).path)[:1])

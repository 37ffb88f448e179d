"""A disk that fills up while a run writes its checkpoint, its log, or its first file."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.faults.process import (
    OFF,
    Fit,
    Outcome,
    Skipped,
    differences,
    finish,
    meta,
    newest_event,
    outcome,
    problem_of_line,
    the_run,
)
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import read_run

DISK_BYTES = 16 * 2**20
_OPTIONS = (
    *OFF,
    "--weight_norm.enabled=false",
    "--wandb.mode=disabled",
    "--trainer.max_epochs=2000",
    "--evaluation.epochs=[0,2000]",
)
_CHECKPOINT = (*_OPTIONS, "--run.checkpoint_seconds=0.05")
# A line of the log every epoch, and no file beside it between the epochs 500 and 1000 of the paper.
_LOG = (
    *_OPTIONS,
    "--run.checkpoint_seconds=1000",
    '--trainer.callbacks+={"class_path": "LearningRateMonitor", '
    '"init_args": {"logging_interval": "epoch"}}',
)


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system in memory of `DISK_BYTES`, mounted at `place`; only root may.

    Raises:
        Skipped: it can't be mounted here.
    """
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Skipped(f"no tmpfs can be mounted: {error}") from None
    if done.returncode != 0:
        raise Skipped(f"no tmpfs can be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all of the disk's room but `leave` bytes."""
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        while True:  # the run writes meanwhile
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            if free <= leave:
                return ballast
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free - leave)


WHEN: dict[str, tuple[str, str, tuple[str, ...], int]] = {
    "checkpoint": ("a checkpoint", "checkpoints", _CHECKPOINT, 64 * 1024),
    "log": ("a line of the log", "events.jsonl", _LOG, 0),
}
"""What is being written, the file that is to be named, options, and bytes that are left free."""


def disk(work: Path, times: int = 3) -> list[Outcome]:
    """A full disk at the first write, during checkpoints and during the log.

    Raises:
        Skipped: no small disk can be mounted here.
    """
    return [at_the_start(work / "start", times), *(in_mid_run(work, when, times) for when in WHEN)]


def at_the_start(work: Path, times: int) -> Outcome:
    """Not even the first file fits."""
    problems = []
    for index in range(times):
        with small_disk(work / str(index)) as place:
            (place / "runs").mkdir()
            fill(place, 0)
            fit = finish(place / "runs", *_OPTIONS)
            left = list((place / "runs").rglob("*"))
            problem = problem_of_line(fit, "No space left")
            problems.append(problem or (f"left {left}" if left else ""))
    seen = "one line, exit status 2, nothing left behind"
    return outcome("disk full at the start", problems, seen)


def in_mid_run(work: Path, when: str, times: int) -> Outcome:
    """The disk fills up under a run and is freed again."""
    what, file, options, leave = WHEN[when]
    whole = finish(work / f"whole-{when}", *options)
    problems = []
    for index in range(times):
        with small_disk(work / f"{when}{index}") as place:
            problem = _filled(place, options, leave, file) or "; ".join(
                differences(the_run(whole.root).path, the_run(place / "runs").path)
            )
        problems.append(problem)
    seen = (
        f"one line that names the file, exit status 2, run readable and resumed when there was "
        f"room, end bit-identical to an undisturbed run's (tmpfs of {DISK_BYTES >> 20} MiB)"
    )
    return outcome(f"disk full while {what} is written", problems, seen)


def _filled(place: Path, options: tuple[str, ...], leave: int, file: str) -> str:
    """Fill the disk under a run, free it and resume: what is wrong, or nothing."""
    root = place / "runs"
    fit = Fit(root, *options)
    if not fit.until(_past(root, 505)):
        return f"ended before the disk was full: {fit.errors[-300:]}"
    ballast = fill(place, leave)
    fit.wait()
    problem = problem_of_line(fit, "No space left", file)
    if problem:
        return problem
    run = read_run(find_runs(root)[0])
    if run.state not in ("interrupted", "failed") or not run.series("test/loss")[0].size:
        return f"not readable: {run.state}, {run.events[-1:]}"
    ballast.unlink()
    resumed = finish(root, *options, "--resume")
    return "" if resumed.status == 0 else f"not resumable: {resumed.errors[-300:]}"


def _past(root: Path, epoch: int) -> Callable[[], bool]:
    """Whether the run has come so far: by its log, a step an epoch, or by its last checkpoint."""
    return lambda: max(newest_event(root).get("step", 0), meta(root).get("epoch", 0)) >= epoch

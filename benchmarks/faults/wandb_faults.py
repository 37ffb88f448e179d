"""W&B out of reach, hanging, refusing or dying while a run logs to it."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.faults.process import (
    OFF,
    Fit,
    Outcome,
    differences,
    environment,
    has_run,
    meta,
    outcome,
    the_run,
)
from benchmarks.faults.wandb_server import Backend, Failure, serve, unused_port

OPTIONS = (*OFF, "--trainer.max_epochs=1500", "--evaluation.every=10")
ONLINE = ("--wandb.mode=auto",)
WAIT_SECONDS = 1.0
_BREAK_EPOCH = 100


class Fault(NamedTuple):
    """One thing that goes wrong with W&B.

    Attributes:
        env: what it adds to the environment of the process.
        strike: called once the run has logged some epochs.
    """

    env: dict[str, str]
    strike: Callable[[Fit], object] | None = None


class Waits(NamedTuple):
    """Seconds in which the training thread neither computed nor waited for a processor.

    Attributes:
        start: in all, from the start of the process to the first logged event.
        training: at a stretch, the longest one from there to the end of training.
    """

    start: float
    training: float


def wandb(work: Path, chosen: Iterable[str] | None = None) -> list[Outcome]:
    """Each fault of `NAMES`, or the chosen ones, once."""
    whole = Fit(work / "whole", *OPTIONS, "--wandb.mode=disabled")
    usual, _ = watch(whole)
    if whole.wait() != 0:
        raise RuntimeError(whole.errors)
    found = []
    for name in FAULTS if chosen is None else chosen:
        with serve() as server:
            fit, waits = strike(work / str(list(FAULTS).index(name)), FAULTS[name](server))
        problem = problem_of(fit, whole, waits, usual)
        seen = (
            f"waited {max(0.0, waits.start - usual.start):.2f} s at the start, at most "
            f"{waits.training:.2f} s at a stretch in training; told: {' / '.join(told(fit))}"
        )
        found.append(outcome(f"W&B: {name}", [problem], seen))
    return found


def _nobody(url: str, server: Backend) -> Fault:
    address = url or f"http://127.0.0.1:{unused_port()}"
    return Fault(server.account | {"WANDB_BASE_URL": address})


def _after(answers: int, failure: Failure, server: Backend) -> Fault:
    server.fails, server.answers = failure, answers
    return Fault(server.account)


def _in_mid_run(failure: Failure, server: Backend) -> Fault:
    return Fault(server.account, lambda fit: _after(0, failure, server))


def _helper(act: str, offline: bool, server: Backend) -> Fault:
    def strike(fit: Fit) -> None:
        for process in helpers(fit):
            getattr(process, act)()

    return Fault({"WANDB_MODE": "offline"} if offline else server.account, strike)


FAULTS: dict[str, Callable[[Backend], Fault]] = {
    "no network (name not found)": partial(_nobody, "http://nowhere.invalid"),
    "no network (connection refused)": partial(_nobody, ""),
    "server accepts and hangs": partial(_after, 0, "hang"),
    "server answers 500": partial(_after, 0, "500"),
    "server answers 429": partial(_after, 0, "429"),
    "server hangs after its first answer": partial(_after, 1, "hang"),
    "server answers 500 after its first answer": partial(_after, 1, "500"),
    "server answers 429 after its first answer": partial(_after, 1, "429"),
    "server hangs in mid-run": partial(_in_mid_run, "hang"),
    "server answers 500 in mid-run": partial(_in_mid_run, "500"),
    "server answers 429 in mid-run": partial(_in_mid_run, "429"),
    "helper process killed in mid-run, online": partial(_helper, "kill", False),
    "helper process killed in mid-run, offline": partial(_helper, "kill", True),
    "helper process frozen in mid-run, online": partial(_helper, "suspend", False),
}
"""By name, what prepares one and its server."""


def helpers(fit: Fit) -> list[psutil.Process]:
    """W&B's own process beside a fit, once it is there."""
    if fit.status is not None:
        return []
    children = psutil.Process(fit.process.pid).children(recursive=True)
    return [child for child in children if child.name() == "wandb-core"]


def strike(root: Path, fault: Fault) -> tuple[Fit, Waits]:
    """A run under a fault, to its end."""
    home = root / "home"
    home.mkdir(parents=True)
    own = {"WANDB_DATA_DIR": str(home), "WANDB_CACHE_DIR": str(home), "NETRC": str(home / "netrc")}
    fit = Fit(root / "runs", *OPTIONS, *ONLINE, env=environment(**own, **fault.env))
    waits, left = watch(fit, fault.strike)
    fit.wait()
    for process in left:  # a frozen one outlives its run
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return fit, waits


def watch(
    fit: Fit, act: Callable[[Fit], object] | None = None
) -> tuple[Waits, list[psutil.Process]]:
    """Follow a run to the end of its training, acting on it on the way: waits, and helpers seen."""
    fit.until(lambda: has_run(fit.root))
    computed, waited = fit.main_thread
    start, longest = waited, 0.0
    found: list[psutil.Process] = []
    if act is not None and fit.until(lambda: has_run(fit.root, _BREAK_EPOCH)):
        fit.until(lambda: bool(helpers(fit)))
        found = helpers(fit)
        act(fit)
    while fit.status is None and meta(fit.root).get("state") == "running":
        now, waits = fit.main_thread
        if now - computed > 0.005:
            computed, waited = now, waits
        longest = max(longest, waits - waited)
        time.sleep(0.02)
    return Waits(start, longest), found


def told(fit: Fit) -> Iterator[str]:
    """What the user reads of W&B: the line at the start, if it is no success, and warnings."""
    for line in fit.printed.splitlines():
        if line.startswith("W&B: offline (") and "as asked" not in line:
            yield line
    for line in fit.errors.splitlines():
        if "W&B" in line or "wandb" in line.lower():
            yield line[line.find("W&B") :] if "W&B" in line else line


def problem_of(fit: Fit, whole: Fit, waits: Waits, usual: Waits) -> str:
    """What is wrong with a run that a fault of W&B has met; empty where nothing is."""
    if fit.status != 0 or "Traceback" in fit.errors:
        return f"exit status {fit.status}: {fit.errors[-500:]}"
    differ = differences(the_run(whole.root).path, the_run(fit.root).path)
    if differ:
        return f"lost: {differ[0]}"
    words = list(told(fit))
    if len(words) != 1:
        return f"{len(words)} warnings: {words}"
    for name, seconds, before in zip(Waits._fields, waits, usual, strict=True):
        if seconds - before > WAIT_SECONDS:
            return f"waited {seconds - before:.1f} s ({name})"
    return ""

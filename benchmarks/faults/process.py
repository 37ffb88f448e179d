"""A fit in a process of its own, small enough to be broken often, and what is left of it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch

from lightning_grok.runs.checkpoints import newest_checkpoint
from lightning_grok.runs.files import read_json
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run
from lightning_grok.runs.snapshots import load_torch

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

SMALL = (
    f"--config={CONFIGS / 'grok.yaml'}",
    f"--config={CONFIGS / 'smoke.yaml'}",
    "--data.dataset=digits",
    "--data.train_size=64",
    "--model.hidden=[16,16]",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--run.figures=false",
)
"""Every measurement on a network of 16 + 16 units; an epoch takes milliseconds."""

OFF = tuple(
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
)
"""The measurements that take time, switched off."""

# Beginnings of keys that tell two runs apart.
_NOT_OF_THE_RUN = ("command", "created", "seconds", "wandb")


class Outcome(NamedTuple):
    """What came of one kind of fault.

    Attributes:
        fault: what was done.
        times: how often.
        passed: how often all happened that is promised.
        seen: what happened, in words; reasons where something failed.
    """

    fault: str
    times: int
    passed: int
    seen: str


def outcome(fault: str, problems: list[str], seen: str) -> Outcome:
    """Count attempts by what was wrong with each, nothing being an empty text."""
    failures = [problem for problem in problems if problem]
    text = f"FAILED: {'; '.join(dict.fromkeys(failures))}"[:600] if failures else seen
    return Outcome(fault, len(problems), len(problems) - len(failures), text)


class Skipped(Exception):
    """The fault can't be injected on this machine; the message says why."""


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with one thread, and without what is set for W&B or a run."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("WANDB_", "PL_")) and key != "NETRC"
    }
    return kept | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **changes}


class Fit:
    """``python -m lightning_grok fit`` in a process of its own, which may be broken.

    Args:
        root: the folder of runs.
        options: behind `SMALL`.
        env: the environment; None takes `environment`.
        program: what stands between the interpreter and ``fit``.
    """

    def __init__(
        self,
        root: Path,
        *options: str,
        env: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "lightning_grok"),
    ) -> None:
        self.root = root
        self._output = [_unnamed_file(self), _unnamed_file(self)]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *program, "fit", *SMALL, f"--run.root={root}", *options],
            cwd=ROOT,
            env=dict(environment() if env is None else env),
            stdin=subprocess.DEVNULL,
            stdout=self._output[0],
            stderr=self._output[1],
        )

    @property
    def status(self) -> int | None:
        """The exit status; None while the process lives."""
        return self.process.poll()

    @property
    def cpu_seconds(self) -> float:
        """What the process has computed so far; 0 once it has ended."""
        if self.status is not None:
            return 0.0
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    @property
    def main_thread(self) -> tuple[float, float]:
        """Seconds in which it computed, and in which it neither did nor waited for a processor.

        From Linux's scheduler; zeros once the process has ended.
        """
        pid = self.process.pid
        try:
            ran, queued, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
        except (OSError, ValueError):
            return 0.0, 0.0
        computed, queue = int(ran) / 1e9, int(queued) / 1e9
        return computed, time.monotonic() - self.started - computed - queue

    @property
    def printed(self) -> str:
        """Standard output."""
        return self._read(0)

    @property
    def errors(self) -> str:
        """Standard error."""
        return self._read(1)

    def _read(self, index: int) -> str:
        return os.pread(self._output[index], 10_000_000, 0).decode(errors="replace")

    def send(self, number: int) -> bool:
        """Send a signal; False where the process had ended before."""
        if self.status is not None:
            return False
        self.process.send_signal(number)
        return True

    def kill(self) -> bool:
        """Kill the process and see it dead; False where it had ended before."""
        sent = self.send(signal.SIGKILL)
        return self.wait() == -signal.SIGKILL and sent

    def wait(self, seconds: float = 1800.0) -> int:
        """The exit status, once the process has ended; it is killed where that takes too long."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"the fit did not end within {seconds:g} s") from None

    def until(self, condition: Callable[[], bool], seconds: float = 1800.0) -> bool:
        """Wait until `condition` holds; False where the process ends first.

        Raises:
            RuntimeError: neither happened in time.
        """
        end = time.monotonic() + seconds
        while not condition():
            if self.status is not None:
                return condition()
            if time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"nothing happened within {seconds:g} s")
            time.sleep(0.01)
        return True


def _unnamed_file(owner: object) -> int:
    """The descriptor of a file that is there as long as its owner; not where a disk fills up."""
    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    weakref.finalize(owner, os.close, descriptor)
    return descriptor


def finish(root: Path, *options: str, env: Mapping[str, str] | None = None) -> Fit:
    """Run a fit to its end, whatever that is."""
    fit = Fit(root, *options, env=env)
    fit.wait()
    return fit


def problem_of_line(fit: Fit, *parts: str) -> str:
    """What is wrong with the one line that a failed fit ends with; empty where nothing is.

    It must hold all `parts`, the exit status must be 2, and there must be no traceback.
    """
    last = (fit.errors.strip().splitlines() or [""])[-1]
    if "Traceback" in fit.errors:
        return f"a traceback that ends with: {last}"
    if fit.status != 2 or not last.startswith("error: "):
        return f"exit status {fit.status} and: {last}"
    missing = [part for part in parts if part not in last]
    return f"nothing of {missing} in: {last}" if missing else ""


def the_run(root: Path) -> Run:
    """The only run below `root`."""
    (path,) = find_runs(root)
    return Run(path)


def newest_event(root: Path) -> dict[str, Any]:
    """The newest event of the only run below `root`; empty where there is none."""
    for log in root.glob("*/events.jsonl"):
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 20_000))
            lines = file.read().split(b"\n")[:-1]
        if lines:
            return json.loads(lines[-1])
    return {}


def has_run(root: Path, epoch: int = 0) -> bool:
    """Whether there is a run below `root` that has logged an epoch."""
    return int(newest_event(root).get("epoch", -1)) >= epoch


def meta(root: Path) -> dict[str, Any]:
    """The run.json of the only run below `root`; empty where there is none."""
    paths = find_runs(root)
    return read_json(paths[0] / "run.json") if paths else {}


def differences(first: Path, second: Path) -> list[str]:
    """In what two runs differ, wall time and where they stand aside; empty where in nothing.

    Compared bit by bit: all parameters, optimizer moments and states of callbacks in the last
    checkpoint, every snapshot, every array, every line of the event log without its keys that
    contain ``seconds``, run.json, and which files there are.
    """
    contents = [_content(Run(path)) for path in (first, second)]
    return [f"{path}: {what}" for path, what in unequal(contents[0], contents[1])]


def _content(run: Run) -> dict[str, Any]:
    """All that a run consists of."""
    found = newest_checkpoint(run.path / "checkpoints")
    checkpoint = dict(found[1]) if found is not None else {}
    # Wall times, and the log's length, which counts their digits.
    for timed in ("seconds", "log_size"):
        checkpoint.get("callbacks", {}).get("RunCheckpoint", {}).pop(timed, None)
    files = {file.relative_to(run.path) for file in run.path.rglob("*") if file.is_file()}
    files.discard(Path("checkpoints/previous.ckpt"))  # there is one in a run that took its time
    arrays = [file for file in sorted(files) if file.suffix == ".npz"]
    return {
        "files": {str(file): True for file in files if file.parts[0] != "wandb"},
        "checkpoint": checkpoint,
        "snapshots": {str(f): load_torch(run.path / f) for f in files if f.suffix == ".pt"},
        "arrays": {str(file): dict(np.load(run.path / file)) for file in arrays},
        "events": [
            {key: value for key, value in event.items() if "seconds" not in key}
            for event in run.events
        ],
        "run.json": {k: v for k, v in run.meta.items() if not k.startswith(_NOT_OF_THE_RUN)},
    }


def unequal(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where two nested structures differ, bit by bit, and how."""
    if type(first) is not type(second):
        yield path, f"{type(first).__name__} and {type(second).__name__}"
    elif isinstance(first, dict):
        for key in first.keys() | second.keys():
            if key in first and key in second:
                yield from unequal(first[key], second[key], f"{path}/{key}")
            else:
                yield f"{path}/{key}", f"only in the {'first' if key in first else 'second'}"
    elif isinstance(first, list | tuple):
        if len(first) != len(second):
            yield path, f"{len(first)} and {len(second)} entries"
        for index, (one, other) in enumerate(zip(first, second, strict=False)):
            yield from unequal(one, other, f"{path}/{index}")
    elif not _same(first, second):
        yield path, "other values"


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        first, second = first.numpy(), second.numpy()
    if isinstance(first, np.ndarray):
        alike = (first.dtype, first.shape) == (second.dtype, second.shape)
        return alike and first.tobytes() == second.tobytes()
    return bool(first == second) or (first != first and second != second)  # NaN is itself

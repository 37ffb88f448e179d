"""The points of a sweep on a Dask cluster, each in a process of its own."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_grok.commands.sweep_points import Point
from lightning_grok.errors import InputError
from lightning_grok.runs.files import read_json
from lightning_grok.runs.folders import is_alive

_LOCK_SECONDS = 120.0
"""How long a point waits for the process of a worker that died to write its checkpoint."""


class PointOutcome(NamedTuple):
    """How a point ended: its name, the exit status of its process and its seconds."""

    name: str
    status: int
    seconds: float


def run_point(point: Point, threads: int) -> PointOutcome:
    """Run one point in a process of its own and wait for it; called on a worker.

    The process stops with a checkpoint when the worker dies. A point whose former worker died waits
    until that process has written it.

    Args:
        point: from `plan`.
        threads: that its libraries may use, unless it was begun with another number.
    """
    start = time.monotonic()
    wait_for_writer(point)
    environment = os.environ | thread_counts(threads_of(point.run) or threads)
    command = [sys.executable if part == "${interpreter}" else part for part in point.command]
    point.log.parent.mkdir(parents=True, exist_ok=True)
    digest = point.digest()
    with open(point.log, "a", encoding="utf-8") as log:
        process = subprocess.run(
            command,
            cwd=point.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            preexec_fn=end_with_parent,
        )
    if process.returncode == 0:
        point.log.with_suffix(".sha256").write_text(digest, encoding="utf-8")
    return PointOutcome(point.name, process.returncode, time.monotonic() - start)


def threads_of(run: Path) -> int | None:
    """Threads that a run was begun with, on which its last bits depend; None where it was not."""
    found = re.search(r"(\d+) threads", str(read_json(run / "run.json").get("machine", "")))
    return int(found[1]) if found else None


def wait_for_writer(point: Point) -> None:
    """Wait until the process of a worker that died has written its checkpoint."""
    start = time.monotonic()
    while is_alive(point.run) and time.monotonic() - start < _LOCK_SECONDS:
        time.sleep(0.2)


def thread_counts(threads: int) -> dict[str, str]:
    """The environment in which every library uses so many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def end_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its parent ends (PR_SET_PDEATHSIG = 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def run_points(points: Sequence[Point], scheduler: str) -> Generator[PointOutcome]:
    """Run points on a Dask cluster; outcomes in the order in which they end.

    A point whose worker dies is run again on another, three times at most.

    Args:
        points: from `plan`.
        scheduler: address of a running cluster, whose workers see the same files.

    Raises:
        InputError: the scheduler can't be reached.
    """
    import dask
    from distributed import Client, as_completed

    dask.config.set({"logging.distributed": "error"})
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"expected a Dask scheduler at {scheduler}, received: {error}") from None
    try:
        futures = {
            client.submit(run_point, point, 1, key=point.name, pure=False): point
            for point in points
        }
        for future in as_completed(futures):
            failure = future.exception()
            if failure is None:
                yield future.result()
            else:
                point = futures[future]
                point.log.parent.mkdir(parents=True, exist_ok=True)
                with open(point.log, "a", encoding="utf-8") as log:
                    log.write(f"\n{type(failure).__name__}: {failure}\n")
                yield PointOutcome(point.name, -1, 0.0)
    finally:
        client.close()

"""The points of a sweep on a Dask cluster, each in a process of its own."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_grok.commands.sweep_points import Point
from lightning_grok.errors import InputError
from lightning_grok.runs.files import read_json
from lightning_grok.runs.folders import is_alive

_LOCK_SECONDS = 120.0
"""How long a point waits for the process of a worker that died to write its checkpoint."""


class Outcome(NamedTuple):
    """How a point ended: its name, the exit status of its process and its seconds."""

    name: str
    status: int
    seconds: float


def run_point(point: Point, threads: int) -> Outcome:
    """Run one point in a process of its own and wait for it; called on a worker.

    The process stops with a checkpoint when the worker dies. A point whose former worker died waits
    until that process has written it.

    Args:
        point: from `plan`.
        threads: that its libraries may use, unless it was begun with another number.
    """
    start = time.monotonic()
    while is_alive(point.run) and time.monotonic() - start < _LOCK_SECONDS:
        time.sleep(0.2)
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | dict.fromkeys(counts, str(threads_of(point.run) or threads))
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
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    if process.returncode == 0:
        point.log.with_suffix(".sha256").write_text(digest, encoding="utf-8")
    return Outcome(point.name, process.returncode, time.monotonic() - start)


def threads_of(run: Path) -> int | None:
    """Threads that a run was begun with, on which its last bits depend; None where it was not."""
    found = re.search(r"(\d+) threads", str(read_json(run / "run.json").get("machine", "")))
    return int(found[1]) if found else None


def _end_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its parent ends (PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def run_points(
    points: Sequence[Point], *, scheduler: str | None, workers: int | None
) -> Iterator[Outcome]:
    """Run points on a Dask cluster; outcomes in the order in which they end.

    A point whose worker dies is run again on another, three times at most.

    Args:
        points: from `plan`.
        scheduler: address of a running cluster, whose workers see the same files; None starts a
            cluster on this machine for the time being.
        workers: processes of that cluster; None takes one a core, at most one a point.

    Raises:
        InputError: the scheduler can't be reached.
    """
    import dask
    from distributed import Client, LocalCluster, as_completed

    cores = os.cpu_count() or 1
    count = min(workers or cores, len(points))
    # Workers only wait for their processes: no memory limit of Dask's may end them.
    dask.config.set({"distributed.worker.daemon": False, "logging.distributed": "error"})
    cluster = None
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            host="127.0.0.1",
        )
    try:
        client = Client(cluster or scheduler, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"expected a Dask scheduler at {scheduler}, received: {error}") from None
    threads = max(1, cores // count) if scheduler is None else 1
    try:
        futures = {
            client.submit(run_point, point, threads, key=point.name, pure=False): point
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
                yield Outcome(point.name, -1, 0.0)
    finally:
        client.close()
        if cluster is not None:
            cluster.close(timeout=30)

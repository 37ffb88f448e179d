"""Commands side by side on this machine, in processes that start with everything imported.

Seeds of one configuration can't share one process: Lightning seeds the global random state, takes
over the process's signals, and filters its warnings and logs. So every point is a process of its
own, forked from one that has loaded PyTorch and Lightning once and has trained nothing: it begins
as one does that was started alone, to the last bit, a hundredth of a second after it was asked for,
and shares the memory of the libraries. Where there is no fork (Windows), each loads them anew.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from lightning_grok.commands.sweep_cluster import (
    PointOutcome,
    run_point,
    thread_counts,
    threads_of,
    wait_for_writer,
)
from lightning_grok.commands.sweep_points import Point

_OURS = ("${interpreter}", "-m", "lightning_grok")
_PRELOADED = ["lightning_grok.commands.fit"]
_ATTEMPTS = 3
# What a process that was killed, or whose parent was, leaves as its status.
_KILLED = (-getattr(signal, "SIGKILL", 9), 255)


def run_siblings(points: Sequence[Point], workers: int | None) -> Generator[PointOutcome]:
    """Run points on this machine; outcomes in the order in which they end.

    A point whose process is killed is begun again, three times at most, and goes on from its
    checkpoint. Where the iteration is given up, the processes are asked to write one, and waited
    for.

    Args:
        points: from `plan`.
        workers: processes at a time; None takes one a core. They share the cores, unless
            OMP_NUM_THREADS says how many threads each has.
    """
    cores = os.cpu_count() or 1
    count = min(workers or cores, len(points))
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    threads = int(given) if given.isdigit() else max(1, cores // count)
    os.environ.update(thread_counts(threads))  # before anything is imported
    context = _context()
    waiting = [(point, 1) for point in reversed(points)]
    running: dict[int, tuple[BaseProcess, Point, int, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < count:
                point, attempt = waiting.pop()
                process = context.Process(target=_run, args=(point, threads))  # type: ignore[attr-defined]
                process.start()
                running[process.sentinel] = (process, point, attempt, time.monotonic())
            for sentinel in wait(list(running)):
                process, point, attempt, start = running.pop(sentinel)  # type: ignore[arg-type]
                process.join()
                status = process.exitcode
                if status in _KILLED and attempt < _ATTEMPTS:
                    waiting.append((point, attempt + 1))
                else:
                    yield PointOutcome(point.name, int(status or 0), time.monotonic() - start)
    finally:
        for process, *_ in running.values():
            process.terminate()
        for process, *_ in running.values():
            process.join()


def _context() -> BaseContext:
    """Processes that are forked from one with the imports, where the system can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _run(point: Point, threads: int) -> None:
    """One point, in a process of its own; leaves with its status."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C comes to the parent alone, which asks once
    _end_with_starter()
    if point.command[:3] != _OURS:
        sys.exit(run_point(point, threads).status)
    wait_for_writer(point)
    _redirect(point)
    own = threads_of(point.run)
    if own is not None and own != threads:
        import torch
        from threadpoolctl import threadpool_limits

        os.environ.update(thread_counts(own))
        torch.set_num_threads(own)
        threadpool_limits(own, user_api="blas")
    from lightning_grok.commands.main import main

    digest = point.digest()
    os.chdir(point.folder)
    sys.argv[1:] = point.command[3:]
    main()
    point.log.with_suffix(".sha256").write_text(digest, encoding="utf-8")


def _end_with_starter() -> None:
    """Have this process stop, with a checkpoint, once the one that started it is gone.

    Its parent is the process that it was forked from, which stays as long as it has children.
    """
    starter = multiprocessing.parent_process()
    assert starter is not None

    def watch() -> None:
        wait([starter.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _redirect(point: Point) -> None:
    """Have all that is printed in the point's log."""
    point.log.parent.mkdir(parents=True, exist_ok=True)
    with open(point.log, "ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
            stream.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]

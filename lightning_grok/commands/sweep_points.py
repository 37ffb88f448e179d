"""A W&B sweep file without W&B: every point of its grid is an ordinary command, run on Dask.

The file is the one that ``wandb sweep`` takes: ``method: grid``, ``parameters`` with ``values`` or
``value``, and ``command`` with W&B's macros. A point has a run directory of its own, named after
the point, so that the same sweep given again skips what is finished and resumes what was begun.
"""

import ctypes
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_grok.commands.arguments import config_values, find_file
from lightning_grok.errors import InputError
from lightning_grok.runs.files import read_json
from lightning_grok.runs.names import validate_name
from lightning_grok.runs.run import Run, is_alive

_LOCK_SECONDS = 120.0
"""How long a point waits for the process of a worker that died to write its checkpoint."""


class Point(NamedTuple):
    """One point of a grid.

    Attributes:
        name: of its run directory.
        command: arguments of its process, the interpreter left as ``${interpreter}``.
        run: its run directory.
        log: what it prints.
        folder: where its process starts, so that relative paths mean the same on every worker.
    """

    name: str
    command: tuple[str, ...]
    run: Path
    log: Path
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether an earlier sweep finished it."""
        return (self.run / "run.json").is_file() and Run(self.run).state == "finished"

    @property
    def changed(self) -> bool:
        """Whether an earlier sweep finished it with another command or configuration."""
        recorded = self.log.with_suffix(".sha256")
        return (
            self.finished
            and recorded.is_file()
            and recorded.read_text(encoding="utf-8") != self.digest()
        )

    def digest(self) -> str:
        """Of the command and of what stands in its configuration files."""
        text = "\0".join(self.command)
        for value in config_values(self.command):
            file = find_file(str(self.folder / value), "configs")
            file = file if file.is_file() else find_file(value, "configs")
            if file.is_file():
                text += "\0" + file.read_text(encoding="utf-8")
        return hashlib.sha256(text.encode()).hexdigest()


class Outcome(NamedTuple):
    """How a point ended: its name, the exit status of its process and its seconds."""

    name: str
    status: int
    seconds: float


def read_sweep(path: Path) -> dict[str, Any]:
    """A sweep file, checked.

    Raises:
        InputError: it can't be read, is no grid, or a parameter has neither values nor a value.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"expected a sweep file, received {path}: {reason}") from None
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise InputError(f"expected `parameters` in the sweep file {path}, received none")
    if content.get("method") != "grid":
        received = content.get("method")
        raise InputError(
            f"expected `method: grid` in {path}, received {received}: other methods choose points "
            "by earlier results and need `wandb sweep`"
        )
    for key, parameter in content["parameters"].items():
        values = _values(parameter)
        if not values or not all(map(_is_plain, values)):
            raise InputError(
                f"expected numbers, text or lists of them as values of {key} in {path}, received "
                f"{parameter}"
            )
        if key == "config" and not all(isinstance(value, str) for value in values):
            raise InputError(f"expected paths as values of config in {path}, received {values}")
    command = content.get("command", _DEFAULT_COMMAND)
    if not isinstance(command, list) or "${args}" not in command:
        raise InputError(
            f"expected `command` as a list that holds ${{args}} in {path}, received {command}"
        )
    if "command" not in content and "program" in content:
        raise InputError(
            f"expected a `command` beside `program` in {path}: without one each point is a fit"
        )
    return content


def _is_plain(value: object) -> bool:
    """Whether a value can stand on a command line and in a digest."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float)


def grid(sweep: dict[str, Any], seeds: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """All points of the grid, the last parameter fastest.

    Args:
        sweep: from `read_sweep`.
        seeds: values of ``seed_everything`` instead of the file's.
    """
    parameters = {key: _values(value) for key, value in sweep["parameters"].items()}
    if seeds is not None:
        parameters["seed_everything"] = list(seeds)
    products = itertools.product(*parameters.values())
    return [dict(zip(parameters, values, strict=True)) for values in products]


def plan(sweep: dict[str, Any], points: list[dict[str, Any]], root: Path) -> list[Point]:
    """Names, commands and places of the points.

    Args:
        sweep: from `read_sweep`.
        points: from `grid`.
        root: folder of the sweep's runs.
    """
    template = [str(part) for part in sweep.get("command", _DEFAULT_COMMAND)]
    folder, planned = Path.cwd(), []
    for point in points:
        name = point_name(point)
        options = [f"--{key}={_text(value)}" for key, value in point.items()]
        places = [f"--run.root={root}", f"--run.name={name}", "--resume"]
        command = [
            part
            for piece in template
            for part in (
                [*options, *places] if piece == "${args}" else [] if piece == "${env}" else [piece]
            )
        ]
        run, log = folder / root / name, folder / root / "logs" / f"{name}.log"
        planned.append(Point(name, tuple(command), run, log, folder))
    return planned


_DEFAULT_COMMAND = ["${env}", "${interpreter}", "-m", "lightning_grok", "fit", "${args}"]


def point_name(point: dict[str, Any]) -> str:
    """A readable name, safe for a directory and different for every point."""
    parts = []
    for key, value in point.items():
        text = Path(value).stem if key == "config" else _text(value)
        short = (
            "seed" if key == "seed_everything" else "" if key == "config" else key.split(".")[-1]
        )
        parts.append(short + re.sub(r"[^A-Za-z0-9.+-]+", "", text))
    digest = hashlib.sha256(json.dumps(point, sort_keys=True).encode()).hexdigest()[:6]
    name = re.sub(r"[^A-Za-z0-9._+-]+", "", "_".join([*parts, digest]))
    return validate_name(name[-150:].lstrip("._+=-"), "the name of a point of the sweep")


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


def _values(parameter: Any) -> list[Any]:
    if not isinstance(parameter, dict):
        return []
    values = parameter.get("values", [parameter["value"]] if "value" in parameter else [])
    return list(values) if isinstance(values, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

"""From Enter to the first line.

    python -m benchmarks.start [--rounds 5] [--write docs/benchmarks.md]

Processes in turns, medians of wall time, page caches warm. A first line is the first that a command
prints to whoever reads it; where none is asked for, the process's whole time.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.page import machine, markdown, write_section

TITLE = "From Enter to the first line"
_OURS = (sys.executable, "-m", "lightning_grok")


def whole(*command: str) -> float:
    """Seconds of a process that ends by itself."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        subprocess.run(command, cwd=empty, capture_output=True, check=False)
    return time.perf_counter() - start


def first_line(*command: str) -> float:
    """Seconds until a process has printed a line; it is ended then."""
    start = time.perf_counter()
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    with (
        tempfile.TemporaryDirectory() as empty,
        subprocess.Popen(command, cwd=empty, stdout=pipe, stderr=both) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        found = time.perf_counter() - start
        process.kill()
    return found


TIMED: dict[str, Callable[[], float]] = {
    "Python": partial(whole, sys.executable, "-c", "pass"),
    "import torch": partial(whole, sys.executable, "-c", "import torch"),
    "import lightning.pytorch": partial(whole, sys.executable, "-c", "import lightning.pytorch"),
    "--version": partial(whole, *_OURS, "--version"),
    "runs, of an empty folder": partial(whole, *_OURS, "runs", "."),
    "--help": partial(whole, *_OURS, "--help"),
    "fit --help": partial(whole, *_OURS, "fit", "--help"),
    "fit --config modular/quadratic, its first line": partial(
        first_line, *_OURS, "fit", "--config", "modular/quadratic"
    ),
    "fit with an option that doesn't exist, refused": partial(whole, *_OURS, "fit", "--nothing=1"),
}


def limits(seconds: dict[str, float]) -> dict[str, float]:
    """What each may take, in the time of what can't be avoided."""
    start, help_ = seconds["Python"] + 0.5, 1.2 * seconds["import lightning.pytorch"]
    return {
        "--version": start,
        "runs, of an empty folder": start,
        "--help": help_,
        "fit --help": help_,
        "fit --config modular/quadratic, its first line": 1.5 * seconds["import torch"],
    }


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of every process, in turns")
    parser.add_argument("--write", type=Path, help="put the table into this page")
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in TIMED}
    for _ in range(options.rounds):
        for name, run in TIMED.items():
            found[name].append(run())
    seconds = {name: statistics.median(each) for name, each in found.items()}
    most = limits(seconds)
    rows = [["what", "s", "at most"]]
    for name, each in seconds.items():
        rows.append([name, f"{each:.2f}", f"{most[name]:.2f}" if name in most else ""])
    table = markdown(rows)
    print(table)
    if options.write is not None:
        how = f"`python -m benchmarks.start --rounds {options.rounds}`: {machine()}"
        said = f"{how}, PyTorch {version('torch')}; wall time, in turns, medians."
        write_section(options.write, TITLE, f"{said}\n\n{table}")


if __name__ == "__main__":
    main()

"""Break real runs in every way that is promised to do no harm, and count.

    python -m benchmarks.faults [--kills 50] [--only kill,disk] [--json] [--write PAGE]

Every run is a process of its own, ``python -m lightning_grok fit`` on the embedded digits with
small measurements; nothing is downloaded. The parts are kill, disk, wandb, names, nan,
measurement, damaged, surroundings, mistyped and long. Damaged runs, surroundings and mistyped lines
are tried in this process.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.faults.damaged import damaged
from benchmarks.faults.disk import disk
from benchmarks.faults.diverging import measurement, nan
from benchmarks.faults.kills import kill
from benchmarks.faults.memory import Sample, long
from benchmarks.faults.mistyped import mistyped
from benchmarks.faults.names import names
from benchmarks.faults.process import Outcome, Skipped
from benchmarks.faults.surroundings import surroundings
from benchmarks.faults.wandb_faults import wandb
from benchmarks.page import machine, markdown, write_section

SECTIONS = {
    "kill": "Counted: kills",
    "disk": "Counted: full disk",
    "wandb": "Counted: W&B",
    "names": "Counted: names",
    "nan": "Counted: divergence",
    "measurement": "Counted: measurements that raise",
    "damaged": "Counted: damaged runs",
    "surroundings": "Counted: surroundings",
    "long": "Counted: a long run",
    "mistyped": "Counted: typing mistakes",
}


def main() -> None:
    """Run the chosen parts; exit with status 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="runs that are killed")
    parser.add_argument("--epochs", type=int, default=50_000, help="of the long run")
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--write", type=Path, help="put each part's table into this page")
    options = parser.parse_args()
    samples: list[Sample] = []

    def long_run(work: Path) -> list[Outcome]:
        outcomes, found = long(work, options.epochs)
        samples.extend(found)
        return outcomes

    parts: dict[str, Callable[[Path], list[Outcome]]] = {
        "kill": lambda work: kill(work, options.kills),
        "disk": disk,
        "wandb": wandb,
        "names": names,
        "nan": nan,
        "measurement": measurement,
        "damaged": damaged,
        "surroundings": surroundings,
        "long": long_run,
        "mistyped": mistyped,
    }
    chosen = options.only.split(",") if options.only else list(parts)
    unknown = sorted(set(chosen) - set(parts))
    if unknown:
        parser.error(f"expected parts among {', '.join(parts)}; received {', '.join(unknown)}")
    outcomes: list[Outcome] = []
    start = time.monotonic()
    for name in chosen:
        began = time.monotonic()
        outcomes += (found := _outcomes(name, parts[name]))
        if options.write:
            minutes = (time.monotonic() - began) / 60
            write_section(options.write, SECTIONS[name], _table(name, found, samples, minutes))
    if options.json:
        minutes = (time.monotonic() - start) / 60
        print(json.dumps({"outcomes": [each._asdict() for each in outcomes], "minutes": minutes}))
    sys.exit(any(each.passed < each.times for each in outcomes))


def _outcomes(name: str, part: Callable[[Path], list[Outcome]]) -> list[Outcome]:
    """Run one part in a folder of its own, saying what came of it."""
    with tempfile.TemporaryDirectory(prefix=f"faults-{name}-") as folder:
        try:
            outcomes = part(Path(folder))
        except Skipped as reason:
            outcomes = [Outcome(name, 0, 0, f"skipped: {reason}")]
    for fault, times, passed, seen in outcomes:
        print(f"{fault}: {passed} of {times}; {seen}", flush=True)
    return outcomes


def _table(part: str, outcomes: list[Outcome], samples: list[Sample], minutes: float) -> str:
    """What came of one part, in Markdown."""
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    command = f"python -m benchmarks.faults --only {part}"
    head = ["what was done", "times", "as promised", "what happened"]
    lines = [
        f"`{command}`: {platform.system()}, {machine()}, one thread a run, {versions}, "
        f"{minutes:.0f} minutes.",
        markdown(
            [head, *([fault, times, passed, seen] for fault, times, passed, seen in outcomes)]
        ),
    ]
    if part == "long":
        head = ["epoch", "training process, MB", "W&B's process, MB", "event log, MB"]
        rows = [[e, f"{own:.0f}", f"{other:.0f}", f"{log:.2f}"] for e, own, other, log in samples]
        lines.append(markdown([head, *rows]))
    return "\n\n".join(lines)


if __name__ == "__main__":
    main()

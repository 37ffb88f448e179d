"""Pages of results that several commands write, each its own section; and what a call costs."""

import ctypes
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_PROCESSOR = ("cpu family\t", "model\t", "model name\t")  # as Linux tells, in this order


class Cost(NamedTuple):
    """What one call took.

    Attributes:
        seconds: the fastest of its repetitions, wall time.
        cpu: the least of them, seconds of this process.
        peak: most memory above what stood before, in bytes; None where the system doesn't tell.
        value: what the last repetition returned.
    """

    seconds: float
    cpu: float
    peak: int | None
    value: Any


def cost(function: Callable[[], Any], repeat: int = 1) -> Cost:
    """Call `function`, measuring times and peak memory (resident set, Linux only)."""
    before = _reset_peak()
    taken, value = [], None
    for _ in range(repeat):
        start, computed = time.perf_counter(), time.process_time()
        value = function()
        taken.append((time.perf_counter() - start, time.process_time() - computed))
    after = _memory("VmHWM")
    peak = None if before is None or after is None else max(0, after - before)
    seconds, cpu = map(min, zip(*taken, strict=True))
    return Cost(seconds, cpu, peak, value)


def _reset_peak() -> int | None:
    """Let the peak of the resident set begin anew; the resident set as it is now.

    Freed memory goes back to the system first, so that what is taken next is seen.
    """
    with suppress(AttributeError, TypeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _memory("VmRSS")


def _memory(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(kilobytes[0]) if kilobytes else None


def machine() -> str:
    """The processor, as far as the operating system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    found = [line.split(":")[1].strip() for line in lines if line.startswith(_PROCESSOR)]
    if not found or len(found) % len(_PROCESSOR):
        return platform.machine()
    family, model, name = found[: len(_PROCESSOR)]
    cores = len(found) // len(_PROCESSOR)
    return f"{name} (family {family}, model {model}), {cores} cores"


def markdown(rows: Sequence[Sequence[Any]]) -> str:
    """A table of Markdown; the first row is its head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def cost_table(costs: Mapping[str, float]) -> str:
    """What each part of a run took, in seconds, as `Run.costs` has it; the dearest first."""
    total = sum(costs.values())
    rows = [
        [name, f"{seconds:.1f}", f"{100 * seconds / total:.0f}"]
        for name, seconds in sorted(costs.items(), key=lambda item: -item[1])
    ]
    return markdown([["part", "seconds", "%"], *rows, ["all", f"{total:.1f}", "100"]])


def write_section(path: Path, title: str, text: str) -> None:
    """Put `text` under the heading ``## title`` of the page, in place of what stood there."""
    page = path.read_text() if path.exists() else "# Benchmarks\n"
    head, *sections = page.split("\n## ")
    kept = [section for section in sections if section.split("\n", 1)[0] != title]
    place = next(
        (i for i, section in enumerate(sections) if section.split("\n", 1)[0] == title), len(kept)
    )
    kept.insert(place, f"{title}\n\n{text.strip()}\n")
    path.write_text("\n## ".join([head.rstrip() + "\n", *(s.rstrip() + "\n" for s in kept)]))

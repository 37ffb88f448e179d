"""What the table of runs and the page of a configuration say: settings, final values, origin."""

import json
import math
from collections.abc import Mapping
from typing import Any

from lightning_grok.runs.configuration import flatten
from lightning_grok.runs.names import printable
from lightning_grok.runs.provenance import extension_command, resume_command
from lightning_grok.runs.run import Run

_ORIGIN = ("command", "commit", "host", "machine", "version", "created")
_MOST = 1000  # settings, final values and files of a run that are shown
_LONGEST = 400  # characters of a value

Fact = str | float | bool | None


def settings_of(run: Run) -> dict[str, Fact]:
    """Every option of the resolved configuration, by dotted key."""
    found = list(flatten("", run.config))[:_MOST]
    return {printable(key): _plain(value) for key, value in found if key}


def final_values(run: Run) -> dict[str, float]:
    """The newest value of every logged key that has one."""
    found = {}
    for key in run.keys[:_MOST]:
        values = run.series(key)[1]
        if math.isfinite(values[-1]):
            found[printable(key)] = float(f"{values[-1]:.6g}")
    return found


def facts_of(run: Run, path: str) -> dict[str, Any]:
    """Origin, files and the command that goes on with a run that lies at `path`."""
    meta = run.meta
    origin = [[key, _plain(meta[key])] for key in _ORIGIN if meta.get(key) is not None]
    libraries: Mapping[str, str] = meta.get("libraries", {})
    versions = ", ".join(f"{name} {number}" for name, number in libraries.items())
    origin += [["libraries", printable(versions)]] if versions else []
    files = run.files()
    kept = any(name.startswith("checkpoints/") for name, _ in files)
    return {
        "path": path,
        "origin": origin,
        "files": [[f"{path}/{printable(name)}", size] for name, size in files[:_MOST]],
        "next": _going_on(run, path) if kept else None,
    }


def _going_on(run: Run, path: str) -> list[str] | None:
    """What goes on with a run of `fit` that stands still, in words and as a command."""
    if run.state == "running" or "trainer" not in run.config:
        return None
    finished = run.state == "finished"
    command = extension_command(run, path) if finished else resume_command(path)
    return ["extend it" if finished else "resume it", command]


def _plain(value: object) -> Fact:
    """A scalar as it is, anything else as JSON."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return printable(text[:_LONGEST])

"""Compact copies of runs: what verdicts and figures of curves need, small enough to commit.

A copy is a run directory of its own with run.json, config.yaml, the scalar series and the kernel
distances between epochs. Snapshots, checkpoints, all other arrays and pictures stay behind, and so
does what only diagnoses a measurement.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from lightning_grok.errors import InputError
from lightning_grok.runs.files import read_json, write_atomically
from lightning_grok.runs.run import EVENTS, Run

_LEFT_OUT = re.compile(
    r"umap/.*|.*/(summary_)?seconds|known_at|.*/(rank|flagged|failed|residual_correlation"
    r"|median_radius|center_correlation|converged|accuracy_all)|linear_probe/.*/loss"
)
_LEFT_OUT_META = ("wandb_id", "command", "host")
_HEAD = ("event", "epoch", "step")


def write_compact(run: Run, out: Path) -> Path:
    """Write the compact copy of `run` to ``out/<run's name>``, in place of an older copy.

    Numbers keep six digits, standard errors three. Absolute paths are left out. Every file is
    replaced as a whole, run.json last: a reader never sees a part.

    Returns:
        The copy's directory.

    Raises:
        InputError: another run stands there, or `run` itself.
        OSError: it can't be written.
    """
    path = out / run.name
    if path.resolve() == run.path.resolve():
        raise InputError(f"expected another folder than that of the runs, received {out}")
    there = read_json(path / "run.json")
    if there and _identity(there) != _identity(run.meta):
        raise InputError(
            f"expected {path} to be free or a copy of {run.path}, received another run"
        )
    import yaml

    texts = {"events.jsonl": "".join(_lines(run))}
    if run.config:
        texts["config.yaml"] = yaml.safe_dump(_without_places(run.config), sort_keys=False)
    meta = {key: value for key, value in run.meta.items() if key not in _LEFT_OUT_META}
    # A copy has no writer: what is in progress would read as interrupted anyway.
    texts["run.json"] = json.dumps(_without_places(meta) | {"state": run.state}) + "\n"
    for file in run.path.glob("arrays/*/pairwise.npz"):
        copy = path / file.relative_to(run.path)
        write_atomically(copy, lambda target, file=file: shutil.copyfile(file, target))  # type: ignore[misc]
    for name, text in texts.items():
        content = text.encode()
        write_atomically(path / name, lambda file, content=content: file.write_bytes(content))  # type: ignore[misc]
    return path


def size_of(path: Path) -> int:
    """Bytes of all files below `path`."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _identity(meta: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(meta.get(key) for key in ("dataset", "setup", "seed", "config_digest"))


def _lines(run: Run) -> Iterator[str]:
    for event in run.events:
        kept = {
            key: _rounded(value, 3 if key.endswith(("_se", "_sd")) else 6)
            for key, value in event.items()
            if key in _HEAD or not _LEFT_OUT.fullmatch(key)
        }
        # Events of the run have no further key, and those of measurements have one at least.
        if len(kept) > len(_HEAD) or event["event"] in EVENTS:
            yield json.dumps(kept, separators=(",", ":")) + "\n"


def _rounded(value: Any, digits: int) -> Any:
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def _without_places(value: Any) -> Any:
    """`value` without the absolute paths in it."""
    if isinstance(value, dict):
        return {key: _without_places(each) for key, each in value.items() if not _is_place(each)}
    if isinstance(value, list):
        return [_without_places(each) for each in value if not _is_place(each)]
    return value


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and (
        PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    )

"""Compact copies of runs in one file: what verdicts and figures of curves need, small to commit.

The file is a zip archive with a folder a run: run.json, config.yaml, the scalar series and the
kernel distances between epochs. Every command reads it like a folder of runs. Snapshots,
checkpoints, all other arrays and pictures stay behind, and so does what only diagnoses a
measurement. The seconds that a run took stand in its run.json, by measurement where they are known.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from lightning_grok.errors import InputError
from lightning_grok.runs.files import write_atomically
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.quantities import is_diagnostic
from lightning_grok.runs.run import EVENT_KEYS, Run
from lightning_grok.runs.source import is_archive, open_archive

_LEFT_OUT_META = ("wandb_id", "command", "host")
_HEAD = ("event", "epoch", "step")
_MADE = (1980, 1, 1, 0, 0, 0)  # the same runs give the same bytes


def write_compact(runs: Sequence[Run], out: Path) -> list[str]:
    """Write compact copies of `runs` into the archive `out`, beside the runs that it holds already.

    Numbers keep six digits, standard errors three. Absolute paths are left out. A run that the
    archive holds is replaced; the file is replaced as a whole.

    Returns:
        The names of all runs in the archive.

    Raises:
        InputError: `out` is no archive, or holds another run of that name; a name stands for two.
        OSError: it can't be written.
    """
    if out.exists() and not is_archive(out):
        raise InputError(f"expected a new file or an archive of runs, received {out}")
    copies = {path.name: _packed(path) for path in find_runs(out)} if out.exists() else {}
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            raise InputError(f"expected run names that differ, received {run.name} twice")
        if run.name in copies and _identity(Run(out / run.name).meta) != _identity(run.meta):
            raise InputError(f"expected {out} without another {run.name}, received one")
        copies[run.name] = _compact(run)

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, files in sorted(copies.items()):
                for file, content in files.items():
                    info = zipfile.ZipInfo(f"{name}/{file}", _MADE)
                    text = zipfile.ZIP_DEFLATED, 9
                    packed = (zipfile.ZIP_STORED, None) if file.endswith(".npz") else text
                    archive.writestr(info, content, *packed)

    write_atomically(out, write)
    return sorted(copies)


def _packed(path: Path) -> dict[str, bytes]:
    """The files of a run that lies in an archive."""
    start = f"{path.name}/"
    found = {}
    for name, info in (members := open_archive(path.parent)).items():
        if name.startswith(start) and not info.is_dir():
            with members.open(name) as file:
                found[name.removeprefix(start)] = file.read()
    return found


def _compact(run: Run) -> dict[str, bytes]:
    """The files of a run's compact copy."""
    import yaml

    meta = {key: value for key, value in run.meta.items() if key not in _LEFT_OUT_META}
    costs = {key: seconds for key, seconds in run.costs().items() if key != "training"}
    # A copy has no writer: what is in progress would read as interrupted anyway.
    if trunk := (meta.get("branches") or {}).get("run"):  # they may lie side by side here too
        meta["branches"] = meta["branches"] | {"run": PureWindowsPath(trunk).name}
    meta = _without_places(meta) | {"state": run.state} | ({"costs": costs} if costs else {})
    files = {"run.json": (json.dumps(meta) + "\n").encode()}
    if run.config:
        config = yaml.safe_dump(_without_places(run.config), sort_keys=False)
        files["config.yaml"] = config.encode()
    files["events.jsonl"] = "".join(_lines(run)).encode()
    for measurement in run.with_arrays:
        name = f"arrays/{measurement}/pairwise.npz"
        if run.array(measurement, "pairwise"):
            with closing(run.open(name)) as file:
                files[name] = file.read()
    return files


def _identity(meta: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(meta.get(key) for key in ("dataset", "setup", "seed", "config_digest"))


def _lines(run: Run) -> Iterator[str]:
    for event in run.events:
        kept = {
            key: _rounded(value, 3 if key.endswith(("_se", "_sd")) else 6)
            for key, value in event.items()
            if key in _HEAD or not _is_left_out(key)
        }
        # Events of the run have no further key, and those of measurements have one at least.
        if len(kept) > len(_HEAD) or event["event"] in EVENT_KEYS:
            yield json.dumps(kept, separators=(",", ":")) + "\n"


def _is_left_out(key: str) -> bool:
    """Whether it diagnoses a measurement, or a picture that stays behind."""
    return key.startswith("umap/") or is_diagnostic(key)


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

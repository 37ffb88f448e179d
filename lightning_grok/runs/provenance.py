"""Where a run comes from: what was called, on which machine, with which code and libraries."""

import platform
import shlex
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_grok.runs.run import Run

_FIT = ("python", "-m", "lightning_grok", "fit")
_LIBRARIES = ("torch", "lightning", "numpy", "scipy", "torchmetrics")
_SECONDS = 5.0  # that git may take


def provenance() -> dict[str, Any]:
    """``command``, ``commit``, ``host`` and ``libraries``, for run.json.

    The commit is that of the folder the command was called in, with a ``+`` where tracked files
    differ from it; None outside of a git repository.
    """
    arguments = ["python", "-m", "lightning_grok", *sys.argv[1:]]
    return {
        "command": shlex.join(arguments),
        "commit": _commit(Path.cwd()),
        "host": socket.gethostname(),
        "libraries": {"python": platform.python_version(), **_versions()},
    }


def extension_command(run: "Run", path: str) -> str:
    """The command that trains twice as long, beginning with a run that lies at `path`."""
    length = f"--trainer.max_epochs={2 * run.epoch}"
    return shlex.join([*_FIT, f"--run.extends={path}", length])


def resume_command(path: str) -> str:
    """The command that goes on with a run that was broken off, at `path`."""
    root = str(Path(path).parent)
    again = [f"--config={path}/config.yaml", f"--run.root={root}", "--run.name=null", "--resume"]
    return shlex.join([*_FIT, *again])


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit(folder: Path) -> str | None:
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+" if changed else head


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

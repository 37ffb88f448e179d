"""Where runs are, and which of them somebody writes to."""

import os
import stat
import sys
from pathlib import Path

from filelock import Timeout

from lightning_grok.locks import hold
from lightning_grok.runs.source import is_archive, open_archive


def find_runs(root: str | os.PathLike[str]) -> list[Path]:
    """Directories of runs at or below `root`, two levels deep, by name; or those of an archive.

    `root` may also be one of these (``runs.zip/<name>``).
    """
    base = Path(root)
    archive = base if os.path.lexists(base) else base.parent
    if is_archive(archive):
        runs = [archive / n[:-9] for n in open_archive(archive) if n.endswith("/run.json")]
        return sorted(run for run in runs if base in (archive, run))
    found = [base] if os.path.lexists(base / "run.json") else []
    for path in _folders(base):
        found += (
            [path]
            if os.path.lexists(path / "run.json")
            else [below for below in _folders(path) if os.path.lexists(below / "run.json")]
        )
    return sorted(found)


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [path / entry.name for entry in entries if os.path.isdir(entry)]
    except OSError:
        return []


def is_alive(path: Path) -> bool:
    """Whether a process holds the run directory `path` for writing.

    The lock is only looked at: it is opened for reading, no link is followed and nothing is made.
    """
    lock = path / ".lock"
    if sys.platform == "win32":
        return lock.is_file() and not lock.is_symlink() and _is_held(lock)
    import fcntl

    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a disk without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _is_held(path: Path) -> bool:
    try:
        lock = hold(path)
    except Timeout:
        return True
    except OSError:  # a copy on a read-only disk: nobody writes there
        return False
    if lock is not None:
        lock.release()
    return False

"""Files that are whole or not there, on disks that may be full."""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART = ".part"
"""In the name of a file that is being written."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def is_disk_error(error: BaseException) -> bool:
    """Whether a disk is full, read-only or broken: nothing more can be kept."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write(temporary)`` beside `path`, flush it to disk and rename it into place.

    A reader sees the old file or the new one, never a part; on any error nothing is left behind.

    Raises:
        OSError: with `path` as its filename.
    """
    # The suffix is kept: numpy and matplotlib choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{PART}{path.suffix}")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            _replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """Move a file into place; on Windows once nobody reads the one that stands there."""
    for _ in range(20 if sys.platform == "win32" else 0):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            time.sleep(0.05)
    os.replace(temporary, path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the file system say which file it concerns: a full disk's does not."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

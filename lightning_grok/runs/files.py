"""Files that are whole or not there, on disks that may be full."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_grok.runs.schema import DamageError, parse_json

PART = ".part"
"""In the name of a file that is being written."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)


class DiskError(OSError):
    """What is to be kept can't be written, for whatever reason; it has the file's name."""


class Lost(DiskError):
    """A file or folder that is being written was removed, renamed or replaced meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ENOENT, "removed, renamed or replaced", str(path))


class Kept:
    """A file or folder that nobody else may remove, replace or cut while it is written.

    Args:
        path: of it; where there is nothing yet, nothing is expected before the next `note`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.note()

    def note(self) -> None:
        """Take what is there now for what has to stay."""
        self._noted = self._found()

    @property
    def is_noted(self) -> bool:
        """Whether there was anything to note."""
        return self._noted is not None

    def expect(self) -> None:
        """Look for it.

        Raises:
            Lost: it is gone, another one, or a file that is shorter than it was.
        """
        if self._noted is None:
            return
        found = self._found()
        if found is None or found[:2] != self._noted[:2] or found[2] < self._noted[2]:
            raise Lost(self.path)

    def _found(self) -> tuple[int, int, int] | None:
        """Device, number and bytes (0 of a folder); None where there is nothing."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size if self.path.is_file() else 0


def is_disk_error(error: BaseException) -> bool:
    """Whether nothing more can be kept: a file of ours can't be written, or a disk is broken."""
    return isinstance(error, DiskError) or (
        isinstance(error, OSError) and error.errno in _DISK_ERRORS
    )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write(temporary)`` beside `path`, flush it to disk and rename it into place.

    A reader sees the old file or the new one, never a part; on any error nothing is left behind.

    Raises:
        DiskError: with `path` as its filename.
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


def write_content(path: Path, content: str | bytes | memoryview) -> None:
    """`write_atomically` of bytes, or of a text in UTF-8."""
    written = content.encode() if isinstance(content, str) else content
    write_atomically(path, lambda temporary: temporary.write_bytes(written))


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
    """Let an error of the file system say which file it concerns: a full disk's does not.

    Raises:
        DiskError: instead of it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, DiskError):
            raise
        raise DiskError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none."""
    try:
        return parse_json(path.read_bytes()) if path.is_file() else {}
    except (OSError, DamageError):
        return {}

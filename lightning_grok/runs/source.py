"""Where the files of a run are read: in a directory, or in one archive of many runs.

A directory may be written meanwhile, and may come from somebody else: only ordinary files of a
bounded size are read, links are not followed out of it, and a pipe or a socket stops nobody.
"""

import os
import stat
import zipfile
import zlib
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from lightning_grok.runs.schema import DamageError

Signature = tuple[int, int, int]
"""Changes whenever a file does: its inode, size and time of change."""

UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive raises."""


class Folder:
    """The files of a run in its directory.

    Args:
        path: the directory.
        base: the folder that nothing may lead out of; None takes `path`.
    """

    def __init__(self, path: Path, base: Path | None = None) -> None:
        self._path = os.fspath(path)
        self._base = os.path.join(os.path.realpath(base or path), "")
        self._inside: dict[str, tuple[Signature, bool]] = {}

    def signature(self, name: str) -> Signature | None:
        """Changes whenever the file does; None for no ordinary file inside the base."""
        path = f"{self._path}/{name}"
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        signature = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._inside.get(name)
        if known is None or known[0] != signature:  # following links costs more than all the rest
            inside = os.path.realpath(path).startswith(self._base)
            known = self._inside[name] = (signature, inside)
        return signature if known[1] else None

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name."""
        return os.path.lexists(f"{self._path}/{name}")

    def open(self, name: str) -> BinaryIO:
        """The file, for reading.

        Raises:
            OSError: there is none.
        """
        return open_file(f"{self._path}/{name}")

    def names(self, folder: str) -> list[str]:
        """Names of what lies in a folder, sorted."""
        try:
            return sorted(os.listdir(f"{self._path}/{folder}"))
        except OSError:
            return []


class Packed:
    """The files of a run in an archive.

    Args:
        archive: the file.
        name: of the run, its folder in the archive.
    """

    def __init__(self, archive: Path, name: str) -> None:
        self._archive = archive
        self._name = name

    def signature(self, name: str) -> Signature | None:
        """Changes whenever the file does."""
        info = open_archive(self._archive).get(f"{self._name}/{name}")
        return None if info is None else (info.header_offset, info.file_size, info.CRC)

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name."""
        return self.signature(name) is not None

    def open(self, name: str) -> BinaryIO:
        """The file, for reading."""
        return open_archive(self._archive).open(f"{self._name}/{name}")

    def names(self, folder: str) -> list[str]:
        """Names of what lies in a folder, sorted."""
        start = f"{self._name}/{folder}/" if folder else f"{self._name}/"
        below = (n[len(start) :] for n in open_archive(self._archive) if n.startswith(start))
        return sorted({name.split("/")[0] for name in below})


Source = Folder | Packed
"""The files of one run, named by their paths in it."""


class Members(dict[str, zipfile.ZipInfo]):
    """The files in an archive, by name; it stays open as long as this is held."""

    def __init__(self, archive: zipfile.ZipFile | None = None) -> None:
        infos = [] if archive is None else archive.infolist()
        super().__init__((info.filename, info) for info in infos)
        self._archive = archive

    def open(self, name: str) -> BinaryIO:
        """One of them, for reading.

        Raises:
            OSError: there is none.
        """
        if self._archive is None or name not in self:
            raise FileNotFoundError(0, "no such file in the archive", name)
        return cast(BinaryIO, self._archive.open(self[name]))


def open_archive(path: Path) -> Members:
    """The files in the archive `path`; none where it is no archive."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            return _members(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except UNREADABLE:
        pass
    return Members()


@lru_cache(maxsize=4)
def _members(path: Path, _signature: Signature) -> Members:
    return Members(zipfile.ZipFile(path))


def find_archive(path: Path) -> tuple[Path, str] | None:
    """The archive in which a run `path` lies, and its name there; None for one in a folder."""
    if path.is_dir():
        return None
    for parent in (path, *path.parents):
        if parent.is_file():
            return (parent, path.relative_to(parent).as_posix()) if is_archive(parent) else None
        if parent.is_dir():
            return None
    return None


def is_archive(path: Path) -> bool:
    """Whether `path` is an archive of runs."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except OSError:
        return False


def source_of(path: Path, base: Path | None = None) -> Source:
    """The files of the run `path`, of which nothing may lead out of `base`."""
    packed = find_archive(path)
    return Folder(path, base) if packed is None else Packed(*packed)


def open_file(path: str | Path) -> BinaryIO:
    """An ordinary file for reading; unlike ``open`` it never waits, as a pipe would have it do.

    Raises:
        OSError: there is none, or it is something else.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "no ordinary file", str(path))
    return os.fdopen(descriptor, "rb")


def read_all(source: Source, name: str, limit: int) -> bytes:
    """The whole of a file.

    Raises:
        DamageError: it can't be read, or is longer than `limit` bytes.
    """
    try:
        with closing(source.open(name)) as file:
            content = file.read(limit + 1)
    except UNREADABLE as error:
        raise DamageError(f"can't be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > limit:
        raise DamageError(f"is longer than {limit:,} bytes")
    return content

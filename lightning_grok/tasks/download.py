"""Downloads EMNIST and MNIST: whole or not at all, and once even if two processes ask at once.

Addresses and checksums are torchvision's. Every file is written under another name, verified and
only then moved to its place, so a download that broke off is never taken for the data.
"""

import gzip
import hashlib
import http.client
import os
import shutil
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import Timeout

from lightning_grok.errors import InputError
from lightning_grok.locks import hold
from lightning_grok.tasks.datasets import Part, Source, missing_files
from lightning_grok.tasks.idx import read_images, read_labels

Announce = Callable[[str], None]
T = TypeVar("T")

_SILENCE_SECONDS = 5.0  # without an answer or a byte; an unreachable host is found out in as long
_BLOCK = 1 << 20


class DownloadError(RuntimeError):
    """The data could not be had; the message is one line."""


def download(source: Source, root: Path, announce: Announce, *parts: Part) -> None:
    """Fetch what is missing of a data set; do nothing where nothing is.

    EMNIST's archive holds all its splits (about half a gigabyte); it is kept as ``gzip.zip``, as
    torchvision keeps it, and read again where another split is wanted.

    Args:
        source: EMNIST or MNIST.
        root: folder of the data; what is fetched goes below it, as torchvision lays it out.
        announce: is told, a line each, what is fetched, how large it is and where it goes.
        parts: fetch these; both unless some are named.

    Raises:
        DownloadError: the host didn't answer, or what it sent isn't the file.
        InputError: the folder can't be written to.
    """
    if not missing_files(source, root, *parts):
        return
    assert source.folder is not None  # nothing of a package's images is ever missing
    folder = root / source.folder
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = hold(folder / ".download.lock")
        except Timeout:
            announce(f"Another process is downloading to {folder}: waiting for it.")
            lock = hold(folder / ".download.lock", seconds=-1)
    try:
        missing = missing_files(source, root, *parts)
        if missing and source.folder.parts[0] == "EMNIST":
            _fetch_emnist(missing, folder, announce)
        elif missing:
            _fetch_mnist(missing, folder, announce)
    finally:
        if lock is not None:
            lock.release()


def _fetch_emnist(missing: list[Path], folder: Path, announce: Announce) -> None:
    from torchvision.datasets import EMNIST

    archive = folder / "gzip.zip"
    if not (archive.is_file() and _md5(archive) == EMNIST.md5):
        _fetch(EMNIST.url, archive, EMNIST.md5, announce)
    with zipfile.ZipFile(archive) as packed:
        for path in missing:
            with packed.open(f"gzip/{path.name}.gz") as member:
                _unpack(member, path)


def _fetch_mnist(missing: list[Path], folder: Path, announce: Announce) -> None:
    from torchvision.datasets import MNIST

    checksums = dict(MNIST.resources)
    for path in missing:
        packed = folder / f"{path.name}.gz"
        failures = []
        for mirror in MNIST.mirrors:
            try:
                _fetch(mirror + packed.name, packed, checksums[packed.name], announce)
                break
            except DownloadError as error:
                failures.append(str(error))
        else:
            raise DownloadError("; ".join(failures))
        with packed.open("rb") as member:
            _unpack(member, path)
        packed.unlink()


def _fetch(url: str, target: Path, md5: str, announce: Announce) -> None:
    """Download `url` to `target`, which appears only when its checksum is right."""
    response = _open(url)
    size = response.length
    stated = "unknown size" if size is None else f"{size / 1e6:,.0f} MB"
    announce(f"Downloading {url} ({stated}) to {target}")
    with _part_of(target) as partial:
        received, digest = 0, hashlib.md5(usedforsecurity=False)
        with response, _writing(partial), partial.open("wb") as file:
            for block in _blocks(response, url):
                file.write(block)
                digest.update(block)
                tenths = received * 10 // size if size else 0
                received += len(block)
                if size and received < size and received * 10 // size > tenths:
                    announce(f"  {received / size:.0%}")
        if size is not None and received < size:
            raise DownloadError(f"{url} broke off: expected {size} bytes, received {received}")
        if digest.hexdigest() != md5:
            raise DownloadError(f"{url}: expected MD5 {md5}, received {digest.hexdigest()}")


def _open(url: str) -> Any:
    """The response, or a DownloadError within seconds."""

    def connect() -> Any:
        request = urllib.request.Request(url, headers={"User-Agent": "pytorch/vision"})
        return urllib.request.urlopen(request, timeout=_SILENCE_SECONDS)

    try:
        return _within(2 * _SILENCE_SECONDS, connect)
    except urllib.error.HTTPError as error:
        error.close()  # it is a response too, with a socket of its own
        raise DownloadError(f"{url} answers {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{url} can't be reached ({reason})") from None


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises, or a TimeoutError: looking a name up knows no timeout."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def attempt() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return outcome[0]


def _blocks(response: Any, url: str) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{url} broke off ({error})") from None
        if not block:
            return
        yield block


def _unpack(member: Any, path: Path) -> None:
    """Write the gzipped `member` to `path`, which appears only when it is a whole IDX file."""
    with _part_of(path) as partial:
        with _writing(partial), gzip.open(member) as content, partial.open("wb") as file:
            shutil.copyfileobj(content, file, _BLOCK)
        read_images(partial) if "images" in path.name else read_labels(partial)


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """A name to write under; it becomes `path` if the block ends well, else it is removed."""
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line that `path` can't be written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"expected a writable folder for the data (data.root or LIGHTNING_GROK_DATA), "
            f"received {path} ({error.strerror or error})"
        ) from None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()

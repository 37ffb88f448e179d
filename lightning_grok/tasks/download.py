"""Downloads EMNIST and MNIST: whole or not at all, and once even if two processes ask at once.

Files are fetched by pooch, which moves one to its place only when its checksum is right; they lie
where torchvision puts them.
"""

import gzip
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from lightning_grok.errors import InputError, first_line
from lightning_grok.locks import hold
from lightning_grok.tasks.datasets import DataPart, DatasetSource, missing_files
from lightning_grok.tasks.idx import read_images, read_labels

Announce = Callable[[str], None]

EMNIST = (
    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    "58c8d27c78d21e728a6bc7b3cc06412e",
)
"""Address and MD5 of the archive of all splits, 560 MB."""

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
MNIST = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""MD5 of the files at each of `MIRRORS`."""

_SILENCE_SECONDS = 5.0  # without an answer or a byte; an unreachable host is found out in as long
_BLOCK = 1 << 20


class DownloadError(RuntimeError):
    """The data could not be had; the message is one line."""


def download(source: DatasetSource, root: Path, announce: Announce, *parts: DataPart) -> None:
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
    archive = folder / "gzip.zip"
    _fetch(*EMNIST, archive, announce)
    with zipfile.ZipFile(archive) as packed:
        for path in missing:
            with packed.open(f"gzip/{path.name}.gz") as member:
                _unpack(member, path)


def _fetch_mnist(missing: list[Path], folder: Path, announce: Announce) -> None:
    for path in missing:
        packed = folder / f"{path.name}.gz"
        failures = []
        for mirror in MIRRORS:
            try:
                _fetch(mirror + packed.name, MNIST[packed.name], packed, announce)
                break
            except DownloadError as error:
                failures.append(str(error))
        else:
            raise DownloadError("; ".join(failures))
        with packed.open("rb") as member:
            _unpack(member, path)
        packed.unlink()


def _fetch(url: str, md5: str, target: Path, announce: Announce) -> None:
    """Download `url` to `target`, unless it lies there; it appears only when its MD5 is right."""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")  # what there is to say is said here
    if not (target.is_file() and pooch.file_hash(str(target), alg="md5") == md5):
        announce(f"Downloading {url} to {target}")
    downloader = pooch.HTTPDownloader(timeout=_SILENCE_SECONDS, chunk_size=_BLOCK)
    try:
        pooch.retrieve(url, f"md5:{md5}", target.name, target.parent, downloader=downloader)
    except requests.HTTPError as error:
        answer = error.response
        assert answer is not None  # it is what was answered
        raise DownloadError(f"{url} answers {answer.status_code} {answer.reason}") from None
    except requests.RequestException as error:
        raise DownloadError(f"{url} can't be reached or broke off ({_reason(error)})") from None
    except ValueError as error:  # another checksum
        raise DownloadError(f"{url}: {first_line(error)}") from None
    except OSError as error:
        raise _unwritable(target, error) from None


def _reason(error: BaseException) -> str:
    """The innermost reason, which the layers of an HTTP library wrap."""
    while isinstance(
        inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException
    ):
        error = inner
    return first_line(error)


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
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"expected a writable folder for the data (data.root or LIGHTNING_GROK_DATA), "
        f"received {path} ({error.strerror or error})"
    )

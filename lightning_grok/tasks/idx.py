"""IDX files, the format of MNIST and EMNIST: read whole and verified, packed by gzip or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from lightning_grok.errors import InputError, first_line

SIDE = 28
"""Pixels of an image's edge."""

_LARGEST = 1 << 30  # bytes; EMNIST byclass has 547 million
_IMAGES_MAGIC, _LABELS_MAGIC = 0x803, 0x801  # unsigned bytes in three dimensions, and in one


def read_images(path: Path) -> UInt8[np.ndarray, "n 28 28"]:
    """The images of an IDX file, as stored.

    Raises:
        InputError: the file is missing, of another kind, truncated, too long or empty.
    """
    content, shape = _read_idx(path, _IMAGES_MAGIC, "images", dimensions=3)
    if shape[1:] != (SIDE, SIDE):
        received = "x".join(map(str, shape[1:]))
        raise InputError(f"expected images of 28x28 pixels in {path}, received {received}")
    return content.reshape(shape)


def read_labels(path: Path) -> Int[np.ndarray, " n"]:
    """The labels of an IDX file, as stored, in int64.

    Raises:
        InputError: as for `read_images`.
    """
    return _read_idx(path, _LABELS_MAGIC, "labels", dimensions=1)[0].astype(np.int64)


def _read_idx(
    path: Path, magic: int, kind: str, dimensions: int
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The bytes behind the header and the shape that the header promises."""
    content = _unpacked(path, kind)
    header = content[: 4 * (1 + dimensions)].tobytes()
    words = np.frombuffer(header[: len(header) // 4 * 4], dtype=">u4").tolist()
    if not words or words[0] != magic:
        received = f"a first word of 0x{words[0]:08x}" if words else f"{len(content)} bytes"
        raise InputError(
            f"expected IDX {kind} in {path} (a first word of 0x{magic:08x}), received {received}"
        )
    shape = tuple(words[1:])
    expected = len(header) + math.prod(shape)
    if len(shape) < dimensions or len(content) != expected:
        promised = f"{expected} bytes in {path}, {shape[0]} {kind} by its header" if shape else path
        raise InputError(
            f"expected {promised}, received {len(content)} bytes: the file is not whole"
        )
    if shape[0] == 0:
        raise InputError(f"expected at least one of the {kind} in {path}, received none")
    return content[len(header) :], shape


def _unpacked(path: Path, kind: str) -> np.ndarray:
    """The bytes of a file, packed or not; of a packed one as many as the largest set has."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return np.frombuffer(bytearray(file.read(_LARGEST)), dtype=np.uint8)
        return np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise InputError(f"expected {kind} in {path}, received no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"expected readable {kind} in {path}, received {reason}") from None

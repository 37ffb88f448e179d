"""Array files, read within bounds: nothing unpickled, nothing unpacked that is larger than said."""

import math
import zipfile
from collections.abc import Collection
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from lightning_grok.runs.schema import DamageError
from lightning_grok.runs.source import UNREADABLE

LIMIT = 2**28
"""Bytes that the arrays of one file may take."""
_MEMBERS = 10_000


def read_arrays(
    file: BinaryIO, names: Collection[str] | None = None, limit: int = LIMIT
) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file.

    Types, shapes and sizes are checked before anything is unpacked.

    Args:
        file: open for reading.
        names: of the arrays to read, of which some may be missing; None reads all.
        limit: bytes of all that are read.

    Raises:
        DamageError: it is no such file, is damaged, holds objects, or more than `limit`.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if len(infos) > _MEMBERS:
                raise DamageError(f"holds {len(infos):,} arrays, more than {_MEMBERS:,}")
            for info in infos:
                name = info.filename.removesuffix(".npy")
                if names is not None and name not in names:
                    continue
                limit -= info.file_size
                if limit < 0:
                    raise DamageError("holds arrays that are too large to be read")
                found[name] = _read_array(archive, info)
    except (*UNREADABLE, ValueError, MemoryError) as error:
        if isinstance(error, DamageError):
            raise
        raise DamageError(f"can't be read ({str(error).splitlines()[:1]})") from None
    return found


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        version = npy.read_magic(member)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(member)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or size + member.tell() != info.file_size:
            raise DamageError(f"holds {info.filename} of {dtype} and shape {shape}, which is wrong")
        content = member.read(size)
    array = np.frombuffer(content, dtype)  # of the wrong length only where the archive lies
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)

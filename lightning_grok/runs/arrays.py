"""Array files, read within bounds: nothing unpickled, nothing unpacked that is larger than said."""

import math
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from lightning_grok.runs.names import printable
from lightning_grok.runs.schema import SHAPES, DamageError, check_arrays
from lightning_grok.runs.source import UNREADABLE, Signature, Source

LIMIT = 2**28
"""Bytes that the arrays of one file may take."""
_MEMBERS = 10_000
_ONE_ARRAY = 2**24  # bytes of an array that is shown
_KEPT = 2**27  # bytes of arrays that are kept


class ArrayFiles:
    """The arrays of a run, kept until their files change; of too many those read first are dropped.

    It may be read by several threads.

    Args:
        source: the files of the run.
        tell: called with the name of a file and what is wrong with it, empty where nothing is.
    """

    def __init__(self, source: Source, tell: Callable[[str, str], None]) -> None:
        self._source = source
        self._tell = tell
        self._lock = threading.Lock()
        self._known: OrderedDict[
            tuple[str, tuple[str, ...]], tuple[Signature, dict[str, np.ndarray]]
        ] = OrderedDict()

    def read(
        self, measurement: str, stem: str, only: tuple[str, ...] = ()
    ) -> dict[str, np.ndarray] | None:
        """The arrays of a file, or those of some names; None where there is no file.

        Args:
            measurement: whose they are.
            stem: name of the file: an epoch, or what the measurement calls those of the whole run.
            only: names; of them no more is read than can be shown.
        """
        name = f"arrays/{measurement}/{stem}.npz"
        signature = self._source.signature(name)
        if signature is None:
            return None
        known = self._known.get((name, only))
        if known is None or known[0] != signature:
            known = signature, self._load(name, measurement, stem, only)
            with self._lock:
                self._known[name, only] = known
                kept = sum(_size(each) for _, each in self._known.values())
                while kept > _KEPT and len(self._known) > 1:
                    kept -= _size(self._known.popitem(last=False)[1][1])
        return known[1]

    def _load(
        self, name: str, measurement: str, stem: str, only: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        shapes = SHAPES.get(stem) or SHAPES.get(measurement, {})
        try:
            with closing(self._source.open(name)) as file:
                found = read_arrays(file, only or None, _ONE_ARRAY if only else LIMIT)
            check_arrays(found, shapes if not only or set(only) == set(shapes) else {})
        except UNREADABLE as error:
            self._tell(name, f"can't be read ({getattr(error, 'strerror', None) or error})")
            return {}
        except DamageError as error:
            self._tell(name, printable(error))
            return {}
        return found


def _size(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())


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

"""The event log of a run, read as it grows: only what was appended, into columns.

A last line cut short is left for later. Lines that are none of a log are left out and counted: a
block lost in a crash of the machine, or whatever somebody has written there.
"""

import gc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

import msgspec

from lightning_grok.runs.columns import Columns, EventRow
from lightning_grok.runs.schema import LINE, TYPED_LINE
from lightning_grok.runs.source import UNREADABLE, Signature, Source

LOG_NAME = "events.jsonl"
_BLOCK = 2**20
_LONGEST = 2**24  # bytes of a line
_DAMAGED = b"-"
_MOST = 2**32  # bytes of a log
_MARK = 64  # bytes that must stand unchanged for what was read before them to hold


class EventLog:
    """The log of one run.

    Attributes:
        columns: what was read.
        damaged: lines that were left out.
        fault: why it can't be read at all; empty if it can.
        version: grows with every refresh that brought something new.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.version = 0
        self.fault = ""
        self._signature: Signature | None = None
        self._forget()

    def _forget(self) -> None:
        self.columns = Columns()
        self.damaged = 0
        self._offset = 0
        self._mark = b""

    def refresh(self) -> bool:
        """Read the lines written since the last call; True if there were any.

        A log that is no continuation of what was read (a resumed run rewound it) is read anew.
        """
        signature = self._source.signature(LOG_NAME)
        if signature is None or signature == self._signature:
            return False
        try:
            with closing(self._source.open(LOG_NAME)) as file, _uncollected():
                if self._mark and self._tail(file) != self._mark:
                    self._forget()
                    self.version += 1
                found = self._read(file)
        except UNREADABLE as error:
            self.fault = f"can't be read ({getattr(error, 'strerror', None) or error})"
            return False
        self._signature, self.fault = signature, ""
        self.version += found
        return found

    def _read(self, file: BinaryIO) -> bool:
        file.seek(self._offset)
        before = self._offset
        for lines, size in _whole_lines(file):
            self._offset += size
            self.damaged += self._take(lines)
            if self._offset > _MOST:
                self.fault = f"is longer than {_MOST:,} bytes"
                break
        if self._offset > before:
            self._mark = self._tail(file)
        return self._offset > before

    def _take(self, lines: bytes) -> int:
        """Take whole lines; how many were damaged."""
        try:
            return self.columns.add(LINE.decode_lines(lines))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            rows = [_decoded(line, LINE) for line in lines.split(b"\n") if line.strip()]
            kept = [row for row in rows if row is not None]
            return len(rows) - len(kept) + self.columns.add(kept)

    def _tail(self, file: BinaryIO) -> bytes:
        start = max(0, self._offset - _MARK)
        file.seek(start)
        return file.read(self._offset - start)


def read_events(source: Source) -> Iterator[EventRow]:
    """All events of a log, oldest first; damaged lines are left out."""
    if source.signature(LOG_NAME) is None:
        return
    with closing(source.open(LOG_NAME)) as file:
        for lines, _ in _whole_lines(file):
            for line in lines.split(b"\n"):
                row = _decoded(line, TYPED_LINE)
                if row is not None and _is_event(row):
                    yield row


def is_of(line: bytes, measurement: str) -> bool:
    """Whether a line of the log is one of a measurement, or no whole line."""
    if not line.endswith(b"\n"):
        return True
    record = _decoded(line, TYPED_LINE) or {}
    if record.get("event") == "error":
        return record.get("measurement") == measurement
    if record.get("event") == "timing":
        return any(key.startswith(f"{measurement}/") for key in record)
    return record.get("event") == measurement


def is_after(line: bytes, epoch: int) -> bool:
    """Whether a line of the log is of a later epoch, or no whole line."""
    at = (_decoded(line, TYPED_LINE) or {}).get("epoch")
    return not line.endswith(b"\n") or not isinstance(at, int | float) or at > epoch


def _whole_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The rest of a file in blocks of whole lines, and how many bytes each block stands for.

    What has no end yet is left out. Of a line that is far too long only a damaged one is kept.
    """
    parts: list[bytes] = []
    size = 0
    while block := file.read(_BLOCK):
        end = block.rfind(b"\n") + 1
        if not end:
            size += len(block)
            parts = [*parts, block] if size <= _LONGEST else []
            continue
        if size > _LONGEST:
            yield _DAMAGED + block[block.find(b"\n") : end], size + end
        else:
            yield b"".join([*parts, block[:end]]), size + end
        parts, size = [block[end:]], len(block) - end


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for circular references: lines have none, and it takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _decoded(line: bytes, decoder: Any) -> EventRow | None:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_event(row: EventRow) -> bool:
    epoch = row.get("epoch")
    return (
        isinstance(row.get("event"), str) and isinstance(epoch, int | float) and 0 <= epoch <= 2**53
    )

"""What a reader notes of runs on the page: pinned, hidden, archived, a name, tags and a note.

It is kept in one file beside the runs and never touches a run; nothing is ever deleted.
"""

from pathlib import Path
from threading import Lock
from typing import Annotated, Any, TypedDict

import msgspec

from lightning_grok.runs.files import write_content
from lightning_grok.runs.names import printable
from lightning_grok.runs.source import is_archive, open_file

FILE = "page.json"
"""In the folder of runs; of an archive ``<archive>.page.json`` beside it."""

_LIMIT = 2**22  # bytes of the file
_MOST = 10_000  # runs with marks

_Line = Annotated[str, msgspec.Meta(max_length=200)]


class Mark(TypedDict, total=False):
    """What is noted of one run; what is empty is left out.

    Attributes:
        pinned: stands before all others.
        hidden: stays in the list, but is not compared.
        archived: is listed only where it is asked for.
        name: is shown instead of the run's own.
        tags, note: words to find it by.
    """

    pinned: bool
    hidden: bool
    archived: bool
    name: _Line
    tags: Annotated[list[_Line], msgspec.Meta(max_length=50)]
    note: Annotated[str, msgspec.Meta(max_length=10_000)]


class Marks:
    """The marks of a folder of runs, or of an archive.

    Args:
        root: the folder or archive.
    """

    def __init__(self, root: Path) -> None:
        beside = root.with_name(f"{root.name}.{FILE}")
        self.path = beside if is_archive(root) else root / FILE
        self._lock = Lock()

    def all(self) -> dict[str, dict[str, Any]]:
        """Id of a run -> its `Mark`; what doesn't fit in the file is left out."""
        try:
            with open_file(self.path) as file:  # never a pipe
                found = msgspec.json.decode(file.read(_LIMIT), type=dict[str, Any])
        except (OSError, msgspec.DecodeError, RecursionError):
            return {}
        return {printable(key): mark for key, each in found.items() if (mark := _fitting(each))}

    def set(self, key: str, mark: object) -> None:
        """Keep what is noted of a run, in place of what was.

        Raises:
            ValueError: it is no `Mark`, or there are too many.
            OSError: it can't be written.
        """
        kept = _checked(mark)
        with self._lock:
            marks = self.all()
            marks.pop(key, None)
            if kept:
                marks[key] = kept
            if len(marks) > _MOST:
                raise ValueError(f"expected at most {_MOST} runs with marks")
            write_content(self.path, msgspec.json.format(msgspec.json.encode(marks)))


def _checked(mark: object) -> dict[str, Any]:
    """The entries that say anything, as text that can be shown.

    Raises:
        ValueError: of a wrong type, too long, or of an unknown name.
    """
    if not isinstance(mark, dict) or set(mark) - set(Mark.__annotations__):
        raise ValueError(f"expected some of {', '.join(Mark.__annotations__)}")
    try:
        found = msgspec.convert(mark, Mark)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    lines = {"note": "\n".join(map(printable, found.get("note", "").splitlines()))}
    lines |= {"name": printable(found.get("name", "").strip())}
    tags = [printable(tag.strip()) for tag in found.get("tags", []) if tag.strip()]
    return {key: value for key, value in {**found, **lines, "tags": tags}.items() if value}


def _fitting(mark: object) -> dict[str, Any]:
    try:
        return _checked(mark)
    except ValueError:
        return {}

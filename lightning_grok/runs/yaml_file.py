"""YAML that people write, read whole or refused: keys twice, endless aliases, too deep or too long.

PyYAML keeps the last of two equal keys, and expands aliases for as long as there is memory.
"""

import os
import re
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lightning_grok.errors import InputError, hint_path

MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000  # aliases expanded
_DEEPEST = 50
_FLOAT = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$")


def read_yaml(path: Path, what: str) -> Any:
    """The content of a file.

    Args:
        path: of the file; at most `MOST_BYTES` of it.
        what: it should be, for the message: ``a sweep file``.

    Raises:
        InputError: it can't be read, or `parse_yaml` refuses it.
    """
    return parse_yaml(read_text(path, what), what, str(path))


def read_text(path: Path, what: str, most: int = MOST_BYTES) -> str:
    """The text of a file that holds at most `most` bytes of UTF-8, or of a pipe.

    Raises:
        InputError: it is none, or can't be read; nobody writes into the pipe.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            content = file.read(most + 1)
            if not content and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise OSError("a pipe into which nobody writes")
        text = content.decode("utf-8-sig")  # Excel and Notepad begin with a mark
    except FileNotFoundError:
        reason = f"no such file{hint_path(path)}"
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    else:
        if len(content) <= most:
            return text
        reason = f"more than {most:,} bytes"
    raise InputError(f"expected {what}, received {path}: {reason}")


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; of a pipe, don't wait for a writer, but for what one has to write."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return descriptor


def parse_yaml(text: str, what: str, name: str, *, exponents: bool = True) -> Any:
    """The content of a text in YAML.

    Args:
        text: to parse.
        what: it should be, for the message.
        name: where the text comes from, for the message.
        exponents: whether ``1e-6`` is a number, as people mean it; to YAML 1.1, and so to what
            PyYAML writes, it is a string, and the number ``1.0e-6``.

    Raises:
        InputError: it is no YAML, has a key twice, refers to itself or grows without end.
    """
    import yaml

    try:
        problem = problem_of(text)
        if not problem:
            return yaml.load(text, _loader_of_exponents() if exponents else _loader())
    except Exception as error:  # a value that is none of its tag's kind fails anywhere in PyYAML
        problem = " ".join(str(error).split())[:300]
    raise InputError(f"expected {what} in YAML, received {name}: {problem}")


def problem_of(text: str) -> str:
    """Why a text in YAML is refused; empty where it is not. It takes no time, whatever the text.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    import yaml

    if len(text) > MOST_BYTES:
        return f"more than {MOST_BYTES:,} characters"
    return _problem(yaml.parse(text, _loader()))


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _loader_of_exponents() -> Any:
    kind: Any = type("Loader", (_loader(),), {})
    kind.add_implicit_resolver(_FLOAT, _EXPONENT, [*"-+0123456789"])
    return kind


def _problem(events: Iterator[Any]) -> str:
    """What is wrong with a document, with its line; empty where nothing is."""
    sizes: dict[str, int] = {}  # values below an anchor
    open_nodes = [_Node(None, mapping=False)]
    for event in events:
        kind, line = type(event).__name__, event.start_mark.line + 1
        parent = open_nodes[-1]
        if kind == "AliasEvent":
            if any(node.anchor == event.anchor for node in open_nodes):
                return f"*{event.anchor} refers to itself, line {line}"
            parent.add(None, sizes.get(event.anchor, 1))
        elif kind == "ScalarEvent":
            if parent.has(event.value):
                return f"the key {event.value} stands twice, the second time in line {line}"
            parent.add(event.value, 1)
            sizes[event.anchor] = 1
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(open_nodes) > _DEEPEST:
                return f"more than {_DEEPEST} levels, line {line}"
            open_nodes.append(_Node(event.anchor, mapping=kind == "MappingStartEvent"))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            node = open_nodes.pop()
            sizes[node.anchor] = node.size
            open_nodes[-1].add(None, node.size)
        if open_nodes[-1].size > _MOST_VALUES:
            return f"more than {_MOST_VALUES:,} values, line {line}"
    return ""


class _Node:
    """A mapping or sequence whose end has not come yet.

    Args:
        anchor: its name for aliases.
        mapping: whether every other child is a key.
    """

    def __init__(self, anchor: Any, mapping: bool) -> None:
        self.anchor = anchor
        self.size = 1
        self._keys: set[str] | None = set() if mapping else None
        self._children = 0

    def has(self, text: str) -> bool:
        """Whether the next child is a key that the mapping has already."""
        return self._keys is not None and self._children % 2 == 0 and text in self._keys

    def add(self, text: str | None, size: int) -> None:
        """A child of so many values: a scalar of this text, or another mapping or sequence."""
        if self._keys is not None and self._children % 2 == 0 and text is not None:
            self._keys.add(text)
        self._children += 1
        self.size += size

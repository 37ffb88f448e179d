"""Names that become paths, and paths that must stay inside a run.

A run may come from somebody else: what its files name, and where its links lead, is not trusted.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from lightning_grok.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+=-]{0,149}[A-Za-z0-9_+=-])?")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows
_LOGGED = ("evaluation", "train", "test", "log", "error", "timing", "memorization",
           "generalization", "event", "epoch", "step")  # fmt: skip


def validate_name(name: str, what: str = "a run name") -> str:
    """`name` if it is safe as the name of one file or directory.

    Args:
        name: from an option, a configuration, a sweep file or a class.
        what: it names, for the error.

    Raises:
        InputError: it is anything else, or reserved on one of the platforms.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"expected {what} of letters, digits and ._+=- that begins with a letter or digit and "
            f"ends with no dot (at most 151), received {name!r}"
        )
    if _DEVICES.fullmatch(name):
        raise InputError(f"expected {what} that is no device on Windows, received {name!r}")
    return name


def printable(text: object) -> str:
    r"""`text` as every terminal, page and file can show it: other bytes and signs as ``\\xff``."""
    known = str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in known)


def validate_measurements(names: Iterable[str]) -> None:
    """Refuse names of a run's measurements that can't be kept apart, or are no names.

    Raises:
        InputError: a name is unsafe, taken by what every run logs, or used twice (file systems that
            don't tell capital letters count).
    """
    seen = set()
    for name in names:
        validate_name(name, "the name of a measurement")
        if name.lower() in _LOGGED:
            raise InputError(
                f"expected a name of a measurement other than {', '.join(_LOGGED)}, which every "
                f"run logs, received {name!r}"
            )
        if name.lower() in seen:
            raise InputError(f"expected different names of measurements, received {name!r} twice")
        seen.add(name.lower())


def place_inside(base: Path, *parts: str) -> Path:
    """The path of `parts` below `base`, to be written or removed.

    Raises:
        InputError: it is `base` itself or, links followed, outside of it.
    """
    path = base.joinpath(*parts)
    try:
        root, real = base.resolve(), path.resolve()
        is_loop = real.is_symlink()  # which Python 3.13 leaves as it is
        inside = real != root and real.is_relative_to(root) and not is_loop
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        inside = False
    if not inside:
        raise InputError(f"expected a place inside {base}, received {path}, which leads out of it")
    return path

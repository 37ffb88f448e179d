"""The one error that is the user's to mend, and what may have been meant instead."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class InputError(ValueError):
    """Bad input: the message is one line that says what was expected and what was received.

    The command line prints the message without a traceback and exits with status 2.
    """


def first_line(error: BaseException) -> str:
    """What an error says, without its explanations."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def line_of(error: BaseException | None) -> str | None:
    """An error in one line, with its kind where it is not the user's to mend; None for none."""
    if error is None:
        return None
    kind = [] if isinstance(error, InputError) else [type(error).__name__]
    return ": ".join([*kind, *str(error).splitlines()[:1]])


def hint(received: str, known: Iterable[str]) -> str:
    """`` (did you mean NAME?)`` with the known name that is nearest; empty where none is near."""
    near = get_close_matches(received, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def hint_path(path: Path) -> str:
    """`hint` for a file or folder that isn't there: the nearest name beside it, no hidden one."""
    try:
        names = [entry.name for entry in path.absolute().parent.iterdir()]
    except (OSError, ValueError):  # no such folder, a path that is no text of a path
        return ""
    return hint(str(path), [str(path.with_name(name)) for name in names if name[0] != "."])

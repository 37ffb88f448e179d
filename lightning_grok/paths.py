"""Paths as people write them: in options, in YAML, in the environment."""

import os
import re
from pathlib import Path

from lightning_grok.errors import InputError

_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


def expand_path(text: str | os.PathLike[str]) -> Path:
    """A path as a shell takes it: with ``~``, ``~user``, ``$VARIABLE`` and ``${VARIABLE}``.

    What exists as it is written is taken as it is written.

    Raises:
        InputError: no such home or variable; else a folder of that name would be made.
    """
    path = Path(text)
    if os.path.lexists(path):
        return path
    written = os.path.expandvars(path)
    unknown = _VARIABLE.search(written)
    if unknown:
        raise InputError(f"expected variables that are set, received {unknown[0]} in {text}")
    try:
        return Path(written).expanduser()
    except RuntimeError:
        raise InputError(f"expected the home of a user in {text}, received none") from None

"""The parser of the training commands: its errors are one line that names what was expected."""

import re
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from lightning_grok.errors import InputError, hint


class GrokParser(LightningArgumentParser):
    """Lightning's parser with an error of one line instead of two screens of usage.

    An option is given by its whole name: a shortened one may be a typo.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Leave with status 2."""
        own = own_error(ex)
        if own is not None:
            raise own
        line = " ".join(message.split()) + self._hint(message)
        if len(line) > 500:  # the parser lists every type that it tried
            line = f"{line[:350]} ... {line[-140:]}"
        raise InputError(f"{line} (see --help)") from ex

    def _hint(self, message: str) -> str:
        """The option that an unknown one is nearest to."""
        unknown = re.search(r"(?:[Uu]nrecognized|unknown) arguments?:? (--[^ =]+)", message)
        if unknown is None:
            return ""
        return hint(
            unknown[1], (option for action in self._actions for option in action.option_strings)
        )


def own_error(error: BaseException | None) -> InputError | None:
    """The error of ours that the parser has wrapped in its own; None where there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error

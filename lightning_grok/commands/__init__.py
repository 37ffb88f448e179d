"""The small commands: `lightning_grok.commands.<name>` is ``python -m lightning_grok <name>``."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lightning_grok.commands.arguments import program
from lightning_grok.errors import InputError
from lightning_grok.paths import expand_path

if TYPE_CHECKING:
    from lightning_grok.runs.run import Run


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line and whose paths may hold ``~``, as everywhere.

    Args:
        command: the name of the command.
        options: of `argparse.ArgumentParser`.
    """

    def __init__(self, command: str, **options: Any) -> None:
        super().__init__(prog=f"{program()} {command}", allow_abbrev=False, **options)
        self.register("type", Path, expand_path)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            InputError: always.
        """
        raise InputError(f"{message} (see {self.prog} --help)")


def number(least: int, most: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number of {least:,} to {most:,}, received {text[:40]}"
            )
        return int(text)

    return parse


def say_damage(runs: "Iterable[Run]") -> None:
    """A line on stderr for every run whose files are not whole."""
    for run in runs:
        if run.damage:
            print(f"warning: {run.damage}", file=sys.stderr)

"""``python -m lightning_grok``: training by LightningCLI, everything else by small commands."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from lightning_grok import __version__
from lightning_grok.commands.arguments import (
    COMMANDS,
    TRAINING,
    asks_for_seeds,
    overview,
    resolve_configs,
)
from lightning_grok.errors import InputError, hint
from lightning_grok.extras import named_extra

_SIGINT, _SIGPIPE = 2, 13  # the second of which Windows doesn't know


def main(args: Sequence[str] | None = None) -> None:
    """Run one command line.

    Args:
        args: the arguments behind the program's name; None takes ``sys.argv``.

    Raises:
        SystemExit: with status 2 and one line on stderr where the input is bad.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    _settle()
    try:
        with named_extra():
            _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # before or after whatever a command does about it
        print("interrupted", file=sys.stderr)
        sys.exit(128 + _SIGINT)


def _settle() -> None:
    """Let nothing that a shell, a notebook or a locale has set stop a command."""
    os.environ["MPLBACKEND"] = "agg"  # no command opens a window, and a notebook's isn't here
    # Threads that wait give their core away: where others compute too, a run takes half as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # For a terminal without such a letter, and a log file that is read while the run goes on.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)


def _run(arguments: list[str]) -> None:
    """What the first argument asks for."""
    match arguments[:1]:
        case [] | ["-h" | "--help"]:
            print(overview())
        case ["--version"]:
            print(f"lightning_grok {__version__}")
        case [command] if command in COMMANDS:
            _run_command(command, arguments[1:])
        case ["fit"] if asks_for_seeds(arguments) and not _asks(arguments):
            from lightning_grok.commands.seeds import fit_seeds

            fit_seeds(arguments)
        case [command] if command in TRAINING:
            given = resolve_configs(arguments)  # first: what follows takes seconds to load
            if "lightning" not in sys.modules and not _asks(given):
                print(f"lightning_grok {__version__}: loading PyTorch and Lightning", flush=True)
            from lightning_grok.commands.fit import GrokCLI

            GrokCLI(given)
        case [other]:
            known = (*TRAINING, *COMMANDS)
            raise InputError(
                f"expected a command of {', '.join(known)}; received {other}{hint(other, known)}"
            )


def _asks(arguments: Sequence[str]) -> bool:
    """Whether a command line of a training command wants to be told something only."""
    return any(a == "-h" or a.startswith(("--help", "--print_config")) for a in arguments)


def _run_command(name: str, arguments: Sequence[str]) -> None:
    """One of `COMMANDS`; silent where whoever reads its output has enough, as ``head``."""
    command = import_module(f"lightning_grok.commands.{name}")
    try:
        try:
            command.main(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(128 + _SIGPIPE)

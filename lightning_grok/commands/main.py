"""``python -m lightning_grok``: training by LightningCLI, everything else by small commands."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from lightning_grok.errors import InputError

TRAINING = ("fit", "validate", "test")
"""LightningCLI's own commands."""

COMMANDS = {
    "dashboard": "a live page over runs, in progress and finished",
    "figures": "draw a run, or with --paper the paper's figures from many",
    "measure": "compute a measurement afterwards, from a run's snapshots",
    "report": "runs as one HTML file that needs no network, with their figures",
    "runs": "list runs with their setup, state and events",
    "sweep": "run a sweep file on this machine or on a Dask cluster",
    "verdict": "the paper's claims on runs: held, failed or undecided",
    "workspace": "save a W&B workspace with the panels of the figures",
}
"""Commands that need no trainer to start: `lightning_grok.commands.<name>`."""

_SIGPIPE = 13  # which Windows doesn't know

EPILOG = "Further commands: " + "; ".join(f"{name}: {what}" for name, what in COMMANDS.items())


def main(args: Sequence[str] | None = None) -> None:
    """Run one command line.

    Args:
        args: the arguments behind the program's name; None takes ``sys.argv``.

    Raises:
        SystemExit: with status 2 and one line on stderr where the input is bad.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments and arguments[0] in COMMANDS:
            _run_command(arguments[0], arguments[1:])
        elif not arguments or arguments[0] in TRAINING or arguments[0].startswith("-"):
            from lightning_grok.commands.fit import GrokCLI

            GrokCLI(arguments)
        else:
            near = get_close_matches(arguments[0], (*TRAINING, *COMMANDS), n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(
                f"expected a command of {', '.join((*TRAINING, *COMMANDS))}; "
                f"received {arguments[0]}{hint}"
            )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def config_values(arguments: Sequence[str]) -> list[str]:
    """What follows each ``--config`` of a command line: paths, or configurations themselves."""
    values = []
    for name, following in zip(arguments, [*arguments, ""][1:], strict=True):
        option, equals, text = name.partition("=")
        if option == "--config":
            values.append(text if equals else following)
    return values


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

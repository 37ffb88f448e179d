"""What a command line says, before anything that takes time is imported."""

import sys
from collections.abc import Sequence
from pathlib import Path

TRAINING = {
    "fit": "train a network in a run directory",
    "validate": "evaluate a checkpoint on both sets",
    "test": "evaluate a checkpoint on the test set",
}
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

_OVERVIEW = """Grokking and representation geometry, measured while a network trains.

usage: {program} COMMAND [--help] ...

{commands}

examples:
  {program} fit --config digits            train a network that groks, in minutes
  {program} fit --help                     its options on one screen
  {program} dashboard                      look at runs, also while they train
  {program} runs                           list them
  {program} sweep weight_decay --dry-run   the commands of a packaged sweep
"""


def program() -> str:
    """How this program was called: by its script, or as a module."""
    name = Path(sys.argv[0]).stem
    return name if name == "lightning-grok" else "python -m lightning_grok"


def overview() -> str:
    """Every command and what it does, with examples."""
    listed = "\n".join(f"  {name:10} {what}" for name, what in (TRAINING | COMMANDS).items())
    return _OVERVIEW.format(program=program(), commands=listed).rstrip()


def config_values(arguments: Sequence[str]) -> list[str]:
    """What follows each ``--config`` of a command line: paths, or configurations themselves."""
    values = []
    for name, following in zip(arguments, [*arguments, ""][1:], strict=True):
        option, equals, text = name.partition("=")
        if option == "--config":
            values.append(text if equals else following)
    return values

"""``python -m lightning_grok measure``: a measurement afterwards, from a run's snapshots."""

from collections.abc import Sequence
from pathlib import Path

from lightning_grok.commands import CommandParser


def main(arguments: Sequence[str]) -> None:
    """Measure a run anew; the options behind its directory are those of fit."""
    parser = CommandParser(
        "measure",
        description="Compute measurements from a run's snapshots and write them into the run.",
        epilog="All further options are those of fit, on top of the run's own configuration: "
        "--config more.yaml, --kernel_distance.samples=512, ... The groups (and trainer.callbacks) "
        "that they name are measured.",
    )
    parser.add_argument("run", type=Path, help="directory of the run")
    options, rest = parser.parse_known_args(arguments)
    from lightning_grok.commands.measure_run import measure_run

    for name, epochs in measure_run(options.run, rest).items():
        print(f"{name}: {epochs} epochs written to {options.run}")

"""The points of a sweep: each is an ordinary command with a run directory named after the point.

The same sweep given again skips what is finished and resumes what was begun.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from lightning_grok.commands.arguments import config_values, find_packaged
from lightning_grok.commands.sweep_file import Sweep, as_text, check_size, fill
from lightning_grok.runs.names import validate_name
from lightning_grok.runs.run import Run


class Point(NamedTuple):
    """One point of a grid.

    Attributes:
        name: of its run directory.
        command: arguments of its process, the interpreter left as ``${interpreter}``.
        run: its run directory.
        log: what it prints.
        folder: where its process starts, so that relative paths mean the same on every worker.
    """

    name: str
    command: tuple[str, ...]
    run: Path
    log: Path
    folder: Path

    @classmethod
    def below(cls, root: Path, name: str, command: Sequence[str]) -> Self:
        """The point of that name in a folder of runs, to be started from here."""
        here = Path.cwd()
        log = here / root / "logs" / f"{name}.log"
        return cls(name, tuple(command), here / root / name, log, here)

    @property
    def finished(self) -> bool:
        """Whether an earlier sweep finished it."""
        return (self.run / "run.json").is_file() and Run(self.run).state == "finished"

    @property
    def changed(self) -> bool:
        """Whether an earlier sweep finished it with another command or configuration."""
        recorded = self.log.with_suffix(".sha256")
        return (
            self.finished
            and recorded.is_file()
            and recorded.read_text(encoding="utf-8") != self.digest()
        )

    def digest(self) -> str:
        """Of the command and of what stands in its configuration files."""
        text = "\0".join(self.command)
        for value in config_values(self.command):
            file = find_packaged(str(self.folder / value), "configs")
            file = file if file.is_file() else find_packaged(value, "configs")
            if file.is_file():
                text += "\0" + file.read_text(encoding="utf-8")
        return hashlib.sha256(text.encode()).hexdigest()


def grid(sweep: Sweep, seeds: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """All points of the grid, the last parameter fastest.

    Args:
        sweep: from `read_sweep`.
        seeds: values of ``seed_everything`` instead of the file's.

    Raises:
        InputError: there are too many.
    """
    parameters = sweep.parameters
    if seeds is not None:
        parameters = parameters | {"seed_everything": list(seeds)}
    check_size(sweep._replace(parameters=parameters).size, "the sweep with these seeds")
    products = itertools.product(*parameters.values())
    return [dict(zip(parameters, values, strict=True)) for values in products]


def plan(sweep: Sweep, points: list[dict[str, Any]], root: Path) -> list[Point]:
    """Names, commands and places of the points.

    Args:
        sweep: from `read_sweep`.
        points: from `grid`.
        root: folder of the sweep's runs.
    """
    planned = []
    for point in points:
        name = point_name(point)
        places = [f"--run.root={root}", f"--run.name={name}", "--resume"]
        planned.append(Point.below(root, name, fill(sweep.command, point, places)))
    return planned


def point_name(point: dict[str, Any]) -> str:
    """A readable name, safe for a directory and different for every point."""
    parts = []
    for key, value in point.items():
        text = Path(value).stem if key == "config" else as_text(value)
        short = (
            "seed" if key == "seed_everything" else "" if key == "config" else key.split(".")[-1]
        )
        parts.append(short + re.sub(r"[^A-Za-z0-9.+-]+", "", text))
    digest = hashlib.sha256(json.dumps(point, sort_keys=True).encode()).hexdigest()[:6]
    name = re.sub(r"[^A-Za-z0-9._+-]+", "", "_".join([*parts, digest]))
    return validate_name(name[-150:].lstrip("._+=-"), "the name of a point of the sweep")

"""``fit --seeds 0-7``: one configuration with several seeds, side by side."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_grok.commands.arguments import config_values, given_groups, resolve_configs
from lightning_grok.commands.sweep import parse_seeds, run_todo
from lightning_grok.commands.sweep_points import Point
from lightning_grok.errors import InputError
from lightning_grok.paths import expand_path
from lightning_grok.runs.names import validate_name
from lightning_grok.runs.run import read_run
from lightning_grok.runs.summary import run_outcome


def fit_seeds(arguments: Sequence[str]) -> None:
    """Train every seed in a run of its own, as many at a time as there are cores.

    The same command goes on with what was begun and leaves alone what is finished.

    Args:
        arguments: of fit, ``--seeds`` among them. Runs are called after ``run.name``, else after
            the configuration and what else is given.
    """
    seeds, rest = _taken(list(arguments))
    resolve_configs(rest)  # before anything starts
    given: dict[str, Any] = {}  # of the group ``run``
    for key, value in given_groups(rest):
        given |= value if key == "run" and isinstance(value, dict) else {}
    root = expand_path(str(given.get("root") or "runs"))
    name = given.get("name") or _named(rest)
    points = []
    for seed in seeds:
        own = validate_name(f"{name}_seed{seed}")
        places = (f"--seed_everything={seed}", f"--run.root={root}", f"--run.name={own}")
        command = ("${interpreter}", "-m", "lightning_grok", "fit", *rest, *places, "--resume")
        points.append(Point.below(root, own, command))
    if changed := [point.run for point in points if point.changed]:
        raise InputError(
            f"expected the configuration that {changed[0]} was finished with, received another one"
        )
    todo = [point for point in points if not point.finished]
    print(f"{len(points)} seeds, {len(points) - len(todo)} finished, {len(todo)} to run in {root}")
    run_todo(todo)
    for point in points:
        print(f"{point.run}: {run_outcome(read_run(point.run))}")


def _taken(arguments: list[str]) -> tuple[list[int], list[str]]:
    """The seeds, and the command line without them and without what each run is given anyway."""
    seeds, rest = None, []
    left = iter(arguments[1:] if arguments[:1] == ["fit"] else arguments)
    for argument in left:
        option, equals, text = argument.partition("=")
        if option == "--seeds":
            seeds = parse_seeds(text if equals else next(left, ""))
        elif option == "--seed_everything":
            raise InputError("expected --seeds or --seed_everything, received both")
        elif argument != "--resume":
            rest.append(argument)
    return seeds or [], rest


def _named(arguments: Sequence[str]) -> str:
    """A name for runs that have none: of the configuration, and a digest of the line."""
    stems = [Path(value).stem for value in config_values(arguments) if len(value) < 200]
    stem = re.sub(r"[^A-Za-z0-9+-]+", "", stems[-1] if stems else "") or "fit"
    digest = hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:6]
    return f"{stem[:100].lstrip('+-') or 'fit'}_{digest}"

"""A W&B sweep file, read and checked: the parameters of its grid, and the command of a point.

What ``wandb sweep`` takes is taken: parameters with ``value`` or ``values``, whole-number ranges
(``int_uniform``, ``q_uniform``), nested ones, and the macros of ``command``. What can't be listed
point by point, or means nothing without W&B, is refused with its key.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from lightning_grok.commands.arguments import find_packaged, hint_file
from lightning_grok.errors import InputError
from lightning_grok.runs.yaml_file import read_yaml

MOST_POINTS = 100_000
_DEFAULT_COMMAND = ("${env}", "${interpreter}", "-m", "lightning_grok", "fit", "${args}")
_LISTED = ("value", "values", "parameters", "distribution", "min", "max", "q")
_ONE_BY_ONE = ("constant", "categorical", "int_uniform", "q_uniform")
_FORMS = ("", "_no_equals", "_no_hyphens", "_no_boolean_flags", "_json")
_WITHOUT_WANDB = ("name", "description", "project", "entity", "metric", "early_terminate")
"""Keys of a file that concern the server only; `Sweep` leaves them out."""


class Sweep(NamedTuple):
    """A sweep file, checked.

    Attributes:
        parameters: dotted key -> its values, in the order of the file.
        command: of a point, with macros.
    """

    parameters: dict[str, list[Any]]
    command: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many points its grid has."""
        return math.prod(map(len, self.parameters.values()))


def read_sweep(given: str | Path) -> Sweep:
    """A sweep file, checked.

    Args:
        given: its path, or the name of a packaged one (``table1``).

    Raises:
        InputError: it can't be read, is no grid, or has something that only W&B can do.
    """
    path = find_packaged(str(given), "sweeps")
    if not path.exists():
        hint = hint_file(str(given), "sweeps")
        raise InputError(f"expected a sweep file, received {path}: no such file{hint}")
    content = read_yaml(path, "a sweep file")
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise InputError(f"expected `parameters` in the sweep file {path}, received none")
    if content.get("method") != "grid":
        received = content.get("method")
        raise InputError(
            f"expected `method: grid` in {path}, received {received}: other methods choose points "
            "by earlier results and need `wandb sweep`"
        )
    for key in content.keys() - {"method", "parameters", "command", "program", *_WITHOUT_WANDB}:
        raise InputError(f"expected keys of a grid in {path}, received {key}, which needs W&B")
    if "command" not in content and "program" in content:
        raise InputError(
            f"expected a `command` beside `program` in {path}: without one each point is a fit"
        )
    sweep = Sweep(
        _flat(content["parameters"], "", path),
        _command(content.get("command", list(_DEFAULT_COMMAND)), content.get("program"), path),
    )
    check_size(sweep.size, str(path))
    return sweep


def check_size(points: int, where: str) -> None:
    """Refuse a grid that nobody could run.

    Raises:
        InputError: it has more than `MOST_POINTS` points.
    """
    if points > MOST_POINTS:
        raise InputError(f"expected at most {MOST_POINTS:,} points in {where}, received {points:,}")


def fill(command: Sequence[str], point: Mapping[str, Any], places: Sequence[str]) -> list[str]:
    """The command of a point, its macros filled in but for the interpreter.

    Args:
        command: of a `Sweep`.
        point: key -> value.
        places: options that say where the run goes; they stand behind the point's.
    """
    options = [(key, as_text(value)) for key, value in point.items()]
    args = [f"--{key}={text}" for key, text in options]
    macros = {
        "${env}": [],
        "${args}": [*args, *places],
        "${args_no_equals}": [
            *(part for key, text in options for part in (f"--{key}", text)),
            *places,
        ],
        "${args_no_hyphens}": [*(arg.removeprefix("--") for arg in args), *places],
        "${args_no_boolean_flags}": [
            *(
                f"--{key}" if point[key] is True else f"--{key}={text}"
                for key, text in options
                if point[key] is not False
            ),
            *places,
        ],
        "${args_json}": [json.dumps(nested(point)), *places],
    }
    return [part for piece in command for part in macros.get(piece, [piece])]


def as_text(value: Any) -> str:
    """A value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def nested(point: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as mappings in mappings."""
    tree: dict[str, Any] = {}
    for key, value in point.items():
        *parents, last = key.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = value
    return tree


def _flat(parameters: Mapping[Any, Any], prefix: str, path: Path) -> dict[str, list[Any]]:
    """All parameters under their dotted keys, with their values."""
    found: dict[str, list[Any]] = {}
    for name, parameter in parameters.items():
        key = f"{prefix}{name}"
        if not isinstance(parameter, dict):
            raise InputError(
                f"expected `value` or `values` below {key} in {path}, received {parameter!r}"
            )
        for option in parameter.keys() - set(_LISTED):
            raise InputError(
                f"expected {', '.join(_LISTED)} below {key} in {path}, received {option}"
            )
        inner = parameter.get("parameters")
        below = _flat(inner, f"{key}.", path) if isinstance(inner, dict) else None
        for each, values in (below or {key: _values(key, parameter, path)}).items():
            if each in found:
                raise InputError(f"expected {each} once in {path}, received it twice")
            found[each] = values
    return found


def _values(key: str, parameter: Mapping[str, Any], path: Path) -> list[Any]:
    """The values of one parameter."""
    kind = parameter.get("distribution")
    if kind is not None and kind not in _ONE_BY_ONE:
        raise InputError(
            f"expected a distribution of {', '.join(_ONE_BY_ONE)} below {key} in {path}, "
            f"received {kind}: a grid needs values one by one"
        )
    if "values" in parameter or "value" in parameter:
        values = parameter.get("values", [parameter.get("value")])
    else:
        values = _steps(key, parameter, path)
    plain = isinstance(values, list) and bool(values) and all(map(_is_plain, values))
    if not plain:
        raise InputError(
            f"expected numbers, text, null or lists of them as values of {key} in {path}, received "
            f"{str(values)[:100]}"
        )
    if key == "config" and not all(isinstance(value, str) for value in values):
        raise InputError(f"expected paths as values of config in {path}, received {values}")
    return values


def _steps(key: str, parameter: Mapping[str, Any], path: Path) -> list[Any]:
    """Whole numbers from ``min`` to ``max``, or the multiples of ``q`` between them."""
    least, most, step = parameter.get("min"), parameter.get("max"), parameter.get("q", 1)
    whole = isinstance(least, int) and isinstance(most, int)
    if not _is_number(least) or not _is_number(most) or not _is_number(step):
        raise InputError(
            f"expected `value`, `values`, or `min` and `max`, below {key} in {path}, received "
            f"{dict(parameter)}"
        )
    stepped = parameter.get("distribution") == "q_uniform" or "q" in parameter
    if (not whole and not stepped) or not step > 0 or not least <= most:
        raise InputError(
            f"expected whole numbers min <= max, or a positive step q, below {key} in {path}, "
            f"received {dict(parameter)}: other ranges have no end of values"
        )
    first, last = math.ceil(least / step), math.floor(most / step)
    check_size(last - first + 1, f"{key} of {path}")
    multiples = [index * step for index in range(first, last + 1)]
    return [value if isinstance(value, int) else float(f"{value:.12g}") for value in multiples]


def _command(command: Any, program: Any, path: Path) -> tuple[str, ...]:
    """The command, checked; ``${program}`` filled in."""
    known = [f"${{args{form}}}" for form in _FORMS]
    if not isinstance(command, list) or not any(each in command for each in known):
        raise InputError(
            f"expected `command` as a list that holds ${{args}} in {path}, received {command}"
        )
    filled = {"${program}": str(program)} if program else {}
    parts = [filled.get(str(part), _with_environment(str(part))) for part in command]
    for part in parts:
        if part.startswith("${") and part not in (*known, "${env}", "${interpreter}"):
            raise InputError(
                f"expected macros of {', '.join([*known, '${env}', '${interpreter}'])} in `command`"
                f" of {path}, received {part}"
            )
    return tuple(parts)


def _with_environment(part: str) -> str:
    """``${envvar:NAME}`` replaced by what the environment has of that name."""
    return re.sub(r"\$\{envvar:([^}]*)\}", lambda found: os.environ.get(found[1], found[1]), part)


def _is_plain(value: object) -> bool:
    """Whether a value can stand on a command line and in a digest."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return value is None or isinstance(value, str | int | float)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

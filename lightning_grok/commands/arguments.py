"""What a command line says, before anything that takes time is imported."""

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning_grok
from lightning_grok.errors import InputError, hint, hint_path
from lightning_grok.paths import expand_path
from lightning_grok.runs.measures import named_measures
from lightning_grok.runs.yaml_file import parse_yaml, read_text

TRAINING = {
    "fit": "train a network in a run directory",
    "validate": "evaluate a checkpoint on both sets",
    "test": "evaluate a checkpoint on the test set",
}
"""LightningCLI's own commands."""

COMMANDS = {
    "certify": "train a configuration over seeds and say, keep or check what it comes to",
    "dashboard": "a live page over runs, in progress and finished",
    "figures": "draw a run, or with --paper the paper's figures from many",
    "forecast": "which logged series foresees an event of runs, and how long before",
    "measure": "compute a measurement afterwards, from a run's snapshots",
    "measures": "list what --measure NAME takes, plug-ins among it",
    "report": "runs as one HTML file that needs no network, with their figures",
    "runs": "list runs with their setup, state and events",
    "sweep": "run a sweep file on this machine or on a Dask cluster",
    "verdict": "the paper's claims on runs: held, failed or undecided",
    "workspace": "save a W&B workspace with the panels of the figures",
}
"""Commands that need no trainer to start: `lightning_grok.commands.<name>`."""

_OF_A_BRANCH = ("branches", "from_epoch", "set")  # options of the group run
_ADDED = "--trainer.callbacks+"
_SHOWN = 200  # characters of a configuration on the line, in a message

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


def asks_for_seeds(arguments: Sequence[str]) -> bool:
    """Whether a command line of fit has ``--seeds``."""
    return any(argument.partition("=")[0] == "--seeds" for argument in arguments)


def config_values(arguments: Sequence[str]) -> list[str]:
    """What follows each ``--config`` of a command line: paths, or configurations themselves."""
    return [value for _, _, value in _config_places(arguments)]


def given_groups(arguments: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Top-level keys of a command line's configurations, then of its options, with their values.

    ``--model.hidden=3`` gives ``model`` and ``{"hidden": "3"}``.
    """
    for value in config_values(arguments):
        with suppress(InputError):  # which is said when it is parsed
            yield from read_config(value)[1].items()
    for argument, following in _pairs(arguments):
        option, equals, text = argument.partition("=")
        key, _, rest = option.removeprefix("--").partition(".")
        value = text if equals else following
        if argument.startswith("--"):
            yield key, {rest: value} if rest else value


def resolve_configs(arguments: Sequence[str]) -> list[str]:
    """The command line with the file of every ``--config``, each checked to be a configuration.

    Args:
        arguments: of a training command. A configuration is a file, the name of a packaged one
            (``grok``, ``table1/AdamW-10-2000-1-0``), or stands on the line itself.

    Raises:
        InputError: one is no configuration.
    """
    arguments = _on_another_run(_with_measures(arguments))
    resolved = [_in_yaml(argument, following) for argument, following in _pairs(arguments)]
    for index, prefix, value in _config_places(arguments):
        resolved[index] = prefix + read_config(value)[0]
    return resolved


def _with_measures(arguments: Sequence[str]) -> list[str]:
    """Every ``--measure NAME[,NAME]`` as entries of ``trainer.callbacks``."""
    found: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        option, equals, names = argument.partition("=")
        if option != "--measure":
            found.append(argument)
            continue
        chosen = named_measures(names if equals else next(rest, ""))
        found += [f"{_ADDED}={json.dumps(measure.callback)}" for measure in chosen]
    return found


def _on_another_run(arguments: Sequence[str]) -> list[str]:
    """The line of a fit on top of the configuration of the run that it extends or branches.

    Of where that was written the folder of runs is taken, and of a longer run the trunk.
    """
    option, given = _begins_with(arguments) if arguments[:1] == ["fit"] else ("", "")
    file = expand_path(given) / "config.yaml"
    if not given or not _is_file(file):
        return list(arguments)
    import yaml

    _, content = read_config(str(file))
    leaves, trainer = (_mapping(content.get(group)) for group in ("run", "trainer"))
    kept = _OF_A_BRANCH if option == "extends" else ()
    root = {"root": str(file.parent.parent)}
    content["run"] = {key: leaves[key] for key in kept if key in leaves} | root
    if isinstance(trainer.get("callbacks"), list):
        again = [parse_yaml(value, "a callback", value) for value in _values(arguments, _ADDED)]
        named = [_identity(callback) for callback in again]
        trainer["callbacks"] = [
            each for each in trainer["callbacks"] if _identity(each) not in named
        ]
    return ["fit", f"--config={yaml.safe_dump(content)}", *arguments[1:]]


def _begins_with(arguments: Sequence[str]) -> tuple[str, str]:
    """How a line or its configurations begin with another run, and its directory; else empty."""
    run: dict[str, Any] = {}
    for key, value in given_groups(arguments):
        if key == "run" and isinstance(value, dict):
            run |= value
    for option in ("extends", "branches"):
        if run.get(option):
            return option, str(run[option])
    return "", ""


def _identity(callback: object) -> tuple[str, object]:
    """The class of a callback, and its name or its function where it has several."""
    if not isinstance(callback, dict):
        return str(callback).rpartition(".")[2], None
    init = _mapping(callback.get("init_args"))
    name = init.get("name") or init.get("function")
    return str(callback.get("class_path")).rpartition(".")[2], name


def _mapping(value: object) -> dict[str, Any]:
    """A group of a configuration; nothing of a damaged one, which is refused where it is parsed."""
    return value if isinstance(value, dict) else {}


def _values(arguments: Sequence[str], option: str) -> list[str]:
    """What follows each `option`, behind an equals sign or a space."""
    pairs = [(argument.partition("="), following) for argument, following in _pairs(arguments)]
    return [
        text if equals else following for (key, equals, text), following in pairs if key == option
    ]


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(arguments, [*arguments, "--"][1:], strict=True)


def _in_yaml(argument: str, following: str) -> str:
    """An argument as it is meant, in YAML, where a home alone is null.

    A W&B agent gives None, mappings of Python and flags of booleans.
    """
    option, equals, text = argument.partition("=")
    if not option.startswith("--"):
        option, equals, text = "", "", argument
    elif not equals and "." in option and following.startswith("--"):
        return f"{option}=true"
    if text == "None":
        return f"{option}{equals}null"
    if text == "~":
        return f"{option}{equals}~/"
    if text[:1] in ("{", "[") and "None" in text:
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return f"{option}{equals}{json.dumps(ast.literal_eval(text))}"
    return argument


def find_packaged(value: str, folder: str) -> Path:
    """A file by its path, else the packaged one of that name; where there is none, the path.

    Args:
        value: a path, or a name below `folder` with or without ``.yaml``.
        folder: ``configs`` or ``sweeps``.
    """
    path = expand_path(value)
    if _is_file(path):
        return path
    packaged = packaged_folder(folder)
    name = value.removeprefix(f"{folder}/").removesuffix(".yaml")
    found = packaged / f"{name}.yaml"
    return found if _is_file(found) else path


def packaged_folder(folder: str) -> Path:
    """Where ``configs`` or ``sweeps`` lies: in the installed package, or beside it in a clone."""
    package = Path(lightning_grok.__file__).parent
    installed = package / folder
    return installed if installed.is_dir() else package.parent / folder


def hint_file(value: str, folder: str) -> str:
    """`` (did you mean NAME?)`` for a file that isn't there, among its neighbors and packaged.

    What has neither a folder nor a suffix is taken for the name of a packaged one.
    """
    packaged = packaged_folder(folder)
    names = [str(path.relative_to(packaged).with_suffix("")) for path in packaged.rglob("*.yaml")]
    near, known = hint_path(Path(value)), hint(value.removesuffix(".yaml"), names)
    return known or near if value == Path(value).stem else near or known


def _config_places(arguments: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Of each configuration: the index of its argument, what stands before it there, and it."""
    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--config", "-c"):
            if equals:
                yield index, f"{option}=", value
            elif index + 1 < len(arguments):
                yield index + 1, "", arguments[index + 1]


def read_config(value: str) -> tuple[str, dict[str, Any]]:
    """What to give to the parser for a ``--config``, and its content.

    Raises:
        InputError: it is no configuration.
    """
    path = find_packaged(value, "configs")
    shown = str(path)[:_SHOWN]
    if _is_file(path):
        text = read_text(path, "a configuration")
        content = parse_yaml(text, "a configuration", shown)
        text = str(path) if path.is_file() else text  # what came through a pipe is gone from there
    else:
        text, content = value, parse_yaml(value, "a configuration", shown)
        if not isinstance(content, dict):
            what = "a folder" if path.is_dir() else f"no such file{hint_file(value, 'configs')}"
            raise InputError(f"expected a configuration, received {shown}: {what}")
    if isinstance(content, dict) and {"method", "parameters"} <= content.keys():
        raise InputError(
            f"expected a configuration, received the sweep {shown}: to run it, "
            f"{program()} sweep {shown}"
        )
    if content is not None and not isinstance(content, dict):
        kind = type(content).__name__
        raise InputError(f"expected a configuration of keys and values, received {shown}: a {kind}")
    return text, content or {}


def _is_file(path: Path) -> bool:
    """Whether there is something to read: a file, or a pipe such as the shell's ``<(...)``."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # no name of a file: too long, a null byte
        return False

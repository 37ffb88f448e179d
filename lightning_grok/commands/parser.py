"""The parser of the training commands: its errors are one line that names what was expected."""

import re
from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any, NoReturn, get_args, get_origin

import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch.cli import LightningArgumentParser

from lightning_grok.errors import InputError, hint
from lightning_grok.runs.yaml_file import parse_yaml, problem_of

_LONGEST = 500  # characters of a message
_UNION = re.compile(
    r"Does not validate against any of the Union subtypes Subtypes: \[(?P<types>.*)\] "
    r"Errors: - (?P<reasons>.*) Given value type: .* Given value: (?P<value>.*)"
)
_SINGLE = re.compile(r"Expected an? (?P<types>.*?)\. Got value: (?P<value>.*)")
_CONFIG = re.compile(r"Unable to load config '(?P<value>.*?)'")
_KEY = re.compile(r'Parser key "([^"]*)":')
_UNKNOWN = re.compile(
    r"(?:[Uu]nrecognized|unknown) arguments?:? (?P<option>--[^ =]+)"
    r"|Option '(?P<key>.*?)' is not|does not accept option '(?P<nested>.*?)'"
)


class GrokParser(LightningArgumentParser):
    """Lightning's parser with an error of one line instead of two screens of usage.

    An option is given by its whole name: a shortened one may be a typo.
    """

    def __init__(self, *args: Any, parser_mode: str = "strict_yaml", **kwargs: Any) -> None:
        super().__init__(*args, parser_mode=parser_mode, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Leave with status 2."""
        message = " ".join(message.split())
        key = _KEY.match(message)
        if key and _SINGLE.search(message) and not _UNION.search(message):
            # Of a part: say what the whole option takes.
            for action in self._options():
                if action.dest == key[1] and get_origin(action._typehint) is not None:
                    kind, value = action._typehint, message.rpartition("Got value: ")[2]
                    message = f"{key[0]} Expected a {kind}. Got value: {value}"
        raise parser_error(message, ex, self._hint(message)) from ex

    def _hint(self, message: str) -> str:
        """The option that an unknown one is nearest to, else those of its group."""
        unknown = _UNKNOWN.search(message)
        if unknown is None:
            return self._class_hint(message)
        names = {
            name.lstrip("-")
            for action in self._options()
            for name in (*action.option_strings, action.dest)
        }
        received = str(unknown[unknown.lastgroup or 0]).lstrip("-")
        near = hint(received, names)
        group = received.rpartition(".")[0]
        parts = [name.rpartition(".") for name in names if not name.endswith(("+", "help"))]
        known = sorted(last for above, _, last in parts if above == group)
        if known and not near:
            place = f"in {group} there are" if group else "there are"
            return f" ({place} {shorten(', '.join(known), 300, placeholder=' ...')})"
        return near.replace("mean ", "mean --") if unknown["option"] else near

    def _class_hint(self, message: str) -> str:
        """The class that a name is nearest to, among those of the option's type."""
        key, found = _KEY.match(message), _UNION.search(message)
        if key is None or found is None:
            return ""
        hints = [each._typehint for each in self._options() if each.dest == key[1]]
        kinds = [kind for each in hints for kind in (get_args(each) or (each,))]
        known = {each.__name__ for kind in kinds if isinstance(kind, type) for each in _below(kind)}
        return hint(found["value"], known)

    def _options(self) -> Iterator[Any]:
        """All options, those of subcommands among them."""
        for action in self._actions:
            if isinstance(action.choices, Mapping):
                for parser in action.choices.values():
                    yield from parser._actions
            elif hasattr(action, "_typehint"):
                yield action


def _below(kind: type) -> Iterator[type]:
    """All classes derived from one that are loaded; none of `object`'s."""
    derived: list[type] = [] if kind is object else type.__subclasses__(kind)
    for each in derived:
        yield each
        yield from _below(each)


def option_groups(parser: LightningArgumentParser) -> set[str]:
    """Keys that have options below them whatever is chosen, as ``trainer``."""
    groups = {group for group, dot, _ in (a.dest.partition(".") for a in parser._actions) if dot}
    return groups - parser._optimizers.keys() - parser._lr_schedulers.keys()


def parser_error(message: str, error: BaseException | None, behind: str = "") -> InputError:
    """What to say of an error of the parser or of a class that it builds, in one line.

    Args:
        message: of the parser.
        error: that has led to it; an `InputError` in its chain is the reason.
        behind: what to append to the message.
    """
    for each in _chain(error):
        if isinstance(each, InputError):
            return each
    line = _plain(" ".join(message.split()))
    if len(line) > _LONGEST:  # the parser lists every type that it tried
        line = f"{line[:350]} ... {line[-140:]}"
    return InputError(f"{line}{behind} (see --help)")


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error, and those that it was raised from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _plain(message: str) -> str:
    """A message of jsonargparse in this program's words: what was expected, what was received."""
    if unknown := _UNKNOWN.search(message):
        return f"expected options that exist, received {unknown[unknown.lastgroup or 0]}"
    key = _KEY.match(message)
    place = f" as {key[1]}" if key else ""
    if found := _UNION.search(message):
        types = [_type_name(each) for each in re.split(r", (?![^\[]*\])", found["types"])]
        told = [
            reason
            for reason in found["reasons"].split(" - ")
            if not re.match("Expected an? |Unexpected import path format", reason)
        ]
        if told:
            return f"expected {_either(types)}{place}, received: {told[0]}"
        return f"expected {_either(types)}{place}, received {found['value']}"
    if found := _SINGLE.search(message):
        return f"expected {_type_name(found['types'])}{place}, received {found['value']}"
    if found := _CONFIG.search(message):
        return f"expected options by their names{place}, received {found['value']}"
    return message


def _type_name(text: str) -> str:
    """The name of a type as a user writes it: ``int``, ``null``, ``list[int]``, ``'a' or 'b'``."""
    text = re.sub(r"<class '([^']*)'>", r"\1", text)
    if choices := re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", text):
        return _either(choices[1].split(", "))
    text = re.sub(r"Annotated\[(\w+), ([^\]]*)\]", r"\1 of \2", text)
    text = re.sub(r"\b(?:\w+\.)+(?=[A-Za-z_])", "", text)  # the modules
    return text.replace("NoneType", "null").replace("Sequence", "list").replace("Iterable", "list")


def _either(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


def _load(text: str, path: str | None = None) -> Any:
    """YAML of a whole configuration, if there is a `path` (perhaps ""), or of one option."""
    name = path or text[:60]
    if problem := problem_of(text):
        raise InputError(f"expected a configuration in YAML, received {name}: {problem}")
    value = get_loader("yaml")(text)  # with numbers such as 1e-3
    if path is not None and isinstance(value, str):  # ``trainer:`` is text to jsonargparse
        return parse_yaml(text, "a configuration", name)
    return value


set_loader("strict_yaml", _load, exceptions=(yaml.YAMLError,))

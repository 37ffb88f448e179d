"""The panels of a run: what it logged, in the words of the catalogue or under its own name.

First come the panels of `lightning_grok.runs.quantities`, then one for every other key, so that a
user's measurement is seen wherever the known ones are. A measurement may describe its own keys:
what run.json holds under ``quantities`` (``"roundness/{layer}": {"title": ..., "unit": ...}``)
stands for the words of such a panel.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol

from lightning_grok.runs.measures import BUILT_IN
from lightning_grok.runs.quantities import (
    CATALOGUE,
    GEOMETRY,
    LAYER,
    LOSSES,
    VALIDATION,
    Dash,
    Line,
    Panel,
    is_diagnostic,
)

SPLITS = ("train", "test", "val", "valid", "validation")
"""Words for a part of the data at the beginning of a key, before ``/`` or ``_``."""

FLOORS: dict[str, tuple[str, Dash]] = {
    "init": ("fresh networks", "dot"),
    "shuffle": ("shuffled", "dash"),
    "walk": ("random walk", "dashdot"),
}
"""Kind of a floor, as in ``<key>/floor_<kind>`` -> its words and its dash."""

_TEXTS = {"measurement", "message"}  # of errors
_NAMED = re.compile(r"[\w-]+(\.[\w-]+)*\.\d+(\.[\w-]+)*")  # a layer that run.json doesn't name
_OF_SPLIT = re.compile(rf"({'|'.join(SPLITS)})([/_])(.+)")


class Described(Protocol):
    """A run as far as its panels depend on it, such as a `lightning_grok.runs.run.Run`."""

    @property
    def keys(self) -> list[str]:
        """All logged keys."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """run.json."""

    @property
    def config(self) -> Mapping[str, Any]:
        """config.yaml."""


class Logged(NamedTuple):
    """Keys without a run's directory, such as those of a run in progress."""

    keys: list[str]
    meta: dict[str, Any]
    config: dict[str, Any]


def panels_of(run: Described) -> list[Panel]:
    """The panels of what a run has logged, their lines with the keys as logged."""
    logged = set(run.keys)
    bands = {f"{key}{end}" for key in logged for end in ("_se", "_sd")}
    floors = _floor_keys(logged)
    accuracies = _own_accuracies(run)
    shown = {f"{key}{end}" for key in accuracies.values() for end in ("", "_epoch")}
    left_out = bands | _TEXTS | floors.keys() | (shown - accuracies.keys())
    keys = [key for key in run.keys if key not in left_out and not is_diagnostic(key)]
    words = _words(run)
    found: dict[tuple[str, str, str], list[tuple[int, Line]]] = {}
    unknown: list[str] = []
    for key in keys:
        usual = key.removesuffix("_epoch")  # Lightning's, of what is logged by step as well
        match = _known(key) or (None if usual in logged else _known(usual))
        if match is None:
            unknown.append(key)
        elif not (match.line.transferred and words["same"]):
            line = _as_logged(match.line._replace(key=key), accuracies)
            found.setdefault(match.place, []).append((match.order, line))
    names = layer_names(run) or [str(name) for name in run.meta.get("modules") or []]
    levels = {line.level for lines in found.values() for _, line in lines}
    unknown = [key for key in unknown if key not in levels]
    known = [
        _filled(
            panel,
            name,
            split,
            [each for _, line in _sorted(lines, names) for each in (line, *_floors(line, floors))],
            words,
        )
        for panel in CATALOGUE
        for (of, name, split), lines in sorted(found.items())
        if of == panel.id
    ]
    return [*known, *_unknown_panels(unknown, logged, floors, names, run.meta.get("quantities"))]


def layer_names(run: Described) -> list[str]:
    """Layers in the order of the network, as far as run.json says."""
    return [str(name) for name in run.meta.get("layer_names") or []]


def layer_order(name: str, names: Sequence[str]) -> tuple[Any, ...]:
    """Sorts layers: by `names`, calls of one together, others behind; layers.10 after layers.9."""
    module = re.split(r"[@\[]", name)[0]
    place = names.index(module) if module in names else len(names)
    return (place, *((0, int(p), "") if p.isdigit() else (1, 0, p) for p in name.split(".")))


def panel_of(run: Described, name: str) -> Panel | None:
    """The panel of an id; None where nothing of it was logged."""
    return next((panel for panel in panels_of(run) if panel.id == name), None)


def measured_layers(run: Described) -> tuple[str | None, list[str]]:
    """The split (None: test) and the layers whose geometry was measured, in network order."""
    panels = {panel.id: panel for panel in panels_of(run)}
    for split in (None, "train"):
        for quantity in GEOMETRY:
            panel = panels.get(quantity if split is None else f"{quantity}-{split}")
            if panel is not None:
                return split, [line.layer for line in panel.without_floors.lines]
    return None, []


def slug(text: str) -> str:
    """`text` in letters, digits and ``-``."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-")


def headlines(
    panels: Iterable[Panel], use: Literal["reading", "compared", "lag"]
) -> list[tuple[Panel, Line]]:
    """The lines of panels that stand for a run beside others; of layers the last one.

    Args:
        panels: of a run.
        use: which attribute of a `Line` decides; of unknown panels all lines count but floors.
    """
    found = []
    for panel in panels:
        own = not panel.known
        chosen = [each for each in panel.lines if getattr(each, use) or (own and not each.floor)]
        last = chosen[-1].layer if chosen else ""
        found += [(panel, line) for line in chosen if line.layer in ("", last)]
    return found


class _Match(NamedTuple):
    place: tuple[str, str, str]  # id of the panel, word behind the measurement's, split
    order: int
    line: Line


@cache
def _known(key: str) -> _Match | None:
    """Where a key stands in the catalogue; keys of single layers are looked for last."""
    for by_layer in (False, True):
        for panel in CATALOGUE:
            for order, line in enumerate(panel.lines):
                if (LAYER in line.key) != by_layer:
                    continue
                match = _pattern(line.key).fullmatch(key)
                if match is not None:
                    parts = match.groupdict()
                    layer = parts.get("layer") or ""
                    name = parts["name"] or ""
                    filled = line._replace(
                        key=key, layer=layer, label=line.label or layer,
                        level=line.level.replace("/", f"{name}/", 1),
                    )  # fmt: skip
                    place = (panel.id, name.strip("_"), parts.get("split") or "")
                    return _Match(place, order, filled)
    return None


@cache
def _pattern(key: str) -> re.Pattern[str]:
    first, _, rest = re.escape(key).replace(r"\{layer\}", LAYER).partition("/")
    split = f"(?:(?P<split>{'|'.join(SPLITS)})/)?(?P<layer>[^/]+)"
    return re.compile(rf"{first}(?P<name>_\w+)?/{rest.replace(LAYER, split)}")


def _words(run: Described) -> dict[str, Any]:
    """What the words of the catalogue leave open."""
    transfer = run.meta.get("transfer") or {}
    same = bool(transfer.get("same_distribution"))
    return {
        "digits": transfer.get("name", "digits"),
        "same": same,
        "seen": ", here digits like those it was trained on" if same else ", which it never saw",
        "loss": LOSSES.get(str((run.config.get("model") or {}).get("loss", "")), "loss"),
    }


def _own_accuracies(run: Described) -> dict[str, str]:
    """``train/accuracy`` and ``test/accuracy`` -> what the user's module calls them."""
    named = run.meta.get("accuracies") or ()
    return dict(zip(("train/accuracy", "test/accuracy"), named, strict=False))


def _as_logged(line: Line, accuracies: Mapping[str, str]) -> Line:
    """A line whose held-out samples are the user's validation set, if it is that."""
    if line.key != "test/accuracy" or "val" not in accuracies.get(line.key, ""):
        return line
    label, color = VALIDATION
    return line._replace(label=label, color=color, name=f"{label} accuracy")


def _sorted(lines: list[tuple[int, Line]], names: Sequence[str]) -> list[tuple[int, Line]]:
    return sorted(lines, key=lambda each: (each[0], layer_order(each[1].layer, names)))


def _filled(
    panel: Panel, name: str, split: str, lines: Sequence[Line], words: Mapping[str, Any]
) -> Panel:
    """A panel of the catalogue with a run's lines and words."""
    of = ", ".join(part for part in (name, f"{split} samples" if split else "") if part)
    return panel._replace(
        id="-".join(part for part in (panel.id, name, split) if part),
        title=f"{panel.title} ({of})" if of else panel.title,
        note=panel.note.format(split=split or "test", **words),
        unit=panel.unit.format(**words),
        lines=tuple(lines),
    )


def _unknown_panels(
    keys: Sequence[str],
    logged: set[str],
    floors: Mapping[str, str],
    names: Sequence[str],
    described: Any,
) -> list[Panel]:
    """One panel for each key that the catalogue doesn't know, layers and splits together."""
    found: dict[str, list[Line]] = {}
    splits: dict[str, int] = {}
    for key in keys:
        parts = key.split("/")
        layer = next((p for p in parts[1:] if p in names or _NAMED.fullmatch(p)), "")
        error = "_se" if f"{key}_se" in logged else "_sd"
        line = Line(key, layer or key, error=error, name=key, lag="plateau", layer=layer)
        template = "/".join(LAYER if part == layer else part for part in parts)
        split = None if layer else _OF_SPLIT.fullmatch(key)
        if split is not None:
            template = f"{{split}}{split[2]}{split[3].removesuffix('_epoch')}"  # Lightning's
            known = {"val": "validation", "valid": "validation"}.get(split[1], split[1])
            line = line._replace(color=known)
            splits[key] = SPLITS.index(split[1])
        found.setdefault(template, []).extend([line, *_floors(line, floors)])
    words = described if isinstance(described, Mapping) else {}
    panels: dict[str, Panel] = {}
    for template, lines in found.items():
        lines.sort(key=lambda line: (splits.get(line.key, 0), layer_order(line.layer, names)))
        panel = _unknown_panel(template, lines, words.get(template))
        number = f"-{len(panels)}" if panel.id in panels else ""
        panels[panel.id + number] = panel._replace(id=panel.id + number)
    return list(panels.values())


def _floor_keys(logged: set[str]) -> dict[str, str]:
    """Keys of floors whose value was logged too -> their kinds."""
    floors = {f"{key}/floor_{kind}": kind for key in logged for kind in FLOORS}
    return {key: kind for key, kind in floors.items() if key in logged}


def _floors(line: Line, logged: Mapping[str, str]) -> list[Line]:
    """The lines that `line` is held against."""
    found = []
    for kind, (words, dash) in FLOORS.items():
        key = f"{line.key}/floor_{kind}"
        if key in logged:
            floor = line._replace(key=key, name=key, label=words, floor=words, dash=dash)
            beside = floor._replace(reading=False, compared=False, predicts=False, level="")
            found.append(beside._replace(error="_sd", lag=""))
    return found


def _unknown_panel(template: str, lines: Sequence[Line], described: Any) -> Panel:
    """A panel under its own name, or in the words of whoever measured it."""
    title = re.sub(r"^\{split\}[/_]|/?\{layer\}", "", template)
    logged = [template] if lines[0].layer else [line.key for line in lines]
    note = f"{_measured(template)}As logged: {', '.join(logged)}."
    words = described if isinstance(described, Mapping) else {}
    return Panel(
        f"own-{slug(title)}",
        str(words.get("title", title)),
        str(words.get("note", note)),
        str(words.get("unit", "")),
        "Own measurements",
        tuple(lines),
        low=_end(words.get("low")),
        high=_end(words.get("high")),
        log=words.get("log") is True,
        known=False,
    )


def _measured(template: str) -> str:
    """What a measure that comes with the package says; nothing of any other."""
    name = template.partition("/")[0]
    words = next(
        (each.words.partition("; arguments")[0] for each in BUILT_IN if each.name == name), ""
    )
    return f"{words[0].upper()}{words[1:]}. " if words else ""


def _end(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None

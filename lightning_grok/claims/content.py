"""A claims file: which runs are of a setup, what is claimed of them, and what decides it.

`docs/claims-of-your-own.md` teaches it. What it means to be held or failed stands in
`lightning_grok.analysis.decision`, what a quantity can be in `lightning_grok.analysis.statistics`
and `lightning_grok.analysis.timing`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from lightning_grok.analysis import statistics, timing
from lightning_grok.analysis.statistics import Quantity
from lightning_grok.errors import InputError, first_line, hint
from lightning_grok.runs.yaml_file import parse_yaml, read_yaml

Plain = str | int | float | bool | None
Where = dict[str, Plain | list[Plain | list[Plain]]]
"""Dotted keys of run.json or config.yaml with their value, or a list of which they have one; null
is none."""

_WORDS = {
    "statement", "verdict", "quantity", "estimate", "interval", "seeds", "setup", "figure",
    "reason", "setups", "claims", "definitions", "variants", "forecast",
}  # fmt: skip
"""What stands beside claims and parts under a key of its own."""

_QUANTITIES: dict[str, type[Quantity]] = {
    str(each.__struct_config__.tag): each
    for module in (statistics, timing)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, Quantity) and each is not Quantity
}
STATISTICS = tuple(_QUANTITIES)
"""What a quantity can be, by the word after ``statistic``."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Setup(_Strict, frozen=True):
    """Runs that differ by their seed alone.

    Attributes:
        where: what tells them from others.
        configs: files, and options, of which ``fit`` makes such a run; for what is said of missing
            runs.
        name: as it stands in the file.
    """

    where: Annotated[Where, msgspec.Meta(min_length=1)]
    configs: list[str] = []
    name: str = ""

    def command(self, *options: str) -> str:
        """The command line that makes a run of it; empty where the file doesn't say."""
        if not self.configs:
            return ""
        files = [f if f.startswith("--") else f"--config {f}" for f in self.configs]
        fit = ["python -m lightning_grok fit", *files]
        return " ".join([*fit, "--seed_everything=SEED", *options])


class SeriesSource(_Strict, frozen=True):
    """Where a named series may stand: a logged key, of runs that have these options."""

    key: str
    where: Where = {}


class PublishedCurves(_Strict, frozen=True):
    """Curves from elsewhere that a claim compares our runs with, at some epochs.

    Attributes:
        keys: of the series.
        epochs: at which they are compared.
        held, failed: part of the values that must lie, or may not lie, among further seeds.
    """

    keys: list[str]
    epochs: list[int]
    held: float
    failed: float


class Claim(_Strict, frozen=True):
    """One statement.

    Attributes:
        statement: in words.
        figure: where to look.
        setups: names of those that it is made for; it is tested on each.
        quantities: what decides it; each a statistic with its thresholds.
        layers: names that ``{layer}`` stands for, tested together by Holm's method.
        level: nominal coverage of the interval over seeds.
        grokked: only seeds that grokked count; the others are counted in the induction rate.
        controls: setups whose seeds that did not grok are compared with, by medians.
        paired_with: a setup of which the same seed is subtracted: the effect of what differs.
        needs: epoch that a run must have reached.
        spacing: decades between the measurements about what is timed, in the median seed, at most.
        holm: test several quantities together by Holm's method, without layers too.
        measure: options of ``measure RUN`` that measure what it needs.
        parts: further statements, told with it, that don't change its outcome.
        repeats: claims that are made for its setups instead of quantities.
        published: curves that are compared instead of quantities.
        beyond: what it says nothing of.
    """

    statement: str
    setups: Annotated[list[str], msgspec.Meta(min_length=1)]
    figure: str = ""
    quantities: dict[str, Any] = {}
    layers: list[str] = []
    level: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    grokked: bool = False
    controls: list[str] = []
    paired_with: str = ""
    needs: Annotated[int, msgspec.Meta(ge=0)] = 0
    spacing: Annotated[float, msgspec.Meta(gt=0)] | None = None
    holm: bool = False
    measure: str = ""
    parts: dict[str, "Claim"] = {}
    repeats: list[str] = []
    published: PublishedCurves | None = None
    beyond: str = ""

    def __post_init__(self) -> None:
        """Refuse a claim that says nothing, or two things."""
        given = [bool(each) for each in (self.quantities, self.repeats, self.published)]
        if sum(given) != 1:
            raise ValueError("expected one of quantities, repeats and published, received another")
        if self.controls and self.paired_with:
            raise ValueError("expected controls or paired_with, received both")
        nested = [name for name, part in self.parts.items() if part.parts]
        if nested:
            raise ValueError(f"expected parts without parts of their own, received {nested[0]}")
        beside = "controls" if self.controls else "paired_with" if self.paired_with else ""
        tests = ("above", "below", "within")[: 2 if self.controls else 3]
        for name, given in self.quantities.items():
            if not beside or not isinstance(given, dict):
                continue
            scale, test = given.get("scale", "linear"), given.get("test")
            if scale != "linear" or test not in tests:
                raise ValueError(
                    f"expected a test of {', '.join(tests)} on a linear scale beside {beside}, "
                    f"received {test} on a {scale} scale for {name}"
                )

    def read_quantities(self) -> list[tuple[str, str, Quantity]]:
        """Name, layer (empty where it is of none) and statistic of everything that is tested."""
        found = []
        for layer in self.layers or [""]:
            for name, given in self.quantities.items():
                if "{layer}" in str(given):
                    filled = _filled(given, "{layer}", layer)
                    found.append((name, layer, _quantity(filled)))
        rest = [
            (n, "", _quantity(g)) for n, g in self.quantities.items() if "{layer}" not in str(g)
        ]
        return found + rest


class Claims(_Strict, frozen=True):
    """The content of a claims file.

    Attributes:
        version: a change of a definition or a threshold is a new one.
        min_seeds: that a setup must have.
        setups, claims: by name.
        series: names for what stands under other keys in other runs; the first found counts.
        arms: runs among those of the setups, chosen by ``--arm``.
        arm: that counts where none is named.
        prefer: of several runs of one seed, those that have these options.
        breakdowns: whether what was measured while the training set was lost is left out.
        variants: other definitions: dotted keys of this file with other values.
        files: anchors for names of files.
    """

    setups: dict[str, Setup]
    claims: dict[str, Claim]
    version: int = 1
    min_seeds: Annotated[int, msgspec.Meta(ge=2)] = 5
    series: dict[str, list[SeriesSource]] = {}
    arms: dict[str, Where] = {}
    arm: str = ""
    prefer: Where = {}
    breakdowns: Literal["out", "in"] = "out"
    variants: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """A hash of all that decides an outcome, and of nothing else."""
        plain = msgspec.to_builtins(msgspec.structs.replace(self, variants={}, files={}))
        for each in plain["setups"].values():
            del each["configs"], each["name"]
        for claim in plain["claims"].values():
            for each in (claim, *claim["parts"].values()):
                for prose in ("statement", "figure", "measure", "beyond"):
                    del each[prose]
        text = msgspec.json.encode(plain, order="sorted")
        return hashlib.sha256(text).hexdigest()[:12]

    def of_arm(self, arm: str = "") -> "Claims":
        """The same claims on the runs of one arm.

        A setup that says itself what tells the arms apart keeps its own runs, so that a claim can
        compare arms.

        Args:
            arm: one that the file names, or ``KEY=VALUE`` of the configuration; empty for `arm`.

        Raises:
            InputError: there is no such arm.
        """
        where = self._arm_where(arm or self.arm)
        setups = {
            name: msgspec.structs.replace(setup, where={**where, **setup.where})
            for name, setup in self.setups.items()
        }
        return msgspec.structs.replace(self, setups=setups)

    def _arm_where(self, name: str) -> Where:
        if name in self.arms or not name:
            return self.arms.get(name, {})
        key, equals, value = name.partition("=")
        if not (equals and key):
            named = ", ".join(self.arms) or "none in this file"
            raise InputError(
                f"expected an arm ({named}) or KEY=VALUE of the configuration, received "
                f"{name}{hint(name, self.arms)}"
            )
        return {key: parse_yaml(value, "KEY=VALUE", name)}


def read_claims(path: Path) -> Claims:
    """The content of a claims file.

    Raises:
        InputError: it can't be read, lacks something, or names what there isn't, in a variant too.
    """
    content = read_yaml(path, "a claims file")
    found = parse_claims(content, str(path))
    _read_variants(content, found, path)
    return found


def read_variants(path: Path) -> dict[str, Claims]:
    """The same file under each of its other definitions, by their names.

    Raises:
        InputError: it can't be read, or a variant is of something that the file doesn't have.
    """
    content = read_yaml(path, "a claims file")
    return _read_variants(content, parse_claims(content, str(path)), path)


def _read_variants(content: Any, of: Claims, path: Path) -> dict[str, Claims]:
    found = {}
    for name, changes in of.variants.items():
        changed = msgspec.json.decode(msgspec.json.encode(content))  # aliases are shared no more
        for key, value in changes.items():
            _put(changed, key, value, f"variant {name} in {path}")
        found[name] = parse_claims(changed, f"{path}, variant {name}")
    return found


def parse_claims(content: Any, source: str) -> Claims:
    """What a claims file holds, checked.

    Raises:
        InputError: it lacks something, or names what there isn't.
    """
    for name, claim in _claims_in(content):
        of = f"claim {name} in {source}"
        given = claim.get("quantities") if isinstance(claim, dict) else None
        for quantity, each in given.items() if isinstance(given, dict) else ():
            _named_statistic(each, f"{quantity} of {of}")
            _convert(each, _QUANTITIES[each["statistic"]], f"{quantity} of {of}")
        _convert(claim, Claim, of)
    found = _convert(content, Claims, source)
    told: list[str] = []
    for name, claim in found.claims.items():
        for of, each in ((name, claim), *claim.parts.items()):
            _check_names(each, found, f"claim {of} in {source}")
            if of in told or of in _WORDS:
                raise InputError(
                    f"expected claims and parts under names of their own in {source}, received "
                    f"{of}{' twice' if of in told else ', a word of every verdict'}"
                )
            told.append(of)
    if found.arm and found.arm not in found.arms:
        raise InputError(f"expected an arm that is defined in {source}, received {found.arm}")
    setups = {n: msgspec.structs.replace(s, name=n) for n, s in found.setups.items()}
    return msgspec.structs.replace(found, setups=setups)


def _claims_in(content: Any) -> Iterator[tuple[str, Any]]:
    claims = content.get("claims") if isinstance(content, dict) else None
    for name, claim in claims.items() if isinstance(claims, dict) else ():
        yield name, claim
        parts = claim.get("parts") if isinstance(claim, dict) else None
        yield from parts.items() if isinstance(parts, dict) else ()


def _named_statistic(given: Any, of: str) -> None:
    if not isinstance(given, dict):
        raise InputError(f"{of}: expected a mapping, received {given!r}")
    name = given.get("statistic")
    if name not in _QUANTITIES:
        raise InputError(
            f"{of}: expected a statistic of {', '.join(STATISTICS)}; received "
            f"{name!r}{hint(str(name), STATISTICS)}"
        )


def _convert(value: Any, kind: type, of: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = first_line(error)
        fields = [each.encode_name for each in msgspec.structs.fields(kind)]
        wrong = text.split("`")[1] if "unknown field" in text else ""
        raise InputError(
            f"expected a claims file as in docs/claims-of-your-own.md, received {of}: "
            f"{text}{hint(wrong, fields) if wrong else ''}"
        ) from None


def _check_names(claim: Claim, found: Claims, of: str) -> None:
    pair = [claim.paired_with] if claim.paired_with else []
    for given, known in (
        ([*claim.setups, *claim.controls, *pair], found.setups),
        (claim.repeats, found.claims),
    ):
        for name in given:
            if name not in known:
                raise InputError(
                    f"{of}: expected names that are defined, received {name}{hint(name, known)}"
                )
    deep = [name for name in claim.repeats if found.claims[name].repeats]
    if deep:
        raise InputError(f"{of}: expected repeats of claims with quantities, received {deep[0]}")
    placed = any("{layer}" in str(each) for each in claim.quantities.values())
    if placed != bool(claim.layers):
        raise InputError(f"{of}: expected layers where a key holds {{layer}}, received one of both")


def _quantity(given: Mapping[str, Any]) -> Quantity:
    return msgspec.convert(given, _QUANTITIES[given["statistic"]])


def _filled(given: Any, place: str, name: str) -> Any:
    """A value with the name in every text of it."""
    if isinstance(given, str):
        return given.replace(place, name)
    if isinstance(given, dict):
        return {key: _filled(each, place, name) for key, each in given.items()}
    return [_filled(each, place, name) for each in given] if isinstance(given, list) else given


def _put(content: Any, key: str, value: Any, of: str) -> None:
    """Another value under a dotted key that may be new in the last place only."""
    *parents, last = key.split(".")
    for parent in parents:
        content = content.get(parent) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        raise InputError(f"{of}: expected a key of the file, received {key}")
    content[last] = value

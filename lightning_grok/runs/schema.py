"""What the files of a run may hold. What doesn't fit is left out and told, never believed.

One typed description of run.json and config.yaml, of the lines of the event log and of the arrays
that have a known shape. Keys that are not described pass as they are.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

import msgspec
import numpy as np

from lightning_grok.errors import InputError, first_line
from lightning_grok.runs.yaml_file import parse_yaml

LoggedEpoch = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
LoggedCount = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Text = Annotated[str, msgspec.Meta(max_length=400)]
Reason = Annotated[str, msgspec.Meta(max_length=20_000)]
Names = Annotated[list[Text], msgspec.Meta(max_length=10_000)]
Section = dict[str, Any]
RunState = Literal["running", "finished", "interrupted", "failed"]

LINE = msgspec.json.Decoder(dict[str, float | str | None])
"""Reads a line of the event log: ``event``, ``epoch``, ``step``, then numbers, text and nulls."""

TYPED_LINE = msgspec.json.Decoder(dict[str, int | float | str | None])
"""The same with whole numbers as such."""

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class TransferFacts(TypedDict, total=False):
    """The images of the linear probe."""

    name: Text
    same_distribution: bool


class Branches(TypedDict):
    """Where a branch comes from, and what it has otherwise."""

    run: str
    epoch: LoggedEpoch
    changed: dict[str, list[Any]]
    set: dict[str, float]


class Meta(TypedDict, total=False):
    """run.json."""

    name: Text
    dataset: Text
    setup: Text
    seed: int | None
    state: RunState
    epoch: LoggedEpoch
    logged: LoggedEpoch
    seconds: Seconds
    max_epochs: Annotated[int, msgspec.Meta(ge=-1, le=2**53)] | None
    steps_per_epoch: LoggedCount
    network: Section
    layer_names: Names
    modules: Names
    quantities: dict[str, Section]
    num_classes: Annotated[int, msgspec.Meta(ge=0, le=10**6)]
    class_names: Names
    transfer: TransferFacts
    test_samples: LoggedCount
    accuracies: Names
    memorization: LoggedEpoch | None
    begins: LoggedEpoch | None
    half: LoggedEpoch | None
    final_level: float | None
    grokked: bool
    outcome: Text
    reason: Reason | None
    command: Reason
    commit: Text | None
    host: Text
    libraries: dict[str, Text]
    created: Text
    machine: Text
    version: Text
    config_digest: Text
    extends: str
    branches: Branches
    collapse: LoggedEpoch | None
    instability: LoggedEpoch | None
    ungrokking: LoggedEpoch | None
    wandb_id: Text
    wandb_project: Text | None
    wandb_entity: Text | None
    measured_afterwards: dict[str, bool]
    costs: dict[str, Seconds]


class Config(TypedDict, total=False):
    """config.yaml, as far as readers look into it."""

    run: Section
    data: Section
    model: Section
    trainer: Section
    kernel_distance: Section
    manifold_capacity: Section
    linear_probe: Section
    weight_norm: Section
    umap: Section
    evaluation: Section


SHAPES: dict[str, dict[str, tuple[str | int, ...]]] = {
    "umap": {"coordinates": ("n", 2), "labels": ("n",)},
    "pairwise": {"epochs": ("t",), "distance": ("t", "t")},
    "pairwise_estimate": {
        "epochs": ("t",), "distance": ("t", "t"), "standard_error": ("t", "t"),
    },
}  # fmt: skip
"""Arrays that are drawn, by measurement, or by the name of the file of a whole run."""


_WITHIN = {"coordinates": (-1e30, 1e30), "labels": (0, 10_000), "epochs": (0, 2**53)}


class DamageError(ValueError):
    """A file of a run that is not what it should be; the message says in what."""


def parse_json(content: bytes) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DamageError: it holds anything else.
    """
    try:
        return _OBJECT.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamageError(f"is no JSON object ({first_line(error)})") from None


def parse_yaml_mapping(content: bytes) -> dict[str, Any]:
    """The mapping in a YAML file; only plain values are made of it.

    Raises:
        DamageError: it holds anything else, refers to itself or grows when it is read.
    """
    try:
        found = parse_yaml(content.decode(), "a mapping", "it", exponents=False)
    except (InputError, UnicodeDecodeError) as error:
        raise DamageError(f"is no YAML mapping ({first_line(error)})") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise DamageError("is no YAML mapping of names")
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def fitting(content: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], list[str]]:
    """The entries that are of the types of `kind`, and the keys of those that are not.

    Args:
        content: of a file.
        kind: `Meta` or `Config`.
    """
    hints, kept, wrong = _hints(kind), {}, []
    for key, value in content.items():
        try:
            if key in hints:
                msgspec.convert(value, hints[key])
            if isinstance(value, float) and not math.isfinite(value):
                raise msgspec.ValidationError
            kept[key] = value
        except (msgspec.ValidationError, RecursionError):
            wrong.append(key)
    return kept, wrong


def check_arrays(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse arrays that lack one of `shapes`, or have another shape or no numbers.

    Raises:
        DamageError: says which.
    """
    lengths: dict[str, int] = {}
    for name, axes in shapes.items():
        array = arrays.get(name)
        if array is None:
            raise DamageError(f"holds no {name}")
        sizes = [
            lengths.setdefault(axis, size) if isinstance(axis, str) else axis
            for axis, size in zip(axes, array.shape, strict=False)
        ]
        if array.ndim != len(axes) or list(array.shape) != sizes or array.dtype.kind not in "biuf":
            raise DamageError(f"holds {name} of shape {array.shape} and type {array.dtype}")
        if (
            name in _WITHIN
            and not ((array >= _WITHIN[name][0]) & (array <= _WITHIN[name][1])).all()
        ):
            raise DamageError(f"holds {name} that are none")
    epochs = arrays.get("epochs", np.arange(0))
    if "epochs" in shapes and not (np.diff(epochs, prepend=-1) > 0).all():
        raise DamageError("holds epochs that are out of order")

"""Numbers out of range are refused where an option is defined, from Python as from the terminal."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, get_args, get_type_hints

import pytest
import torch
from hypothesis import given, strategies as st

from lightning_grok.callbacks import (
    Evaluation,
    KernelDistance,
    LayerMeasurement,
    LinearProbe,
    ManifoldCapacity,
    Onset,
    Stability,
    UmapSnapshot,
    WeightNorm,
)
from lightning_grok.errors import InputError
from lightning_grok.ranges import Range, check_range, within_ranges
from lightning_grok.tasks.cifar import CIFAR10
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule
from lightning_grok.tasks.networks import EmbeddingMLP, QuadraticMLP, SmallCNN, Transformer
from lightning_grok.tasks.synthetic import SignData, SparseParity, TeacherStudent, XorCluster
from lightning_grok.tasks.tables import ModularArithmetic, TableData

CLASSES = {
    "data": GrokData, "model": GrokModule, "evaluation": Evaluation, "onset": Onset,
    "kernel_distance": KernelDistance, "manifold_capacity": ManifoldCapacity,
    "linear_probe": LinearProbe, "umap": UmapSnapshot, "weight_norm": WeightNorm,
    "layer_measurement": LayerMeasurement, "stability": Stability,
    "table": ModularArithmetic, "tables": TableData, "signs": SignData, "parity": SparseParity,
    "xor": XorCluster, "quadratic": QuadraticMLP, "embedding": EmbeddingMLP,
    "transformer": Transformer, "cnn": SmallCNN, "cifar": CIFAR10, "teacher": TeacherStudent,
}  # fmt: skip
OUTSIDE = {"table": "data", "tables": "data", "signs": "data", "parity": "data", "xor": "data",
           "cifar": "data", "teacher": "data",
           "quadratic": "model.network", "embedding": "model.network",
           "transformer": "model.network", "cnn": "model.network"}  # fmt: skip
"""What an option is called by, where it is not by the group."""
REQUIRED = {
    "layer_measurement": {"function": "lightning_grok.geometry.participation_ratio"},
    "signs": {"n": 4, "k": 2, "noise": 1.0}, "quadratic": {"in_features": 4, "num_classes": 2},
    "embedding": {"symbols": 4, "num_classes": 2}, "transformer": {"symbols": 4, "num_classes": 2},
}  # fmt: skip
BAD = (-1, 10**20, 10**400, math.nan, math.inf, -math.inf)


def options() -> Iterator[tuple[str, str, object]]:
    """Group, name and type of every option of the command line."""
    for group, kind in CLASSES.items():
        for name, hint in get_type_hints(kind.__init__, include_extras=True).items():
            yield group, name, hint


def is_numeric(hint: object) -> bool:
    return ("int" in str(hint) or "float" in str(hint)) and "Literal" not in str(hint)


NUMERIC = [each for each in options() if is_numeric(each[2])]
CHOICES = [(group, name) for group, name, hint in options() if "Literal" in str(hint)]


def test_every_numeric_option_has_a_range() -> None:
    assert [(group, name) for group, name, hint in NUMERIC if "Annotated" not in str(hint)] == []
    assert len(NUMERIC) > 40


@pytest.mark.parametrize("number", BAD, ids=lambda value: str(value)[:6])
def test_no_option_takes_a_number_that_is_none_or_endless(number: float) -> None:
    for group, name, hint in NUMERIC:
        listed = any(kind in str(hint) for kind in ("Sequence", "list[", "tuple"))
        for value in ([number, number],) if listed else (number,):
            with pytest.raises(InputError, match=rf"{OUTSIDE.get(group, group)}\.{name}"):
                CLASSES[group](**REQUIRED.get(group, {}) | {name: value})


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_no_option_takes_a_choice_that_there_is_not(group: str, name: str) -> None:
    option = rf"{OUTSIDE.get(group, group)}\.{name}"
    with pytest.raises(InputError, match=rf"expected .*{option}.* received 'another'"):
        CLASSES[group](**REQUIRED.get(group, {}) | {name: "another"})


def test_no_single_number_of_a_transformer_fills_a_machine() -> None:
    """What a mistyped number makes of the network that it is one of, else of usual size."""
    hints = get_type_hints(Transformer.__init__, include_extras=True)
    for name in ("width", "hidden", "operands"):
        most = int(get_args(hints[name])[1].most)
        with torch.device("meta"):
            network = Transformer(symbols=97, num_classes=97, **{name: most})
        assert sum(parameter.numel() for parameter in network.parameters()) < 10**9


@given(st.integers(-20, 20), st.integers(-5, 5), st.integers(0, 10), st.booleans())
def test_a_range_is_what_it_says(number: int, least: int, width: int, above: bool) -> None:
    allowed = Range(least, least + width, above)
    assert (number in allowed) == (least + above <= number <= least + width)


def test_ranges_hold_in_sequences_unions_and_tuples() -> None:
    small = Annotated[int, Range(1, 9)]
    for value, hint in (
        ([1, 10], Sequence[small]),
        (10, small | None),
        (10, Sequence[small] | small | None),
        ([[10]], list[list[small]]),
        ((10, 1), tuple[small, int]),
        ((1, 10), tuple[small, ...]),
    ):
        with pytest.raises(InputError, match=r"expected x.y of 1 to 9, received 10"):
            check_range("x.y", value, hint)
    either = Literal["a", "b"]
    for value, hint in (("c", either), ("c", either | None), (["a", "c"], Sequence[either])):
        with pytest.raises(InputError, match=r"expected x.y of a, b; received 'c'"):
            check_range("x.y", value, hint)
    with pytest.raises(InputError, match=r"expected x.y of 1 to 9, received null"):
        check_range("x.y", None, small)
    with pytest.raises(InputError, match=r"expected text as x.y, received null"):
        check_range("x.y", None, str)
    for value, hint in (
        ((1, 10), tuple[small, int]), ("10", small), (None, small | None),
        (True, Annotated[int, Range(2, 3)]),
        ([9], Sequence[small] | None), (10, int), ("abc", Sequence[small]),
        ("b", either), (["b"], either | Sequence[either]),
    ):  # fmt: skip
        check_range("x.y", value, hint)


def test_a_checked_function_takes_its_arguments_as_before() -> None:
    @within_ranges("group")
    def function(a: Annotated[float, Range(0, 1, above=True)], *, b: int = 5) -> tuple[float, int]:
        """Both."""
        return a, b

    assert function(0.5) == (0.5, 5)
    assert function.__doc__ == "Both."
    with pytest.raises(InputError, match=r"expected group.a of above 0 and at most 1, received 0"):
        function(a=0.0, b=1)

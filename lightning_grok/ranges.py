"""Ranges and choices of options, written where one is defined, checked before all else.

    @within_ranges("umap")
    def __init__(self, neighbors: Annotated[int, Range(2, 10_000)] = 15, seed: Seed = 0) -> None:

An upper end is where an option would take hours or all memory whatever the machine.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from lightning_grok.errors import InputError

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, repr=False)
class Range:
    """Numbers from `least` to `most`; NaN is in none.

    Args:
        least: smallest number, with `above` the largest that is too small.
        most: largest number.
        above: whether `least` itself is too small.
    """

    least: float
    most: float
    above: bool = False

    def __contains__(self, number: float) -> bool:
        return self.least <= number <= self.most and not (self.above and number == self.least)

    def __str__(self) -> str:
        first = (
            f"above {self.least:g} and at most" if self.above else f"{number_text(self.least)} to"
        )
        return f"{first} {number_text(self.most)}"

    __repr__ = __str__  # as the parser shows it


Count = Annotated[int, Range(1, 10**7)]
"""Of samples, repetitions: what a machine can hold."""

Epoch = Annotated[int, Range(0, 10**9)]
PerDecade = Annotated[int, Range(1, 10_000)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Share = Annotated[float, Range(0, 1)]
Finite = Annotated[float, Range(-1e9, 1e9)]
Positive = Annotated[float, Range(0, 1e9, above=True)]
NotNegative = Annotated[float, Range(0, 1e9)]


_PLAIN = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def within_ranges(group: str) -> Callable[[_Function], _Function]:
    """Have a function refuse arguments outside of the ranges and choices in its annotations.

    Args:
        group: what stands before the argument's name in the message.

    Returns:
        a decorator; the function then raises InputError.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        hints: dict[str, Any] = {}

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if not hints:
                hints.update(get_type_hints(function, include_extras=True))
            for key, value in signature.bind(*args, **kwargs).arguments.items():
                check_range(f"{group}.{key}", value, hints.get(key))
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def check_range(key: str, value: Any, hint: Any) -> None:
    """Refuse a number outside of the range, or a word that is no choice, which its type names.

    Args:
        key: of the option, for the message.
        value: of the option, or a sequence of them.
        hint: its type: ``Annotated[int, Range(...)]`` or ``Literal["a", "b"]``, alone or in
            sequences and unions.

    Raises:
        InputError: with the range or the choices, and the value.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        for allowed in inner[1:]:
            if isinstance(allowed, Range) and value is None:
                raise InputError(f"expected {key} of {allowed}, received null")
            if isinstance(allowed, Range) and _is_number(value) and value not in allowed:
                raise InputError(f"expected {key} of {allowed}, received {number_text(value)}")
    elif origin is Literal:
        if isinstance(value, str) and value not in inner:
            choices = ", ".join(map(str, inner))
            raise InputError(f"expected {key} of {choices}; received {value!r}")
    elif value is None and hint in _PLAIN:
        raise InputError(f"expected {_PLAIN[hint]} as {key}, received null")
    elif origin in (Union, UnionType) and not (value is None and type(None) in inner):
        for each in inner:
            check_range(key, value, each)
    elif inner and isinstance(value, Sequence) and not isinstance(value, str):
        kinds = inner if origin is tuple and ... not in inner else (inner[0],) * len(value)
        for item, kind in zip(value, kinds, strict=False):
            check_range(key, item, kind)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_text(number: float) -> str:
    """A number for a message, however many digits it has."""
    if isinstance(number, float):
        return f"{number:g}"
    digits = len(str(abs(number)))
    return f"{number:,}" if digits <= 15 else f"a number of {digits} digits"

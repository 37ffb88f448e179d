"""Finite groups as composition tables: S_n, A_n, D_n and C_n, computed."""

import re
from itertools import permutations

import numpy as np
from jaxtyping import Int

from lightning_grok.errors import InputError
from lightning_grok.tasks.arithmetic import Table

MAX_ORDER = 1009
"""Largest group: beyond it the table of all pairs no longer fits a small machine's memory."""

_LARGEST = {"S": 6, "A": 6, "D": MAX_ORDER // 2, "C": MAX_ORDER}


def composition_table(group: str) -> Table:
    """Every pair of a group's elements with its product, in the order of (a, b).

    Elements are numbered, the identity first.

    Args:
        group: ``S5`` (all permutations of five), ``A5`` (the even ones), ``D59`` (the 118
            symmetries of a regular 59-gon) or ``C113`` (addition modulo 113).

    Raises:
        InputError: the group is unknown or too large.

    >>> composition_table("C3").answers.tolist()
    [0, 1, 2, 1, 2, 0, 2, 0, 1]
    """
    found = re.fullmatch(r"([SADC])([1-9][0-9]{0,4})", group)
    degree = int(found[2]) if found else 0
    if not found or not (3 if found[1] == "D" else 1) <= degree <= _LARGEST[found[1]]:
        raise InputError(
            "expected a group of S1 to S6, A1 to A6, "
            f"D3 to D{_LARGEST['D']} or C1 to C{_LARGEST['C']}, received {group!r}"
        )
    product = {"S": _symmetric, "A": _alternating, "D": _dihedral, "C": _cyclic}[found[1]](degree)
    order = len(product)
    a, b = (grid.ravel() for grid in np.meshgrid(*[np.arange(order)] * 2, indexing="ij"))
    return Table(np.stack([a, b], axis=1), product[a, b], order, order)


def _cyclic(n: int) -> Int[np.ndarray, "n n"]:
    return np.add.outer(np.arange(n), np.arange(n)) % n


def _dihedral(n: int) -> Int[np.ndarray, "m m"]:
    """Element r + n s turns by r steps, after a reflection where s = 1."""
    turn, mirrored = np.arange(2 * n) % n, np.arange(2 * n) // n
    sign = 1 - 2 * mirrored
    turns = (turn[:, None] + sign[:, None] * turn[None, :]) % n
    return turns + n * (mirrored[:, None] ^ mirrored[None, :])


def _symmetric(n: int) -> Int[np.ndarray, "m m"]:
    return _products(np.array(list(permutations(range(n)))))


def _alternating(n: int) -> Int[np.ndarray, "m m"]:
    everything = np.array(list(permutations(range(n))))
    inversions = sum(
        (everything[:, i] > everything[:, j]).astype(int) for i in range(n) for j in range(i + 1, n)
    )
    return _products(everything[np.asarray(inversions) % 2 == 0] if n > 1 else everything)


def _products(elements: Int[np.ndarray, "m n"]) -> Int[np.ndarray, "m m"]:
    """Numbers of a∘b (b acts first) for permutations in lexicographic order."""
    base = elements.shape[1] ** np.arange(elements.shape[1])[::-1]
    codes = elements @ base  # increasing, since the elements are in order
    return np.searchsorted(codes, elements[:, elements] @ base)

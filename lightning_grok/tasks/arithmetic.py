"""Binary operations modulo p as tables: every pair (a, b) and its answer.

An operation is a name (``add``, ``subtract``, ``multiply``, ``divide``, ``random``) or a polynomial
in x and y, such as ``x^2 + x*y + y^2``. Nothing that a user writes is executed: a polynomial is
parsed, and only sums, differences, products, whole powers and whole numbers are taken.
"""

import ast
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from lightning_grok.errors import InputError

NAMED = {"add": "x + y", "subtract": "x - y", "multiply": "x * y"}
"""Operations that are polynomials with a name."""

MAX_MODULUS = 1009
"""Beyond it the table of all pairs, one-hot, no longer fits a small machine's memory."""

_MAX_POWER = 64


class Table(NamedTuple):
    """All questions of a task and their answers.

    Attributes:
        pairs: (n, 2) the two operands, each in [0, symbols).
        answers: (n,) in [0, answer_count).
        symbols: how many different operands there are.
        answer_count: how many different answers there may be.
    """

    pairs: Int[np.ndarray, "n 2"]
    answers: Int[np.ndarray, " n"]
    symbols: int
    answer_count: int


def modular_table(p: int, operation: str, seed: int = 0) -> Table:
    """Every pair of residues modulo p with its answer, in the order of (a, b).

    Args:
        p: modulus, 2 to `MAX_MODULUS`.
        operation: a name or a polynomial in x and y. ``divide`` answers a/b modulo a prime p and
            leaves out b = 0; ``random`` answers every pair with a random residue: nothing there can
            be generalized.
        seed: of the random answers.

    Raises:
        InputError: p is out of range, or no prime where ``divide`` needs one; the operation is
            neither a name nor a polynomial.

    >>> modular_table(3, "x^2 + y").answers.tolist()
    [0, 1, 2, 1, 2, 0, 1, 2, 0]
    """
    if not 2 <= p <= MAX_MODULUS:
        raise InputError(f"expected a modulus p of 2 to {MAX_MODULUS}, received {p}")
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(p), np.arange(p), indexing="ij"))
    if operation == "random":
        answers = np.random.default_rng(seed).integers(p, size=x.size)
    elif operation == "divide":
        if not _is_prime(p):
            raise InputError(f"expected a prime p, which division needs, received {p}")
        x, y = x[y > 0], y[y > 0]
        answers = x * np.array([0, *(pow(b, -1, p) for b in range(1, p))])[y] % p
    else:
        answers = _evaluate(NAMED.get(operation, operation), x, y, p)
    return Table(np.stack([x, y], axis=1), answers.astype(np.int64), p, p)


def _is_prime(p: int) -> bool:
    return p > 1 and all(p % divisor for divisor in range(2, int(p**0.5) + 1))


def _evaluate(text: str, x: np.ndarray, y: np.ndarray, p: int) -> np.ndarray:
    """A polynomial's values modulo p, every intermediate one reduced."""
    refused = InputError(
        "expected an operation of add, subtract, multiply, divide, random, or a polynomial in x "
        f"and y such as x^2 + x*y + y^2, received {text[:80]!r}"
    )
    if len(text) > 200:
        raise refused

    def value(node: ast.expr) -> np.ndarray:
        match node:
            case ast.Name(id="x"):
                return x
            case ast.Name(id="y"):
                return y
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                return np.full_like(x, number % p)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand) % p
            case ast.BinOp(left=base, op=ast.Pow(), right=ast.Constant(value=int(power))) if (
                not isinstance(power, bool) and 0 <= power <= _MAX_POWER
            ):
                factor, result = value(base), np.ones_like(x)
                for _ in range(power):
                    result = result * factor % p
                return result
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as op, right=right):
                a, b = value(left), value(right)
                match op:
                    case ast.Add():
                        return (a + b) % p
                    case ast.Sub():
                        return (a - b) % p
                return a * b % p
        raise refused

    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise refused from None
    return value(tree.body)

"""Compile numerical kernels with Numba, cached on disk where the installation allows it."""

import inspect
from collections.abc import Callable
from typing import Any

import numba

# Sums may be reassociated and multiplied-and-added at once, so that dot products use the vector
# units: the order is fixed by the machine code, hence still the same bits on every call. Neither
# flag assumes that values are finite.
_FAST = {"reassoc", "contract"}


def compiled(function: Callable[..., Any], inline: str = "never") -> Callable[..., Any]:
    """Machine code of `function`: single-threaded, free of the interpreter lock, cached on disk.

    Numba stores the machine code beside the source, in the directory named by the environment
    variable NUMBA_CACHE_DIR, or in the user's own cache. Where none of them can be written it
    refuses to decorate; then every process compiles for itself.
    """
    function = inspect.unwrap(function)  # from the shape checker of the tests, if it is there
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": _FAST, "inline": inline}
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        return numba.njit(nogil=True, **options)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same of a part that one compiled function calls at one place.

    It is written there before anything is compiled: otherwise Numba optimizes and emits the code of
    a function once by itself and again with each of its callers, and theirs.
    """
    return compiled(function, "always")

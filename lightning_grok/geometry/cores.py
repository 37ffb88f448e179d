"""Work shared by the cores that PyTorch may use, in an order that changes no bit."""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def on_all_cores(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The results of `function`, which leaves the interpreter lock, in the order of the items.

    BLAS has one thread meanwhile; with several, small products wait for each other.
    """
    with one_blas_thread(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(function, items))


def one_blas_thread() -> AbstractContextManager[Any]:
    """Have every BLAS library take one thread inside; what it had is put back."""
    return _blas(len(sys.modules)).limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _blas(modules: int) -> ThreadpoolController:
    """The BLAS libraries of the process: 6 to 25 ms to find, more may come with new modules."""
    return ThreadpoolController().select(user_api="blas")

"""Work shared by the cores that PyTorch may use, in an order that changes no bit."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def on_all_cores(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The results of `function`, which leaves the interpreter lock, in the order of the items.

    BLAS has one thread meanwhile; with several, small products wait for each other.
    """
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
    ):
        return list(pool.map(function, items))

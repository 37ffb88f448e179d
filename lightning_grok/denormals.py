"""Numbers below the smallest normal float32: a processor's slow path, kept out of training."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take numbers below 1.2e-38 (float32) for zero in this thread; afterwards as before.

    Gradients of a network that fits its training set fall below it. Intel's processors multiply
    such numbers a hundred times slower: an epoch of the paper's run with weight scale 10 takes
    three times as long with them.
    """
    smallest = sys.float_info.min
    before = smallest / 4 == 0.0  # the setting concerns Python's own arithmetic too
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)

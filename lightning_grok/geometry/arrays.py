"""What comes in as an array, a tensor or a list, converted once at the entrance.

Tensors may carry gradients, be of any floating dtype, on any device and not contiguous.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from torch import Tensor

Points = Tensor | np.ndarray | Sequence[Any]
"""(n, d), n samples of d numbers."""

Labels = Tensor | np.ndarray | Sequence[Any]
"""(n,), a whole number a sample."""


_NUMPY_FLOATS = (torch.float32, torch.float64)


def finite_array(
    values: Any,
    name: str = "entries",
    ndim: int | None = None,
    dtype: type[np.floating] | None = np.float64,
) -> np.ndarray:
    """`values` as an array of `dtype`.

    Args:
        values: an array, a tensor or nested lists of numbers.
        name: what they are, for the message.
        ndim: of the array; None takes any.
        dtype: None keeps what NumPy has, without a copy where there needn't be one.

    Raises:
        ValueError: they are no numbers of one shape, another number of axes, none, or not finite.
    """
    array = _array(values, name)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"expected {name} with {ndim} axes, received shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"expected {name}, received an empty array {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name}, received NaN or infinity")
    return array


def as_tensor(values: Any, name: str = "entries") -> Tensor:
    """`values` as a tensor: one as it is, with its graph, dtype and device; what else as numbers.

    Args:
        values: a tensor, an array or nested lists of numbers.
        name: what they are, for the message.

    Raises:
        ValueError: they are no numbers of one shape.
    """
    if isinstance(values, Tensor):
        return values
    array = _array(values, name)
    # PyTorch takes neither another byte order nor steps backwards, nor memory not to be written.
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    is_taken = native.flags.writeable and min(native.strides, default=0) >= 0
    return torch.as_tensor(native if is_taken else native.copy())


def class_labels(labels: Any, count: int) -> Integer[np.ndarray, " n"]:
    """`labels` as `count` whole numbers.

    Raises:
        ValueError: they are not one whole number a sample.
    """
    array = _array(labels, "labels")
    if array.shape != (count,):
        raise ValueError(f"expected {count} labels, one a sample, received shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"expected whole numbers as labels, received {array.dtype}")
    return array


def labeled(
    points: Any,
    labels: Any,
    classes: int = 1,
    dtype: type[np.floating] | None = np.float64,
) -> tuple[Shaped[np.ndarray, "n d"], Integer[np.ndarray, " n"]]:
    """Points (n, d) and their n labels.

    Args:
        points: samples.
        labels: their classes.
        classes: how many there must be at least.
        dtype: of the points; None keeps what NumPy has.

    Raises:
        ValueError: as `finite_array` and `class_labels`, or there are fewer classes.
    """
    values = finite_array(points, "points", 2, dtype)
    given = class_labels(labels, len(values))
    found = len(np.unique(given))
    if found < classes:
        raise ValueError(f"expected points of at least {classes} classes, received {found}")
    return values, given


def about_their_mean(points: np.ndarray) -> np.ndarray:
    """Points (n, d) about their mean, in units of the largest coordinate there.

    Raises:
        ValueError: they differ by rounding alone.
    """
    centered = points - points.mean(axis=0)
    largest = np.abs(centered).max()
    if largest <= np.finfo(float).eps * np.abs(points).max():
        raise ValueError("expected points that differ, received copies of one point")
    centered /= largest
    return centered


def of_moderate_size(values: np.ndarray) -> tuple[np.ndarray, int]:
    """`values`, not all 0, times 2^-k with the largest in [1/2, 1), exactly; and k.

    Squares of them neither overflow nor vanish.
    """
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def _array(values: Any, name: str) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        foreign = values.is_floating_point() and values.dtype not in _NUMPY_FLOATS
        return np.asarray(values.double() if foreign else values)
    if isinstance(values, Sequence) and any(isinstance(value, Tensor) for value in values):
        values = [_array(torch.as_tensor(value), name) for value in values]
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "biuf":
        kind = f"{type(values).__name__} of other things"
        raise ValueError(f"expected {name} as numbers of one shape, received {kind}")
    return array

"""What is read off kernels: distance, alignment with the labels, velocity.

All functions take kernels or distances that exist already; `geometry.ntk.pairwise` gets
the same distances from layer factors without building a kernel.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from lightning_grok.geometry.arrays import Points, as_tensor, finite_array

_BLOCK = 2**20  # numbers converted to float64 at a time: 8 MB


def kernel_distance(
    k1: Points,
    k2: Points,
) -> float:
    """Distance of two kernels by direction alone (Eq. 2; Fort et al. 2020).

    S(K1, K2) = 1 - <K1, K2>_F / (‖K1‖_F ‖K2‖_F)

    Sums are taken in float64, so that S near 0 is as exact as the kernels' entries. Positive
    factors on either kernel change nothing; for positive semidefinite kernels S is in [0, 1].

    Args:
        k1, k2: kernels of one shape, tensors or arrays.

    Returns:
        S in [0, 2]; rounding never takes it outside.

    Raises:
        ValueError: shapes differ, an entry is not finite, or a kernel is zero and has no direction.

    >>> kernel_distance(np.eye(2), np.array([[1.0, 0.0], [0.0, 0.0]])).__round__(6)
    0.292893
    """
    first, second = (as_tensor(k, "kernels").detach().cpu() for k in (k1, k2))
    if first.shape != second.shape:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"expected kernels of one shape, received {shapes}")
    # Each is scaled to a largest entry of 1 first, so that squares neither overflow nor vanish.
    top1, top2 = (_largest(k) for k in (first, second))
    inner = squares1 = squares2 = 0.0
    # reshape copies kernels that aren't contiguous; blocks bound the float64 copies.
    for a, b in zip(first.reshape(-1).split(_BLOCK), second.reshape(-1).split(_BLOCK), strict=True):
        x, y = a.double() / top1, b.double() / top2
        inner += float(x @ y)
        squares1 += float(x @ x)
        squares2 += float(y @ y)
    return distance_from_products(inner, squares1, squares2)


def _largest(kernel: Tensor) -> float:
    largest = float(kernel.abs().max()) if kernel.numel() else 0.0
    if not np.isfinite(largest):
        raise ValueError("expected finite kernels, received NaN or infinity")
    if largest == 0.0:
        raise ValueError("expected kernels that are not zero, received one of zeros")
    return largest


def distance_from_products(inner: float, squares1: float, squares2: float) -> float:
    """S from <K1, K2>, ‖K1‖² and ‖K2‖², kept within [0, 2].

    Raises:
        ValueError: a square is zero (a zero kernel) or a product is not finite.
    """
    if not np.isfinite([inner, squares1, squares2]).all():
        raise ValueError(f"expected finite products, received {inner}, {squares1}, {squares2}")
    if min(squares1, squares2) <= 0:
        raise ValueError("expected kernels that are not zero, received one of zeros")
    cosine = inner / (squares1**0.5 * squares2**0.5)
    return 1.0 - min(1.0, max(-1.0, cosine))


def kernel_target_alignment(
    kernel: Points,
    labels: Any,
    *,
    centered: bool = False,
) -> float:
    """Alignment of a sample kernel with the kernel of the labels, cosine of the two.

    A = <K, YYᵀ>_F / (‖K‖_F ‖YYᵀ‖_F), with (YYᵀ)_ij = 1 where the labels of i and j agree
    (Cristianini et al. 2001); centered, K and YYᵀ are replaced by H K H and H YYᵀ H,
    H = I - 11ᵀ/n (Cortes et al. 2012; centered kernel alignment).

    Args:
        kernel: K (n, n), one row a sample: the trace or the sum kernel.
        labels: n class numbers; or real-valued targets (n,) or (n, k), which are Y themselves.
        centered: remove the mean of both kernels in feature space.

    Returns:
        A in [-1, 1]; in [0, 1] for a positive semidefinite kernel.

    Raises:
        ValueError: shapes differ, an entry is not finite, a kernel is zero (centered: or constant),
            or, centered, all labels agree.

    >>> round(kernel_target_alignment(np.eye(2), np.array([0, 1])), 12)
    1.0
    """
    values = finite_array(kernel, "kernels", 2)
    target = _target_kernel(as_tensor(labels, "labels").detach().cpu())
    if values.shape != target.shape:
        raise ValueError(f"expected a kernel {target.shape}, received {values.shape}")
    if centered:
        if (target == target[0, 0]).all():
            raise ValueError("expected at least two classes, received one")
        size = np.abs(values).max()
        values, target = _centered(values), _centered(target)
        # What centering leaves of a constant kernel is rounding, not structure.
        if np.abs(values).max() <= len(values) * np.finfo(float).eps * size:
            raise ValueError("expected a kernel that is not constant, received a constant one")
    return 1.0 - kernel_distance(values, target)


def _target_kernel(labels: Tensor) -> np.ndarray:
    """YYᵀ of one-hot classes, or of targets."""
    if labels.is_floating_point():
        if labels.ndim not in (1, 2):
            raise ValueError(f"expected targets (n,) or (n, k), received {tuple(labels.shape)}")
        targets = np.asarray(labels.double()).reshape(len(labels), -1)
        return targets @ targets.T
    if labels.ndim != 1:
        raise ValueError(f"expected class numbers (n,), received {tuple(labels.shape)}")
    classes = np.asarray(labels)
    return (classes[:, None] == classes[None, :]).astype(float)


def _centered(kernel: np.ndarray) -> np.ndarray:
    rows = kernel - kernel.mean(axis=0, keepdims=True)
    return rows - rows.mean(axis=1, keepdims=True)


class KernelVelocity(NamedTuple):
    """Speed of the kernel between neighboring checkpoints.

    Attributes:
        epoch: geometric mean of the two epochs, (T - 1,).
        velocity: distance over the difference of the epochs' natural logarithms, (T - 1,).
    """

    epoch: Float[np.ndarray, " steps"]
    velocity: Float[np.ndarray, " steps"]


def kernel_velocity(
    epochs: Points,
    distance: Points,
) -> KernelVelocity:
    """Kernel velocity dS/dlog(epoch) (Fort et al. 2020, with training time on its log axis).

    Args:
        epochs: T epochs in increasing order, all positive: epoch 0 has no logarithm, leave it out.
        distance: the T - 1 distances of neighbors, such as ``np.diagonal(pairwise, 1)``.

    Returns:
        Epochs and velocities, T - 1 each.

    Raises:
        ValueError: sizes don't fit, fewer than two epochs, a number that is not finite, or epochs
            not positive and increasing.

    >>> kernel_velocity(np.array([1.0, np.e]), np.array([0.5])).velocity
    array([0.5])
    """
    if len(epochs) < 2 or len(distance) != len(epochs) - 1:
        raise ValueError(
            f"expected T >= 2 epochs and T - 1 distances, received {len(epochs)}, {len(distance)}"
        )
    places, steps = finite_array(epochs, "epochs", 1), finite_array(distance, "distances", 1)
    if not (places[0] > 0 and (np.diff(places) > 0).all()):
        raise ValueError(f"expected positive, increasing epochs, received {places.tolist()}")
    logs = np.log(places)
    return KernelVelocity(np.exp((logs[1:] + logs[:-1]) / 2), steps / np.diff(logs))

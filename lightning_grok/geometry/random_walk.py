"""Weights that moved as far as training moved them, in directions that mean nothing."""

from collections.abc import Mapping

import torch
from torch import Tensor


def squared_steps(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """‖θ' - θ‖² of every parameter, in float64. Cost: one pass over the parameters.

    Args:
        before, after: parameters by name, of the same shapes.

    >>> squared_steps({"a": torch.zeros(2)}, {"a": torch.tensor([3.0, 4.0])})
    {'a': 25.0}
    """
    return {
        name: float((after[name].detach().double() - value.double()).square().sum())
        for name, value in before.items()
    }


def random_walk(
    start: Mapping[str, Tensor], squares: Mapping[str, float], seed: int
) -> dict[str, Tensor]:
    """Where a random walk from `start` stands whose steps were as long as some training's.

    A step of length s is a Gaussian vector with E ‖step‖² = s² in its parameter. Independent steps
    add up to one Gaussian vector with the sum of their squares, which is drawn at once: a walk of a
    thousand steps costs no more than one, and its distance from the start grows as √steps.
    A quantity says more than that the weights have moved where it leaves the band of such walks.

    Args:
        start: parameters by name, on the CPU.
        squares: for every parameter that walks the sum of its squared steps; others stay.
        seed: of the directions; the same for any sums, so that a walk goes on where it went.

    Returns:
        new parameters of the same names, shapes and dtypes.
    """
    generator = torch.Generator().manual_seed(seed)
    walked = {}
    for name, value in start.items():
        if name not in squares:
            walked[name] = value
            continue
        direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        scale = (squares[name] / max(1, value.numel())) ** 0.5
        walked[name] = (value.double() + scale * direction).to(value.dtype)
    return walked

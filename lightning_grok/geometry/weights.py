"""Norms of a network's parameters and the angle between two sets of them, in float64."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class ParameterNorms(NamedTuple):
    """Euclidean norms, biases included.

    Attributes:
        total: ‖θ‖ over all parameters.
        layers: the norm of each layer's parameters, by the name of the module that owns them; a
            parameter of the whole network itself stands under its own name.
    """

    total: float
    layers: dict[str, float]


def parameter_norms(parameters: Mapping[str, Tensor]) -> ParameterNorms:
    """Norms of parameters named ``<layer>.<weight or bias>``.

    Raises:
        ValueError: there are no parameters.

    >>> import torch
    >>> parameter_norms({"a.weight": torch.tensor([3.0]), "a.bias": torch.tensor([4.0])})
    ParameterNorms(total=5.0, layers={'a': 5.0})
    """
    if not parameters:
        raise ValueError("expected at least one parameter, received none")
    squares: dict[str, float] = {}
    for name, value in parameters.items():
        layer = name.rpartition(".")[0] or name
        squares[layer] = squares.get(layer, 0.0) + float(value.detach().double().square().sum())
    layers = {layer: square**0.5 for layer, square in squares.items()}
    return ParameterNorms(sum(squares.values()) ** 0.5, layers)


def parameter_cosine(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """θ₁·θ₂ / (‖θ₁‖ ‖θ₂‖), in [-1, 1]; NaN where one of them is zero.

    Args:
        first, second: parameters by name, as ``dict(model.named_parameters())`` gives them.

    Raises:
        ValueError: the two don't hold the same names and shapes.

    >>> import torch
    >>> one, other = {"a": torch.tensor([1.0, 0.0])}, {"a": torch.tensor([1.0, 1.0])}
    >>> round(parameter_cosine(one, other), 4)
    0.7071
    """
    shapes = [{name: tuple(value.shape) for name, value in p.items()} for p in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"expected the same parameters twice, received {shapes[0]}, {shapes[1]}")
    product = sum(float((first[n].detach().double() * second[n].detach()).sum()) for n in first)
    norms = parameter_norms(first).total * parameter_norms(second).total
    return product / norms if norms > 0 else float("nan")

"""The network of the study: a multilayer perceptron with a scaled start and a scaled output.

The paper builds ``Sequential(Linear, ReLU, Linear, ReLU, Linear, ReLU, Linear)``, multiplies every
parameter after PyTorch's default initialization by the weight scale (alpha') and every output by
the output scale (alpha). `MLP.layers` is that Sequential, so ``layers.0`` to ``layers.6`` are the
paper's names: even ones are linear maps, odd ones activations, and `output_scale` acts after the
last. For its MNIST studies the paper counts from the flattened input: its ``mlp.k`` is
``layers.{k-1}`` here and its ``mlp.0`` is the input itself.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Activation = Literal["relu", "gelu", "tanh", "sigmoid", "silu", "identity"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}

_MOST_WEIGHTS = 250_000_000  # 1 GB in float32, before gradients and moments


class MLP(nn.Module):
    """Multilayer perceptron f(x) = output_scale * layers(x) with a scaled initialization.

    Args:
        in_features: input dimension; images are flattened to it.
        hidden: widths of the hidden layers, the paper's (128, 512, 128) by default.
        num_classes: number of outputs.
        weight_scale: factor on every parameter, biases included, after PyTorch's default
            initialization (alpha' of the paper; its text says weights, its code scales both).
        output_scale: factor on the output (alpha of the paper).
        activation: elementwise activation between linear layers.

    Attributes:
        layers: the Sequential.
        arguments: what ``MLP(**arguments)`` needs to build such a network anew.
        of_the_start: names of the arguments that say only how weights are drawn.

    Raises:
        ValueError: a width or a scale is not positive, or the activation is unknown.
    """

    of_the_start = ("weight_scale",)

    def __init__(
        self,
        in_features: int = 784,
        hidden: Sequence[int] = (128, 512, 128),
        num_classes: int = 47,
        weight_scale: float = 1.0,
        output_scale: float = 1.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        widths = [in_features, *hidden, num_classes]
        if min(widths) < 1:
            raise ValueError(f"expected layer widths of at least 1, received {widths}")
        size = sum(a * b for a, b in pairwise(widths))
        if size > _MOST_WEIGHTS:
            raise ValueError(
                f"expected hidden layers of at most {_MOST_WEIGHTS:,} weights, received {size:,}"
            )
        for name, scale in (("weight_scale", weight_scale), ("output_scale", output_scale)):
            if not 0 < scale < float("inf"):
                raise ValueError(f"expected a positive finite {name}, received {scale}")
        if activation not in _ACTIVATIONS:
            names = ", ".join(_ACTIVATIONS)
            raise ValueError(f"expected an activation of {names}; received {activation!r}")
        modules: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            modules += [nn.Linear(fan_in, fan_out), _ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*modules[:-1])
        self.arguments: dict[str, Any] = {
            "in_features": in_features,
            "hidden": list(hidden),
            "num_classes": num_classes,
            "weight_scale": weight_scale,
            "output_scale": output_scale,
            "activation": activation,
        }
        self.in_features = in_features
        self.num_classes = num_classes
        self.output_scale = output_scale
        self._scale()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as a new network of the same arguments does."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
        self._scale()

    def _scale(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(self.arguments["weight_scale"])

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "n classes"]:
        """Logits of a batch of vectors (n, in_features) or of images (n, 1, height, width)."""
        # A single unbatched vector arrives under torch.func.vmap.
        features = inputs if inputs.ndim < 3 else inputs.flatten(1)
        outputs = self.layers(features)
        return outputs if self.output_scale == 1 else outputs * self.output_scale

    @property
    def layer_names(self) -> list[str]:
        """Names of all layers, input side first: ``layers.0``, ``layers.1``, ..."""
        return [f"layers.{index}" for index in range(len(self.layers))]

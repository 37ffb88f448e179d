"""Local complexity: how many kinks of a network pass close to a point, layer by layer."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.activations import record

_ROWS = 8192  # of vertices that go through the network at once


def local_complexity(
    model: nn.Module,
    inputs: Tensor,
    labels: object = None,
    *,
    radius: float = 0.1,
    directions: int = 25,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Units whose pre-activation changes sign among the vertices x ± r o about a sample x.

    Humayun et al. (2024, arXiv 2402.15555). The orthonormal directions o are the same for all
    samples, epochs and devices. The count falls where linear regions have moved away from the
    samples. Scaling all weights and biases of a layer changes nothing; of units without a kink at 0
    the sign is a convention.

    Args:
        model: any network of real-valued inputs; read in eval mode, not changed.
        inputs: (n, ...), finite.
        labels: not looked at.
        radius: r > 0, in units of the inputs.
        directions: how many o; as many as the inputs have dimensions, where those are fewer.
        layers: whose outputs are pre-activations; None takes every linear layer and convolution
            but the last.
        seed: of the directions.

    Returns:
        The mean over the samples of the number of units, by layer, and their sum as ``total``. Cost
        of 2 `directions` forward passes of every sample.

    Raises:
        ValueError: inputs that are no real numbers, no layer, or radius and directions that aren't
            positive.

    >>> network = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    >>> _ = network[0].weight.data.fill_(1), network[0].bias.data.fill_(-1)
    >>> local_complexity(network, torch.tensor([[0.95], [2.0]]))
    {'0': 0.5, 'total': 0.5}
    """
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2:
        raise ValueError("expected real-valued inputs (n, ...), received something else")
    if not radius > 0 or directions < 1:
        raise ValueError(
            f"expected a positive radius and directions, received {radius:g} and {directions}"
        )
    chosen = _before_the_last(model) if layers is None else list(layers)
    if not chosen:
        raise ValueError("expected a network with a hidden linear layer or convolution")
    shape = inputs.shape[1:]
    axes = radius * _orthonormal(shape.numel(), directions, seed).to(inputs)
    steps = torch.cat([axes, -axes]).view(-1, *shape)  # (v ...)
    crossed = dict.fromkeys(chosen, 0)
    for samples in inputs.split(max(1, _ROWS // len(steps))):
        vertices = (samples[:, None] + steps).flatten(0, 1)
        for name, values in record(model, chosen, vertices).items():
            positive = (values > 0).view(len(samples), len(steps), -1)
            crossed[name] += int((positive.any(1) & ~positive.all(1)).sum())
    found = {name: count / len(inputs) for name, count in crossed.items()}
    return {**found, "total": sum(found.values())}


def _orthonormal(size: int, count: int, seed: int) -> Float[Tensor, "k d"]:
    """Up to `count` random orthonormal rows, drawn on the CPU in float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(size, min(count, size), generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q.T.contiguous()


def _before_the_last(model: nn.Module) -> list[str]:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)][:-1]

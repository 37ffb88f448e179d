"""Gradients and Adam's updates beside the weights that they change."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


def perpendicular_gradient(
    gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """g - (⟨w, g⟩ / ⟨w, w⟩) w, rescaled to the norm of g (⊥Grad: Prieto et al. 2025).

    A step along it leaves ‖w‖ as it is to first order, so that the loss can't be lowered by scaling
    the logits. Where w is 0, or g parallel to it, nothing is rescaled.

    Args:
        gradient: g, of one parameter, of any shape.
        weight: w, of the same shape.

    Returns:
        A gradient of that shape; g itself where w is 0.

    >>> perpendicular_gradient(torch.tensor([3.0, 4.0]), torch.tensor([2.0, 0.0]))
    tensor([0., 5.])
    """
    square = (weight * weight).sum()
    if not square > 0:
        return gradient
    left = gradient - (weight * gradient).sum() / square * weight
    norm = left.norm()
    return left * (gradient.norm() / norm) if norm > 0 else left


ADAMS = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SparseAdam)
"""Optimizers whose steps are Adam's: -lr m̂ / (√v̂ + ε)."""


class AdamUpdate(NamedTuple):
    """What an optimizer of Adam's kind makes of one parameter's gradients.

    Attributes:
        direction: m̂ / (√v̂ + ε), by which the learning rate multiplies: of order 1 where successive
            gradients agree.
        root: √v̂.
        below: number of entries with √v̂ < ε, where ε sets the size of the step.
    """

    direction: Tensor
    root: Tensor
    below: int


def adam_update(state: Mapping[str, Any], options: Mapping[str, Any]) -> AdamUpdate:
    """The last update of a parameter, from an optimizer's state.

    It is computed in float32 at least, as the step is: ε of 1e-8 is 0 in float16.

    Args:
        state: ``exp_avg``, ``exp_avg_sq`` and, where the moments are corrected for their start at
            0, the number of steps as ``step``.
        options: of the parameter's group: ``betas`` and ``eps``.
    """
    steps = float(state.get("step", options.get("step", torch.inf)))
    first, second = (1 - float(beta) ** steps for beta in options["betas"])
    average, squares = state["exp_avg"], state.get("max_exp_avg_sq", state["exp_avg_sq"])
    if squares.dtype in (torch.float16, torch.bfloat16):
        average, squares = average.float(), squares.float()
    root = (squares / second).sqrt() if second > 0 else squares.sqrt()
    mean = average / first if first > 0 else average
    eps = float(options["eps"])
    return AdamUpdate(mean / (root + eps), root, int((root < eps).sum()))


def optimizer_scale(
    optimizers: Iterable[torch.optim.Optimizer], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """P of the next step θ ← θ - P⁻¹ m: (√v̂ + ε) / lr of Adam and AdamW, 1 / lr of SGD.

    Args:
        optimizers: other classes, whose steps are others, are left out; so are weight decay and
            schedules within a step.
        parameters: the network's, by name.

    Returns:
        By name, in the shape of the parameter; what has made no step yet is left out.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    scales = {}
    for optimizer in optimizers:
        if type(optimizer) not in (*ADAMS, torch.optim.SGD):
            continue
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                waits = not state and (type(optimizer) in ADAMS or group["momentum"] > 0)
                if waits or id(parameter) not in names:
                    continue
                scale = torch.ones_like(parameter, requires_grad=False)
                if "exp_avg_sq" in state:
                    scale = adam_update(state, group).root + float(group["eps"])
                scales[names[id(parameter)]] = scale / torch.as_tensor(group["lr"]).to(scale)
    return scales


def rms(tensors: Iterable[Tensor]) -> float:
    """Root mean square of all entries of all tensors, in float64; NaN of none.

    >>> rms([torch.tensor([3.0]), torch.tensor([[4.0]])])
    3.5355339059327378
    """
    square = count = 0.0
    for tensor in tensors:
        square += float(tensor.detach().double().square().sum())
        count += tensor.numel()
    return (square / count) ** 0.5 if count else float("nan")

"""Adam and AdamW in their fused form on the CPU, without what PyTorch does around it every step.

`torch.optim` asks at every step whether some graph is being captured on an accelerator, which on a
machine without one searches for the driver: 0.2 ms, as long as the update itself. The numbers are
those of ``torch.optim.AdamW(fused=True)``, and so is the state that a checkpoint holds.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter


class _FusedStep(torch.optim.Optimizer):
    """The step of an Adam-like optimizer as one call of its fused kernel per group."""

    _kernel: Callable[..., Any]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; the result of `closure`, called first."""
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        with torch.no_grad():
            for group in self.param_groups:
                self._update(group)
        return result

    def _update(self, group: dict[str, Any]) -> None:
        parameters = [each for each in group["params"] if each.grad is not None]
        if not parameters:
            return
        states = [self.state[each] or self._started(each) for each in parameters]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        self._kernel(
            parameters,
            [each.grad for each in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],  # for amsgrad
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _started(self, parameter: Parameter) -> dict[str, Tensor]:
        """The state of a parameter before its first step."""
        self.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        return self.state[parameter]


class FusedAdamW(_FusedStep, torch.optim.AdamW):
    """AdamW, decoupled weight decay (Loshchilov and Hutter, 2019), for parameters on the CPU.

    Args:
        parameters: to optimize, or groups of them.
        lr: learning rate.
        weight_decay: a step multiplies parameters by 1 - lr * weight_decay.
    """

    _kernel = staticmethod(torch._fused_adamw_)

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 1e-3, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)


class FusedAdam(_FusedStep, torch.optim.Adam):
    """Adam (Kingma and Ba, 2015), weight decay as an L2 term, for parameters on the CPU.

    Args:
        parameters: to optimize, or groups of them.
        lr: learning rate.
        weight_decay: factor of the parameters that is added to their gradients.
    """

    _kernel = staticmethod(torch._fused_adam_)

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 1e-3, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)

"""The local learning coefficient: how degenerate the minimum is that a network stands in."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from lightning_grok.geometry.activations import evaluating
from lightning_grok.geometry.losses import Loss, MeanLoss, mean_loss


class LearningCoefficient(NamedTuple):
    """An estimate λ̂ of the local learning coefficient (Lau et al. 2023).

    Attributes:
        value: mean over the chains; k/2 for k directions of a quadratic bowl, less where the bowl
            is flat.
        standard_error: of the mean, over the chains; NaN for one chain.
        chains: (chains,) the estimate of each.
        trace: (chains, draws) losses halfway between steps, to see whether chains have settled.
        start: the mean loss at the weights.
    """

    value: float
    standard_error: float
    chains: np.ndarray
    trace: np.ndarray
    start: float


def learning_coefficient(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss | MeanLoss = "cross_entropy",
    *,
    temperature: float | None = None,
    step_size: float = 1e-4,
    localization: float = 100.0,
    chains: int = 4,
    draws: int = 200,
    burn_in: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
) -> LearningCoefficient:
    """λ̂ = nβ (E[L(w)] - L(w*)) over stochastic gradient Langevin dynamics about w*.

    One step is w ← w + (ε/2) (-nβ ∇L(w) + γ (w* - w)) + N(0, ε). For a quadratic loss with
    eigenvalues h the weights settle at a variance of 1 / (a (1 - ε a / 4)), a = nβ h + γ, too large
    by the last factor. Losses are therefore taken halfway between two steps, where the variance is
    1 / a whatever ε: the estimate is Σ nβ h / (2 a), free of the step's bias up to terms beyond the
    quadratic. The localization γ leaves it too small, and is stated beside a result that is to be
    compared. w* should be a minimum of these samples' loss: with weight decay it is not quite, and
    an estimate below 0 says so.

    Args:
        model: any network; read in eval mode, not changed.
        inputs: n samples.
        targets: theirs.
        loss: by its name, or f(outputs, targets), a mean over samples.
        temperature: nβ; None takes n / ln n.
        step_size: ε.
        localization: γ.
        chains: independent ones.
        draws: losses averaged of each.
        burn_in: steps of each that are not counted.
        batch_size: samples a step; None takes all.
        seed: of the noise and the batches.

    Returns:
        the estimate, with its chains and their trace. Cost chains (draws + burn_in) gradients, and
        chains draws losses.

    Raises:
        ValueError: an option is out of range.
        ArithmeticError: a chain diverged (a smaller step helps), or w* is no minimum: the loss fell
            below L(w*) by more than the chains' spread explains. A measurement leaves out such an
            epoch and goes on.
    """
    n = len(inputs)
    least = {"chains": chains, "draws": draws, "step_size": step_size, "samples": n - 1}
    for name, number in least.items():
        if not number > 0:
            raise ValueError(f"expected positive {name}, received {number}")
    if burn_in < 0 or localization < 0:
        raise ValueError(f"expected burn_in and localization of at least 0, received {burn_in}")
    strength = n / np.log(n) if temperature is None else temperature
    size = n if batch_size is None else min(batch_size, n)
    with evaluating(model):
        center = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

        def of_weights(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return of_outputs(functional_call(model, weights, (x,)), y)

        of_outputs = mean_loss(loss, targets)
        with torch.no_grad():
            start = float(of_weights(center, inputs, targets))
        step = grad(of_weights)
        trace = np.empty((chains, draws))
        for chain in range(chains):
            generator = torch.Generator(device=inputs.device).manual_seed(seed + chain)
            weights = {name: value.clone() for name, value in center.items()}
            for number in range(-burn_in, draws):
                x, y = inputs, targets
                if size < n:
                    rows = torch.randperm(n, generator=generator, device=inputs.device)[:size]
                    x, y = inputs[rows], targets[rows]
                gradient = step(weights, x, y)
                before = weights
                weights = {}
                for name, weight in before.items():
                    pull = localization * (center[name] - weight) - strength * gradient[name]
                    noise = torch.randn(
                        weight.shape, generator=generator, device=weight.device, dtype=weight.dtype
                    )
                    weights[name] = weight + step_size / 2 * pull + step_size**0.5 * noise
                if number >= 0:
                    halfway = {name: (before[name] + weights[name]) / 2 for name in weights}
                    with torch.no_grad():
                        trace[chain, number] = float(of_weights(halfway, x, y))
    if not np.isfinite(trace).all():
        raise ArithmeticError(
            f"expected chains that stay finite, received infinite losses: a step_size below "
            f"{step_size:g} helps"
        )
    estimates = strength * (trace.mean(axis=1) - start)
    error = float(estimates.std(ddof=1) / chains**0.5) if chains > 1 else float("nan")
    value = float(estimates.mean())
    if value < 0 and not abs(value) < 3 * error:
        raise ArithmeticError(
            f"expected weights at a minimum of this loss, received an estimate of {value:.3g}: the "
            "loss falls away from them"
        )
    return LearningCoefficient(value, error, estimates, trace, start)

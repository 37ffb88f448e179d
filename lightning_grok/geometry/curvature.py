"""How a loss bends about a network's weights: commutators of batches, sharpness, gradient noise.

All functions take a network and a loss, by its name or as f(outputs, targets), a mean over samples,
read the network in eval mode and change nothing. Gradients are taken with respect to the parameters
that require them.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from lightning_grok.geometry.activations import evaluating
from lightning_grok.geometry.losses import Loss, MeanLoss, mean_loss

LabeledBatch = tuple[Tensor, Tensor]

_BASIS = 12  # Lanczos vectors; all are made before convergence is looked at for the first time


class Commutator(NamedTuple):
    """How much gradient steps on two batches depend on their order.

    Attributes:
        defect: ‖H_B g_A - H_A g_B‖ / (‖g_A‖ ‖g_B‖): the difference of the two orders' weights per
            unit of both steps, in the limit of small steps. Scaling the loss changes nothing;
            halving all weights of a scale-invariant network doubles it.
        relative: ‖H_B g_A - H_A g_B‖ / (‖H_B g_A‖ + ‖H_A g_B‖), in [0, 1].
    """

    defect: float
    relative: float


class GradientNoise(NamedTuple):
    """Per-sample gradients beside their mean; both estimates are corrected for their bias.

    Attributes:
        signal_to_noise: mean over parameters of (E g)² / Var g, where the gradient varies.
        noise_scale: tr Σ / ‖G‖², the batch size at which noise and signal are alike; NaN where the
            signal is not told from 0.
    """

    signal_to_noise: float
    noise_scale: float


def commutator(
    model: nn.Module,
    first: LabeledBatch,
    second: LabeledBatch,
    loss: Loss | MeanLoss = "cross_entropy",
) -> Commutator:
    """The commutator of two batches' gradient fields, without a step size.

    It is what (θ_AB - θ_BA) / (η² ‖g_A‖ ‖g_B‖) of Xu (arXiv 2602.16746) becomes for small steps,
    free of the rounding that a small step suffers. Cost of two gradients and two Hessian-vector
    products.

    Args:
        model: any network.
        first: inputs and targets A.
        second: inputs and targets B.
        loss: f(outputs, targets), a mean over the batch.

    Raises:
        ValueError: no parameter requires a gradient, or a batch has no gradient at all.
    """
    with evaluating(model):
        weights = _trained(model)
        of_first, of_second = (_loss_of_weights(model, *batch, loss) for batch in (first, second))
        g_first, g_second = grad(of_first)(weights), grad(of_second)(weights)
        (bent_first,) = vjp(grad(of_second), weights)[1](g_first)  # H_B g_A: H is symmetric
        (bent_second,) = vjp(grad(of_first), weights)[1](g_second)
    norms = _norm(g_first) * _norm(g_second)
    if norms == 0:
        raise ValueError("expected batches with a gradient, received one whose gradient is 0")
    bracket = _norm({name: bent_first[name] - bent_second[name] for name in weights})
    whole = _norm(bent_first) + _norm(bent_second)
    return Commutator(bracket / norms, bracket / whole if whole > 0 else 0.0)


def split_commutator(
    model: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss | MeanLoss = "cross_entropy"
) -> Commutator:
    """`commutator` of the first and the second half of the samples.

    Args:
        model: any network.
        inputs: (n, ...) with n >= 2, in random order.
        targets: (n, ...).
        loss: as for `commutator`.

    Raises:
        ValueError: fewer than two samples, or as for `commutator`.
    """
    half = len(inputs) // 2
    if half < 1:
        raise ValueError(f"expected at least 2 samples, received {len(inputs)}")
    first, second = (inputs[:half], targets[:half]), (inputs[half:], targets[half:])
    return commutator(model, first, second, loss)


def sharpness(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss | MeanLoss = "cross_entropy",
    *,
    preconditioner: Mapping[str, Tensor] | None = None,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> float:
    """Largest eigenvalue of the Hessian of the mean loss, by Lanczos iterations (ARPACK).

    With Adam's preconditioner, √v̂ + ε, it is that of P^-½ H P^-½, which training drives to
    (2 + 2 β₁) / ((1 - β₁) lr), 38 / lr for β₁ = 0.9 (Cohen et al. 2022). Cost of 13 to
    25 Hessian-vector products.

    Args:
        model: any network.
        inputs: whatever it takes, n samples.
        targets: whatever `loss` takes.
        loss: f(outputs, targets), a mean over samples.
        preconditioner: positive P by parameter name; None is 1.
        tolerance: relative, of the eigenvalue.
        seed: of the start.

    Raises:
        ValueError: no parameter requires a gradient, a preconditioner doesn't fit, or the
            iterations don't converge.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    with evaluating(model):
        weights = _trained(model)
        scales = {
            name: torch.ones_like(value) if preconditioner is None else preconditioner[name]
            for name, value in weights.items()
            if preconditioner is None or name in preconditioner
        }
        if scales.keys() != weights.keys() or any((s <= 0).any() for s in scales.values()):
            raise ValueError("expected a positive preconditioner of every trained parameter")
        roots = _flat({name: scale.rsqrt() for name, scale in scales.items()})
        times_hessian = vjp(grad(_loss_of_weights(model, inputs, targets, loss)), weights)[1]

        def multiply(vector: np.ndarray) -> np.ndarray:
            tangent = _like(torch.as_tensor(vector).to(roots).flatten() * roots, weights)
            product = _flat(times_hessian(tangent)[0]) * roots
            return product.double().cpu().numpy()

        size = len(roots)
        if size < 3:  # too small for Lanczos
            dense = np.stack([multiply(row) for row in np.eye(size)])
            return float(np.linalg.eigvalsh(dense)[-1])
        start = np.random.default_rng(seed).normal(size=size)
        operator = LinearOperator((size, size), matvec=multiply, dtype=np.float64)
        try:
            found = eigsh(
                operator,
                1,
                which="LA",
                tol=tolerance,
                v0=start,
                ncv=min(size, _BASIS),
                return_eigenvectors=False,
            )
        except ArpackError as error:
            raise ValueError(f"expected Lanczos iterations that converge: {error}") from None
    return float(found[0])


def adaptive_sharpness(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss | MeanLoss = "cross_entropy",
    *,
    optimizer_scale: Mapping[str, Tensor] | None,
) -> float:
    """Sharpness in units of the optimizer's own steps, (√v̂ + ε) / lr of Adam.

    A quadratic loss is unstable above (2 + 2 β₁) / (1 - β₁), 38 for β₁ = 0.9 (Cohen et al. 2022);
    for SGD with momentum β above 2 + 2 β. In a training it is measured with the optimizer's state
    as it is; NaN before the first step. Cost, loss and errors as of `sharpness`.

    Args:
        model, inputs, targets, loss: as of `sharpness`.
        optimizer_scale: as of `lightning_grok.geometry.optimizer_scale`; None where there is none.
    """
    if not optimizer_scale:
        return float("nan")
    return sharpness(model, inputs, targets, loss, preconditioner=optimizer_scale)


def gradient_noise(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss | MeanLoss = "cross_entropy",
    *,
    batch_size: int = 16,
) -> GradientNoise:
    """Signal to noise of per-sample gradients and the noise scale of McCandlish et al. (2018).

    The plug-in of (E g)² is too large by Var g / n, which is taken off. Cost of n gradients, in
    chunks of `batch_size` whose per-sample gradients are held at once.

    Args:
        model: a network whose samples don't see each other (no batch statistics: eval mode).
        inputs: (n, ...) with n >= 2.
        targets: (n, ...).
        loss: f(outputs, targets), a mean over samples.
        batch_size: samples whose gradients are held at once.

    Raises:
        ValueError: fewer than two samples, or no parameter requires a gradient.
    """
    n = len(inputs)
    if n < 2:
        raise ValueError(f"expected at least 2 samples, received {n}")
    with evaluating(model):
        weights = _trained(model)

        def of_sample(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            outputs = functional_call(model, parameters, (x[None],))
            return of_outputs(outputs, y[None])

        of_outputs = mean_loss(loss, targets)
        total = torch.zeros_like(_flat(weights), dtype=torch.float64)
        squares = torch.zeros_like(total)
        per_sample = vmap(grad(of_sample), in_dims=(None, 0, 0), randomness="different")
        for start in range(0, n, batch_size):
            chunk = slice(start, start + batch_size)
            gradients = per_sample(weights, inputs[chunk], targets[chunk])
            flat = torch.cat([g.flatten(1) for g in gradients.values()], dim=1).double()
            total += flat.sum(0)
            squares += flat.square_().sum(0)
    mean = total / n
    variance = ((squares - n * mean.square()) / (n - 1)).clamp_min(0)
    signal = mean.square() - variance / n
    varies = variance > torch.finfo(torch.float64).eps * squares
    ratio = float((signal[varies] / variance[varies]).mean()) if varies.any() else float("nan")
    strength = float(signal.sum())
    noise = float(variance.sum()) / strength if strength > 0 else float("nan")
    return GradientNoise(ratio, noise)


def _trained(model: nn.Module) -> dict[str, Tensor]:
    found = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError("expected a network with a parameter that requires a gradient")
    return found


def _loss_of_weights(
    model: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss | MeanLoss
) -> Callable[[dict[str, Tensor]], Tensor]:
    def of_weights(weights: dict[str, Tensor]) -> Tensor:
        return of_outputs(functional_call(model, weights, (inputs,)), targets)

    of_outputs = mean_loss(loss, targets)
    return of_weights


def _norm(values: Mapping[str, Tensor]) -> float:
    return float(sum(value.double().square().sum() for value in values.values())) ** 0.5


def _flat(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values.values()])


def _like(vector: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = vector.split([value.numel() for value in weights.values()])
    return {
        name: part.view_as(value)
        for (name, value), part in zip(weights.items(), parts, strict=True)
    }

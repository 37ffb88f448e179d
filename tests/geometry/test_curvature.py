"""Commutators, sharpness and gradient noise against dense Hessians and closed forms."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from lightning_grok.geometry.curvature import commutator, gradient_noise, sharpness


class Weights(nn.Module):
    """A vector of weights; outputs are (w - x) for each input x."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.w - inputs


def quadratic(outputs: Tensor, matrices: Tensor) -> Tensor:
    """Mean of ½ (w - x)ᵀ M (w - x)."""
    return (torch.einsum("nd,nde,ne->n", outputs, matrices, outputs) / 2).mean()


def bowls() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(2):
        root = torch.randn(1, 3, 3, generator=generator, dtype=torch.float64)
        center = torch.randn(1, 3, generator=generator, dtype=torch.float64)
        batches.append((center, root @ root.mT))
    return batches


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()


@pytest.fixture
def samples() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(12, 4, dtype=torch.float64), torch.arange(12) % 3


def dense_hessian(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    network.eval()
    names = [name for name, _ in network.named_parameters()]
    shapes = [p.shape for p in network.parameters()]
    flat = torch.cat([p.detach().flatten() for p in network.parameters()])

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([s.numel() for s in shapes])
        weights = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        return F.cross_entropy(functional_call(network, weights, (inputs,)), labels)

    return jacrev(jacrev(loss))(flat)


def test_two_bowls_have_the_commutator_of_their_matrices() -> None:
    model, (first, second) = Weights([0.3, -1.0, 2.0]), bowls()
    a, b, w = first[1][0], second[1][0], model.w.detach()
    g_a, g_b = a @ (w - first[0][0]), b @ (w - second[0][0])
    bracket = (b @ g_a - a @ g_b).norm()
    found = commutator(model, first, second, quadratic)
    assert found.defect == pytest.approx(float(bracket / (g_a.norm() * g_b.norm())), rel=1e-12)
    whole = (b @ g_a).norm() + (a @ g_b).norm()
    assert found.relative == pytest.approx(float(bracket / whole), rel=1e-12)


def test_it_is_the_limit_of_two_orders_of_steps() -> None:
    model, (first, second) = Weights([0.3, -1.0, 2.0]), bowls()
    ends, rate = [], 1e-4

    def step(w: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        return w - rate * batch[1][0] @ (w - batch[0][0])

    start = model.w.detach()
    ends = [step(step(start, first), second), step(step(start, second), first)]
    norms = [(start - step(start, batch)).norm() for batch in (first, second)]
    published = float((ends[0] - ends[1]).norm() / (norms[0] * norms[1]))
    assert commutator(model, first, second, quadratic).defect == pytest.approx(published, rel=1e-6)


def test_a_batch_commutes_with_itself(network: nn.Module, samples: tuple[Tensor, Tensor]) -> None:
    assert commutator(network, samples, samples, F.cross_entropy).relative < 1e-12


def test_sharpness_is_the_dense_hessians(
    network: nn.Module, samples: tuple[Tensor, Tensor]
) -> None:
    expected = torch.linalg.eigvalsh(dense_hessian(network, *samples))[-1]
    assert sharpness(network, *samples, tolerance=1e-8) == pytest.approx(float(expected), rel=1e-6)


def test_preconditioned_sharpness_too(network: nn.Module, samples: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(2)
    scales = {name: torch.rand_like(p) + 0.1 for name, p in network.named_parameters()}
    roots = torch.cat([scale.flatten() for scale in scales.values()]).rsqrt()
    dense = dense_hessian(network, *samples) * roots[:, None] * roots
    found = sharpness(network, *samples, preconditioner=scales, tolerance=1e-8)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-6)


def test_gradient_noise_is_that_of_one_gradient_at_a_time(
    network: nn.Module, samples: tuple[Tensor, Tensor]
) -> None:
    network.eval()
    rows = []
    for x, y in zip(*samples, strict=True):
        loss = F.cross_entropy(network(x[None]), y[None])
        rows.append(
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, network.parameters())])
        )
    gradients = torch.stack(rows).numpy()
    variance = gradients.var(axis=0, ddof=1)
    signal = gradients.mean(axis=0) ** 2 - variance / len(rows)
    found = gradient_noise(network, *samples, batch_size=5)
    assert found.signal_to_noise == pytest.approx((signal / variance).mean(), rel=1e-9)
    expected = variance.sum() / signal.sum() if signal.sum() > 0 else np.nan
    assert found.noise_scale == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_signal_to_noise_has_no_bias() -> None:
    # Gradients of ½ (w - x)² are w - x: mean 1/4, variance 1, whatever n.
    found = []
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(20, 1, generator=generator, dtype=torch.float64)
        found.append(
            gradient_noise(
                Weights([0.25]), x, x, lambda o, t: o.square().mean() / 2
            ).signal_to_noise
        )
    exact = 0.0625 * 19 / 17 + (19 / 17 - 1) / 20  # E[1/s²] = 19/17 for 19 degrees of freedom
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / 100**0.5)


def test_nothing_of_the_network_is_changed(
    network: nn.Module, samples: tuple[Tensor, Tensor]
) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sharpness(network, *samples)
    commutator(network, samples, samples, F.cross_entropy)
    gradient_noise(network, *samples)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_frozen_networks_are_refused(network: nn.Module, samples: tuple[Tensor, Tensor]) -> None:
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="requires a gradient"):
        sharpness(network, *samples)
    with pytest.raises(ValueError, match="at least 2"):
        gradient_noise(network, samples[0][:1], samples[1][:1])

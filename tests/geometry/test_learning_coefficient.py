"""The local learning coefficient against closed forms of singular and regular minima."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_grok.geometry.langevin import learning_coefficient

N = torch.zeros(1000, 1, dtype=torch.float64)  # samples count by their number only


class Power(nn.Module):
    """A loss Σ h_i |w_i|^k / 2 for every sample."""

    def __init__(self, curvatures: list[float], power: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(len(curvatures), dtype=torch.float64))
        self.curvatures = torch.tensor(curvatures, dtype=torch.float64)
        self.power = power

    def forward(self, inputs: Tensor) -> Tensor:
        return (self.curvatures * self.w.abs() ** self.power).sum() / 2


def loss_itself(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("step", [1e-3, 5e-3])
def test_a_bowl_has_its_closed_form_whatever_the_step(step: float) -> None:
    curvatures, strength, pull = [0.5, 1.0, 4.0], 100.0, 30.0
    a = strength * np.array(curvatures) + pull
    expected = (strength * np.array(curvatures) / (2 * a)).sum()
    biased = (strength * np.array(curvatures) / (2 * a * (1 - step * a / 4))).sum()
    found = learning_coefficient(
        Power(curvatures, 2), N, N, loss_itself, temperature=strength, localization=pull,
        step_size=step, chains=8, draws=1500, burn_in=100,
    )  # fmt: skip
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error)
    assert found.standard_error < 0.06
    assert step < 5e-3 or biased > expected + 6 * found.standard_error
    assert found.trace.shape == (8, 1500)


@pytest.mark.slow
def test_a_fourth_power_counts_a_quarter() -> None:
    found = learning_coefficient(
        Power([2.0], 4), N, N, loss_itself, temperature=1e4, localization=0.0,
        step_size=1e-4, chains=6, draws=15_000, burn_in=3000,
    )  # fmt: skip
    assert found.value == pytest.approx(0.25, abs=max(0.02, 4 * found.standard_error))


def test_no_minimum_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="at a minimum"):
        learning_coefficient(
            Power([-1.0, -1.0], 2), N, N, loss_itself, localization=500.0, draws=50
        )


def test_a_diverging_chain_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="step_size"):
        learning_coefficient(Power([1.0], 2), N, N, loss_itself, step_size=1e6, draws=20)


def test_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    inputs, labels = torch.randn(40, 3), torch.arange(40) % 2
    before = [p.clone() for p in network.parameters()]
    state = torch.random.get_rng_state()
    options = {"chains": 2, "draws": 5, "burn_in": 0, "batch_size": 8, "step_size": 1e-6}
    found = learning_coefficient(network, inputs, labels, **options)
    again = learning_coefficient(network, inputs, labels, **options)
    assert found.value == again.value
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(map(torch.equal, before, network.parameters()))

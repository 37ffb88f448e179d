"""Layer factors: derivatives by pre-activations, and which modules have none."""

import pytest
import torch
from reference import explicit_ntk
from torch import nn

from lightning_grok.geometry import empirical_ntk, ntk_factors
from lightning_grok.geometry.ntk.factors import NotALinearStackError
from lightning_grok.tasks.mlp import MLP


@pytest.fixture
def model() -> MLP:
    torch.manual_seed(0)
    return MLP(5, (7, 6), 3, output_scale=0.5, activation="tanh").double()


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_they_are_the_derivatives_by_the_preactivations(model: MLP, inputs: torch.Tensor) -> None:
    factors = ntk_factors(model, inputs)
    assert (factors.samples, factors.outputs, factors.widths) == (4, 3, (7, 6, 3))
    hidden, preactivations = inputs, []
    for layer, module in enumerate(model.layers):
        if layer % 2 == 0:
            torch.testing.assert_close(factors.layers[layer // 2].inputs, hidden)
            preactivations.append(hidden := module(hidden))
        else:
            hidden = module(hidden)
    outputs = model.output_scale * hidden
    jacobians = factors.jacobians()
    jacobians[-1] = torch.diag_embed(jacobians[-1])
    for k, preactivation in enumerate(preactivations):
        for a in range(3):
            # Samples don't mix, so that the sum over them keeps each one's own derivative.
            expected = torch.autograd.grad(
                outputs[:, a].sum(), preactivation, retain_graph=True, allow_unused=True
            )[0]
            torch.testing.assert_close(jacobians[k][:, a], expected, rtol=1e-12, atol=1e-14)
    assert factors.layers[-1].slope is None


def test_a_slice_of_the_samples_is_a_slice_of_the_factors(model: MLP, inputs: torch.Tensor) -> None:
    factors = ntk_factors(model, inputs)
    for whole, part in zip(factors.jacobians(), factors.jacobians(slice(1, 3)), strict=True):
        torch.testing.assert_close(part, whole[1:3])


def test_nothing_is_shared_with_the_model_or_the_inputs(model: MLP, inputs: torch.Tensor) -> None:
    factors = ntk_factors(model, inputs)
    before = [layer.weight.clone() for layer in factors.layers], factors.layers[0].inputs.clone()
    with torch.no_grad():
        inputs.zero_()
        for parameter in model.parameters():
            parameter.zero_()
    assert all(map(torch.equal, (layer.weight for layer in factors.layers), before[0]))
    assert torch.equal(factors.layers[0].inputs, before[1])


def test_frozen_parameters_have_no_term(model: MLP, inputs: torch.Tensor) -> None:
    model.layers[0].requires_grad_(False)
    model.layers[2].weight.requires_grad_(False)
    factors = ntk_factors(model, inputs)
    assert [layer.name for layer in factors.learning] == ["layers.2", "layers.4"]
    whole = slice(None)
    assert torch.equal(factors.learning[0].gram(whole, whole), torch.ones(4, 4).double())


class Rotated(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.roll(1, dims=1)


class Slope(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.linspace(-1, 1, 5))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.slope * inputs


class Residual(nn.Sequential):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + super().forward(inputs)


class Scaled(MLP):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(inputs)


def shared() -> nn.Sequential:
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer)


def tied() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    model[2].weight = model[0].weight
    return model


def shared_statistics() -> nn.Sequential:
    norm = nn.BatchNorm1d(5)
    return nn.Sequential(nn.Linear(5, 5), norm, nn.ReLU(), nn.Linear(5, 5), norm)


def hooked() -> MLP:
    model = MLP(5, (7,), 5)
    model.layers[1].register_forward_hook(lambda module, inputs, outputs: 3 * outputs)
    return model


OTHERS = {
    "layer norm": lambda: nn.Sequential(nn.Linear(5, 5), nn.LayerNorm(5, elementwise_affine=False)),
    "softmax": lambda: nn.Sequential(nn.Linear(5, 5), nn.Softmax(1), nn.Linear(5, 3)),
    "rotated": lambda: nn.Sequential(nn.Linear(5, 5), Rotated(), nn.Linear(5, 3)),
    "learned slope": lambda: nn.Sequential(nn.Linear(5, 5), Slope()),
    "residual": lambda: Residual(nn.Linear(5, 5), nn.ReLU()),
    "normalized": lambda: nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5, affine=False)),
    "own forward": lambda: Scaled(5, (7,), 3),
    "pooled": lambda: nn.Sequential(nn.Linear(5, 6), nn.AvgPool1d(2), nn.Linear(3, 2)),
    "shared layer": shared,
    "tied weights": tied,
    "shared statistics": shared_statistics,
    "hook": hooked,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_modules_are_refused_and_go_by_autodiff(name: str, inputs: torch.Tensor) -> None:
    torch.manual_seed(2)
    model = OTHERS[name]().double()
    with pytest.raises(NotALinearStackError):
        ntk_factors(model, inputs)
    kernel, expected = empirical_ntk(model, inputs), explicit_ntk(model.eval(), inputs)
    torch.testing.assert_close(kernel, expected, rtol=1e-11, atol=1e-13)
    assert all(type(parameter) is nn.Parameter for parameter in model.parameters())


def test_one_activation_may_stand_in_several_places(inputs: torch.Tensor) -> None:
    torch.manual_seed(2)
    relu = nn.ReLU()
    layers = nn.Linear(5, 6), relu, nn.Linear(6, 6), relu, nn.Linear(6, 3)
    model = nn.Sequential(*layers).double()
    kernel = empirical_ntk(model, inputs, method="factors")
    torch.testing.assert_close(kernel, explicit_ntk(model, inputs), rtol=1e-11, atol=1e-13)

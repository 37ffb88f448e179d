"""The kernel against J Jᵀ of a Jacobian taken one output and one sample at a time."""

from collections.abc import Callable

import jaxtyping
import pytest
import torch
from hypothesis import given, settings, strategies as st
from reference import explicit_jacobians, explicit_ntk
from torch import Tensor, nn

from lightning_grok.geometry import empirical_ntk, layer_ntk
from lightning_grok.tasks.mlp import MLP

KINDS = ("full", "trace", "sum")


def mlp(**options) -> MLP:
    torch.manual_seed(0)
    return MLP(5, (7, 6), 3, **options).double()


def stack(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules).double()


def frozen(model: nn.Module, *names: str) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    return model


STACKS: dict[str, Callable[[], nn.Module]] = {
    **{
        name: lambda name=name: mlp(activation=name, weight_scale=1.5, output_scale=0.3)
        for name in ("relu", "tanh", "gelu", "sigmoid", "silu", "identity")
    },
    "one layer": lambda: nn.Linear(5, 3).double(),
    "no bias": lambda: stack(nn.Linear(5, 7, bias=False), nn.ReLU(), nn.Linear(7, 3, bias=False)),
    "nested, dropout": lambda: stack(
        nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(0.5)), nn.Linear(6, 4)
    ),
    "two activations, one at the end": lambda: stack(
        nn.Linear(5, 6), nn.ReLU(), nn.Tanh(), nn.Linear(6, 4), nn.Sigmoid()
    ),
    "no activation": lambda: stack(nn.Linear(5, 6), nn.Linear(6, 4)),
    "in place": lambda: stack(nn.ReLU(inplace=True), nn.Linear(5, 6), nn.ReLU(inplace=True)),
    "frozen first layer": lambda: frozen(mlp(), "layers.0.weight", "layers.0.bias"),
    "frozen weights": lambda: frozen(mlp(), "layers.2.weight", "layers.4.weight"),
    "frozen biases": lambda: frozen(mlp(), "layers.0.bias", "layers.4.bias"),
    "frozen last layer": lambda: frozen(mlp(), "layers.4.weight", "layers.4.bias"),
    "dead units": lambda: mlp(weight_scale=1e-300),
}


def convolutional() -> nn.Sequential:
    torch.manual_seed(1)
    body = (nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(12, 4)).double()


def vectors(n: int = 6, d: int = 5) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def assert_close(kernel: Tensor, expected: Tensor, relative: float = 1e-12) -> None:
    assert kernel.shape == expected.shape
    error = torch.linalg.norm(kernel.double() - expected)
    assert error <= relative * torch.linalg.norm(expected)


@pytest.mark.parametrize("method", ["factors", "autodiff"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STACKS)
def test_it_is_the_jacobian_times_itself(name: str, kind: str, method: str) -> None:
    torch.manual_seed(3)
    model, inputs = STACKS[name](), vectors()
    expected = explicit_ntk(model.eval(), inputs.clone(), kind)
    kernel = empirical_ntk(model.train(), inputs, kind=kind, method=method, block_size=4)
    assert_close(kernel, expected)
    assert_close(kernel.T, kernel, 1e-15)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.integers(1, 6), min_size=2, max_size=4),
    st.integers(1, 10),
    st.sampled_from(KINDS),
)
def test_any_sizes(samples: int, widths: list[int], block_size: int, kind: str) -> None:
    torch.manual_seed(4)
    *hidden, outputs = widths
    model = MLP(4, hidden, outputs, activation="tanh", output_scale=2).double()
    inputs = vectors(samples, 4)
    expected = explicit_ntk(model, inputs, kind)
    for method in ("factors", "autodiff"):
        kernel = empirical_ntk(model, inputs, kind=kind, method=method, block_size=block_size)
        assert_close(kernel, expected)


@pytest.mark.parametrize("method", ["factors", "autodiff"])
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_within_a_millionth(kind: str, method: str) -> None:
    torch.manual_seed(5)
    model = MLP(20, (32, 16), 10, weight_scale=10)
    inputs = torch.randn(12, 20)
    kernel = empirical_ntk(model, inputs, kind=kind, method=method)
    assert kernel.dtype == torch.float32
    assert_close(kernel, explicit_ntk(model.double(), inputs.double(), kind), 1e-6)


def test_a_dtype_takes_the_same_weights_in_another_precision() -> None:
    torch.manual_seed(5)
    model, inputs = MLP(20, (32, 16), 10), torch.randn(4, 20)
    for method in ("factors", "autodiff"):
        kernel = empirical_ntk(model, inputs, method=method, dtype=torch.float64)
        assert next(model.parameters()).dtype == torch.float32
        oracle = MLP(20, (32, 16), 10).double()
        oracle.load_state_dict(model.state_dict())
        assert_close(kernel, explicit_ntk(oracle, inputs.double()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_convolutional_network_in_evaluation_mode(kind: str) -> None:
    model = convolutional()
    images = vectors(5, 36).reshape(5, 1, 6, 6)
    model(images + 1)  # batch statistics that are not the initial ones
    kernel = empirical_ntk(model, images, kind=kind, block_size=2)
    assert_close(kernel, explicit_ntk(model.eval(), images, kind))


def test_statistics_are_taken_in_the_precision_asked_for() -> None:
    torch.manual_seed(6)
    model = nn.Sequential(
        nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False), nn.ReLU(), nn.Linear(4, 3)
    )
    model(torch.randn(8, 5))
    kernel = empirical_ntk(model, vectors().float(), dtype=torch.float64)
    assert_close(kernel, explicit_ntk(model.double().eval(), vectors().float().double()))


def test_images_are_flattened() -> None:
    model, inputs = mlp(), vectors(4)
    for shape in ((4, 1, 1, 5), (4, 1, 5, 1), (4, 5, 1)):
        for method in ("factors", "autodiff"):
            kernel = empirical_ntk(model, inputs.reshape(shape), method=method)
            assert_close(kernel, explicit_ntk(model, inputs))


@pytest.mark.parametrize("method", ["factors", "autodiff"])
def test_other_parameters_are_used_instead_of_the_models_own(method: str) -> None:
    model, inputs = mlp(), vectors()
    own = empirical_ntk(model, inputs, method=method)
    other = MLP(5, (7, 6), 3, weight_scale=3).double()
    kernel = empirical_ntk(model, inputs, method=method, parameters=other.state_dict())
    assert_close(kernel, explicit_ntk(other, inputs))
    assert torch.equal(empirical_ntk(model, inputs, method=method), own)


@pytest.mark.parametrize("method", ["factors", "autodiff"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["relu", "no bias", "frozen weights", "frozen first layer"])
def test_layers_add_up(name: str, kind: str, method: str) -> None:
    torch.manual_seed(3)
    model, inputs = STACKS[name](), vectors()
    kernels = layer_ntk(model, inputs, kind=kind, method=method)
    learned = {n.rpartition(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert kernels.keys() == learned
    for layer, kernel in kernels.items():
        assert_close(kernel, explicit_ntk(model, inputs, kind, layer))
    total = torch.stack(list(kernels.values())).sum(0)
    assert_close(total, empirical_ntk(model, inputs, kind=kind))


def test_the_output_scale_enters_squared() -> None:
    one, scaled = mlp(output_scale=1), mlp(output_scale=0.25)
    assert_close(empirical_ntk(scaled, vectors()), empirical_ntk(one, vectors()) / 16)


def test_a_linear_model_has_a_kernel_in_closed_form() -> None:
    """f = W x + b: K_ij = (x_i·x_j + 1) I."""
    inputs = vectors(4)
    expected = torch.kron(inputs @ inputs.T + 1, torch.eye(3, dtype=torch.float64))
    assert_close(empirical_ntk(nn.Linear(5, 3).double(), inputs), expected, 1e-14)


def test_the_model_is_left_as_it_was() -> None:
    model, inputs = convolutional(), vectors(3, 36).reshape(3, 1, 6, 6)
    model[1].eval()
    flags = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for method in ("auto", "autodiff"):
        empirical_ntk(model, inputs, method=method)
        empirical_ntk(model[-2:], inputs.flatten(1)[:, :12], method=method)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_inputs_are_left_as_they_were() -> None:
    model = stack(nn.ReLU(inplace=True), nn.Linear(5, 3))
    for method in ("factors", "autodiff"):
        inputs = vectors()
        empirical_ntk(model, inputs, method=method)
        assert torch.equal(inputs, vectors())


def test_the_oracle_is_the_derivative() -> None:
    """The oracle itself against finite differences of one weight."""
    model, inputs = mlp(activation="tanh"), vectors(2)
    jacobian = explicit_jacobians(model, inputs)["layers.2.weight"]
    with torch.no_grad():
        model.layers[2].weight[1, 2] += 1e-6
        above = model(inputs)
        model.layers[2].weight[1, 2] -= 2e-6
        below = model(inputs)
    torch.testing.assert_close(jacobian[:, :, 1 * 7 + 2], (above - below) / 2e-6, atol=1e-8, rtol=0)


class ScalarOutput(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).sum(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "trce"}, "kind full, trace or sum, received 'trce'"),
        ({"method": "jax"}, "method auto, factors or autodiff, received 'jax'"),
        ({"block_size": 0}, "block_size >= 1, received 0"),
        ({"inputs": torch.zeros(0, 5)}, r"n >= 1, received \(0, 5\)"),
        ({"inputs": torch.full((2, 5), torch.nan)}, "finite inputs, received NaN"),
        ({"parameters": {}}, "layers.0.weight of shape .* received nothing"),
        ({"model": nn.Conv1d(5, 5, 1), "method": "factors"}, "received Conv1d"),
        ({"model": nn.ReLU(), "method": "factors"}, "at least one nn.Linear, received none"),
        ({"model": ScalarOutput(5, 3)}, r"outputs \(n, c\), received \(n, \(\)\)"),
    ],
)
@pytest.mark.parametrize("function", [empirical_ntk, layer_ntk])
def test_bad_arguments_are_named(function: Callable, change: dict, message: str) -> None:
    arguments = {"model": MLP(5, (7,), 3), "inputs": torch.ones(2, 5)} | change
    # The type checker of the tests would speak first about an unknown option.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=message):
            function(**arguments)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("method", ["factors", "autodiff"])
def test_what_no_kernel_can_be_taken_of(method: str) -> None:
    inputs = torch.ones(2, 5)
    with pytest.raises(ValueError, match="at least one parameter that requires a gradient"):
        empirical_ntk(MLP(5, (7,), 3).requires_grad_(False), inputs, method=method)
    broken = MLP(5, (7,), 3)
    broken.layers[0].weight.data.fill_(torch.inf)
    with pytest.raises(ValueError, match="finite outputs, received NaN or infinity"):
        empirical_ntk(broken, inputs, method=method)
    short = {key: value[:1] for key, value in MLP(5, (7,), 3).state_dict().items()}
    with pytest.raises(ValueError, match=r"layers.0.weight of shape \(7, 5\), received \(1, 5\)"):
        empirical_ntk(MLP(5, (7,), 3), inputs, method=method, parameters=short)

import copy

import pytest
import torch
from torch import nn

from lightning_grok.tasks.mlp import MLP


def small(**options) -> MLP:
    torch.manual_seed(0)
    return MLP(12, (8, 6), 5, **options)


def vectors(n: int = 7) -> torch.Tensor:
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(1))


def test_the_papers_network() -> None:
    model = MLP()
    linear = [nn.Linear] * 4
    assert [type(layer) for layer in model.layers[::2]] == linear
    assert all(type(layer) is nn.ReLU for layer in model.layers[1::2])
    assert [tuple(layer.weight.shape) for layer in model.layers[::2]] == [
        (128, 784),
        (512, 128),
        (128, 512),
        (47, 128),
    ]
    assert sum(parameter.numel() for parameter in model.parameters()) == 238_255
    assert model.layer_names == [f"layers.{index}" for index in range(7)]
    assert all(isinstance(model.get_submodule(name), nn.Module) for name in model.layer_names)


def test_the_weight_scale_multiplies_pytorchs_start_biases_included() -> None:
    scaled = small(weight_scale=10)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5))
    for own, expected in zip(scaled.layers.parameters(), plain.parameters(), strict=True):
        assert torch.equal(own, 10 * expected)
        assert own.requires_grad


def test_the_output_scale_multiplies_the_outputs_alone() -> None:
    one, scaled = small(), small(output_scale=0.25)
    torch.testing.assert_close(scaled(vectors()), 0.25 * one(vectors()))
    assert torch.equal(scaled.layers(vectors()), one.layers(vectors()))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", torch.relu),
        ("gelu", nn.functional.gelu),
        ("tanh", torch.tanh),
        ("sigmoid", torch.sigmoid),
        ("silu", nn.functional.silu),
        ("identity", lambda values: values),
    ],
)
def test_activations(name: str, function) -> None:
    model = small(activation=name)
    hidden = vectors()
    for index in (0, 2):
        hidden = function(model.layers[index](hidden))
    torch.testing.assert_close(model(vectors()), model.layers[4](hidden))


@pytest.mark.parametrize("shape", [(7, 1, 3, 4), (7, 3, 4), (7, 1, 12, 1), (7, 1, 1, 12)])
def test_images_are_flattened(shape: tuple[int, ...]) -> None:
    model = small()
    torch.testing.assert_close(model(vectors().reshape(shape)), model(vectors()))


def test_no_hidden_layer_is_a_linear_map() -> None:
    model = MLP(12, (), 5)
    assert model.layer_names == ["layers.0"]
    torch.testing.assert_close(model(vectors()), model.layers[0](vectors()))


def test_its_arguments_build_it_anew() -> None:
    model = MLP(12, (8,), 5, 2.0, 0.5, "tanh")
    torch.manual_seed(3)
    again = MLP(**model.arguments)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(vectors()), model(vectors()))
    assert again.arguments == model.arguments


@pytest.mark.parametrize("training", [True, False])
def test_it_works_in_double_precision_and_under_torch_func(training: bool) -> None:
    model = small(output_scale=2)
    inputs = vectors()
    for cast in (torch.float32, torch.float64):
        model.to(cast).train(training)
        rows = inputs.to(cast)
        parameters = {name: value.detach() for name, value in model.named_parameters()}

        def outputs(values: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(model, values, (row,))

        expected = 2 * model.layers(rows)
        found = torch.func.vmap(outputs, in_dims=(None, 0))(parameters, rows)
        torch.testing.assert_close(found, expected)
        assert expected.dtype == cast
        jacobian = torch.func.vmap(torch.func.jacrev(outputs), in_dims=(None, 0))(parameters, rows)
        gradient = torch.autograd.grad(expected[3, 2], list(model.parameters()))
        for found, one in zip(jacobian.values(), gradient, strict=True):
            torch.testing.assert_close(found[3, 2], one)


def test_inputs_and_weights_are_left_as_they_were() -> None:
    model, inputs = small(), vectors()
    before = copy.deepcopy(model.state_dict())
    model(inputs).sum().backward()
    assert torch.equal(inputs, vectors())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_hook_that_changes_an_output_takes_effect() -> None:
    model = small()
    with model.layers[3].register_forward_hook(lambda module, inputs, outputs: 0 * outputs):
        outputs = model(vectors())
    assert torch.equal(outputs, model.layers[4].bias.expand(7, 5))


def test_inputs_of_another_size_are_refused() -> None:
    with pytest.raises(RuntimeError):
        small()(torch.zeros(3, 11))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": (8, 0)}, r"widths of at least 1, received \[784, 8, 0, 47\]"),
        ({"in_features": 0}, "widths of at least 1"),
        ({"num_classes": -1}, "widths of at least 1"),
        ({"weight_scale": 0}, "positive finite weight_scale, received 0"),
        ({"output_scale": float("inf")}, "positive finite output_scale, received inf"),
        ({"output_scale": float("nan")}, "positive finite output_scale, received nan"),
        ({"activation": "relu6"}, "received 'relu6'"),
    ],
)
def test_arguments_out_of_range_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(**change)

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lightning_grok.geometry.matmul import has_onednn
from lightning_grok.tasks.mlp import MLP

needs_onednn = pytest.mark.skipif(not has_onednn(), reason="this PyTorch has no oneDNN")
BACKENDS = ["default", pytest.param("onednn", marks=needs_onednn)]


def small(**options) -> MLP:
    torch.manual_seed(0)
    return MLP(12, (8, 6), 5, **options)


def vectors(n: int = 7) -> torch.Tensor:
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(1))


def is_fused(model: MLP, inputs: torch.Tensor) -> bool:
    """Whether the fused path's one node stands in the graph of the outputs."""
    nodes = [model(inputs).grad_fn]
    for node in nodes:
        nodes += [before for before, _ in node.next_functions if before is not None]
    return any("ReLUNetwork" in node.name() for node in nodes)


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
    model = MLP(12, (8,), 5, 2.0, 0.5, "tanh", "default")
    torch.manual_seed(3)
    again = MLP(**model.arguments)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(vectors()), model(vectors()))
    assert again.arguments == model.arguments


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("training", [True, False])
def test_it_works_in_double_precision_and_under_torch_func(backend: str, training: bool) -> None:
    model = small(matmul=backend, output_scale=2)
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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("hidden", [(), (33,), (64, 128, 64)])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_fused_path_is_the_plain_path(backend: str, hidden: tuple, frozen: bool) -> None:
    torch.manual_seed(2)
    fused = MLP(50, hidden, 9, weight_scale=3, output_scale=0.5, matmul=backend)
    if frozen and hidden:
        fused.layers[0].weight.requires_grad_(False)
        fused.layers[2].bias.requires_grad_(False)
    plain = copy.deepcopy(fused).double()
    labels = torch.arange(32) % 9
    inputs = torch.randn(32, 50).requires_grad_()
    doubled = inputs.detach().double().requires_grad_()
    assert is_fused(fused, inputs)
    assert not is_fused(plain, doubled)
    for model, rows in ((fused, inputs), (plain, doubled)):
        nn.functional.cross_entropy(model(rows), labels).backward()
    torch.testing.assert_close(fused(inputs).double(), plain(doubled), rtol=1e-5, atol=1e-4)
    pairs = [*zip(fused.parameters(), plain.parameters(), strict=True), (inputs, doubled)]
    for own, expected in pairs:
        assert (own.grad is None) == (expected.grad is None) == (not own.requires_grad)
        if own.grad is not None:
            error = torch.linalg.norm(own.grad.double() - expected.grad)
            assert error <= 1e-5 * torch.linalg.norm(expected.grad)
    with torch.no_grad():
        evaluated = fused.eval()(inputs)
    torch.testing.assert_close(evaluated.double(), plain(doubled), rtol=1e-5, atol=1e-4)


def test_inputs_and_weights_are_left_as_they_were() -> None:
    model, inputs = small(), vectors()
    before = copy.deepcopy(model.state_dict())
    model(inputs).sum().backward()
    assert torch.equal(inputs, vectors())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_nan_goes_through_the_fused_path() -> None:
    model, inputs = small(), vectors()
    inputs[2, 3] = torch.nan
    outputs = model(inputs)
    assert outputs[2].isnan().all()
    assert outputs[[0, 1, 3]].isfinite().all()


def hook(*arguments):
    return None


@pytest.mark.parametrize(
    "watch",
    [
        lambda model: model.layers[1].register_forward_hook(hook),
        lambda model: model.layers[4].register_forward_pre_hook(hook),
        lambda model: model.layers[2].register_full_backward_hook(hook),
        lambda model: model.layers[2].register_full_backward_pre_hook(hook),
        lambda model: model.layers.register_forward_hook(hook),
        lambda model: model.layers.register_full_backward_hook(hook),
        lambda model: nn.modules.module.register_module_forward_hook(hook),
        lambda model: nn.modules.module.register_module_full_backward_hook(hook),
    ],
)
def test_whoever_watches_a_layer_sees_it(watch) -> None:
    model = small()
    inputs = vectors().requires_grad_()
    assert is_fused(model, inputs)
    handle = watch(model)
    assert not is_fused(model, inputs)
    handle.remove()
    assert is_fused(model, inputs)


def test_a_hook_that_changes_an_output_takes_effect() -> None:
    model = small()
    with model.layers[3].register_forward_hook(lambda module, inputs, outputs: 0 * outputs):
        outputs = model(vectors())
    assert torch.equal(outputs, model.layers[4].bias.expand(7, 5))


def appended(model: MLP) -> None:
    model.layers.append(nn.Linear(5, 5))


def rectified(model: MLP) -> None:
    model.layers.append(nn.ReLU())


def replaced(model: MLP) -> None:
    model.layers[1] = nn.Tanh()


def unbiased(model: MLP) -> None:
    model.layers[2].bias = None


def pruned(model: MLP) -> None:
    prune.random_unstructured(model.layers[2], "weight", 0.5)


def normalized(model: MLP) -> None:
    nn.utils.parametrizations.spectral_norm(model.layers[2])


@pytest.mark.parametrize("change", [appended, rectified, replaced, unbiased, pruned, normalized])
def test_changed_layers_are_run_as_they_are(change) -> None:
    model = small()
    change(model)
    assert not is_fused(model, vectors())
    # Spectral normalization improves its estimate at every call.
    torch.testing.assert_close(model(vectors()), model.layers(vectors()), rtol=0.1, atol=0.1)


def test_derivatives_of_derivatives_need_evaluation_mode() -> None:
    model, inputs = small(), vectors().requires_grad_()
    gradient = torch.autograd.grad(model.eval()(inputs).sum(), inputs, create_graph=True)[0]
    gradient.square().sum().backward()
    assert model.layers[0].weight.grad.any()
    with pytest.raises(RuntimeError, match="received create_graph=True"):
        torch.autograd.grad(model.train()(inputs).sum(), inputs, create_graph=True)


def test_autocast_has_its_way() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = small()(vectors())
    assert outputs.dtype == torch.bfloat16


def test_the_library_may_be_changed_and_stands_in_the_arguments() -> None:
    model = small()
    assert model.matmul == "default"
    model.matmul = "onednn"
    assert model.arguments["matmul"] == "onednn"
    with pytest.raises(ValueError, match="default or onednn; received 'auto'"):
        model.matmul = "auto"


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_of_another_size_are_refused(backend: str) -> None:
    with pytest.raises(RuntimeError):
        small(matmul=backend)(torch.zeros(3, 11))


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
        ({"matmul": "mkl"}, "default or onednn; received 'mkl'"),
    ],
)
def test_arguments_out_of_range_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(**change)

"""Recorded activations against a forward pass taken apart by hand."""

import pytest
import torch
from torch import Tensor, nn

from lightning_grok.geometry.activations import evaluating, record
from lightning_grok.tasks.mlp import MLP


@pytest.fixture
def model() -> MLP:
    torch.manual_seed(0)
    return MLP(in_features=12, hidden=(7, 5), num_classes=3, weight_scale=2.0, output_scale=0.5)


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(50, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch_size", [1, 7, 50, 2048])
def test_every_layer_of_the_mlp_equals_the_stack_applied_by_hand(
    model: MLP, inputs: Tensor, batch_size: int
) -> None:
    recorded = record(model, model.layer_names, inputs, batch_size=batch_size)
    assert list(recorded) == model.layer_names
    values = inputs
    for name, layer in zip(model.layer_names, model.layers, strict=True):
        values = layer(values)
        torch.testing.assert_close(recorded[name], values.detach())
        assert not recorded[name].requires_grad


def test_layers_come_in_the_order_asked_for_and_the_empty_name_is_the_output(
    model: MLP, inputs: Tensor
) -> None:
    recorded = record(model, ["layers.4", "", "layers.0"], inputs)
    assert list(recorded) == ["layers.4", "", "layers.0"]
    torch.testing.assert_close(recorded[""], 0.5 * recorded["layers.4"])


def test_images_are_flattened_for_each_sample() -> None:
    convolution = nn.Conv2d(1, 4, 3)
    images = torch.randn(6, 1, 9, 8)
    recorded = record(nn.Sequential(convolution, nn.ReLU()), ["0", "1"], images, batch_size=4)
    assert recorded["1"].shape == (6, 4 * 7 * 6)
    torch.testing.assert_close(recorded["0"][5], convolution(images)[5].detach().flatten())


def test_an_inplace_activation_does_not_overwrite_the_layer_before_it() -> None:
    linear = nn.Linear(3, 4)
    inputs = torch.randn(5, 3)
    recorded = record(nn.Sequential(linear, nn.ReLU(inplace=True)), ["0", "1"], inputs)
    torch.testing.assert_close(recorded["0"], linear(inputs).detach())
    torch.testing.assert_close(recorded["1"], linear(inputs).detach().relu())


def test_every_mode_is_restored_and_statistics_and_gradients_stay() -> None:
    normalization = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    model = nn.Sequential(nn.Linear(3, 4), normalization[0], nn.Dropout(0.5), normalization[1])
    normalization[0].eval()
    model(torch.randn(8, 3)).sum().backward()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    gradient = model[0].weight.grad.clone()
    random_state = torch.get_rng_state()
    once, again = (record(model, ["2", "3"], torch.ones(8, 3)) for _ in range(2))
    torch.testing.assert_close(once["2"], again["2"], rtol=0, atol=0)  # no dropout in eval mode
    assert [module.training for module in model] == [True, False, True, True]
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert torch.equal(model[0].weight.grad, gradient)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_hooks_and_eval_mode_go_away_after_a_failing_forward_pass(model: MLP) -> None:
    model.train()
    with pytest.raises(RuntimeError):
        record(model, ["layers.0", "layers.4"], torch.randn(4, 11))
    assert not any(module._forward_hooks for module in model.modules())
    assert all(module.training for module in model.modules())


def test_gradients_can_flow_again_inside_and_after_a_recording(model: MLP, inputs: Tensor) -> None:
    (features,) = record(model, ["layers.3"], inputs).values()
    nn.Linear(5, 2)(features).sum().backward()  # an inference tensor would refuse this
    assert torch.is_grad_enabled()


def test_evaluating_restores_after_an_exception() -> None:
    model = nn.Sequential(nn.Dropout().eval(), nn.Dropout())
    seen = []

    def fail() -> None:
        with evaluating(model):
            seen.extend(module.training for module in model.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [False, False, False]
    assert [module.training for module in model.modules()] == [True, False, True]


class _Twice(nn.Module):
    """One module under two names, called twice; another never called."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(3, 3)
        self.alias = self.shared
        self.unused = nn.Linear(3, 3)
        self.pair = _Pair()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.pair(self.alias(self.shared(inputs)))[0]


class _Pair(nn.Module):
    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, inputs


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("layers.9", "expected layers among shared, alias, unused, pair; received layers.9"),
        ("alias", "expected one call of alias in a forward pass, received 2: alias@0 to alias@1"),
        ("unused", "it skips unused"),
        ("pair", r"expected a tensor from pair, received a tuple of 2: pair\[0\] names its first"),
    ],
)
def test_layers_that_cannot_be_recorded_are_named(layer: str, message: str) -> None:
    model = _Twice()
    with pytest.raises(ValueError, match=message):
        record(model, [layer], torch.randn(2, 3))
    assert not any(module._forward_hooks for module in model.modules())


def test_an_output_without_a_row_a_sample_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(0), nn.Identity())
    with pytest.raises(ValueError, match=r"expected 2 rows from 1, received shape \(6,\)"):
        record(model, ["1"], torch.randn(2, 3))


def test_no_inputs_or_no_batch_are_refused(model: MLP, inputs: Tensor) -> None:
    with pytest.raises(ValueError, match=r"n >= 1, received \(0, "):
        record(model, ["layers.0"], inputs[:0])
    with pytest.raises(ValueError, match="batch_size of at least 1, received 0"):
        record(model, ["layers.0"], inputs, batch_size=0)


class _Recurrent(nn.Module):
    """A tuple, a module called twice, keywords for inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.shared = nn.Linear(5, 5)

    def forward(self, tokens: Tensor, scale: Tensor) -> Tensor:
        hidden, _ = self.lstm(tokens * scale)
        return self.shared(torch.tanh(self.shared(hidden)))[:, -1]


def test_calls_tuples_and_nested_inputs_have_names() -> None:
    model = _Recurrent()
    inputs = {"tokens": torch.randn(7, 4, 3), "scale": torch.rand(7, 4, 1)}
    names = ["lstm[0]", "shared@0", "shared@1", ""]
    found = record(model, names[:3], inputs, batch_size=3) | record(model, [""], inputs)
    with torch.no_grad():
        hidden = model.lstm(inputs["tokens"] * inputs["scale"])[0]
        first = model.shared(hidden)
        second = model.shared(torch.tanh(first))
    for name, expected in zip(names, (hidden, first, second, second[:, -1]), strict=True):
        torch.testing.assert_close(found[name], expected.flatten(1))
    for name, message in (("shared@2", "among 2 calls"), ("lstm[5]", "received a tuple of 2")):
        with pytest.raises(ValueError, match=message):
            record(model, [name], inputs)


class Functional(nn.Module):
    """Activations that are no modules, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.relu(self.first(x))
        hidden = self.second(hidden).relu_()
        return torch.softmax(hidden.reshape(len(x), 2, 3), dim=-1).reshape(len(x), 6)


def test_functions_have_names() -> None:
    model, x = Functional(), torch.randn(5, 4)
    names = ["relu()@0", "second", "relu()@1", "softmax()", "reshape()@1"]
    found = record(model, names, x, batch_size=3)
    first = model.first(x).relu()
    second = model.second(first)
    shares = second.relu().reshape(5, 2, 3).softmax(-1).reshape(5, 6)
    for name, expected in zip(names, (first, second, second.relu(), shares, shares), strict=True):
        torch.testing.assert_close(found[name], expected.detach())
    stack = nn.Sequential(nn.Linear(4, 3), nn.ReLU())  # a module calls it
    torch.testing.assert_close(record(stack, ["relu()"], x)["relu()"], stack(x).detach())
    for name, message in (
        ("relu()", r"expected one call of relu\(\) .* received 2: relu\(\)@0 to relu\(\)@1"),
        ("gelu()", r"the forward pass calls; it skips gelu\(\)"),
        ("relu()@2", r"expected relu\(\)@2 among 2 calls"),
    ):
        with pytest.raises(ValueError, match=message):
            record(model, [name], x)


def test_positions_are_pooled() -> None:
    tokens, image = torch.randn(6, 4, 3), torch.randn(6, 3, 5, 5)
    same = nn.Sequential(nn.Identity())
    for pool, expected in (
        ("mean", tokens.mean(1)), ("first", tokens[:, 0]), ("last", tokens[:, -1]),
        (-2, tokens[:, 2]), ("flatten", tokens.flatten(1)), ("auto", tokens.flatten(1)),
    ):  # fmt: skip
        torch.testing.assert_close(record(same, ["0"], tokens, pool=pool)["0"], expected)
    pooled = record(same, ["0"], image, pool="mean")["0"]
    torch.testing.assert_close(pooled, image.mean((2, 3)))
    signal = nn.Sequential(nn.Conv1d(4, 2, 1))
    means = record(signal, ["0"], tokens, pool="mean")["0"]
    torch.testing.assert_close(means, signal(tokens).mean(2).detach())
    wide = torch.randn(2, 9, 3000)
    assert record(same, ["0"], wide, pool="auto")["0"].shape == (2, 3000)
    for given, pool in ((tokens, 4), (image, "last")):
        with pytest.raises(ValueError, match=f"with a position {pool} from 0"):
            record(same, ["0"], given, pool=pool)

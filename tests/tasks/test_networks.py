"""The networks of the field's tasks: sizes and starts as published, and that they learn."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_grok.tasks.mlp import MLP
from lightning_grok.tasks.networks import EmbeddingMLP, QuadraticMLP, SmallCNN, Transformer
from lightning_grok.tasks.tables import ModularArithmetic


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_quadratic_network_is_gromovs() -> None:
    torch.manual_seed(0)
    network = QuadraticMLP(194, 97)
    assert size(network) == 145_500
    for weight in network.parameters():
        assert weight.std().item() == pytest.approx(0.5 / 1000 ** (1 / 3), rel=0.02)
    x = torch.randn(3, 194)
    expected = (x @ network.hidden.weight.T) ** 2 @ network.readout.weight.T
    torch.testing.assert_close(network(x), expected)


def test_the_quadratic_network_groks_modular_addition() -> None:
    torch.manual_seed(0)
    data = ModularArithmetic(p=23, fraction=0.7, seed=0)
    network = QuadraticMLP(data.in_features, data.num_classes, hidden=200)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=2.0
    )
    (x, y), (held_out, answers) = data.train_samples, data.test_samples
    memorized = None
    for step in range(400):
        optimizer.zero_grad()
        F.mse_loss(network(x), F.one_hot(y, 23).float()).backward()
        optimizer.step()
        if memorized is None and accuracy(network, x, y) == 1:
            memorized = step, accuracy(network, held_out, answers)
    assert memorized is not None
    assert memorized[1] < 0.3
    assert accuracy(network, held_out, answers) > 0.97


def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return (network(inputs).argmax(1) == labels).float().mean().item()


def test_the_transformer_is_nandas() -> None:
    torch.manual_seed(0)
    network = Transformer(113, 113)
    d, hidden = 128, 512
    assert size(network) == 114 * d + 3 * d + 4 * d * d + 2 * d * hidden + hidden + d + 113 * d
    assert network.embedding.weight.std().item() == pytest.approx(d**-0.5, rel=0.03)
    assert network.readout.weight.std().item() == pytest.approx(114**-0.5, rel=0.03)
    assert network(torch.tensor([[1, 2], [3, 4]])).shape == (2, 113)


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    network = Transformer(7, 7, width=16, heads=4, hidden=8, causal=True).double()
    attention = network.blocks[0].attention
    stream = torch.randn(5, 3, 16, dtype=torch.float64)
    heads = [part(stream).unflatten(-1, (4, 4)).transpose(1, 2)
             for part in (attention.query, attention.key, attention.value)]  # fmt: skip
    mixed = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(stream), attention.output(mixed))


def test_a_causal_network_answers_from_the_operands() -> None:
    torch.manual_seed(0)
    network = Transformer(7, 7, width=16, heads=2, hidden=8, layers=2, norm=True, causal=True)
    one, other = network(torch.tensor([[1, 2]])), network(torch.tensor([[2, 1]]))
    assert not torch.allclose(one, other)  # positions tell the operands apart


def test_starts_differ_and_can_be_drawn_anew() -> None:
    torch.manual_seed(0)
    network = Transformer(7, 7, width=16, heads=2, hidden=8)
    before = network.readout.weight.clone()
    network.reset_parameters()
    assert not torch.equal(before, network.readout.weight)


@pytest.mark.parametrize("options", [{"heads": 3}, {"heads": 0}, {"activation": "sine"}])
def test_what_fits_no_transformer_is_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Transformer(7, 7, **options)


def test_shapes_of_the_others() -> None:
    assert EmbeddingMLP(60, 60)(torch.tensor([[0, 59]])).shape == (1, 60)
    assert SmallCNN(10, side=28)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert math.prod(SmallCNN(10, channels=4).layers[7].weight.shape) == 8 * 49 * 10


@pytest.mark.parametrize(
    ("kind", "arguments", "inputs"),
    [
        (MLP, {"in_features": 6, "hidden": [5], "num_classes": 3}, (4, 6)),
        (QuadraticMLP, {"in_features": 6, "hidden": 5, "num_classes": 3}, (4, 6)),
        (SmallCNN, {"num_classes": 3, "side": 8}, (4, 1, 8, 8)),
    ],
)
def test_what_is_of_the_start_changes_drawn_weights_no_more(
    kind: Any, arguments: dict[str, Any], inputs: tuple[int, ...]
) -> None:
    (name,) = kind.of_the_start
    points = torch.randn(*inputs)
    one, other = (kind(**arguments, **{name: value}) for value in (0.5, 2.0))
    assert not torch.equal(one(points), other(points))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(points), other(points))

"""Local complexity against the distance of points to a layer's hyperplanes."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from lightning_grok.geometry import local_complexity
from lightning_grok.geometry.local_complexity import _orthonormal


def network(*sizes: int) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for first, second in pairwise(sizes):
        parts += [nn.Linear(first, second, dtype=torch.float64), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def test_of_a_first_layer_it_counts_the_hyperplanes_within_reach() -> None:
    model = network(12, 200, 30, 3)
    inputs = torch.randn(40, 12, dtype=torch.float64)
    first = model[0]
    assert isinstance(first, nn.Linear)
    axes = _orthonormal(12, 5, seed=3)
    torch.testing.assert_close(axes @ axes.T, torch.eye(5, dtype=torch.float64))
    reach = 0.3 * (axes @ first.weight.T).abs().amax(0)  # of every unit, at one of the vertices
    expected = float((first(inputs).abs() < reach).sum()) / 40
    found = local_complexity(model, inputs, radius=0.3, directions=5, seed=3)
    assert list(found) == ["0", "2", "total"]
    assert found["0"] == pytest.approx(expected)
    assert 0 < expected < 200
    assert found["total"] == pytest.approx(found["0"] + found["2"])


def test_deeper_layers_are_counted_vertex_by_vertex() -> None:
    model = network(4, 9, 7, 2).eval()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    axes = _orthonormal(4, 25, seed=0)
    assert len(axes) == 4
    count = 0
    for x in inputs:
        signs = [model[:3](x + sign * 0.7 * axis) > 0 for axis in axes for sign in (1, -1)]
        count += sum(len({bool(each[unit]) for each in signs}) == 2 for unit in range(7))
    found = local_complexity(model, inputs, radius=0.7, layers=["2"])
    assert found == pytest.approx({"2": count / 6, "total": count / 6})


def test_scale_changes_nothing_and_a_wider_look_sees_more() -> None:
    model = network(12, 60, 30, 3)
    inputs = torch.randn(400, 12, dtype=torch.float64)  # more vertices than go through at once
    plain = local_complexity(model, inputs)
    assert plain["total"] < local_complexity(model, inputs, radius=0.2)["total"]
    assert plain != local_complexity(model, inputs, seed=1)
    for parameter in model[0].parameters():
        parameter.data *= 16
    model[2].get_parameter("bias").data *= 16
    assert local_complexity(model, inputs) == plain


def test_images_are_taken_and_the_network_is_left_as_it_was() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.Dropout(), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )
    found = local_complexity(model, torch.randn(5, 1, 4, 4), radius=1.0)
    assert 0 < found["0"] <= 12
    assert model[1].training


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": torch.arange(6).view(2, 3)}, "real-valued inputs"),
        ({"radius": -1.0}, "positive radius"),
        ({"model": nn.Sequential(nn.Linear(3, 2))}, "hidden linear layer"),
    ],
)
def test_what_has_no_regions_is_refused(changed: dict[str, Any], said: str) -> None:
    given = {"model": nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), "inputs": torch.ones(2, 3)}
    with pytest.raises(ValueError, match=said):
        local_complexity(**given | changed)

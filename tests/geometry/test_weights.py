import math

import pytest
import torch
from torch import nn

from lightning_grok.geometry import parameter_cosine, parameter_norms


def test_norms_are_those_of_the_flat_vectors() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    parameters = dict(model.named_parameters())
    norms = parameter_norms(parameters)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    assert norms.total == pytest.approx(float(flat.norm()), rel=1e-12)
    first = torch.cat([p.detach().flatten() for p in model[0].parameters()]).double()
    assert list(norms.layers) == ["0", "2"]
    assert norms.layers["0"] == pytest.approx(float(first.norm()), rel=1e-12)
    assert math.hypot(*norms.layers.values()) == pytest.approx(norms.total, rel=1e-12)


def test_parameters_of_the_network_itself_stand_under_their_own_names() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.shift = (nn.Parameter(value * torch.ones(4)) for value in (1.0, 2.0))
            self.inner = nn.Linear(2, 2)

    layers = parameter_norms(dict(Scaled().named_parameters())).layers
    assert set(layers) == {"scale", "shift", "inner"}
    assert (layers["scale"], layers["shift"]) == (2, 4)


def test_cosine() -> None:
    torch.manual_seed(0)
    one = {"a.weight": torch.randn(4, 3), "a.bias": torch.randn(4)}
    scaled = {key: -2 * value for key, value in one.items()}
    other = {"a.weight": torch.randn(4, 3), "a.bias": torch.randn(4)}
    assert parameter_cosine(one, scaled) == pytest.approx(-1, abs=1e-12)
    flat = [torch.cat([v.flatten() for v in p.values()]) for p in (one, other)]
    expected = torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0)
    assert parameter_cosine(one, other) == pytest.approx(float(expected), abs=1e-6)
    zero = {key: torch.zeros_like(value) for key, value in one.items()}
    assert math.isnan(parameter_cosine(one, zero))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):
        parameter_norms({})
    with pytest.raises(ValueError, match="same parameters"):
        parameter_cosine({"a": torch.ones(2)}, {"a": torch.ones(3)})

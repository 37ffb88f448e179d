import copy

import pytest
import torch

from lightning_grok.geometry.gradients import (
    adam_update,
    optimizer_scale,
    perpendicular_gradient,
    rms,
)


def test_the_perpendicular_gradient_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    gradient = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    found = perpendicular_gradient(gradient, weight)
    assert float((found * weight).sum()) == pytest.approx(0, abs=1e-12)
    assert float(found.norm()) == pytest.approx(float(gradient.norm()))
    w, g = weight.flatten(), gradient.flatten()
    projection = torch.eye(24, dtype=torch.float64) - torch.outer(w, w) / w.dot(w)
    expected = projection @ g
    expected *= g.norm() / expected.norm()
    torch.testing.assert_close(found.flatten(), expected)


def test_without_a_direction_nothing_is_rescaled() -> None:
    gradient = torch.tensor([1.0, 2.0])
    assert torch.equal(perpendicular_gradient(gradient, torch.zeros(2)), gradient)
    assert torch.equal(perpendicular_gradient(gradient, 2 * gradient), torch.zeros(2))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adams_update_is_what_the_optimizer_has_done(kind, amsgrad: bool) -> None:
    weight = torch.nn.Parameter(torch.randn(30, generator=torch.Generator().manual_seed(1)))
    options = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 0.07, "weight_decay": 0.0}
    optimizer = kind([weight], amsgrad=amsgrad, **options)
    for step in range(5):
        before = copy.deepcopy(weight.data)
        weight.grad = 0.1 * torch.randn(30, generator=torch.Generator().manual_seed(step))
        optimizer.step()
    update = adam_update(optimizer.state[weight], optimizer.param_groups[0])
    torch.testing.assert_close(update.direction, (before - weight.data) / 0.01)
    assert update.below == sum(float(value) < 0.07 for value in update.root)
    assert 0 < update.below < 30


def test_the_root_mean_square_is_over_all_entries() -> None:
    assert rms([torch.ones(3), 2 * torch.ones(2, 2)]) == pytest.approx((19 / 7) ** 0.5)
    assert rms([]) != rms([])


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "SGD"])
def test_an_optimizer_divides_its_momentum_by_its_scale(kind: str) -> None:
    torch.manual_seed(0)
    weight, still = (torch.nn.Parameter(torch.randn(3, 2).double()) for _ in range(2))
    more = {"SGD": {"momentum": 0.9}, "AdamW": {"weight_decay": 0.0}}.get(kind, {})
    optimizer = getattr(torch.optim, kind)([weight, still], lr=0.03, **more)
    assert optimizer_scale([optimizer], {"w": weight}) == {}
    for _ in range(5):
        before = weight.detach().clone()
        (weight**3).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    scale = optimizer_scale([optimizer], {"w": weight, "unknown": torch.zeros(1)})
    assert scale.keys() == {"w"}
    state = optimizer.state[weight]
    momentum = state["momentum_buffer"] if kind == "SGD" else state["exp_avg"] / (1 - 0.9**5)
    torch.testing.assert_close(before - momentum / scale["w"], weight.detach())


def test_without_momentum_the_scale_is_that_of_the_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    (scale,) = optimizer_scale([torch.optim.SGD([weight], lr=0.5)], {"w": weight}).values()
    assert scale.tolist() == [2.0, 2.0]

import copy

import pytest
import torch
from torch import nn

from lightning_grok.tasks.optimizer import CPUAdam, CPUAdamW

PAIRS = [(CPUAdamW, torch.optim.AdamW), (CPUAdam, torch.optim.Adam)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 17), nn.Tanh(), nn.Linear(17, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(10, 6, generator=generator)
        labels = torch.randint(3, (10,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


def assert_equal(first: nn.Module, second: nn.Module) -> None:
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("options", [{}, {"lr": 0.03, "weight_decay": 0.1}])
def test_it_is_pytorchs_bit_for_bit_and_takes_over_its_state(ours, theirs, options: dict) -> None:
    first, second = network(), network()
    mine = ours(first.parameters(), fused=True, **options)
    its = theirs(second.parameters(), fused=True, **options)
    train(first, mine, range(100))
    train(second, its, range(100))
    assert_equal(first, second)
    states = [optimizer.state_dict() for optimizer in (mine, its)]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for index, state in states[0]["state"].items():
        assert state.keys() == states[1]["state"][index].keys()
        assert all(torch.equal(state[key], states[1]["state"][index][key]) for key in state)
    # Each goes on from the other's state.
    resumed = [ours(first.parameters(), fused=True), theirs(second.parameters(), fused=True)]
    for optimizer, state in zip(resumed, reversed(states), strict=True):
        optimizer.load_state_dict(copy.deepcopy(state))
    train(first, resumed[0], range(100, 130))
    train(second, resumed[1], range(100, 130))
    assert_equal(first, second)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_schedules_groups_and_closures_work_as_with_pytorchs(ours, theirs) -> None:
    found = []
    for kind in (ours, theirs):
        model = network()
        groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}]
        optimizer = kind(groups, lr=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.3)
        model[0].bias.requires_grad_(False)

        def closure(model=model, optimizer=optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(torch.ones(2, 6)).square().sum()
            loss.backward()
            return loss

        losses = []
        for _ in range(7):
            losses.append(optimizer.step(closure).item())
            schedule.step()
        assert losses[-1] < losses[0]
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0027, 0.00027])
        found.append(model)
    assert_equal(*found)


def test_nobody_looks_for_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments, **options) -> None:
        raise AssertionError

    model = network()
    optimizer = CPUAdamW(model.parameters(), fused=True)
    monkeypatch.setattr(torch.cuda, "is_available", refuse)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", refuse)
    train(model, optimizer, range(2))

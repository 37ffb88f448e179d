import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lightning_grok.geometry.losses import (
    log_stablemax,
    logit_margins,
    mean_loss,
    sample_losses,
    zero_loss_share,
)


@pytest.mark.parametrize(
    ("dtype", "lead"),
    [
        (torch.float16, 7.62), (torch.bfloat16, 5.55),
        (torch.float32, 16.64), (torch.float64, 36.74),
    ],
)  # fmt: skip
def test_a_lead_that_ends_a_number_format_leaves_no_loss(dtype: torch.dtype, lead: float) -> None:
    half_a_step = torch.finfo(dtype).eps / 2
    assert -math.log(half_a_step) == pytest.approx(lead, abs=0.006)
    leads = -math.log(half_a_step) + torch.tensor([-9.0, -0.02, 0.02, 9.0], dtype=torch.float64)
    outputs = torch.stack([leads, torch.zeros(4)], 1).to(dtype)
    labels = torch.zeros(4, dtype=torch.long)
    zero = [zero_loss_share(outputs[i : i + 1], labels[:1]) for i in range(4)]
    assert zero == [0, 0, 1, 1]
    assert zero_loss_share(outputs, labels) == 0.5
    assert zero_loss_share(outputs, 1 - labels) == 0  # the wrong one leads
    # Independently of any softmax: nothing of the other exponential is left beside 1.
    collapsed = (outputs - outputs.amax(1, keepdim=True)).exp().sum(1) == 1
    assert collapsed.tolist() == [False, False, True, True]


def test_stablemax_is_its_formula() -> None:
    outputs = torch.tensor([[3.0, 0.0, -1.0], [-4.0, -0.5, 99.0]], dtype=torch.float64)
    s = [[4, 1, 1 / 2], [1 / 5, 2 / 3, 100]]
    expected = torch.tensor([[value / sum(row) for value in row] for row in s])
    torch.testing.assert_close(log_stablemax(outputs).exp(), expected.double())
    huge = torch.tensor([[1e30, -1e30]])  # no infinity, no NaN
    torch.testing.assert_close(log_stablemax(huge), torch.tensor([[0, -2 * math.log(1e30)]]))


def test_stablemax_does_not_collapse_where_softmax_does() -> None:
    outputs, labels = torch.tensor([[40.0, 0.0]]), torch.tensor([0])
    assert zero_loss_share(outputs, labels) == 1
    assert zero_loss_share(outputs, labels, "stablemax") == 0


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "stablemax", "hinge"])
def test_the_gradient_written_out_is_that_of_autograd(loss) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = 5 * torch.randn(7, 4, generator=generator, dtype=torch.float64)
    outputs[0, 0] = 0  # where stablemax has its kink in the second derivative
    labels = torch.tensor([0, 1, 2, 3, 3, 1, 0])
    leaf = outputs.clone().requires_grad_(True)
    mean = sample_losses(leaf, labels, loss, "mean")
    (gradient,) = torch.autograd.grad(mean, leaf)
    torch.testing.assert_close(sample_losses(outputs, labels, loss).mean(), mean.detach())
    step = torch.zeros_like(outputs)
    step[0, 0] = 1e-6
    difference = sample_losses(outputs + step, labels, loss, "mean") - sample_losses(
        outputs - step, labels, loss, "mean"
    )
    assert float(difference) / 2e-6 == pytest.approx(float(gradient[0, 0]), rel=1e-6)


def test_sample_losses_are_those_of_pytorch() -> None:
    outputs, labels = torch.tensor([[2.0, 0, 1], [0, 0, 0]]), torch.tensor([0, 2])
    torch.testing.assert_close(
        sample_losses(outputs, labels), F.cross_entropy(outputs, labels, reduction="none")
    )
    torch.testing.assert_close(sample_losses(outputs, labels, "mse"), torch.tensor([2 / 3, 1 / 3]))


def test_targets_of_a_regression_and_shares_of_classes_are_taken_as_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = (torch.randn(5, 3, generator=generator) for _ in range(2))
    mean = mean_loss("mse", targets)(outputs, targets)
    torch.testing.assert_close(mean, F.mse_loss(outputs, targets))
    one = sample_losses(outputs[:, :1], targets[:, 0], "mse")
    torch.testing.assert_close(one, (outputs[:, 0] - targets[:, 0]) ** 2)
    shares = targets.softmax(1)
    mean = mean_loss("cross_entropy", shares)(outputs, shares)
    torch.testing.assert_close(mean, F.cross_entropy(outputs, shares))


@pytest.mark.parametrize(
    ("loss", "outputs", "labels"),
    [
        ("cross_entropy", (4, 1), torch.ones(4, dtype=torch.long)),  # one output: always 0
        ("hinge", (4, 1), torch.zeros(4, dtype=torch.long)),
        ("cross_entropy", (4, 3), torch.rand(4, 3)),  # of a regression: no shares
        ("cross_entropy", (4, 3), -torch.ones(4, 3) / 3),
        ("cross_entropy", (4, 2, 3), torch.zeros(4, 2, dtype=torch.long)),
        ("stablemax", (4, 3), torch.rand(4, 3)),
        ("mse", (4, 3), torch.rand(4, 2)),
        ("mse", (4, 1), torch.zeros(4, 1, dtype=torch.long)),
    ],
)
def test_targets_of_another_kind_are_refused(loss, outputs, labels) -> None:
    with pytest.raises(ValueError, match=f"for the loss {loss}, .*another loss can be given"):
        mean_loss(loss, labels)(torch.randn(outputs), labels)


def test_margins_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(20, 5, generator=generator)
    labels = torch.arange(20) % 5
    for row, label, margin in zip(outputs, labels, logit_margins(outputs, labels), strict=True):
        others = max(float(row[k]) for k in range(5) if k != label)
        assert float(margin) == pytest.approx(float(row[label]) - others)


def test_the_hinge_ends_at_a_lead_of_one() -> None:
    outputs = torch.tensor([[0.5, 0.0], [1.0, 0.0], [0.0, 2.0]])
    losses = sample_losses(outputs, torch.tensor([0, 0, 0]), "hinge")
    assert losses.tolist() == [0.5, 0, 3]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", ">i8"])
def test_whole_numbers_of_any_kind_are_classes(dtype: str) -> None:
    outputs = np.arange(12.0).reshape(4, 3)[:, ::-1] % 5
    labels = np.array([0, 2, 1, 1])
    for function in (sample_losses, logit_margins):
        expected = function(torch.tensor(outputs.copy()), torch.tensor(labels))
        assert torch.equal(function(outputs, labels.astype(dtype)), expected)

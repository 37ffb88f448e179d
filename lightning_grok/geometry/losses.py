"""Losses of a classifier, and how far its logits are from the end of their number format.

In exact arithmetic cross-entropy never ends. In a number format it does: once the correct logit
leads by more than -ln(u), u being half the distance from 1 to the next number, exp of all others
is lost beside exp of the first, and the loss is exactly 0. That lead is 7.62 in float16, 5.55 in
bfloat16, 16.64 in float32 and 36.74 in float64 (softmax collapse: Prieto et al. 2025, ICLR, arXiv
2501.04697).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lightning_grok.geometry.arrays import Labels, Points, as_tensor

Loss = Literal["cross_entropy", "mse", "stablemax", "hinge"]
MeanLoss = Callable[[Tensor, Tensor], Tensor]


def log_stablemax(outputs: Points) -> Float[Tensor, "n classes"]:
    """log(s(f_k) / Σ_j s(f_j)), with s(x) = 1 + x for x ≥ 0 and 1 / (1 - x) below.

    A softmax whose exponential is replaced by what grows linearly (Prieto et al. 2025): a lead of L
    leaves a loss of the order of 1 / L² instead of exp(-L).

    Args:
        outputs: (n, classes) logits, finite.

    Returns:
        (n, classes), at most 0; a row's exponentials add up to 1.

    >>> log_stablemax(torch.tensor([[1.0, -1.0]])).exp()
    tensor([[0.8000, 0.2000]])
    """
    logarithms = _log_s(as_tensor(outputs, "outputs"))
    return logarithms - logarithms.logsumexp(1, keepdim=True)


def _log_s(outputs: Tensor) -> Tensor:
    # Not by clamp and relu, whose derivatives at 0 are 0 where that of s is 1.
    below = outputs < 0
    return outputs.masked_fill(below, 0).log1p() - (-outputs).masked_fill(~below, 0).log1p()


def sample_losses(
    outputs: Points,
    labels: Labels,
    loss: Loss = "cross_entropy",
    reduction: Literal["none", "mean"] = "none",
) -> Float[Tensor, " n"] | Float[Tensor, ""]:
    """The loss of every sample, or their mean, in the dtype of the outputs.

    Args:
        outputs: (n, C) logits.
        labels: (n,) classes; real-valued ones are shares of the classes (n, C) to cross-entropy,
            and to the squared error targets, as many as outputs.
        loss: cross-entropy, that of `log_stablemax`, the squared error to one-hot targets, the
            mean over the C outputs, or the hinge max(0, 1 - margin), whose margin is the lead of
            the correct logit.
        reduction: ``mean`` for the mean over the samples.

    Raises:
        ValueError: outputs and labels are not of these kinds, or there are no two classes.
    """
    outputs, labels = as_tensor(outputs, "outputs"), _classes(labels)
    if loss == "mse" and labels.is_floating_point() and labels.numel() == outputs.numel():
        labels = labels.reshape(outputs.shape)
    are_targets = labels.is_floating_point() and (labels.ndim > 1 or loss == "cross_entropy")
    expected = outputs.shape if are_targets else outputs.shape[:1]
    classes = outputs.shape[1] if outputs.ndim == 2 else 0
    fits = not are_targets or loss in ("cross_entropy", "mse")
    if not fits or labels.shape != expected or classes < 1 + (loss != "mse"):
        raise ValueError(
            f"expected outputs (n, C) and n classes for the loss {loss}, received outputs "
            f"{tuple(outputs.shape)} and {str(labels.dtype).removeprefix('torch.')} labels "
            f"{tuple(labels.shape)}; another loss can be given as loss="
        )
    if loss == "cross_entropy":
        return F.cross_entropy(outputs, labels, reduction=reduction)
    if loss == "stablemax":
        return F.nll_loss(log_stablemax(outputs), labels, reduction=reduction)
    if loss == "hinge":
        lost = (1 - logit_margins(outputs, labels)).relu()
        return lost.mean() if reduction == "mean" else lost
    targets = labels.to(outputs.dtype)
    if not are_targets:
        every = torch.arange(classes, device=outputs.device)
        targets = (labels[:, None] == every).to(outputs.dtype)  # one-hot, which vmap can't take
    if reduction == "mean":
        return F.mse_loss(outputs, targets)
    return (outputs - targets).square().mean(1)


def _classes(labels: Labels) -> Tensor:
    """Whole numbers of any size as those that PyTorch counts classes with; shares as they are."""
    values = as_tensor(labels, "labels")
    return values if values.is_floating_point() else values.long()


def mean_loss(loss: "Loss | MeanLoss", targets: Tensor) -> MeanLoss:
    """f(outputs, targets), the mean over samples, of a loss that is given by name or as such.

    Raises:
        ValueError: the targets are real-valued and no shares of classes, for a cross-entropy.
    """
    if callable(loss):
        return loss
    shares = targets.is_floating_point() and targets.ndim == 2 and loss == "cross_entropy"
    if shares and ((targets < 0).any() or ((targets.sum(1) - 1).abs() > 1e-3).any()):
        raise ValueError(
            "expected classes, or shares of them that add up to 1, for the loss cross_entropy, "
            "received other real-valued targets; another loss can be given as loss="
        )
    return partial(sample_losses, loss=loss, reduction="mean")


def zero_loss_share(outputs: Points, labels: Labels, loss: Loss = "cross_entropy") -> float:
    """Share in [0, 1] of samples whose loss is exactly 0 in the dtype of the outputs.

    Args:
        outputs: (n, classes) logits, in the dtype that is asked about.
        labels: (n,) whole numbers from 0 on.
        loss: as `sample_losses` takes it.

    Of two logits in float32 a lead of 16.6 still has a loss, and one of 16.7 has none:

    >>> zero_loss_share(torch.tensor([[16.6, 0.0], [16.7, 0.0]]), torch.tensor([0, 0]))
    0.5
    """
    return float((sample_losses(outputs, labels, loss) == 0).double().mean())


def logit_margins(outputs: Points, labels: Labels) -> Float[Tensor, " n"]:
    """f_y - max_{k ≠ y} f_k of every sample: above 0 where it is classified rightly.

    Args:
        outputs: (n, classes) logits, of two classes at least.
        labels: (n,) whole numbers from 0 on.

    >>> logit_margins(torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), torch.tensor([0, 1]))
    tensor([ 1., -2.])
    """
    outputs, labels = as_tensor(outputs, "outputs"), _classes(labels)
    correct = outputs.gather(1, labels[:, None])
    others = outputs.scatter(1, labels[:, None], -torch.inf)
    return correct[:, 0] - others.amax(1)

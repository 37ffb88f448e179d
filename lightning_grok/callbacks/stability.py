"""Whether the loss still teaches anything, and what the optimizer makes of what is left of it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from lightning_grok.analysis.instability import COLLAPSED, stability_events
from lightning_grok.callbacks.evaluation import Evaluation
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.network import are_logits, placed
from lightning_grok.callbacks.recording import (
    LoggedValue,
    callbacks_of,
    directory_loggers,
    record_event,
)
from lightning_grok.geometry.gradients import adam_update, rms
from lightning_grok.geometry.losses import Loss, logit_margins, sample_losses, zero_loss_share
from lightning_grok.geometry.samples import answer

_QUANTILES = (5, 50, 95)
_WATCHED = ("train/loss", "train/accuracy", "test/accuracy", "stability/zero_loss_share")


class Stability(Measurement):
    """Margins and losses of the whole training set, and the state of the optimizer.

    Taken at every evaluation. Logged, under ``stability/``: ``zero_loss_share``, the share of
    training samples whose loss is exactly 0 in its dtype; ``margin_5``, ``margin_50``,
    ``margin_95``, percentiles of the lead of the correct logit; ``loss``, the mean loss in float64;
    ``log10_logit_rms``; ``normalized_margin``, the smallest margin
    over ‖θ‖^D with D weight matrices or kernels; ``gradient_cosine``, of the descent direction
    -∇L with θ: near 1 where all that is left to learn is to scale the logits.

    Of an optimizer with Adam's two moments: ``sqrt_v_rms``, the root mean square of √v̂;
    ``update_rms``, that of m̂ / (√v̂ + ε); ``below_eps``, the share of entries with √v̂ < ε; and for
    every layer ``<layer>/update_over_weight``, the norm of the update, learning rate included, over
    that of the layer. Of one with momentum alone the update is its buffer.

    Of a network whose outputs are no scores of classes only the optimizer's part is logged.

    The events ``collapse``, ``instability`` and ``ungrokking`` are those of
    `lightning_grok.analysis.instability`. Cost: one forward and one backward pass of the training
    set, and one pass over the optimizer's state.

    Args:
        enabled, strict: as for every `Measurement`.
    """

    name = "stability"
    keeps_snapshots = False
    remembers = ("seen", "told", "best")

    def __init__(self, enabled: bool = True, strict: bool = False) -> None:
        super().__init__(enabled, None, strict)
        self._trainer: L.Trainer | None = None
        self._module: nn.Module | None = None
        self._seen: list[list[float]] = []  # epoch and values of _WATCHED
        self._best = 0.0  # test accuracy
        self._told: list[list[Any]] = []  # name and epoch of events

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember whose optimizers and whose loss to look at."""
        super().setup(trainer, pl_module, stage)
        self._trainer, self._module = trainer, pl_module

    def due(self, epoch: float) -> bool:
        """Whether there is an evaluation; without any, as for every `Measurement`."""
        callbacks = [] if self._trainer is None else callbacks_of(self._trainer)
        evaluations = [each for each in callbacks if isinstance(each, Evaluation)]
        if not evaluations:
            return super().due(int(epoch))
        return any(each.due(int(epoch)) for each in evaluations)

    def end_at(self, epoch: int) -> bool:
        """Let the last epoch of a run that ended early be due, as it is for the evaluation."""
        return self.due(epoch) and bool(self._seen) and self._seen[-1][0] < epoch

    def measure(self, model: nn.Module, reference: Any) -> Mapping[str, LoggedValue | Tensor]:
        """All numbers."""
        values: dict[str, LoggedValue | Tensor] = dict(self._of_the_loss(model, reference.train))
        if self._trainer is not None:
            values |= optimizer_values(self._trainer.optimizers, dict(model.named_parameters()))
        return values

    def _of_the_loss(self, model: nn.Module, samples: Any) -> Iterator[tuple[str, float]]:
        loss: Loss = getattr(self._module, "loss", "cross_entropy")
        cast = getattr(self._module, "in_loss_precision", lambda outputs: outputs)
        parameters = [p for p in model.parameters() if p.requires_grad]
        with torch.enable_grad():
            outputs = answer(model, placed(samples.images, model))
            if not are_logits(outputs, samples.labels):
                return
            labels = samples.labels.to(outputs.device)
            mean = sample_losses(cast(outputs), labels, loss, "mean")
            gradients = torch.autograd.grad(mean, parameters, allow_unused=True)
        outputs = outputs.detach()
        margins = logit_margins(outputs.double(), labels)
        yield "zero_loss_share", zero_loss_share(cast(outputs), labels, loss)
        for percent in _QUANTILES:
            yield f"margin_{percent}", float(margins.quantile(percent / 100))
        yield "loss", float(sample_losses(outputs.double(), labels, loss).mean())
        yield "log10_logit_rms", math.log10(max(rms([outputs]), math.ulp(0.0)))
        norm = _norm(parameters)
        depth = sum(parameter.ndim > 1 for parameter in parameters)
        yield "normalized_margin", float(margins.min()) / norm**depth
        pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
        product = -sum(float((p.detach().double() * g.double()).sum()) for p, g in pairs)
        length = norm * _norm([gradient for _, gradient in pairs])
        yield "gradient_cosine", product / length if length > 0 else math.nan

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: float) -> None:
        super()._take(trainer, pl_module, epoch)
        metrics = trainer.callback_metrics
        self._seen.append([epoch, *(float(metrics.get(key, math.nan)) for key in _WATCHED)])
        if not self._may_have_happened():
            return
        for name, at in stability_events(*np.array(self._seen).T):
            if [name, at] in self._told:
                continue
            self._told.append([name, at])
            pl_module.print(f"{name} at epoch {at} (known at epoch {epoch})")
            record_event(trainer, name, at, {"known_at": epoch})
            first = next(when for which, when in self._told if which == name)
            for logger in directory_loggers(trainer):
                logger.directory.update_meta(**{name: first})

    def _summarize(
        self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: float, *, final: bool
    ) -> None:
        """Do nothing: no number is of the whole run, and evaluations are many."""

    def _may_have_happened(self) -> bool:
        """Whether the newest evaluation is worth a look at the whole series: it seldom is."""
        told = {name for name, _ in self._told}
        epoch, loss, _, test, share = self._seen[-1]
        self._best = max(self._best, test)
        recent = takewhile(lambda row: row[0] > 0.8 * epoch, reversed(self._seen))
        return (
            ("collapse" not in told and share >= COLLAPSED)
            or ("ungrokking" not in told and test <= 0.5 * self._best)
            or loss >= 1e3 * min([row[1] for row in recent] + [self._seen[-2:][0][1]])
        )


def optimizer_values(
    optimizers: Iterable[torch.optim.Optimizer], parameters: Mapping[str, Tensor]
) -> dict[str, float]:
    """What optimizers have just done to parameters, as far as their state says; see `Stability`.

    Args:
        optimizers: of any class; what has no moments is passed over.
        parameters: the network's, by name.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    roots, updates, below, entries = [], [], 0, 0
    squares: dict[str, list[float]] = {}  # of update and weight, by layer
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if "exp_avg_sq" in state and {"betas", "eps"} <= group.keys():
                    found = adam_update(state, group)
                    update, below, entries = (
                        found.direction, below + found.below, entries + parameter.numel(),
                    )  # fmt: skip
                    roots.append(found.root)
                elif isinstance(state.get("momentum_buffer"), Tensor):
                    update = state["momentum_buffer"]
                else:
                    continue
                updates.append(update)
                layer = names.get(id(parameter), "").rpartition(".")[0]
                pair = squares.setdefault(layer, [0.0, 0.0])
                pair[0] += float(group["lr"]) ** 2 * float(update.double().square().sum())
                pair[1] += float(parameter.detach().double().square().sum())
    values = {
        f"{layer}/update_over_weight": math.sqrt(update / weight)
        for layer, (update, weight) in squares.items()
        if layer and weight > 0
    }
    if updates:
        values["update_rms"] = rms(updates)
    if roots:
        values |= {"sqrt_v_rms": rms(roots), "below_eps": below / entries}
    return values


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in tensors))

"""Whether the loss still teaches anything, and what the optimizer makes of what is left of it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
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
from lightning_grok.geometry.gradients import ADAMS, adam_update, rms
from lightning_grok.geometry.losses import Loss, logit_margins, sample_losses, zero_loss_share
from lightning_grok.geometry.samples import answer

_QUANTILES = (5, 50, 95)
_LARGEST = math.log(np.finfo(float).max)
_WATCHED = ("train/loss", "train/accuracy", "test/accuracy", "stability/zero_loss_share")


class Stability(Measurement):
    """Margins and losses of the whole training set, and the state of the optimizer.

    Taken at every evaluation. Logged, under ``stability/``: ``zero_loss_share``, the share of
    training samples whose loss is exactly 0 in its dtype; ``margin_5``, ``margin_50``,
    ``margin_95``, percentiles of the lead of the correct logit; ``loss``, the mean loss in float64;
    ``log10_logit_rms``; ``normalized_margin``, the smallest margin
    over ‖θ‖^D with D weight matrices or kernels; ``gradient_cosine``, of the descent direction
    -∇L with θ: near 1 where all that is left to learn is to scale the logits.

    Of PyTorch's Adam, AdamW and SparseAdam: ``sqrt_v_rms``, the root mean square of √v̂;
    ``update_rms``, that of m̂ / (√v̂ + ε); ``below_eps``, the share of entries with √v̂ < ε; and for
    every layer ``<layer>/update_over_weight``, the norm of the last update, with the learning rate
    of its step, over that of the layer. Of SGD and RMSprop with momentum (but not Nesterov's) the
    update is its buffer. Of other optimizers, whose state says something else, none of this is.

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
        self._rates: dict[int, float] = {}  # of the newest step, by group

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember whose optimizers and whose loss to look at."""
        super().setup(trainer, pl_module, stage)
        self._trainer, self._module = trainer, pl_module

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the learning rates, which a schedule changes before the evaluation."""
        for optimizer in trainer.optimizers:
            self._note_rates(optimizer)

    def on_before_optimizer_step(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Note those of a step; where an epoch is one call they are the epoch's."""
        self._note_rates(optimizer)

    def _note_rates(self, optimizer: torch.optim.Optimizer) -> None:
        self._rates |= {id(group): float(group["lr"]) for group in optimizer.param_groups}

    def wants_step(self, step: int) -> bool:
        """Whether it has to see the network after a step that is not the last one of an epoch."""
        return False

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
            parameters = dict(model.named_parameters())
            values |= optimizer_values(self._trainer.optimizers, parameters, self._rates)
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
        yield "normalized_margin", _over_power(float(margins.min()), norm, depth)
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
        before = (row for row in islice(reversed(self._seen), 1, None) if not math.isnan(row[1]))
        newest = next(before, [epoch, math.inf])
        recent = takewhile(lambda row: row[0] > 0.8 * epoch, before)
        return (
            ("collapse" not in told and share >= COLLAPSED)
            or ("ungrokking" not in told and test <= 0.5 * self._best)
            or loss >= 1e3 * min([newest[1], *(row[1] for row in recent)])
        )


def optimizer_values(
    optimizers: Iterable[torch.optim.Optimizer],
    parameters: Mapping[str, Tensor],
    rates: Mapping[int, float] | None = None,
) -> dict[str, float]:
    """What optimizers have just done to parameters, as far as their state says; see `Stability`.

    Args:
        optimizers: of any class; what has no moments is passed over.
        parameters: the network's, by name.
        rates: learning rates of the newest step, by the `id` of the group, where it has others now.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    roots, updates, below, entries = [], [], 0, 0
    squares: dict[str, list[float]] = {}  # of update and weight, by layer
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = (rates or {}).get(id(group), float(group["lr"]))
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if type(optimizer) in ADAMS and "exp_avg_sq" in state:
                    found = adam_update(state, group)
                    update: Tensor | None = found.direction
                    below, entries = below + found.below, entries + parameter.numel()
                    roots.append(found.root)
                else:
                    update = _momentum(optimizer, group, state)
                if update is None:
                    continue
                updates.append(update)
                layer = names.get(id(parameter), "").rpartition(".")[0]
                pair = squares.setdefault(layer, [0.0, 0.0])
                pair[0] += rate**2 * float(update.double().square().sum())
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


def _momentum(
    optimizer: torch.optim.Optimizer, group: Mapping[str, Any], state: Mapping[str, Any]
) -> Tensor | None:
    """The buffer by which a step went, of optimizers that go by it."""
    goes = type(optimizer) in (torch.optim.SGD, torch.optim.RMSprop) and not group.get("nesterov")
    return state.get("momentum_buffer") if goes else None


def _over_power(value: float, base: float, power: int) -> float:
    """value / base**power, also where the power is beyond what a float holds; NaN over 0."""
    if base == 0 or math.isnan(value):
        return math.nan
    exponent = math.log(abs(value) or 1.0) - power * math.log(base)
    size = math.exp(min(exponent, _LARGEST)) if value else 0.0
    return math.copysign(size, value)


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in tensors))

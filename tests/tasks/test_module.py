"""GrokModule in real fits on blobs: what Lightning trains step by step, against loops by hand."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from trained_by_hand import (
    OPTIMIZERS,
    assert_close,
    batches_of,
    by_hand,
    fitted,
    loader,
    module,
    samples,
)

from lightning_grok.tasks import whole_epochs
from lightning_grok.tasks.module import GrokModule
from lightning_grok.tasks.set_metrics import SetMetrics


@pytest.fixture(autouse=True)
def whole_epochs_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_epochs, "STEPS_BEFORE", 2)


def test_a_loss_in_float64_goes_on_where_that_of_float32_has_ended() -> None:
    outputs, labels = torch.tensor([[20.0, 0, 0]]), torch.tensor([0])
    for precision, expected in ((None, 0), ("float32", 0), ("float64", 2 * math.exp(-20))):
        loss = module(loss_precision=precision).loss_of(outputs, labels)
        assert float(loss) == pytest.approx(expected)
    trained = module(loss_precision="float64")
    fitted(trained, 1)
    assert {parameter.dtype for parameter in trained.parameters()} == {torch.float32}


@pytest.mark.parametrize("clip", [None, 0.05])
def test_the_gradient_may_be_kept_perpendicular_to_the_weights(clip: float | None) -> None:
    options = {} if clip is None else {"gradient_clip_val": clip}
    trained = module(optimizer="sgd", learning_rate=0.1, orthogonal_gradient=True)
    layers = copy.deepcopy(trained.network.layers)
    fitted(trained, 3, **options)

    def turn() -> None:
        for p in layers.parameters():
            left = p.grad - (p.grad * p.data).sum() / (p.data * p.data).sum() * p.data
            p.grad = left * p.grad.norm() / left.norm()
        if clip is not None:
            nn.utils.clip_grad_norm_(layers.parameters(), clip)

    by_hand(trained, torch.optim.SGD(layers.parameters(), lr=0.1), layers, 3, before=turn)
    assert_close(trained, layers)


def norm_of(trained: GrokModule) -> float:
    return float(torch.cat([p.detach().flatten() for p in trained.network.parameters()]).norm())


def test_the_norm_of_the_weights_may_be_held(tmp_path: Path) -> None:
    trained, free = module(hold_norm=True, weight_decay=0.5), module(weight_decay=0.5)
    start = norm_of(trained)
    runner = fitted(trained, 4)
    fitted(free, 4)
    assert norm_of(trained) == pytest.approx(start, rel=1e-6)
    assert norm_of(free) < 0.99 * start
    runner.save_checkpoint(tmp_path / "last.ckpt")
    resumed = module(hold_norm=True)
    fitted(resumed, 6, ckpt_path=tmp_path / "last.ckpt")
    whole = module(hold_norm=True, weight_decay=0.5)
    fitted(whole, 6)
    for own, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_may_be_clipped(name: str) -> None:
    trained = module(optimizer=name, learning_rate=0.01)
    layers = copy.deepcopy(trained.network.layers)
    fitted(trained, 5, gradient_clip_val=0.05)
    optimizer = OPTIMIZERS[name](layers.parameters(), lr=0.01, weight_decay=0)

    def clip() -> None:
        nn.utils.clip_grad_norm_(layers.parameters(), 0.05)

    by_hand(trained, optimizer, layers, 5, before=clip)
    assert_close(trained, layers)


def test_gradients_of_several_batches_may_be_gathered() -> None:
    trained = module(optimizer="sgd", learning_rate=0.1)
    layers = copy.deepcopy(trained.network.layers)
    fitted(trained, 1, accumulate_grad_batches=3)
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
    for inputs, labels in batches_of(0):
        (trained.loss_of(layers(inputs), labels) / 3).backward()
    optimizer.step()
    assert_close(trained, layers)


def listens_to_a_gradient(trained: GrokModule, seen: list) -> None:
    trained.network.layers[2].weight.register_hook(seen.append)


def listens_after_accumulation(trained: GrokModule, seen: list) -> None:
    trained.network.layers[0].bias.register_post_accumulate_grad_hook(seen.append)


def listens_to_a_layer(trained: GrokModule, seen: list) -> None:
    trained.network.layers[1].register_forward_hook(lambda *arguments: seen.append(arguments))


def listens_to_the_network(trained: GrokModule, seen: list) -> None:
    trained.network.register_forward_hook(lambda *arguments: seen.append(arguments))


@pytest.mark.parametrize(
    "listen",
    [
        listens_to_a_gradient,
        listens_after_accumulation,
        listens_to_a_layer,
        listens_to_the_network,
    ],
)
def test_whoever_listens_during_training_hears(listen: Callable) -> None:
    trained, alone, seen = module(), module(), []
    listen(trained, seen)
    fitted(trained, 2, limit_val_batches=0)
    fitted(alone, 2, limit_val_batches=0)
    assert len(seen) == 6
    assert_close(trained, alone.network.layers)


def test_a_frozen_parameter_stays() -> None:
    trained = module()
    trained.network.layers[0].weight.requires_grad_(False)
    start = copy.deepcopy(trained.network.state_dict())
    fitted(trained, 2)
    changed = [
        key for key, own in trained.network.state_dict().items() if (own != start[key]).any()
    ]
    assert changed == [key for key in start if key != "layers.0.weight"]


class Penalized(GrokModule):
    def training_step(self, batch, batch_idx):
        penalty = sum(parameter.square().sum() for parameter in self.network.parameters())
        return super().training_step(batch, batch_idx) + 0.05 * penalty


def test_a_loss_of_ones_own_is_what_is_minimized() -> None:
    trained = module(Penalized, optimizer="sgd", learning_rate=0.1)
    layers = copy.deepcopy(trained.network.layers)
    fitted(trained, 5)
    # The derivative of 0.05 w^2 is 0.1 w, as that of SGD's weight decay of 0.1.
    by_hand(trained, torch.optim.SGD(layers.parameters(), lr=0.1, weight_decay=0.1), layers, 5)
    assert_close(trained, layers)


class Scheduled(GrokModule):
    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)]


def test_the_learning_rate_may_follow_a_schedule() -> None:
    trained = module(Scheduled, learning_rate=0.01)
    layers = copy.deepcopy(trained.network.layers)
    runner = fitted(trained, 6)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=0.01, weight_decay=0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    by_hand(trained, optimizer, layers, 6, after=schedule.step)
    assert_close(trained, layers)
    assert runner.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-5)


def test_the_losses() -> None:
    outputs, labels = torch.tensor([[2.0, 0, 1], [0, 0, 0]]), torch.tensor([0, 2])
    probability = torch.tensor(2.0).exp() / torch.tensor([2.0, 0, 1]).exp().sum()
    expected = (-probability.log() + torch.tensor(3.0).log()) / 2
    torch.testing.assert_close(module().loss_of(outputs, labels), expected)
    # (1 + 0 + 1) + (0 + 0 + 1) squared errors over six outputs
    torch.testing.assert_close(module(loss="mse").loss_of(outputs, labels), torch.tensor(0.5))


def test_whole_set_metrics_are_means_over_samples_and_not_over_chunks() -> None:
    inputs, labels = samples()
    built = module(weight_scale=3)
    outputs = built(inputs)
    metrics = SetMetrics(3)
    for rows in (slice(0, 7), slice(7, 9), slice(9, 20)):
        loss = built.loss_of(outputs[rows], labels[rows]).detach()
        metrics.update(loss, outputs[rows].detach(), labels[rows])
    values = metrics.compute()
    correct = outputs.argmax(1) == labels
    torch.testing.assert_close(values["loss"], built.loss_of(outputs, labels).detach())
    torch.testing.assert_close(values["accuracy"], correct.float().mean())
    expected = torch.stack([correct[labels == c].float().mean() for c in range(3)])
    torch.testing.assert_close(values["accuracy_per_class"], expected)
    metrics.update(torch.tensor(torch.nan), outputs[:3], labels[:3])
    assert metrics.compute()["loss"].isnan()


def test_validation_and_test_log_what_the_network_gets_right() -> None:
    trained = module(learning_rate=0.01)
    runner = fitted(trained, 40)
    inputs, labels = samples()
    with torch.no_grad():
        accuracy = (trained(inputs).argmax(1) == labels).float().mean()
        loss = trained.loss_of(trained(inputs), labels)
    assert accuracy > 0.8
    for name in ("train", "test"):
        torch.testing.assert_close(runner.callback_metrics[f"{name}/accuracy"], accuracy)
        torch.testing.assert_close(runner.callback_metrics[f"{name}/loss"], loss)
    (tested,) = runner.test(trained, loader(), verbose=False)
    assert tested == pytest.approx({"test/accuracy": float(accuracy), "test/loss": float(loss)})


def test_a_class_without_an_image_has_no_accuracy() -> None:
    metrics = SetMetrics(3)
    metrics.update(torch.tensor(0.0), torch.eye(3)[[0, 2]], torch.tensor([0, 1]))
    found = metrics.compute()["accuracy_per_class"]
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, torch.nan]), equal_nan=True)

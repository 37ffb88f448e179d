"""Epochs in one compiled call against loops written by hand, and against Lightning's own loop."""

import copy
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    LambdaCallback,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from torch import Tensor, nn
from trained_by_hand import OPTIMIZERS, assert_close, by_hand, fitted, module, samples

from lightning_grok.callbacks.checkpoint import FiniteLoss
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.errors import InputError
from lightning_grok.tasks import whole_epochs
from lightning_grok.tasks.batches import BatchLoader, EpochSampler
from lightning_grok.tasks.chain import CompiledEpoch
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.module import GrokModule
from lightning_grok.tasks.networks import QuadraticMLP
from lightning_grok.tasks.reference_set import ReferenceSet

COMPILED = "one compiled call"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take over after five steps, within the second epoch."""
    monkeypatch.setattr(whole_epochs, "STEPS_BEFORE", 5)


def told(trainer: L.Trainer) -> str:
    loop = trainer.fit_loop.epoch_loop
    assert isinstance(loop, whole_epochs.WholeEpochs)
    return " ".join(sorted(loop._told))


def same(first: GrokModule, second: GrokModule) -> bool:
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    return all(torch.equal(own, other) for own, other in pairs)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw", "betas": (0.8, 0.95), "eps": 1e-4},
        {"optimizer": "adam", "weight_decay": 0.3},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.8},
        {"loss": "mse"},
        {"loss": "stablemax"},
        {"loss": "stablemax", "loss_precision": "float64"},
        {"loss_precision": "float64", "output_scale": 0.3},
        {"loss_precision": "float32"},
        {"activation": "tanh"},
        {"activation": "gelu"},
        {"activation": "sigmoid"},
        {"activation": "silu"},
        {"activation": "identity", "hidden": ()},
        {"network": QuadraticMLP(6, 3, 11)},
        {
            "network": nn.Sequential(
                nn.Flatten(), nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3)
            )
        },
    ],
    ids=str,
)
def test_it_is_the_loop_by_hand(options: dict[str, Any]) -> None:
    options = {"learning_rate": 0.01, "weight_decay": 0.1} | copy.deepcopy(options)
    trained = module(**options)
    network = copy.deepcopy(trained.network)
    trainer = fitted(trained, 15, limit_val_batches=0)
    assert told(trainer).count(COMPILED) == 1
    assert trainer.global_step == 45
    names = {"adamw": ("betas", "eps"), "adam": ("betas", "eps"), "sgd": ("momentum",)}
    kind = trained.hparams["optimizer"]
    given = {name: trained.hparams[name] for name in names[kind]}
    given["weight_decay"] = trained.hparams["weight_decay"]
    optimizer = OPTIMIZERS[kind](network.parameters(), lr=0.01, **given)
    by_hand(trained, optimizer, network, 15)
    assert_close(trained, network)
    for own, expected in zip(trained.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad, rtol=1e-3, atol=1e-5)
    found = trainer.optimizers[0].state_dict()["state"]
    for key, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            torch.testing.assert_close(found[key][name], value, rtol=1e-3, atol=1e-6)


def test_the_checkpoint_is_that_of_lightnings_own_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, steps in (("whole", 5), ("single", 10**6)):
        monkeypatch.setattr(whole_epochs, "STEPS_BEFORE", steps)
        path = tmp_path / name
        trained = module()
        fitted(trained, 9).save_checkpoint(path)
        found.append(torch.load(path, weights_only=False))
    whole, single = found
    for each in found:
        each["optimizer_states"] = each["optimizer_states"][0]["param_groups"]
        each["state_dict"] = list(each["state_dict"])
    assert whole == single
    assert whole["global_step"] == 27


@pytest.mark.parametrize("broken", [1, 2, 5])
def test_a_resumed_run_ends_at_the_same_bits(broken: int, tmp_path: Path) -> None:
    whole, first, second = module(), module(), module()
    fitted(whole, 9)
    fitted(first, broken).save_checkpoint(tmp_path / "last.ckpt")
    resumed = fitted(second, 9, ckpt_path=tmp_path / "last.ckpt")
    assert same(second, whole)
    assert COMPILED in told(resumed)


def test_a_schedule_that_begins_later_knows_that_steps_were_taken() -> None:
    """PyTorch would warn that none was, which is an error here."""
    trainer = fitted(module(), 6, StochasticWeightAveraging(0.01, swa_epoch_start=4))
    assert COMPILED in told(trainer)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize(("steps", "taken"), [(10**6, 4), (10**6, 20), (5, 4), (5, 20)])
def test_a_run_is_resumed_within_an_epoch(
    steps: int, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of Lightning's own, after step 4 or 20 of 27: the second one of an epoch."""
    whole, second = module(), module()
    saved = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=4)
    fitted(whole, 9, saved, enable_checkpointing=True)
    monkeypatch.setattr(whole_epochs, "STEPS_BEFORE", steps)
    trainer = fitted(second, 9, ckpt_path=tmp_path / f"step={taken}.ckpt")
    assert trainer.global_step == 27
    assert (COMPILED in told(trainer)) == (steps == 5)
    for own, expected in zip(second.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=2e-6 if steps == 5 else 0)


class Steps(Measurement):
    """Keeps the steps at which it was asked, of which some are no epoch's end."""

    name = "steps"

    def __init__(self) -> None:
        super().__init__(every_n_steps=5)
        self.seen: list[Tensor] = []

    def measure(self, model: nn.Module, reference: ReferenceSet) -> dict[str, float]:
        self.seen.append(next(model.parameters()).detach().clone())
        return {"seen": len(self.seen)}


def test_who_measures_at_steps_sees_them_and_changes_nothing() -> None:
    alone, watched = module(), module()
    fitted(alone, 9)
    measurement = Steps()
    trainer = fitted(watched, 9, measurement)
    assert told(trainer).count(COMPILED) == 1
    assert same(alone, watched)
    shorter = module()
    fitted(shorter, 9, max_steps=20)
    assert len(measurement.seen) == 7  # at 0 to 25 and at the end
    assert torch.equal(measurement.seen[4], next(shorter.network.parameters()))


def test_the_last_minibatches_may_be_left_out() -> None:
    trained = module(optimizer="sgd", learning_rate=0.1)
    network = copy.deepcopy(trained.network)
    assert COMPILED in told(fitted(trained, 6, limit_train_batches=2))
    by_hand(trained, torch.optim.SGD(network.parameters(), lr=0.1), network, 6, most=2)
    assert_close(trained, network)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "stablemax"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_nan_and_an_infinity_are_seen(loss: str, activation: str, tmp_path: Path) -> None:
    trained = module(loss=loss, activation=activation, optimizer="sgd", learning_rate=1e-3)
    spoil = LambdaCallback(on_train_epoch_start=spoiled)
    with pytest.raises(InputError, match=r"finite loss, received (nan|inf) in epoch 4"):
        fitted(trained, 9, spoil, FiniteLoss(tmp_path), limit_val_batches=0)


def spoiled(trainer: L.Trainer, module: GrokModule) -> None:
    if trainer.current_epoch == 3:
        with torch.no_grad():
            module.network.layers[0].weight[2, 3] = torch.nan


class Scaled(GrokModule):
    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return 2 * super().loss_of(outputs, labels)


class Noisy(GrokModule):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + 1, batch[1]


class SignSGD(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Signed(GrokModule):
    def configure_optimizers(self) -> Any:
        return SignSGD(self.network.parameters(), lr=0.1)


class Shrinking(GrokModule):
    """Each step of the optimizer is followed by one that it has been given."""

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        step = optimizer.step

        def shrink(closure: Any = None) -> Any:
            loss = step(closure)
            with torch.no_grad():
                self.network.layers[0].weight.mul_(0.9)
            return loss

        optimizer.step = shrink
        return optimizer


class Warm(GrokModule):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / 10))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def listened() -> GrokModule:
    trained = module()
    trained.network.layers[1].register_forward_hook(lambda *_: None)
    return trained


def frozen() -> GrokModule:
    trained = module()
    trained.network.layers[0].bias.requires_grad_(False)
    return trained


def patched(name: str) -> GrokModule:
    trained = module()
    layer = trained.network.get_submodule(name)
    forward = layer.forward
    layer.forward = lambda inputs: 0.5 * forward(inputs)
    return trained


def one_bias() -> GrokModule:
    trained = module()
    trained.network.layers[0].bias = nn.Parameter(torch.tensor([0.3]))
    return trained


def scaled_by_a_tensor() -> GrokModule:
    trained = module()
    trained.network.output_scale = torch.tensor(0.3)
    return trained


def shared() -> GrokModule:
    layer = nn.Linear(6, 6)
    return module(network=nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(6, 3)))


@pytest.mark.parametrize(
    ("build", "options", "reason"),
    [
        (module, {"gradient_clip_val": 0.1}, "gradient_clip_val"),
        (module, {"accumulate_grad_batches": 2}, "accumulate_grad_batches"),
        (module, {"precision": "bf16-mixed"}, "precision"),
        (module, {"detect_anomaly": True}, "detect_anomaly"),
        (module, {"profiler": "simple"}, "profiler"),
        (module, {"val_check_interval": 1}, "evaluation within epochs"),
        (lambda: module(orthogonal_gradient=True), {}, "orthogonal_gradient"),
        (lambda: module(hold_norm=True), {}, "hold_norm"),
        (lambda: module(loss="hinge"), {}, "the loss hinge"),
        (lambda: module(network=nn.Sequential(nn.Linear(6, 3), nn.Dropout())), {}, "Dropout"),
        (lambda: module(network=nn.Sequential(nn.Linear(6, 3), nn.ReLU())), {}, "ends with"),
        (listened, {}, "hooks on the network"),
        (frozen, {}, "frozen"),
        (shared, {}, "share parameters"),
        (lambda: patched(""), {}, "a forward of its own"),
        (lambda: patched("layers.1"), {}, "a forward of its own"),
        (lambda: patched("layers.2"), {}, "a forward of its own"),
        (one_bias, {}, "other sizes"),
        (scaled_by_a_tensor, {}, "a factor on the outputs"),
        (lambda: module(Scaled), {}, "Scaled.loss_of"),
        (lambda: module(Noisy), {}, "Noisy.on_after_batch_transfer"),
        (lambda: module(Signed), {}, "SignSGD"),
        (lambda: module(Shrinking), {}, "hooks on the optimizer"),
        (lambda: module(Warm), {}, "a schedule by steps"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_lightning_does_and_says_so_once(
    build: Any, options: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    trained = build()
    trainer = fitted(trained, 5, **options)
    assert "step by step" in told(trainer)
    assert reason in told(trainer)
    assert COMPILED not in told(trainer)
    torch.manual_seed(1)
    alone = build()
    monkeypatch.setattr(whole_epochs, "STEPS_BEFORE", 10**6)
    assert told(fitted(alone, 5, **options)) == ""
    assert same(alone, trained)


def test_layers_have_the_sizes_of_their_weights() -> None:
    """Those that they were made with may be others."""
    trained = module(optimizer="sgd", learning_rate=0.1)
    first, _, second, *_ = trained.network.layers
    first.weight, first.bias = (nn.Parameter(each.detach()[:4]) for each in first.parameters())
    second.weight = nn.Parameter(second.weight.detach()[:, :4].clone())
    network = copy.deepcopy(trained.network)
    assert COMPILED in told(fitted(trained, 5))
    by_hand(trained, torch.optim.SGD(network.parameters(), lr=0.1), network, 5)
    assert_close(trained, network)


@pytest.mark.parametrize("kind", ["probabilities", "numbers", "too few"])
def test_labels_that_are_no_class_a_sample_are_lightnings(kind: str) -> None:
    inputs, labels = samples()
    labels = {
        "probabilities": torch.eye(3)[labels] * 0.8 + 0.1,
        "numbers": labels + 0.5 * (torch.arange(20) % 2),
        "too few": labels[:15],
    }[kind]
    loss = "mse" if kind == "numbers" else "cross_entropy"
    batches = BatchLoader(Samples(inputs, labels), 8, EpochSampler(len(labels), 7))
    trainer = fitted(module(loss=loss), 5, batches=batches, limit_val_batches=0)
    assert "labels that are no class a sample" in told(trainer)


def test_autocast_about_a_trainer_is_a_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert "another precision" in told(fitted(module(), 5, limit_val_batches=0))


def test_a_batch_size_far_beyond_the_samples_costs_no_memory() -> None:
    few, many = module(), module()
    fitted(few, 15, batches=BatchLoader(samples(), 20, EpochSampler(20, 7)))
    fitted(many, 15, batches=BatchLoader(samples(), 10**15, EpochSampler(20, 7)))
    assert same(few, many)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_before_zero_grad", "on_after_backward"])
def test_a_callback_that_looks_at_steps_sees_them(hook: str) -> None:
    seen: list[int] = []
    watcher = LambdaCallback(**{hook: lambda trainer, *_: seen.append(trainer.global_step)})
    trainer = fitted(module(), 5, watcher)
    assert len(seen) == 15
    assert "LambdaCallback" in told(trainer)


def test_a_short_run_is_lightnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert told(fitted(module(), 33)) == ""
    assert COMPILED in told(fitted(module(), 35))


def test_numbers_below_the_smallest_normal_one_are_zero_in_it_alone() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormal numbers")
    blind = samples()
    blind.images[:, 0] = 0  # no gradient by its weights
    trained, batches = module(), BatchLoader(blind, 8, EpochSampler(20, 7))
    optimizer = torch.optim.AdamW(trained.parameters())
    inputs, labels = next(iter(batches))
    trained.loss_of(trained.network(inputs), labels).backward()
    optimizer.step()
    moments = optimizer.state[next(trained.parameters())]
    moments["exp_avg"][:, 0] = 1e-39
    CompiledEpoch(trained, optimizer, batches).train(0, 1)
    assert moments["exp_avg"][:, 0].eq(0).all()
    assert moments["exp_avg"][:, 1].ne(0).any()
    assert torch.tensor(1e-39).mul(0.5) > 0

"""The group ``stability`` in real fits, against the weights and the optimizer that they leave."""

import copy
import math

import pytest
import torch
from small_runs import Fit
from torch.nn import functional as F

from lightning_grok.callbacks.stability import optimizer_values
from lightning_grok.commands.fit import GrokCLI
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run

SLIM = [
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "weight_norm")
]
STEEP = [
    "--model.hidden=[]", "--model.learning_rate=1", "--model.weight_decay=0",
    "--data.batch_size=16", "--trainer.max_epochs=20",
]  # fmt: skip
"""A linear map whose logits soon lead by hundreds."""


def last(run: Run, key: str) -> float:
    return float(run.series(f"stability/{key}")[1][-1])


def test_it_is_what_the_weights_and_the_optimizer_say(fit: Fit) -> None:
    run = fit(*SLIM)
    assert run.series("stability/loss")[0].tolist() == run.series("train/loss")[0].tolist()
    model = load_model(run.path, 3)
    images, labels = GrokCLI(
        ["--config", str(run.path / "config.yaml")], run=False
    ).datamodule.reference_set.train
    parameters = list(model.parameters())
    outputs = model(images)
    loss = F.cross_entropy(outputs, labels)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
    weights = torch.cat([p.detach().flatten() for p in parameters])
    margins = [
        float(row[y] - max(v for k, v in enumerate(row) if k != y))
        for row, y in zip(outputs.detach(), labels, strict=True)
    ]
    expected = {
        "loss": loss.item(),
        "zero_loss_share": sum(margin > 16.64 for margin in margins) / len(margins),
        "margin_50": float(torch.tensor(margins).quantile(0.5)),
        "margin_5": float(torch.tensor(margins).quantile(0.05)),
        "log10_logit_rms": math.log10(outputs.detach().square().mean().sqrt()),
        "normalized_margin": min(margins) / float(weights.norm()) ** 3,
        "gradient_cosine": -float(F.cosine_similarity(gradient, weights, 0)),
    }
    for key, value in expected.items():
        assert last(run, key) == pytest.approx(value, rel=1e-3, abs=1e-6), key
    checkpoint = torch.load(run.path / "checkpoints/last.ckpt", weights_only=True)
    states = checkpoint["optimizer_states"][0]["state"].values()
    squares = torch.cat([state["exp_avg_sq"].flatten() for state in states])
    means = torch.cat([state["exp_avg"].flatten() for state in states])
    steps = float(next(iter(states))["step"])
    root = (squares / (1 - 0.999**steps)).sqrt()
    update = means / (1 - 0.9**steps) / (root + 1e-8)
    assert last(run, "sqrt_v_rms") == pytest.approx(float(root.square().mean().sqrt()), rel=1e-4)
    assert last(run, "update_rms") == pytest.approx(float(update.square().mean().sqrt()), rel=1e-4)
    assert last(run, "below_eps") == pytest.approx(float((root < 1e-8).double().mean()))


@pytest.mark.slow
def test_it_leaves_no_trace_in_the_weights_and_keeps_none(fit: Fit) -> None:
    without = fit(*SLIM, "--stability.enabled=false", "--trainer.max_epochs=8", name="without")
    run = fit(*SLIM, "--trainer.max_epochs=8")
    assert without.snapshot_epochs() == run.snapshot_epochs()
    for epoch in run.snapshot_epochs():
        files = [each.path / f"snapshots/epoch_{epoch:07d}.pt" for each in (run, without)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert "stability/loss" not in without.keys
    assert 7 in run.series("stability/loss")[0]
    assert 7 not in run.snapshot_epochs()


def test_a_collapse_is_an_event_of_the_run(fit: Fit) -> None:
    run = fit(*SLIM, *STEEP)
    epochs, share = run.series("stability/zero_loss_share")
    first = int(epochs[(share >= 0.5).argmax()])
    assert share.max() >= 0.5
    (event,) = [each for each in run.events if each["event"] == "collapse"]
    assert (event["epoch"], run.meta["collapse"]) == (first, first)
    stopped = fit(*SLIM, *STEEP, "--trainer.max_steps=28", name="stopped")
    assert stopped.series("stability/loss")[0].tolist() == stopped.series("train/loss")[0].tolist()


def test_of_other_optimizers_it_is_what_they_keep() -> None:
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    for options, expected in (
        ({"momentum": 0.9}, {"update_rms": 1.0}),
        ({}, {}),
    ):
        moving = copy.deepcopy(weight)
        optimizer = torch.optim.SGD([moving], lr=0.1, **options)
        moving.grad = torch.ones(1, 2)
        optimizer.step()
        found = optimizer_values([optimizer], {"a.weight": moving})
        close = {
            "a/update_over_weight": pytest.approx(0.1 * 2**0.5 / float(moving.detach().norm()))
        }
        assert found == {**expected, **(close if expected else {})}

"""The group ``stability`` in real fits, against the weights and the optimizer that they leave."""

import copy
import math
from itertools import chain, pairwise
from typing import Any, NamedTuple

import pytest
import torch
from small_runs import Fit
from torch.nn import functional as F

from lightning_grok.callbacks.stability import Stability, optimizer_values
from lightning_grok.commands.fit import GrokCLI
from lightning_grok.geometry import optimizer_scale
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


class ThreeMoments(torch.optim.Adam):
    """Somebody's optimizer whose state looks like Adam's and isn't."""

    def step(self, closure: Any = None) -> Any:
        """Keep more moments than two."""
        loss = super().step(closure)
        for group in self.param_groups:
            group["betas"] = (0.9, 0.99, 0.999)
        return loss


class Samples(NamedTuple):
    """A reference set as far as the loss needs it."""

    images: torch.Tensor
    labels: torch.Tensor


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


def test_a_step_counts_with_its_own_learning_rate(fit: Fit) -> None:
    run = fit(
        *SLIM, "--trainer.max_epochs=4", "--run.branch_points=[1,2,3,4]", "--evaluation.every=1",
        "--optimizer=AdamW", "--optimizer.lr=0.01", "--optimizer.weight_decay=0",
        "--lr_scheduler=MultiStepLR", "--lr_scheduler.milestones=[3]", "--lr_scheduler.gamma=0.01",
    )  # fmt: skip
    kept = [run.path / f"checkpoints/epoch_{epoch:07d}.ckpt" for epoch in (1, 2, 3, 4)]
    weights = [
        torch.cat([state[f"network.layers.0.{kind}"].flatten() for kind in ("weight", "bias")])
        for state in (torch.load(path, weights_only=True)["state_dict"] for path in kept)
    ]
    moved = [float((b - a).norm() / b.norm()) for a, b in pairwise(weights)]
    epochs, logged = run.series("stability/layers.0/update_over_weight")
    assert list(epochs[-3:]) == [2, 3, 4]
    assert list(logged[-3:]) == pytest.approx(moved, rel=1e-3)
    assert moved[2] < 0.1 * moved[1]


@pytest.mark.parametrize("weights", [0.0, 1e-30, 1e15])
def test_no_size_of_the_weights_loses_the_rest(weights: float) -> None:
    layers = [(torch.nn.Linear(3, 3, dtype=torch.float64), torch.nn.Tanh()) for _ in range(24)]
    network = torch.nn.Sequential(*chain(*layers))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(weights)
    samples = Samples(torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 3)
    values = dict(Stability()._of_the_loss(network, samples))
    assert {"zero_loss_share", "margin_50", "normalized_margin", "gradient_cosine"} <= values.keys()
    assert math.isnan(values["normalized_margin"]) == (weights == 0)


def test_adams_update_is_computed_in_float32_where_weights_are_less() -> None:
    gradient = torch.tensor([0.0, 0.1, 1.0])
    found = []
    for dtype in (torch.float16, torch.float32):
        weight = torch.nn.Parameter(torch.ones(3, dtype=dtype))
        optimizer = torch.optim.AdamW([weight], lr=1e-3, fused=True)
        weight.grad = gradient.to(dtype)
        optimizer.step()
        found.append(optimizer_values([optimizer], {"a.weight": weight}))
    assert found[0] == pytest.approx(found[1], rel=1e-2)
    assert found[0]["below_eps"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.NAdam, {}), (torch.optim.RAdam, {}), (torch.optim.Adagrad, {}),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}), (ThreeMoments, {}),
    ],
)  # fmt: skip
def test_of_steps_that_are_others_nothing_is_said(kind: Any, options: dict[str, Any]) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = kind([weight], lr=0.1, **options)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert optimizer_values([optimizer], {"a.weight": weight}) == {}
    assert optimizer_scale([optimizer], {"a.weight": weight}).keys() <= (
        {"a.weight"} if kind is torch.optim.SGD else set()
    )


def test_a_jump_is_looked_at_behind_an_evaluation_that_is_none() -> None:
    nan, told = math.nan, Stability()
    told._seen = [[100, 1e-6, 1.0, 0.1, 0.0], [101, nan, nan, nan, nan], [102, 0.5, 1.0, 0.1, 0.0]]
    assert told._may_have_happened()
    told._seen = [[100, 0.1, 1.0, 0.1, 0.0], [101, nan, nan, nan, nan], [102, 0.5, 1.0, 0.1, 0.0]]
    assert not told._may_have_happened()


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

"""What is logged of the kernel against whole kernels of the run's own snapshots."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from networks import case
from small_runs import Fit
from torch import Tensor

from lightning_grok.callbacks import KernelDistance
from lightning_grok.callbacks.reference import given_reference
from lightning_grok.errors import InputError
from lightning_grok.geometry import (
    empirical_ntk,
    kernel_distance,
    kernel_target_alignment,
    ntk_factors,
)
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run
from lightning_grok.tasks.images import GrokData

OTHERS = [
    f"--{group}.enabled=false" for group in ("manifold_capacity", "linear_probe", "weight_norm")
]


def images(samples: int, split: str) -> tuple[Tensor, Tensor]:
    data = GrokData(dataset="digits", train_size=64)
    data.prepare_data()
    data.setup("fit")
    return data.reference_set.kernel_inputs(samples, split, 0)


def kernels(run: Run, inputs: Tensor, kind: str) -> dict[int, Tensor]:
    return {
        epoch: empirical_ntk(load_model(run.path, epoch), inputs, kind=kind, dtype=torch.float64)
        for epoch in run.snapshot_epochs()
    }


@pytest.mark.parametrize("split", ["train", pytest.param("test", marks=pytest.mark.slow)])
def test_logged_distances_are_those_of_whole_kernels(fit: Fit, split: str) -> None:
    run = fit(
        *OTHERS,
        "--kernel_distance.samples=12",
        f"--kernel_distance.split={split}",
        "--kernel_distance.dtype=float64",
    )
    inputs, labels = images(12, split)
    for kind in ("full", "trace"):
        known = kernels(run, inputs, kind)
        for key, reference in (("own", lambda epoch: 0), ("previous", lambda epoch: epoch - 1)):
            epochs, values = run.series(f"kernel_distance/{kind}/{key}")
            assert epochs.tolist() == ([0, 1, 2, 3] if key == "own" else [1, 2, 3])
            expected = [kernel_distance(known[e], known[reference(e)]) for e in epochs.tolist()]
            assert values == pytest.approx(expected, abs=1e-12)
        epochs, velocity = run.series(f"kernel_distance/{kind}/velocity")
        assert epochs.tolist() == [2, 3]
        previous = run.series(f"kernel_distance/{kind}/previous")[1][1:]
        assert velocity == pytest.approx(previous / [math.log(2), math.log(1.5)])
    for key, centered in (("alignment", False), ("centered_alignment", True)):
        expected = [kernel_target_alignment(k, labels, centered=centered) for k in known.values()]
        assert run.series(f"kernel_distance/{key}")[1] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2))])
def test_the_other_network_is_another_one_for_every_seed(fit: Fit, seed: int) -> None:
    options = ["--kernel_distance.samples=12", "--trainer.max_epochs=1", "--umap.enabled=false"]
    run = fit(*OTHERS, *options, f"--seed_everything={seed}")
    distance = run.series("kernel_distance/full/foreign")[1][0]
    floor, sd = (run.series(f"kernel_distance/full/{key}")[1][0] for key in ("floor", "floor_sd"))
    assert abs(distance - floor) < 5 * sd


@pytest.mark.slow
def test_single_precision_is_the_default(fit: Fit) -> None:
    run = fit(*OTHERS, "--kernel_distance.samples=12", "--trainer.max_epochs=1")
    known = kernels(run, images(12, "train")[0], "full")
    expected = [kernel_distance(kernel, known[0]) for kernel in known.values()]
    found = run.series("kernel_distance/full/own")[1]
    assert found == pytest.approx(expected, abs=1e-6)
    assert np.abs(found - expected).max() > 0


@pytest.mark.slow
def test_other_pairs_are_estimated_until_the_end(fit: Fit) -> None:
    settings = ["--kernel_distance.samples=12", "--kernel_distance.probes=64"]
    exact = fit(*OTHERS, *settings).array("kernel_distance", "pairwise")["distance"]
    run = fit(*OTHERS, *settings, "--kernel_distance.pairwise=false", name="estimated")
    assert run.array("kernel_distance", "pairwise") == {}
    found = run.array("kernel_distance", "pairwise_estimate")
    error = np.abs(found["distance"] - exact)
    assert (error <= 5 * found["standard_error"] + 1e-6).all()
    assert 0 < found["standard_error"].max() < 0.1


@pytest.mark.slow
def test_a_second_one_goes_by_its_own_name(fit: Fit, tmp_path: Path) -> None:
    overlay = tmp_path / "second.yaml"
    second = {"name": "kernel_distance_test", "split": "test", "samples": 12, "probes": 0}
    path = "lightning_grok.callbacks.KernelDistance"
    callbacks = [{"class_path": path, "init_args": second}]
    overlay.write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}))
    run = fit(*OTHERS, "--kernel_distance.samples=12", f"--config={overlay}")
    inputs = images(12, "test")[0]
    known = kernels(run, inputs, "full")
    expected = [kernel_distance(kernel, known[0]) for kernel in known.values()]
    assert run.series("kernel_distance_test/full/own")[1] == pytest.approx(expected, abs=1e-6)
    first = run.series("kernel_distance/full/own")[1]
    assert np.abs(first - expected)[1:].min() > 1e-5
    exact = run.array("kernel_distance_test", "pairwise")["distance"]
    assert exact[0] == pytest.approx(expected, abs=1e-6)


INPUTS = torch.cartesian_prod(torch.arange(7), torch.arange(7), torch.tensor([0]))
LABELS = INPUTS.sum(1) % 7


def measured(callback: KernelDistance, model: torch.nn.Module) -> dict[str, float]:
    """What the callback finds after a step of training, by hand: it knows no Trainer."""
    reference = given_reference(callback.inputs, callback.labels)
    callback.start(model)
    values = dict(callback.measure(model, reference))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1).add_(0.05)
    callback.epoch = 1
    return values | dict(callback.measure(model, reference))


@pytest.mark.parametrize("method", ["auto", "sketch", "trace"])
def test_tokens_by_every_method(method: str) -> None:
    model = case("modular transformer").model
    before = copy.deepcopy(model)
    callback = KernelDistance(inputs=INPUTS, labels=LABELS, samples=20, method=method, probes=256)
    values = measured(callback, model)
    group = {"auto": "full", "sketch": "sketch", "trace": None}[method]
    kernels = [empirical_ntk(each, INPUTS[:20]) for each in (before, model)]
    expected = kernel_distance(*kernels)
    groups = {key.partition("/")[0] for key in values if "/" in key}
    assert groups == {"trace", group} - {None}
    if group == "full":
        assert values["full/own"] == pytest.approx(expected, abs=1e-10)
    if group == "sketch":
        assert abs(values["sketch/own"] - expected) < 5 * values["sketch/own_se"]
        assert 0 < values["sketch/own_se"] < 0.05
    traces = [empirical_ntk(each, INPUTS[:20], "trace") for each in (before, model)]
    assert values["trace/own"] == pytest.approx(kernel_distance(*traces), abs=1e-10)
    alignment = kernel_target_alignment(traces[1], LABELS[:20])
    assert values["alignment"] == pytest.approx(alignment, abs=1e-10)
    # Bare parameters have no reset_parameters: neither foreign nor floor.
    assert not any("foreign" in key or "floor" in key for key in values)


def test_auto_goes_by_shapes_and_says_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.Sequential(torch.nn.Unflatten(1, (1, 28, 28)), torch.nn.Conv2d(1, 4, 5),
                                torch.nn.Flatten(), torch.nn.Linear(2304, 120))  # fmt: skip
    callback = KernelDistance(inputs=torch.randn(300, 784), samples=300)
    factors = ntk_factors(model, callback.inputs)
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        assert callback._kernels.method_for(factors) == "sketch"  # two kernels of 5 GB
    assert "kernel_distance: sketch (300 samples x 120 outputs" in caplog.text


def test_a_factory_or_reset_parameters_gives_foreign_and_floor() -> None:
    options = {"inputs": INPUTS, "samples": 8, "probes": 0}
    build = lambda: case("modular transformer", int(torch.initial_seed())).model  # noqa: E731
    given = measured(KernelDistance(**options, fresh=build), build())
    reset = measured(
        KernelDistance(inputs=torch.randn(8, 5), probes=0),
        torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.LayerNorm(6), torch.nn.Linear(6, 2)),
    )
    for values in (given, reset):
        assert 0 < values["full/floor"] < 1
        assert values["full/floor_sd"] > 0
        assert 0 < values["full/foreign"] < 1
        assert "alignment" not in values


def test_real_valued_targets_are_targets() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))
    inputs, targets = torch.randn(8, 5), torch.randn(8)
    values = measured(KernelDistance(inputs=inputs, labels=targets, probes=0), model)
    kernel = empirical_ntk(model, inputs, "trace").double().numpy()
    outer = np.outer(targets, targets)
    cosine = (kernel * outer).sum() / np.linalg.norm(kernel) / np.linalg.norm(outer)
    assert values["alignment"] == pytest.approx(cosine, abs=1e-6)


@pytest.mark.parametrize("labels", [torch.zeros(8, dtype=torch.long), torch.zeros(8, 2)])
def test_samples_of_one_class_have_a_kernel_and_no_alignment(labels: Tensor) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))
    values = measured(KernelDistance(inputs=torch.randn(8, 5), labels=labels, probes=0), model)
    assert values["full/own"] > 0
    assert values["effective_rank"] > 1
    assert not {"alignment", "centered_alignment"} & set(values)


def test_a_network_without_a_kernel_is_refused_before_training() -> None:
    callback = KernelDistance(inputs=INPUTS, samples=8)
    model = case("tied embeddings, last position").model
    model.positions = torch.nn.Parameter(torch.randn(3, 8).double())
    with pytest.raises(InputError, match=r"received \(n, 3, 7\); choose them by output="):
        callback.check(model, given_reference(INPUTS, None))

"""What is logged of the kernel against whole kernels of the run's own snapshots."""

import math
from collections.abc import Callable
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from lightning_grok.callbacks import KernelDistance
from lightning_grok.errors import InputError
from lightning_grok.geometry import empirical_ntk, kernel_distance, kernel_target_alignment
from lightning_grok.runs.run import Run, load_model
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule

Fit = Callable[..., Run]
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


@pytest.mark.parametrize("split", ["train", "test"])
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_other_network_is_another_one_for_every_seed(fit: Fit, seed: int) -> None:
    options = ["--kernel_distance.samples=12", "--trainer.max_epochs=1", "--umap.enabled=false"]
    run = fit(*OTHERS, *options, f"--seed_everything={seed}")
    distance = run.series("kernel_distance/full/foreign")[1][0]
    floor, sd = (run.series(f"kernel_distance/full/{key}")[1][0] for key in ("floor", "floor_sd"))
    assert abs(distance - floor) < 5 * sd


def test_single_precision_is_the_default(fit: Fit) -> None:
    run = fit(*OTHERS, "--kernel_distance.samples=12")
    known = kernels(run, images(12, "train")[0], "full")
    expected = [kernel_distance(kernel, known[0]) for kernel in known.values()]
    found = run.series("kernel_distance/full/own")[1]
    assert found == pytest.approx(expected, abs=1e-6)
    assert np.abs(found - expected).max() > 0


def test_other_pairs_are_estimated_until_the_end(fit: Fit) -> None:
    settings = ["--kernel_distance.samples=12", "--kernel_distance.probes=64"]
    exact = fit(*OTHERS, *settings).array("kernel_distance", "pairwise")["distance"]
    run = fit(*OTHERS, *settings, "--kernel_distance.pairwise=false", name="estimated")
    assert run.array("kernel_distance", "pairwise") == {}
    found = run.array("kernel_distance", "pairwise_estimate")
    error = np.abs(found["distance"] - exact)
    assert (error <= 5 * found["standard_error"] + 1e-6).all()
    assert 0 < found["standard_error"].max() < 0.1


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


def test_a_network_without_factors_is_refused_before_training() -> None:
    class Branched(GrokModule):
        def __init__(self) -> None:
            super().__init__(10, 784, hidden=[8])
            self.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LayerNorm(784))

    trainer = L.Trainer(
        max_epochs=1, callbacks=[KernelDistance(samples=8)], logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = GrokData(dataset="digits", train_size=64)
    with pytest.raises(InputError, match=r"stack of linear layers .* received LayerNorm"):
        trainer.fit(Branched(), datamodule=data)
    assert trainer.global_step == 0

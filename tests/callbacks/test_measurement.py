"""What every measurement shares: it disturbs nothing, ends with the run and fits any network."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import Fit
from torch import nn

from lightning_grok.callbacks import LayerMeasurement, LinearProbe
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.recording import as_array
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.mlp import MLP
from lightning_grok.tasks.reference_set import ReferenceSet


@pytest.fixture(scope="module")
def probe() -> ReferenceSet:
    data = GrokData(dataset="digits", train_size=64)
    data.setup("fit")
    return data.reference_set


class Disturbing(Measurement):
    """Draws random numbers, and answers with what dropout leaves of ones."""

    name = "disturbing"

    def measure(self, model: nn.Module, probe: ReferenceSet) -> Mapping[str, Any]:
        drawn = np.random.rand() + random.random()  # noqa: NPY002  (a library may use it)
        with torch.no_grad():
            total = model(torch.ones(8, 8)).sum()
        return {"sum": float(total), "drawn": drawn + float(torch.rand(()))}


def test_random_states_and_modes_are_put_back(probe: ReferenceSet) -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Dropout(0.5).eval())
    modes = [module.training for module in model.modules()]
    statistics = model[1].running_mean.clone()
    states = (torch.get_rng_state, np.random.get_state, random.getstate)
    before = [str(state()) for state in states]
    scalars, _ = Disturbing().taken(model, probe, 0)
    assert scalars["disturbing/sum"] == pytest.approx(64, rel=1e-4)  # no dropout
    assert [str(state()) for state in states] == before
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model[1].running_mean, statistics)


SLIM = ("--umap.enabled=false", "--manifold_capacity.enabled=false", "--linear_probe.enabled=false")


@pytest.mark.parametrize(
    "limit",
    [pytest.param(["--trainer.max_steps=7"], marks=pytest.mark.slow), ["--onset.stop_after=0"]],
)
def test_a_run_that_ends_early_ends_whole(
    fit: Fit, limit: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At epoch 7, which no schedule names: weights, accuracies, measurements and all pairs."""
    from lightning_grok.callbacks import Onset

    start = Onset.on_train_start

    def generalized(self: Onset, *args: Any) -> None:
        self.generalized = 7
        start(self, *args)

    monkeypatch.setattr(Onset, "on_train_start", generalized)
    run = fit(*SLIM, "--trainer.max_epochs=40", *limit)
    assert run.state == "finished"
    assert run.snapshot_epochs() == [0, 1, 2, 3, 4, 5, 7]
    for key in ("test/accuracy", "kernel_distance/full/own", "weight_norm/total"):
        assert run.series(key)[0][-1] == 7
    assert run.array("kernel_distance", "pairwise")["epochs"].tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert run.array("kernel_distance", "pairwise_estimate") == {}


def test_epochs_that_were_given_one_by_one_stay_all(fit: Fit) -> None:
    given = ["--weight_norm.epochs=[0,2]", "--evaluation.epochs=[0,1]"]
    run = fit(*SLIM, "--kernel_distance.enabled=false", "--trainer.max_steps=7",
              "--trainer.max_epochs=40", *given)  # fmt: skip
    assert run.series("weight_norm/total")[0].tolist() == [0, 2]
    assert run.series("test/accuracy")[0].tolist() == [0, 1]


def test_a_shorter_run_leaves_out_what_lies_beyond_its_end_and_says_so_once(
    fit: Fit, caplog: pytest.LogCaptureFixture
) -> None:
    listed = ["--weight_norm.epochs=[0,1,3]", "--kernel_distance.epochs=[1,3,4]"]
    with caplog.at_level("INFO"):
        run = fit(*SLIM, *listed, "--evaluation.epochs=[0,2,50]", "--trainer.max_epochs=2")
    assert [message for message in caplog.messages if "left out" in message] == [
        "left out of evaluation beyond trainer.max_epochs = 2: epochs 50",
        "left out of kernel_distance, weight_norm beyond trainer.max_epochs = 2: epochs 3, 4",
    ]
    assert run.series("weight_norm/total")[0].tolist() == [0, 1]
    assert run.series("kernel_distance/full/own")[0].tolist() == [1]
    assert run.series("test/accuracy")[0].tolist() == [0, 2]


def test_one_that_is_switched_off_has_no_epochs(fit: Fit) -> None:
    off = ["--kernel_distance.enabled=false", "--kernel_distance.epochs=[0,100]"]
    assert fit(*SLIM, *off).state == "finished"


def test_direct_answers_of_a_network_without_layer_names(probe: ReferenceSet) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
    ours = MLP(784, (16,), 10)
    ours.load_state_dict({k.replace(k[0], f"layers.{int(k[0]) - 1}", 1): v
                          for k, v in plain.state_dict().items()})  # fmt: skip
    expected = LinearProbe(draws=1).measure(ours, probe)
    found = LinearProbe(layer="2", draws=1).measure(plain, probe)
    for key in ("direct/accuracy", "sound/accuracy", "paper/accuracy"):
        assert found[key] == pytest.approx(expected[key], abs=1e-6)


def test_low_precision_is_read_as_single_and_double_stays(probe: ReferenceSet) -> None:
    assert as_array(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    model = MLP(784, (16,), 10).bfloat16()
    assert LinearProbe(draws=1).measure(model, probe)["sound/accuracy"] > 0.1
    seen: list[np.dtype] = []
    watch = LayerMeasurement("numpy.mean", layers=["layers.0"])
    watch.function = lambda points, labels: seen.append(points.dtype) or 0.0
    watch.measure(MLP(784, (16,), 10).double(), probe)
    assert seen == [np.float64]


def largest(points: np.ndarray, k: int = 3) -> float:
    return float(np.sort(points.ravel())[-k])


def of_classes(points: np.ndarray, labels: np.ndarray, k: int) -> float:
    return float(len(set(labels)) * k)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [(largest, {}, None), (largest, {"k": 5}, None), (of_classes, {"k": 2}, 20.0)],
)
def test_labels_go_to_functions_that_need_them(
    probe: ReferenceSet, function: Any, arguments: dict[str, Any], expected: float | None
) -> None:
    model = MLP(784, (16,), 10)
    measurement = LayerMeasurement("numpy.mean", layers=["layers.0"], arguments=arguments)
    measurement.function = function
    value = measurement.measure(model, probe)["layers.0"]
    assert value == expected if expected is not None else value > 0


@pytest.mark.filterwarnings("ignore:.*will be overridden by .*configure_optimizers")
def test_a_logger_without_epochs_gets_its_steps_counted(fit: Fit, tmp_path: Path) -> None:
    schedule = (
        '--trainer.callbacks+={"class_path": "LearningRateMonitor", "init_args": '
        '{"logging_interval": "epoch"}}'
    )
    decay = ["--optimizer=AdamW", "--lr_scheduler=StepLR", "--lr_scheduler.step_size=1",
             "--lr_scheduler.gamma=0.5"]  # fmt: skip
    run = fit(*SLIM, "--kernel_distance.enabled=false", schedule, *decay)
    (key,) = [key for key in run.keys if key.startswith("lr-")]
    epochs, rates = run.series(key)
    assert epochs.tolist() == [0, 1, 2]  # where an epoch begins
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_the_initialization_is_evaluated_on_as_many_batches(fit: Fit) -> None:
    limited = ["--trainer.limit_val_batches=2", "--data.eval_batch_size=100"]
    still = ["--model.learning_rate=1e-12", "--model.weight_decay=0"]
    run = fit(*SLIM, "--kernel_distance.enabled=false", *limited, *still)
    accuracy = run.series("test/accuracy")[1]
    assert accuracy[0] == accuracy[1]

"""Measurements in somebody's own training: any module, any loaders, any batches."""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from own_training import QUIET, Convolutions, blobs, loaders, train
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_grok.callbacks import (
    KernelDistance,
    LayerMeasurement,
    LinearProbe,
    ManifoldCapacity,
    Onset,
    Stability,
    WeightNorm,
)
from lightning_grok.callbacks.layers import layer_before_last, layers_of
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.network import placed
from lightning_grok.callbacks.progress import EpochProgress
from lightning_grok.callbacks.reference import drawn_reference, given_reference
from lightning_grok.commands.main import main
from lightning_grok.dashboard.run_facts import facts_of
from lightning_grok.dashboard.run_folder import reason_of
from lightning_grok.errors import InputError
from lightning_grok.geometry import empirical_ntk, kernel_distance, participation_ratio
from lightning_grok.geometry.activations import record
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.runs.network import load_model
from lightning_grok.runs.panels import Logged, panels_of
from lightning_grok.runs.run import Run, read_run
from lightning_grok.runs.summary import run_outcome
from lightning_grok.tasks.reference_set import ReferenceSet, count


def capacity(**options: Any) -> ManifoldCapacity:
    return ManifoldCapacity(layers=["backbone.3"], restarts=1, num_vectors=10, **options)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a run directory and a CSV logger, measured by all that needs no kernel."""
    path = tmp_path_factory.mktemp("own")
    ratio = LayerMeasurement("lightning_grok.geometry.participation_ratio")
    callbacks = [capacity(), WeightNorm(), LinearProbe(draws=2), ratio, Onset()]
    loggers = [RunLogger(path / "mine"), CSVLogger(path, name="csv", version="0")]
    train(callbacks=callbacks, logger=loggers)
    return path


class Recurrent(nn.Module):
    """Inputs by keyword, a tuple within, one module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 6, batch_first=True)
        self.shared = nn.Linear(6, 6)
        self.readout = nn.Linear(6, 3)

    def forward(self, signal: Tensor, gain: Tensor) -> Tensor:
        hidden, _ = self.lstm(signal * gain)
        return self.readout(self.shared(torch.tanh(self.shared(hidden)))[:, -1])


class RecurrentTraining(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = Recurrent()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(**batch["x"]), batch["y"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_recurrent_network_of_keywords_is_measured_by_everything(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    signal = torch.randn(60, 5, 3, generator=generator) + labels[:, None, None]
    samples = [
        {"x": {"signal": s, "gain": torch.ones(1, 1)}, "y": y}
        for s, y in zip(signal, labels, strict=True)
    ]
    options: dict[str, Any] = {"batch_keys": ("x", "y"), "epochs": [0, 1], "pool": "last"}
    ratio = LayerMeasurement("lightning_grok.geometry.participation_ratio", **options)
    callbacks = [
        ManifoldCapacity(restarts=1, num_vectors=10, **options), ratio,
        KernelDistance(samples=20, **options), LinearProbe(draws=2, **options),
    ]  # fmt: skip
    trainer = L.Trainer(
        max_epochs=1, callbacks=callbacks, logger=RunLogger(tmp_path / "run"), **QUIET
    )
    trainer.fit(RecurrentTraining(), DataLoader(samples, 20))  # type: ignore[arg-type]
    run = read_run(tmp_path / "run")
    for key in (
        "manifold_capacity/lstm[0]/capacity", "manifold_capacity/shared@1/capacity",
        "manifold_capacity/readout/capacity", "participation_ratio/shared@0",
        "kernel_distance/full/own", "linear_probe/own/network",
    ):  # fmt: skip
        assert run.series(key)[0].tolist() == [0, 1], key
    features = record(trainer.lightning_module.network, ["shared@1"], {
        "signal": signal, "gain": torch.ones(60, 1, 1)}, pool="last")["shared@1"]  # fmt: skip
    assert features.shape == (60, 6)


def test_a_module_says_once_what_its_batches_hold(tmp_path: Path) -> None:
    class Named(RecurrentTraining):
        batch_keys = ("x", "y")

    samples = [
        {"x": {"signal": torch.full((5, 3), float(k)), "gain": torch.ones(1, 1)}, "y": k % 3}
        for k in range(12)
    ]
    callbacks = [Stability(), capacity(pool="last", epochs=[0]), LinearProbe(draws=2, epochs=[0])]
    callbacks[1].layers = ["readout"]
    logger = RunLogger(tmp_path / "run")
    trainer = L.Trainer(max_epochs=1, callbacks=callbacks, logger=logger, **QUIET)
    trainer.fit(Named(), DataLoader(samples, 6))  # type: ignore[arg-type]
    keys = set(read_run(tmp_path / "run").keys)
    assert {"stability/loss", "manifold_capacity/readout/capacity"} <= keys


def test_a_kernel_by_default_takes_what_a_small_training_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    with caplog.at_level("INFO"):
        train(callbacks=[KernelDistance(pairwise=False)], logger=RunLogger(run), max_epochs=1)
    assert "exact (60 samples x 3 outputs" in caplog.text
    images = torch.stack([image for image, _ in blobs()])
    kernels = []
    for epoch in (0, 1):
        network = load_model(run, epoch=epoch, model=Convolutions()).eval()
        kernels.append(empirical_ntk(network, images))
    _, own = read_run(run).series("kernel_distance/full/own")
    assert own[1] == pytest.approx(kernel_distance(*kernels), rel=1e-4)


def test_a_run_directory_is_whole(measured: Path) -> None:
    run = read_run(measured / "mine")
    assert (run.state, run.epoch, run.meta["max_epochs"]) == ("finished", 2, 2)
    assert run.setup.startswith("Convolutions-")
    assert run.config["model"]["init_args"] == {"width": 4}
    assert run.snapshot_epochs() == [0, 1, 2]
    for key in (
        "manifold_capacity/backbone.3/capacity", "weight_norm/total", "linear_probe/own/network",
        "participation_ratio/backbone.6",
    ):  # fmt: skip
        assert run.series(key)[0].tolist() == [0, 1, 2]
    assert run.series("test/accuracy")[1] == pytest.approx(run.series("val_acc")[1])
    nameless = {line.key for panel in panels_of(run) if not panel.known for line in panel.lines}
    assert {key.partition("/")[0] for key in nameless} == {"participation_ratio"}
    assert run.series("train/accuracy")[1] == pytest.approx(run.series("train_acc")[1])


def test_accuracies_stand_once_and_under_the_word_of_their_samples(measured: Path) -> None:
    run = read_run(measured / "mine")
    assert run.meta["accuracies"] == ["train_acc", "val_acc"]
    accuracy = next(panel for panel in panels_of(run) if panel.id == "accuracy")
    assert [line.label for line in accuracy.lines] == ["train", "validation"]
    logged = Logged(["train_loss_epoch", "val_loss", *run.keys], run.meta, {})
    losses = [panel for panel in panels_of(logged) if panel.title == "loss"]
    assert [[line.key for line in panel.lines] for panel in losses] == [
        ["train_loss_epoch", "val_loss"]
    ]


def test_the_bar_says_each_accuracy_once(tmp_path: Path) -> None:
    said: list[list[str]] = []

    class Said(EpochProgress):
        def _readings(self, trainer: L.Trainer) -> list[str]:
            said.append(super()._readings(trainer))
            return said[-1]

    options = QUIET | {"enable_progress_bar": True}
    trainer = L.Trainer(
        max_epochs=2, logger=RunLogger(tmp_path / "mine"), callbacks=[Onset(), Said()], **options
    )
    trainer.fit(LogsAtTheEnd(), *loaders())
    assert re.fullmatch(r"train \S+, validation \S+", ", ".join(said[-1]))


def test_modules_that_differ_in_a_layer_alone_are_two_setups(tmp_path: Path) -> None:
    other = Convolutions()
    other.backbone[5] = nn.Tanh()
    for module in (Convolutions(), Convolutions(), other):
        train(module, [WeightNorm()], logger=RunLogger(tmp_path / "mine"), max_epochs=1)
    first, same, changed = (read_run(tmp_path / f"mine{n}").setup for n in ("", "_2", "_3"))
    assert first == same != changed


def test_values_are_those_of_the_snapshots(measured: Path) -> None:
    run = read_run(measured / "mine")
    inputs, labels = blobs().tensors
    for epoch in (0, 1, 2):
        model = load_model(run.path, epoch)
        assert isinstance(model, Convolutions)
        points = record(model, ["backbone.6"], inputs)["backbone.6"].numpy()
        logged = run.series("participation_ratio/backbone.6")[1][epoch]
        assert logged == pytest.approx(float(participation_ratio(points)), rel=1e-5)
    accuracy = float((model(inputs).argmax(1) == labels).float().mean())
    assert run.series("val_acc")[1][-1] == pytest.approx(accuracy)


def test_another_logger_has_values_beside_the_accuracy_of_the_same_weights(measured: Path) -> None:
    table = pd.read_csv(measured / "csv" / "0" / "metrics.csv")
    own = read_run(measured / "mine")
    key = "manifold_capacity/backbone.3/capacity"
    assert own.series(key)[1] == pytest.approx(table[key].dropna().to_numpy())
    assert table[["epoch", "step"]][table[key].notna()].to_numpy().tolist() == [
        [-1, -1], [0, 2], [1, 5],
    ]  # fmt: skip
    rows = table[["epoch", "step", "val_acc"]].dropna().to_numpy()
    assert rows[:, :2].tolist() == [[0, 2], [1, 5]]
    assert rows[:, 2] == pytest.approx(own.series("val_acc")[1])


def test_measuring_does_not_disturb_somebody_elses_training() -> None:
    _, bare = train()
    _, watched = train(callbacks=[capacity(), LinearProbe(draws=1), WeightNorm(), Onset()])
    for key, value in bare.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key


class Seen(Measurement):
    """Remembers the samples that it was given."""

    name = "seen"

    def measure(self, model: nn.Module, reference: ReferenceSet) -> dict[str, Any]:
        self.set = reference
        return {"outputs": float(model(placed(reference.test.images, model)).shape[1])}


def test_given_samples_come_before_those_of_the_loaders() -> None:
    inputs, labels = blobs(9).tensors
    seen = Seen(inputs=inputs.numpy(), labels=labels.numpy())
    train(callbacks=[seen], max_epochs=1)
    assert torch.equal(seen.set.test.images, inputs)
    assert torch.equal(seen.set.test.labels, labels)
    other = Seen(dataloader=DataLoader(blobs(12), 5))
    train(callbacks=[other], max_epochs=1)
    assert count(other.set.train.images) == 12


@dataclass
class Batch:
    tokens: Tensor
    target: Tensor


def as_dict(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"tokens": batch[0], "target": batch[1], "weight": batch[0]}


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (lambda batch: batch, None),
        (lambda batch: [*batch, "more"], None),
        (as_dict, ("tokens", "target")),
        (lambda batch: Batch(*batch), ("tokens", "target")),
        (as_dict, lambda batch: (batch["tokens"], batch["target"])),
    ],
)
def test_batches_of_any_kind(change: Callable[[Any], Any], keys: Any) -> None:
    tokens, targets = torch.arange(14).reshape(7, 2), torch.arange(7) % 2
    batches = [change(batch) for batch in zip(tokens.split(3), targets.split(3), strict=True)]

    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            return iter(batches)

    reference = drawn_reference({"train": DataLoader(Stream(), batch_size=None)}, keys)
    assert torch.equal(reference.test.images, tokens)
    assert reference.test.images.dtype == torch.int64
    assert torch.equal(reference.test.labels, targets)


def test_nested_inputs_keep_their_kinds() -> None:
    inputs = {"tokens": torch.arange(6).reshape(3, 2), "scale": (torch.ones(3, 1).double(),)}
    reference = given_reference(inputs, [0, 1, 0])
    found = placed(reference.manifold_points(per_class=1)[0], nn.Linear(2, 2))
    assert found["tokens"].tolist() in ([[0, 1], [2, 3]], [[4, 5], [2, 3]])
    assert found["tokens"].dtype == torch.int64
    assert found["scale"][0].dtype == torch.float32


def test_a_choice_of_samples_is_always_the_same_and_takes_nothing_from_the_loader() -> None:
    data = blobs(60)
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    loader = DataLoader(data, 7, shuffle=True, generator=generator)
    first = drawn_reference({"train": loader}, None).train
    again = drawn_reference({"validation": DataLoader(data, 9)}, None).train
    assert torch.equal(generator.get_state(), state)
    assert torch.equal(first.images, again.images)
    assert sorted(first.labels.tolist()) == sorted(data.tensors[1].tolist())
    assert not torch.equal(first.labels, data.tensors[1])


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (capacity(inputs=torch.ones(4, 7), labels=torch.arange(4)), "expected inputs that Conv"),
        (
            capacity(inputs=torch.ones(4, 1, 8, 8), labels=torch.ones(4)),
            "classes, one whole number",
        ),
        (capacity(inputs=torch.ones(4, 1, 8, 8)), "received no labels"),
        (capacity(inputs=torch.ones(4, 1, 8, 8), labels=torch.arange(4)), "two samples of every"),
        (ManifoldCapacity(layers=["backbone.9"]), "expected layers among"),
        (LayerMeasurement("numpy.linalg.eigvalsh", epochs=[1]), "can measure, received: LinAlg"),
        (Seen(dataloader=[{"a": torch.ones(2)}]), r'batch_keys=\("inputs", "labels"\)'),
    ],
)
def test_what_cannot_be_measured_is_refused_before_a_run_begins(
    measurement: Measurement, message: str, tmp_path: Path
) -> None:
    class Counting(L.Callback):
        steps = 0

        def on_train_batch_end(self, *args: Any) -> None:
            self.steps += 1

    counting = Counting()
    callbacks, logger = [WeightNorm(), measurement, counting], RunLogger(tmp_path / "mine")
    with pytest.raises(InputError, match=message) as refused:
        train(callbacks=callbacks, logger=logger)
    assert "\n" not in str(refused.value)
    assert counting.steps == 0
    assert not (tmp_path / "mine").exists()


def test_layers_are_chosen_where_nobody_names_them() -> None:
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(20)]
    ratio = LayerMeasurement("numpy.mean")
    reference = given_reference(torch.randn(12, 4), torch.arange(12) % 3)
    found = list(ratio.measure(nn.Sequential(*blocks), reference))
    assert len(found) == 12
    assert (found[0], found[-1]) == ("0.0", "19.0")


class LowRank(nn.Module):
    """A frozen layer and a low-rank update of it."""

    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(2, frozen.in_features))
        self.up = nn.Parameter(torch.zeros(frozen.out_features, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + x @ self.down.T @ self.up.T


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.readout = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.attention(x, x, x)[0][:, -1])


def test_layers_that_are_made_of_parts_are_chosen_too() -> None:
    parametrized = nn.Sequential(
        weight_norm(nn.Linear(4, 4)), nn.Tanh(), spectral_norm(nn.Linear(4, 2))
    )
    updated = nn.Sequential(LowRank(nn.Linear(4, 4)), nn.Tanh(), LowRank(nn.Linear(4, 2)))
    for network, inputs, layers, before_last in (
        (parametrized, torch.randn(3, 4), ["0", "2"], "1"),
        (updated, torch.randn(3, 4), ["0.frozen", "0", "2.frozen", "2"], "1"),
        (Attending(), torch.randn(3, 5, 4), ["attention[0]", "readout"], "attention[0]"),
    ):
        assert layers_of(network, None, inputs) == layers
        assert layer_before_last(network, None, "probe", inputs) == before_last

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 2))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

    with pytest.raises(InputError, match=r"layers= of a network without modules .* matmul\(\)@0"):
        layers_of(Plain(), None, torch.randn(3, 4))


def test_an_output_of_many_positions_is_narrowed() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)  # (n, t, 2) -> (n, t, 5)

    reference = given_reference(torch.randn(4, 3, 2), None)
    model = Sequence()
    for output in (-1, lambda found: found[:, 2]):
        narrowed: list[Tensor] = []

        class Kept(Seen):
            def measure(self, model: nn.Module, reference: ReferenceSet) -> dict[str, Any]:
                narrowed.append(model(reference.test.images))  # noqa: B023
                return {}

        Kept(output=output).taken(model, reference, 0)
        assert torch.equal(narrowed[0], model(reference.test.images)[:, 2])


class Tagging(L.LightningModule):
    """Answers (n, T, V)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 5))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0])[:, -1], batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("output", "method"), [(-1, "exact"), (lambda found: found[:, 2], "sketch")]
)
def test_the_kernel_of_a_chosen_output(output: Any, method: Any, tmp_path: Path) -> None:
    inputs = torch.randn(12, 3, 2, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, torch.arange(12) % 5)
    options: dict[str, Any] = {"method": method, "output": output, "epochs": [0, 1, 2]}
    module = Tagging()
    start = copy.deepcopy(module.network)
    # By modules of its own for one method, by a function for the other.
    fresh = None if method == "exact" else lambda: Tagging().network
    callback = KernelDistance(inputs=inputs, fresh=fresh, probes=8, **options)
    logger = RunLogger(tmp_path / "run")
    trainer = L.Trainer(max_epochs=2, callbacks=[callback], logger=logger, **QUIET)
    trainer.fit(module, DataLoader(data, 4))
    kernels = (empirical_ntk(each, inputs, output=output) for each in (start, module.network))
    expected = kernel_distance(*kernels)
    values = trainer.callback_metrics
    if method == "exact":
        pairs = read_run(tmp_path / "run").array("kernel_distance", "pairwise")
        for found in (values["kernel_distance/full/own"], pairs["distance"][0, 2]):
            assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    else:
        found, error = (values[f"kernel_distance/sketch/own{end}"] for end in ("", "_se"))
        assert abs(float(found) - expected) < 5 * float(error)


def test_two_measurements_of_one_training_share_their_samples() -> None:
    first, second = Seen(), Seen()
    second.name = "again"
    train(callbacks=[first, second], max_epochs=1)
    assert first.set.test.images is second.set.test.images


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_networks_are_measured_in_the_precision_of_their_weights(precision: str) -> None:
    kinds: list[torch.dtype] = []

    class Kinds(Seen):
        def measure(self, model: nn.Module, reference: ReferenceSet) -> dict[str, Any]:
            kinds.append(model(placed(reference.test.images, model)).dtype)
            return {}

    train(callbacks=[Kinds()], max_epochs=1, precision=precision)
    assert set(kinds) == {torch.float32 if precision == "bf16-mixed" else torch.float64}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize(
    "what", ["network", *(pytest.param(w, marks=pytest.mark.slow) for w in ("module", "in place"))]
)
def test_a_compiled_network_is_measured_uncompiled(what: str, tmp_path: Path) -> None:
    """Hooks and functional calls would have every layer compiled anew, or fail."""
    compiled = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    numbers = []
    for measures in (False, True):
        torch.compiler.reset()
        compiled.clear()
        L.seed_everything(0)
        module: Any = Convolutions()
        start = copy.deepcopy(module.backbone)
        if what == "network":
            module.backbone = torch.compile(module.backbone, backend=backend)
        elif what == "in place":
            module.backbone.compile(backend=backend)
        fitted = torch.compile(module, backend=backend) if what == "module" else module
        kernel = KernelDistance(inputs=blobs().tensors[0][:12], pairwise=False)
        callbacks = [kernel, LayerMeasurement("numpy.mean"), LinearProbe(draws=1)]
        logger = RunLogger(tmp_path / f"run{measures}")
        trainer = L.Trainer(
            max_epochs=2, callbacks=callbacks if measures else [], logger=logger, **QUIET
        )
        trainer.fit(fitted, *loaders())
        numbers.append(len(compiled))
    assert numbers[0] == numbers[1] > 0
    end = getattr(module.backbone, "_orig_mod", module.backbone).eval()
    kernels = (empirical_ntk(each.eval(), blobs().tensors[0][:12]) for each in (start, end))
    _, own = read_run(tmp_path / "runTrue").series("kernel_distance/full/own")
    with torch.compiler.set_stance("force_eager"):
        assert own[-1] == pytest.approx(kernel_distance(*kernels), rel=1e-4)


def test_steps_and_epochs_of_a_schedule(tmp_path: Path) -> None:
    train(callbacks=[WeightNorm(every_n_steps=2)], logger=RunLogger(tmp_path / "mine"))
    events = [e for e in read_run(tmp_path / "mine").events if e["event"] == "weight_norm"]
    assert [event["step"] for event in events] == [0, 2, 4, 6]
    assert [event["epoch"] for event in events] == [
        0,
        pytest.approx(2 / 3),
        pytest.approx(4 / 3),
        2,
    ]
    values = read_run(tmp_path / "mine").series("weight_norm/total")[1]
    assert len(set(values.tolist())) == 4
    for event in events:
        model = load_model(tmp_path / "mine", event["epoch"], Convolutions)
        flat = torch.cat([p.detach().double().flatten() for p in model.parameters()])
        assert event["weight_norm/total"] == pytest.approx(float(flat.norm()), rel=1e-6)


class Stream(IterableDataset):
    """Samples without a length: `passes` over all, or without an end."""

    def __init__(self, passes: float) -> None:
        self.passes = passes

    def __iter__(self) -> Any:
        data, index = blobs(), 0
        while index < self.passes * len(data):
            yield data[index % len(data)]
            index += 1


def places(run: Run, event: str) -> list[tuple[float, int]]:
    return [(each["epoch"], each["step"]) for each in run.events if each["event"] == event]


def test_steps_of_a_stream_without_an_end_have_their_places(tmp_path: Path) -> None:
    L.seed_everything(0)
    options = {"max_epochs": -1, "max_steps": 8, "val_check_interval": 4} | QUIET
    logger, module = RunLogger(tmp_path / "run"), Convolutions()
    start = torch.cat([p.detach().double().flatten() for p in module.parameters()]).norm()
    trainer = L.Trainer(
        callbacks=[WeightNorm(every_n_steps=2)], logger=logger, check_val_every_n_epoch=None,
        **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(Stream(math.inf), 20), DataLoader(blobs(), 20))
    run = read_run(tmp_path / "run")
    assert places(run, "weight_norm") == [(0, 0), (0.25, 2), (0.5, 4), (0.75, 6), (1, 8)]
    assert run.series("weight_norm/total")[1][0] == pytest.approx(float(start), rel=1e-6)
    assert run.series("val_acc")[0].tolist() == [0.5, 1]
    assert run.meta["steps_per_epoch"] == 8


def test_steps_of_a_stream_whose_length_shows_at_its_end(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path / "run")
    trainer = L.Trainer(
        max_epochs=2, callbacks=[WeightNorm(every_n_steps=2)], logger=logger, **QUIET
    )
    with pytest.warns(UserWarning, match="no step within the first epoch is measured"):
        trainer.fit(Convolutions(), DataLoader(Stream(4 / 3), 20), DataLoader(blobs(), 20))
    run = read_run(tmp_path / "run")
    assert places(run, "weight_norm") == [(0, 0), (1, 4), (1.5, 6), (2, 8)]
    assert run.meta["steps_per_epoch"] == 4


class TwoOptimizers(Convolutions):
    """Takes two steps a batch by hand, one of each optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log("loss", loss)

    def configure_optimizers(self) -> Any:
        first, *others = self.backbone
        parts = (first, nn.ModuleList(others))
        return [torch.optim.SGD(part.parameters(), lr=0.01) for part in parts]


def test_steps_of_two_optimizers_count_alike_everywhere(tmp_path: Path) -> None:
    callbacks = [WeightNorm(every_n_steps=3)]
    logger = RunLogger(tmp_path / "run")
    train(TwoOptimizers(), callbacks, logger=logger, log_every_n_steps=1, max_epochs=2)
    run = read_run(tmp_path / "run")
    epochs, steps = zip(*places(run, "weight_norm"), strict=True)
    assert steps == (0, 4, 6, 10, 12)  # 3 and 9 come within a batch
    assert epochs == pytest.approx((0, 2 / 3, 1, 5 / 3, 2), abs=1e-6)
    assert places(run, "log")[0] == (pytest.approx(1 / 3, abs=1e-6), 2)
    assert places(run, "log")[-1] == (2, 12)
    assert run.meta["steps_per_epoch"] == 6


def test_a_class_that_cannot_be_imported_is_told_from_a_wrong_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hidden(Convolutions):
        pass

    path = tmp_path / "mine"
    train(Hidden(), [WeightNorm()], logger=RunLogger(path), max_epochs=1)
    assert isinstance(load_model(path, 1, model=Hidden), Hidden)
    for name in (".*<locals>.Hidden", "__main__.Hidden"):
        with pytest.raises(InputError, match=rf"^expected a model that can be imported.* {name}"):
            load_model(path, 1)
        with pytest.raises(SystemExit):
            main(["measure", str(path), "--weight_norm.enabled=true"])
        assert "error: expected a model that can be imported" in capsys.readouterr().err
        config = (path / "config.yaml").read_text()
        given = read_run(path).config["model"]["class_path"]
        (path / "config.yaml").write_text(config.replace(given, "__main__.Hidden"))


class Halving(Convolutions):
    """With a schedule whose rate a callback of Lightning's logs, without an epoch."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])
        self.logger.log_metrics({"seen": 1.0})  # type: ignore[union-attr]


def test_a_training_without_any_callback_of_ours_is_a_run(tmp_path: Path) -> None:
    path, rates = tmp_path / "mine", [LearningRateMonitor()]
    trainer, _ = train(Halving(), rates, logger=RunLogger(path), max_epochs=3)
    run = read_run(path)
    assert (run.state, run.epoch, run.meta["steps_per_epoch"]) == ("finished", 3, 3)
    assert run.meta["seed"] == 0
    assert run.config["model"]["class_path"].endswith("Halving")
    assert [each.tolist() for each in run.series("lr-SGD")] == [[0, 1, 2], [1, 0.5, 0.25]]
    ended = ("state", "reason", "epoch", "logged", "seconds")
    before = [run.meta[key] for key in ended]
    trainer.validate(trainer.model, loaders()[1], verbose=False)
    assert read_run(path).series("val_acc")[0].tolist() == [1, 2, 3]
    broken: Any = [(torch.zeros(1, 8, 8), 0), (torch.zeros(3), 0)]  # by its second batch
    with pytest.raises(RuntimeError):
        trainer.test(trainer.model, DataLoader(broken), verbose=False)
    assert read_run(path).series("seen")[0].tolist() == [3]
    assert [read_run(path).meta[key] for key in ended] == before
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    again = L.Trainer(max_epochs=5, logger=RunLogger(path), **QUIET)
    again.fit(Halving(), *loaders(), ckpt_path=tmp_path / "three.ckpt")
    assert read_run(path).series("val_acc")[0].tolist() == [1, 2, 3, 4, 5]
    assert not (tmp_path / "mine_2").exists()


def test_a_resumed_fit_goes_on_in_its_directory(tmp_path: Path) -> None:
    trainer, _ = train(callbacks=[WeightNorm()], logger=RunLogger(tmp_path / "part"), max_epochs=2)
    before = read_run(tmp_path / "part").series("weight_norm/total")
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    with open(tmp_path / "part" / "events.jsonl", "a") as log:  # after the checkpoint, then killed
        log.write('{"event": "weight_norm", "epoch": 3, "step": 9, "weight_norm/total": 1.0}\n')
    logger = RunLogger(tmp_path / "part")
    again = L.Trainer(max_epochs=4, logger=logger, callbacks=[Onset(), WeightNorm()], **QUIET)
    again.fit(Convolutions(), *loaders(), ckpt_path=tmp_path / "two.ckpt")
    run = read_run(tmp_path / "part")
    assert (run.state, run.epoch) == ("finished", 4)
    epochs, values = run.series("weight_norm/total")
    assert epochs.tolist() == [0, 1, 2, 3, 4]
    assert values[:3] == pytest.approx(before[1], rel=1e-12)
    assert values[3] > 1.5  # not the line of the killed process
    assert not (tmp_path / "part_2").exists()


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    for _ in range(2):
        train(callbacks=[WeightNorm()], logger=RunLogger(tmp_path / "mine"), max_epochs=1)
    assert [read_run(tmp_path / name).state for name in ("mine", "mine_2")] == ["finished"] * 2


def test_a_training_of_ones_own_ends_with_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        train(callbacks=[Onset()], logger=RunLogger(tmp_path / "mine"))
    run = read_run(tmp_path / "mine")
    assert run.meta["outcome"] == run_outcome(run)
    assert f"{run_outcome(run)}\nrun: {tmp_path / 'mine'}" in caplog.messages


@pytest.mark.parametrize("ends", [RuntimeError("no luck\nat all"), KeyboardInterrupt()])
def test_what_ends_a_training_of_ones_own_is_said_until_it_goes_on(
    ends: BaseException, tmp_path: Path
) -> None:
    class Ending(Convolutions):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                raise ends

    with pytest.raises((RuntimeError, SystemExit)):
        train(Ending(), [WeightNorm()], logger=RunLogger(tmp_path / "mine"))
    run = read_run(tmp_path / "mine")
    stopped = isinstance(ends, KeyboardInterrupt)
    reason = "KeyboardInterrupt" if stopped else "RuntimeError: no luck"
    assert (run.state, reason_of(run.meta)) == ("interrupted" if stopped else "failed", reason)
    assert reason_of(run.meta | {"state": "running"}) is None
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints/epoch=0.ckpt").touch()
    assert facts_of(run, "mine")["next"] is None  # no command trains it: it is no run of fit


def test_a_network_of_another_shape_is_not_loaded(measured: Path) -> None:
    with pytest.raises(InputError, match="expected a network of the weights"):
        load_model(measured / "mine", 0, Convolutions(5))
    assert not load_model(measured / "mine", 0, Convolutions(4)).training


class LogsAtTheEnd(Convolutions):
    """Logs nothing in training steps, and one accuracy where callbacks have had their turn."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def on_train_epoch_end(self) -> None:
        self.log("train_acc", self.current_epoch / 8)


class LogsBySteps(Convolutions):
    """Logs the training accuracy by step, too: the newest batch is no accuracy of an epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        value = self.current_epoch / 4 + batch_idx / 64
        self.log("train_acc", value, on_step=True, on_epoch=True)
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


@pytest.mark.parametrize(
    ("module", "expected"),
    [(LogsAtTheEnd, [0, 1 / 8, 2 / 8]), (LogsBySteps, [1 / 64, 17 / 64, 33 / 64])],
)
def test_onset_looks_where_both_accuracies_are_new(
    module: type[Convolutions], expected: list[float], tmp_path: Path
) -> None:
    train(module(), [Onset()], logger=RunLogger(tmp_path / "mine"), max_epochs=3)
    run = read_run(tmp_path / "mine")
    assert run.series("train/accuracy")[0].tolist() == [1, 2, 3]
    assert run.series("train/accuracy")[1].tolist() == expected
    assert run.series("test/accuracy")[1] == pytest.approx(run.series("val_acc")[1])
    assert run.meta["test_samples"] == 60


def test_accuracies_that_are_named_but_not_logged_stop_the_run() -> None:
    with pytest.raises(InputError, match=r"expected metrics accuracy/train.*train_acc, val_acc"):
        train(callbacks=[Onset(train_key="accuracy/train")])

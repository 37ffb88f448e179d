"""What is said of a training that is no classification of images: every word is true of it."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from own_training import QUIET
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_grok.callbacks import (
    KernelDistance,
    LayerMeasurement,
    LinearProbe,
    ManifoldCapacity,
    ModelMeasurement,
    Onset,
    WeightNorm,
)
from lightning_grok.callbacks.reference import given_reference
from lightning_grok.errors import InputError
from lightning_grok.geometry import participation_ratio, sharpness
from lightning_grok.geometry.activations import record
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.run import Run, read_run
from lightning_grok.runs.summary import run_record

WORDS = torch.cartesian_prod(torch.arange(6), torch.arange(6))


class Regression(L.LightningModule):
    """Real-valued targets, SGD, no accuracy of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.mse_loss(self(batch[0]), batch[1])
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/r2", 1 - F.mse_loss(self(batch[0]), batch[1]) / batch[1].var())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Directions(L.LightningDataModule):
    """Pairs of tokens, whose classes have names."""

    dataset_name = "two steps"
    class_names = ("north", "east", "south", "west")

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(WORDS, WORDS.sum(1) % 4), 18)

    def val_dataloader(self) -> DataLoader:
        return self.train_dataloader()


class Tokens(Regression):
    """A classifier of tokens whose accuracies are called otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Embedding(6, 8), nn.Flatten(), nn.Linear(16, 4))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        outputs = self(batch[0])
        accuracy = (outputs.argmax(1) == batch[1]).float().mean()
        self.log("train/acc", accuracy, on_step=False, on_epoch=True)
        return F.cross_entropy(outputs, batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())


def fit(path: Path, module: L.LightningModule, *data: Any, **source: Any) -> Run:
    options = {**QUIET, "max_epochs": 3, "logger": RunLogger(path), "deterministic": False}
    callbacks = source.pop("callbacks", [Onset(), WeightNorm()])
    L.Trainer(callbacks=callbacks, **options).fit(module, *data, **source)
    return read_run(path)


def test_a_regression_is_told_what_it_logs_and_nothing_of_accuracies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    loader = DataLoader(TensorDataset(WORDS.float(), WORDS.float().prod(1, keepdim=True)), 18)
    with caplog.at_level("INFO"):
        run = fit(tmp_path / "run", Regression(), loader, loader)
    assert "the module logs train/loss, val/r2" in caplog.text
    assert run.seed is None  # nobody drew one
    assert run_record(run)["outcome"] == "No accuracies of training and held-out data"
    words = json.dumps([(panel.title, panel.note) for panel in panels_of(run)])
    for word in ("image", "test samples", "class", "Adam", "digit", "paper"):
        assert word not in words


def test_classes_of_tokens_have_the_names_and_the_chance_of_their_data(tmp_path: Path) -> None:
    L.seed_everything(3)
    run = fit(tmp_path / "run", Tokens(), datamodule=Directions())
    assert (run.seed, run.dataset) == (3, "two steps")
    assert run.meta["class_names"] == ["north", "east", "south", "west"]
    assert run.meta["num_classes"] == 4
    assert run.series("test/accuracy")[1].tolist() == run.series("val/acc")[1].tolist()


class TwoClasses(Regression):
    """One output, whose sign is the class."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/acc", ((self(batch[0])[:, 0] > 0) == batch[1]).float().mean())


def test_two_classes_by_one_output(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = DataLoader(TensorDataset(WORDS.float(), WORDS.sum(1) % 2 == 1), 18)
    callbacks = [
        LinearProbe(draws=2), ManifoldCapacity(restarts=1, num_vectors=10),
        KernelDistance(pairwise=False),
    ]  # fmt: skip
    with caplog.at_level("INFO"):
        run = fit(tmp_path / "run", TwoClasses(), data, data, callbacks=callbacks)
    assert caplog.text.count("linear_probe: no own/network, since the network's answer") == 1
    assert "linear_probe/own/network" not in run.keys  # the largest of one output is no answer
    for key in ("linear_probe/own/representation", "kernel_distance/alignment"):
        assert len(run.series(key)[0]) == 4


class EveryToken(Regression):
    """Answers each of two positions with a class, (n, 2, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Embedding(6, 8), nn.Tanh(), nn.Linear(8, 6))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]).flatten(0, 1), batch[1].flatten())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing to log."""


def test_a_class_for_every_position(tmp_path: Path) -> None:
    data = DataLoader(TensorDataset(WORDS, WORDS.flip(1)), 18)
    kernel = KernelDistance(pairwise=False, output=-1)
    run = fit(tmp_path / "kernel", EveryToken(), data, data, callbacks=[kernel])
    assert len(run.series("kernel_distance/full/own")[0]) == 4
    assert "kernel_distance/alignment" not in run.keys
    last = DataLoader(TensorDataset(WORDS, WORDS[:, -1]), 18)
    for output, known in ((None, False), (-1, True)):
        probe = LinearProbe(draws=2, layer="1", dataloader=last, output=output)
        run = fit(tmp_path / f"probe{known}", EveryToken(), data, data, callbacks=[probe])
        assert ("linear_probe/own/network" in run.keys) == known


class OneHot(Tokens):
    """A classifier that is trained with the squared error."""

    loss = "mse"


@pytest.mark.parametrize("arguments", [{}, {"loss": "cross_entropy"}])
def test_a_measure_of_a_loss_takes_that_of_the_module(
    arguments: dict[str, Any], tmp_path: Path
) -> None:
    inputs, labels = WORDS, WORDS.sum(1) % 4
    module = OneHot()
    expected = sharpness(module.network, inputs, labels, arguments.get("loss", "mse"))
    measurement = ModelMeasurement(
        sharpness, arguments=arguments, inputs=inputs, labels=labels, epochs=[0]
    )
    run = fit(tmp_path / "run", module, datamodule=Directions(), callbacks=[measurement])
    assert run.series("sharpness/value")[1] == pytest.approx(expected, rel=1e-3)


def test_a_measure_of_another_loss_is_refused(tmp_path: Path) -> None:
    data = DataLoader(TensorDataset(WORDS.float(), WORDS.float().prod(1, keepdim=True)), 18)
    with pytest.raises(InputError, match=r"sharpness can measure, .* for the loss cross_entropy"):
        fit(tmp_path / "run", Regression(), data, data, callbacks=[ModelMeasurement(sharpness)])
    right = ModelMeasurement(sharpness, arguments={"loss": "mse"}, epochs=[0, 1])
    run = fit(tmp_path / "run", Regression(), data, data, callbacks=[right])
    assert run.series("sharpness/value")[0].tolist() == [0, 1]


@pytest.mark.parametrize("targets", [WORDS.float().prod(1, keepdim=True), WORDS])
def test_points_alone_need_no_classes(targets: Tensor, tmp_path: Path) -> None:
    reference = given_reference(WORDS.float(), targets)
    network = Regression().network
    measurement = LayerMeasurement("lightning_grok.geometry.participation_ratio", per_class=10)
    measurement.prepare(network, reference)
    scalars, _ = measurement.taken(network, reference, 0)
    points = record(network, ["1"], WORDS.float())["1"].numpy()  # all of the 36
    assert list(scalars)[:2] == ["participation_ratio/0", "participation_ratio/2"]
    measurement.layers = ["1"]
    measurement.prepare(network, reference)
    scalars, _ = measurement.taken(network, reference, 0)
    assert scalars["participation_ratio/1"] == pytest.approx(float(participation_ratio(points)))
    with pytest.raises(InputError, match="expected classes, one whole number a sample"):
        LayerMeasurement("lightning_grok.geometry.neural_collapse").prepare(network, reference)

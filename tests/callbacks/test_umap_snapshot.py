"""Maps of a network in training, with real fits on the embedded digits."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser
from own_training import QUIET

from lightning_grok.callbacks import UmapSnapshot
from lightning_grok.errors import InputError
from lightning_grok.geometry import align, embed
from lightning_grok.geometry.activations import record
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule
from lightning_grok.tasks.reference_set import ReferenceSet

SMALL: dict[str, Any] = {
    "count": 60,
    "classes": 4,
    "neighbors": 8,
    "first_iterations": 30,
    "iterations": 10,
}


def fitted(
    path: Path, epochs: int, *callbacks: L.Callback, checkpoint: Path | None = None
) -> tuple[Run, GrokModule]:
    """Train on 64 digits up to `epochs`, from a checkpoint where one is given; write last.ckpt."""
    L.seed_everything(0, verbose=False)
    path.mkdir(exist_ok=True)
    directory = RunDirectory(path)
    module = GrokModule(10, 784, hidden=[16, 16])
    trainer = L.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=RunLogger(directory),
        **QUIET,
    )
    data = GrokData(dataset="digits", train_size=64)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    directory.close()
    trainer.save_checkpoint(path / "last.ckpt")
    return Run(path), module


def reference_set() -> ReferenceSet:
    """What the fits are measured on."""
    data = GrokData(dataset="digits", train_size=64)
    data.setup("fit")
    return data.reference_set


@pytest.mark.slow
def test_maps_of_a_fit_are_those_of_the_last_hidden_layer(tmp_path: Path) -> None:
    run, module = fitted(tmp_path, 2, UmapSnapshot(**SMALL, epochs=[0, 1, 2], strict=True))
    maps = run.arrays("umap")
    assert sorted(maps) == [0, 1, 2]
    for arrays in maps.values():
        assert arrays["coordinates"].shape == (60, 2)
        assert arrays["coordinates"].dtype == np.float32
        assert arrays["labels"].tolist() == [label for label in range(4) for _ in range(15)]
    assert run.series("umap/preservation")[0].tolist() == [0, 1, 2]
    epochs, movement = run.series("umap/movement")
    assert epochs.tolist() == [1, 2]
    # The last map, anew from the trained network: layers.3 is the ReLU before the logits.
    assert module.network.layer_names[-2] == "layers.3"
    images, _ = reference_set().embedding_points(60, 4, 0)
    points = record(module.network, ["layers.3"], images)["layers.3"]
    before = maps[1]["coordinates"]
    expected = embed(points, before, neighbors=8, iterations=10)
    assert np.array_equal(maps[2]["coordinates"], expected.coordinates)
    assert movement[1] == pytest.approx(expected.movement, rel=1e-6)
    turned = align(maps[2]["coordinates"], before)
    np.testing.assert_allclose(turned, maps[2]["coordinates"], atol=1e-4)


@pytest.mark.slow
def test_training_is_not_disturbed(tmp_path: Path) -> None:
    _, measured = fitted(tmp_path / "measured", 2, UmapSnapshot(**SMALL, epochs=[0, 1]))
    _, bare = fitted(tmp_path / "bare", 2)
    for name, value in bare.network.state_dict().items():
        assert torch.equal(value, measured.network.state_dict()[name])


def test_a_resumed_fit_goes_on_from_the_last_map(tmp_path: Path) -> None:
    def snapshot() -> UmapSnapshot:
        return UmapSnapshot(**SMALL, epochs=[0, 1, 2, 3], strict=True)

    whole, _ = fitted(tmp_path / "whole", 3, snapshot())
    options: dict[str, Any] = {**SMALL, "epochs": [0, 1, 2], "strict": True}
    fitted(tmp_path / "broken", 2, UmapSnapshot(**options))
    checkpoint = tmp_path / "broken" / "last.ckpt"
    resumed, _ = fitted(tmp_path / "broken", 3, snapshot(), checkpoint=checkpoint)
    expected, maps = whole.arrays("umap"), resumed.arrays("umap")
    for epoch in range(4):
        assert np.array_equal(maps[epoch]["coordinates"], expected[epoch]["coordinates"])
    values = [run.series("umap/movement")[1].tolist() for run in (whole, resumed)]
    assert values[0] == values[1]


def test_a_diverged_network_is_an_event_and_no_map(tmp_path: Path) -> None:
    class Diverge(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(torch.nan)

    snapshot = UmapSnapshot(**SMALL, epochs=[0, 1])
    with pytest.warns(UserWarning, match="umap at epoch 1 failed"):
        run, _ = fitted(tmp_path, 1, Diverge(), snapshot)
    assert sorted(run.arrays("umap")) == [0]
    messages = [event["message"] for event in run.events if event["event"] == "error"]
    assert len(messages) == 1
    assert "NaN" in messages[0]


def test_another_layer_and_chosen_classes() -> None:
    torch.manual_seed(0)
    probe = reference_set()
    network = GrokModule(10, 784, hidden=[16, 12]).network
    options: dict[str, Any] = {**SMALL, "classes": [7, 3], "count": 40}
    snapshot = UmapSnapshot(**options, layer="layers.0")
    snapshot.start(network)
    _, arrays = snapshot.taken(network, probe, 0)
    assert arrays["labels"].tolist() == [7] * 20 + [3] * 20
    images, _ = probe.embedding_points(40, [7, 3], 0)
    points = record(network, ["layers.0"], images)["layers.0"]
    assert np.array_equal(
        arrays["coordinates"], embed(points, neighbors=8, iterations=30).coordinates
    )


def test_a_network_of_one_layer_has_no_hidden_one() -> None:
    probe = reference_set()
    network = GrokModule(10, 784, hidden=[]).network
    with pytest.raises(InputError, match=r"umap\.layer"):
        UmapSnapshot(**SMALL).measure(network, probe)


def test_options_are_written_on_the_command_line() -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(UmapSnapshot, "umap")
    given = ["--umap.classes=[1,3]", "--umap.count=60", "--umap.min_dist=0", "--umap.epochs=12"]
    snapshot = parser.instantiate_classes(parser.parse_args(given)).umap
    assert isinstance(snapshot, UmapSnapshot)
    assert (snapshot.classes, snapshot.count, snapshot.min_dist) == ([1, 3], 60, 0)
    assert snapshot.schedule.epochs == 12


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("count", 9),
        ("classes", 0),
        ("classes", []),
        ("classes", [1, 1]),
        ("classes", [-1]),
        ("neighbors", 1),
        ("min_dist", -0.1),
        ("min_dist", 1.1),
        ("min_dist", float("nan")),
        ("first_iterations", 0),
        ("iterations", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("epochs", [3, 2]),
    ],
)
def test_refusals(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"umap\.{option}.*received|umap\.{option}: "):
        UmapSnapshot(**{option: value})

"""Whole-set evaluation on its schedule, with real fits."""

import lightning as L
import numpy as np
import pytest
import torch
from own_training import QUIET
from small_runs import OFF, Fit
from torchmetrics.functional.classification import multiclass_accuracy

from lightning_grok.callbacks import Evaluation
from lightning_grok.errors import InputError
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule


def test_values_are_those_of_the_snapshots_on_whole_sets(fit: Fit) -> None:
    run = fit(*OFF)
    data = GrokData(dataset="digits", train_size=64)
    data.setup("fit")
    for epoch in (0, 3):
        network = load_model(run.path, epoch)
        for name in ("train", "test"):
            images, labels = data.reference_set.part(name)
            with torch.no_grad():
                outputs = network(images)
            loss = torch.nn.functional.cross_entropy(outputs, labels)
            assert value(run, f"{name}/loss", epoch) == pytest.approx(float(loss), rel=1e-5)
            expected = float((outputs.argmax(1) == labels).double().mean())
            assert value(run, f"{name}/accuracy", epoch) == pytest.approx(expected, abs=1e-7)
            per_class = multiclass_accuracy(outputs, labels, num_classes=10, average="none")
            stored = run.arrays("evaluation")[epoch][f"{name}/accuracy_per_class"]
            assert np.allclose(stored, per_class.numpy())


def test_default_schedule_is_dense_in_log_epoch(fit: Fit) -> None:
    off = "--weight_norm.enabled=false"
    run = fit(*OFF, off, "--trainer.max_epochs=120", "--data.train_size=32")
    epochs = run.series("test/accuracy")[0]
    assert epochs[0] == 0
    assert epochs[-1] == 120
    assert np.count_nonzero((epochs > 10) & (epochs <= 100)) >= 24
    assert set(range(6)) | {10, 20, 30, 40, 50, 100, 120} <= set(epochs.tolist())
    assert len(epochs) < 60  # not every epoch


def test_every_epoch_where_asked(fit: Fit) -> None:
    run = fit(*OFF, "--evaluation.every=1", "--trainer.max_epochs=7")
    assert run.series("train/loss")[0].tolist() == list(range(8))


def test_model_checkpoint_looks_at_evaluated_epochs_only(fit: Fit, tmp_path) -> None:
    keeping = (
        '--trainer.callbacks+={"class_path": "ModelCheckpoint", "init_args": {"dirpath": '
        f'"{tmp_path / "best"}", "monitor": "test/loss", "save_top_k": -1, '
        '"filename": "{epoch}"}}'
    )
    fit(*OFF, keeping, "--trainer.max_epochs=9", "--evaluation.epochs=[0,3,6,9]")
    kept = sorted(path.stem for path in (tmp_path / "best").iterdir())
    assert kept == ["epoch=2", "epoch=5", "epoch=8"]  # Lightning counts from 0


@pytest.mark.parametrize(
    "arguments", [{"every": 0}, {"per_decade": 0}, {"epochs": [3, 2]}, {"epochs": []}]
)
def test_refusals(arguments: dict) -> None:
    with pytest.raises(InputError, match="expected"):
        Evaluation(**arguments)


def test_a_user_without_the_command_line(tmp_path) -> None:
    torch.manual_seed(0)
    trainer = L.Trainer(max_epochs=2, callbacks=[Evaluation()], logger=False, **QUIET)
    data = GrokData(dataset="digits", train_size=64)
    trainer.fit(GrokModule(num_classes=10, hidden=(16,)), datamodule=data)
    assert 0 <= float(trainer.callback_metrics["test/accuracy"]) <= 1


def value(run: Run, key: str, epoch: int) -> float:
    epochs, values = run.series(key)
    return float(values[epochs.tolist().index(epoch)])

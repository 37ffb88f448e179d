"""The bar's time left counts the measurements that are still due."""

import logging
import os
import re
import sys
import time
from collections.abc import Mapping

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_grok.callbacks import Measurement
from lightning_grok.callbacks.progress import EpochProgress, _what_fits
from lightning_grok.tasks.reference_set import ReferenceSet


class Linear(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(3, 2)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        time.sleep(0.005)
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Slow(Measurement):
    name = "slow"
    needs_samples = False

    def measure(self, model: nn.Module, reference: ReferenceSet) -> Mapping[str, float]:
        time.sleep(0.1)
        return {"value": 0.0}


def test_the_time_left_counts_measurements(capsys: pytest.CaptureFixture[str]) -> None:
    """Late measurements, which the rate of the first epochs knows nothing of."""
    told: dict[int, float] = {}

    class Told(EpochProgress):
        def _time_left(self, trainer: L.Trainer, epoch: int) -> str:
            text = super()._time_left(trainer, epoch)
            minutes, seconds = re.fullmatch(r"(\d+):(\d+) left", text).groups()  # type: ignore[union-attr]
            told[epoch] = 60 * int(minutes) + int(seconds)
            at[epoch] = time.monotonic()
            return text

        def on_train_epoch_end(self, trainer: L.Trainer, *args: object) -> None:
            assert self._bar is not None
            self._bar.miniters = 0
            super().on_train_epoch_end(trainer, *args)

    at: dict[int, float] = {}
    data = TensorDataset(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
    slow = Slow(epochs=[0, *range(20, 60, 2)])
    trainer = L.Trainer(
        max_epochs=60, callbacks=[slow, Told()], logger=False, enable_checkpointing=False,
        accelerator="cpu", enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Linear(), DataLoader(data, batch_size=4))
    really = at[60] - at[10]
    assert really > 2.0
    assert told[10] == pytest.approx(really, rel=0.5, abs=1)
    assert told[10] >= 2  # of the epochs alone it would be half a second
    assert told[60] == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": [0, 5, 9]}, 2),
        ({"every_n_epochs": 3}, 3),
        ({"epochs": [6, 7], "every_n_epochs": 3}, 4),
    ],
)
def test_times_due_are_the_epochs_that_are_due(options: dict, expected: int) -> None:
    measurement = Slow(**options)
    measurement.plan(10)
    times = measurement.times_due(2, 9)
    assert times == expected == sum(measurement.due(epoch) for epoch in range(3, 10))


@pytest.mark.parametrize(
    ("bar", "which"),
    [([EpochProgress()], "slow, 1 of 1"), ([], "slow")],
    ids=["ours", "Lightning's"],
)
def test_what_is_measured_is_said_before(bar: list[L.Callback], which: str) -> None:
    """The first measurement may be compiled for a minute, a late one may hold the bar up."""
    before: list[str] = []

    class Dear(Slow):
        def measure(self, model: nn.Module, reference: ReferenceSet) -> Mapping[str, float]:
            before.extend(map(str, said))
            said.clear()
            return {"value": 0.0}

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    said: list[str] = []
    handler = Said()
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addHandler(handler)
    data = TensorDataset(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
    trainer = L.Trainer(
        max_epochs=1, callbacks=[Dear(epochs=[0, 1]), *bar], logger=False,
        enable_checkpointing=False, accelerator="cpu", enable_model_summary=False,
    )  # fmt: skip
    try:
        trainer.fit(Linear(), DataLoader(data, batch_size=4))
    finally:
        logger.removeHandler(handler)
    told = [line for line in before if "initialization" in line]
    compiled = "(compiled first, where that is new here)"
    assert told == [f"measuring the initialization {compiled}: {which}"]


def test_what_is_logged_stands_above_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line of its own, and Lightning's own words too."""

    class Logs(L.Callback):
        def on_train_epoch_end(self, *args: object) -> None:
            rank_zero_info("told while the bar is there")

    logger = logging.getLogger("lightning.pytorch")
    handler = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    data = TensorDataset(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
    trainer = L.Trainer(
        max_epochs=2, callbacks=[Logs(), EpochProgress()], logger=False,
        enable_checkpointing=False, accelerator="cpu", enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Linear(), DataLoader(data, batch_size=4))
    lines = re.split(r"[\r\n]", capsys.readouterr().err)
    assert lines.count("told while the bar is there") == 2
    assert lines.count("`Trainer.fit` stopped: `max_epochs=2` reached.") == 1
    assert logger.handlers == [handler]


@pytest.mark.parametrize(
    ("columns", "shown"), [(200, "1:00 left, train 1, test 0.1"), (60, "1:00 left, train 1")]
)
def test_readings_leave_room_for_the_bar(
    columns: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ["1:00 left", "train 1", "test 0.1"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
    assert _what_fits(parts) == shown
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert _what_fits(parts) == ", ".join(parts)

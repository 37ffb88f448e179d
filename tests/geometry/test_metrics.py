"""Geometry as torchmetrics equals its functions, in a collection and in a training."""

import lightning as L
import numpy as np
import pytest
import torch
from own_training import QUIET, Convolutions, loaders
from torch import Tensor
from torchmetrics import MetricCollection

from lightning_grok.geometry import (
    AlignmentMetric,
    CapacityMetric,
    ParticipationRatioMetric,
    kernel_target_alignment,
    manifold_capacity,
    participation_ratio,
)

SMALL = {"num_vectors": 10, "restarts": 1}


def samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    return torch.randn(60, 2, 4, generator=generator) + labels[:, None, None], labels


def test_a_collection_fed_in_batches_is_the_functions_of_all() -> None:
    points, labels = samples()
    metrics = MetricCollection(
        {"capacity": CapacityMetric(**SMALL), "ratio": ParticipationRatioMetric(),
         "alignment": AlignmentMetric()}
    )  # fmt: skip
    flat = points.flatten(1)
    for _ in range(2):  # the second time after a reset
        for start in range(0, 60, 7):
            metrics.update(points[start : start + 7], labels[start : start + 7])
        found = {name: float(value) for name, value in metrics.compute().items()}
        assert found == pytest.approx({
            "capacity": manifold_capacity(flat, labels, **SMALL).capacity,
            "ratio": participation_ratio(flat),
            "alignment": kernel_target_alignment(flat @ flat.T, labels, centered=True),
        }, rel=1e-5)  # fmt: skip
        metrics.reset()
    with pytest.raises(ValueError, match="a label a sample, received 3 for 4"):
        metrics["ratio"].update(points[:4], labels[:3])


class Logged(Convolutions):
    """Logs the capacity of its outputs, as any metric is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity = CapacityMetric(**SMALL)
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        outputs = self(batch[0])
        self.seen.append((outputs.numpy().copy(), batch[1].numpy()))
        self.capacity.update(outputs, batch[1])
        self.log("capacity", self.capacity)


def test_it_is_logged_at_the_end_of_an_epoch() -> None:
    module = Logged()
    trainer = L.Trainer(max_epochs=1, num_sanity_val_steps=0, logger=False, **QUIET)
    trainer.fit(module, *loaders())
    points, labels = (np.concatenate(parts) for parts in zip(*module.seen, strict=True))
    expected = manifold_capacity(points, labels, points_per_class="smallest", **SMALL).capacity
    assert float(trainer.callback_metrics["capacity"]) == pytest.approx(expected, rel=1e-5)

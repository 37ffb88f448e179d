"""Loss and accuracy of whole sets, chunk by chunk."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric
from torchmetrics.classification import MulticlassAccuracy


class SetMetrics(nn.Module):
    """Loss and accuracy over one whole set, gathered chunk by chunk.

    Args:
        num_classes: number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        options: dict[str, Any] = {"num_classes": num_classes, "validate_args": False}
        # A diverged loss is news, not to be hidden; MeanMetric would then ignore its weights.
        self.loss_sum = SumMetric(nan_strategy="disable")
        self.count = SumMetric(nan_strategy="disable")
        self.per_class = MulticlassAccuracy(average="none", **options)
        self.overall = MulticlassAccuracy(average="micro", **options)

    def update(self, loss: Tensor, outputs: Tensor, labels: Tensor) -> None:
        """Add a chunk: its mean loss (), outputs (n, C) and labels (n,)."""
        self.loss_sum.update(loss * len(labels))
        self.count.update(len(labels))
        predictions = outputs.argmax(dim=1)
        self.per_class.update(predictions, labels)
        self.overall.update(predictions, labels)

    def compute(self) -> dict[str, Tensor]:
        """loss (), accuracy () and accuracy_per_class (C,) of what came since the last call.

        The accuracy of a class without a sample is NaN.
        """
        found, missed = self.per_class.tp, self.per_class.fn  # (C,)
        assert isinstance(found, Tensor)
        assert isinstance(missed, Tensor)
        values = {
            "loss": self.loss_sum.compute() / self.count.compute(),
            "accuracy": self.overall.compute(),
            "accuracy_per_class": self.per_class.compute().where(found + missed > 0, torch.nan),
        }
        for metric in (self.loss_sum, self.count, self.overall, self.per_class):
            metric.reset()
        return values

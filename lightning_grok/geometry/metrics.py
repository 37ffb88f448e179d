"""Geometry as torchmetrics: fed batch by batch, in ``self.log`` and in a MetricCollection.

    self.capacity = CapacityMetric(num_vectors=50)
    self.capacity.update(features, labels)         # in every validation step
    self.log("capacity", self.capacity)            # computed at the end of the epoch

Each keeps what it is fed until it is reset, gathers it over processes, and equals its function on
all of it at once.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_grok.geometry.capacity.manifold_capacity import manifold_capacity
from lightning_grok.geometry.ntk.kernel import kernel_target_alignment
from lightning_grok.geometry.spectrum import participation_ratio


class _FunctionOfAll(Metric):
    """A function of all samples: features (n, d) and labels (n,)."""

    is_differentiable = False
    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.features: list[Tensor]
        self.labels: list[Tensor]
        self.add_state("features", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take a batch in: features (b, ...), flattened per sample, and labels (b,)."""
        if len(features) != len(labels):
            raise ValueError(
                f"expected a label a sample, received {len(labels)} for {len(features)} samples"
            )
        self.features.append(features.detach().flatten(1))
        self.labels.append(labels.detach())

    def _value(self, function: Callable[[Tensor, Tensor], float]) -> Tensor:
        found = function(dim_zero_cat(self.features), dim_zero_cat(self.labels))
        return torch.tensor(found, dtype=torch.float64 if self.dtype == torch.float64 else None)


class CapacityMetric(_FunctionOfAll):
    """Manifold capacity of the classes, the harmonic mean over them: `manifold_capacity`.

    Args:
        kappa, num_vectors, restarts, seed: as for `manifold_capacity`.
        options: of torchmetrics' `Metric`.
    """

    higher_is_better = True

    def __init__(
        self,
        kappa: float = 0.0,
        num_vectors: int = 200,
        restarts: int = 10,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.arguments: dict[str, Any] = {
            "kappa": kappa, "num_vectors": num_vectors, "restarts": restarts, "seed": seed,
        }  # fmt: skip

    def compute(self) -> Tensor:
        """The capacity; every class is cut to the size of the smallest, as the paper does."""
        arguments = {"points_per_class": "smallest", **self.arguments}
        return self._value(lambda x, y: manifold_capacity(x, y, **arguments).capacity)


class ParticipationRatioMetric(_FunctionOfAll):
    """Directions that all samples spread over: `participation_ratio`, corrected for few samples."""

    def compute(self) -> Tensor:
        """The ratio."""
        return self._value(lambda x, y: participation_ratio(x))


class AlignmentMetric(_FunctionOfAll):
    """Alignment of the samples' linear kernel with their labels: `kernel_target_alignment`.

    Args:
        centered: remove the mean of both kernels.
        options: of torchmetrics' `Metric`.
    """

    higher_is_better = True

    def __init__(self, centered: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.centered = centered

    def compute(self) -> Tensor:
        """The alignment, in [0, 1]. Memory n² numbers."""
        return self._value(
            lambda x, y: kernel_target_alignment(
                x.double() @ x.double().T, y, centered=self.centered
            )
        )

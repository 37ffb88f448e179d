"""The kernels of checkpoints as `KernelDistance` holds them: by factors, and by sketches."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_grok.callbacks.recording import LoggedValue
from lightning_grok.geometry import (
    KernelSketch,
    NTKFactors,
    distance_between,
    kernel_sketch,
    ntk_factors,
    sketched_kernel_distance,
)
from lightning_grok.geometry.ntk.pairwise import distance_cost

Parameters = dict[str, Tensor]
Method = Literal["auto", "exact", "sketch", "trace"]
# Multiplications of one exact distance up to which it is taken: some ten seconds of one core.
_AFFORDED = 3e11


@dataclass
class Kernel:
    """The kernel of one checkpoint as it is needed: by factors, and by a sketch."""

    factors: NTKFactors
    sketch: KernelSketch | None


class Kernels:
    """Takes kernels of a network, all by the method that the shapes of the first one settle.

    Args:
        name: of the measurement.
        method, dtype, probes, seed: as for `KernelDistance`.

    Attributes:
        taken: ``exact``, ``sketch`` or ``trace``; None before the shapes are known.
    """

    def __init__(
        self, name: str, method: Method, dtype: torch.dtype | None, probes: int, seed: int
    ) -> None:
        self.name = name
        self.method = method
        self.dtype = dtype
        self.probes = probes
        self.seed = seed
        self.taken: str | None = None

    def take(self, model: nn.Module, inputs: Any, parameters: Parameters | None = None) -> Kernel:
        """Of a network that answers with the chosen output, at its parameters or at others."""
        factors = ntk_factors(model, inputs, parameters=parameters, dtype=self.dtype)
        sketched = self.method_for(factors) == "sketch"
        return Kernel(factors, self.sketch(model, inputs, parameters) if sketched else None)

    def sketch(
        self, model: nn.Module, inputs: Any, parameters: Parameters | None = None
    ) -> KernelSketch:
        """A sketch alone."""
        return kernel_sketch(
            model,
            inputs,
            probes=self.probes,
            seed=self.seed,
            parameters=parameters,
            dtype=self.dtype,
        )

    def method_for(self, factors: NTKFactors) -> str:
        """The method, which is told once."""
        if self.taken is None:
            cost = distance_cost(factors)
            self.taken = self.method
            if self.method == "auto":
                self.taken = "exact" if cost <= _AFFORDED or not self.probes else "sketch"
            rank_zero_info(
                f"{self.name}: {self.taken} ({factors.samples} samples x {factors.outputs} "
                f"outputs, {cost:.1g} multiplications for one exact distance)"
            )
        return self.taken

    def distances(self, key: str, first: Kernel, second: Kernel) -> dict[str, LoggedValue | Tensor]:
        """Of two kernels, under the name of the reference, by kind."""
        values: dict[str, LoggedValue | Tensor] = {
            f"trace/{key}": distance_between(first.factors, second.factors, kind="trace")
        }
        if first.sketch is not None and second.sketch is not None:
            estimate = sketched_kernel_distance(first.sketch, second.sketch)
            values[f"sketch/{key}"] = estimate.estimate
            values[f"sketch/{key}_se"] = estimate.standard_error
        elif self.taken == "exact":
            values[f"full/{key}"] = distance_between(first.factors, second.factors)
        return values

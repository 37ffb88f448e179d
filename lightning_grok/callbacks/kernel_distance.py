"""How far the neural tangent kernel has moved: from its own start, and since the last look."""

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lightning_grok.callbacks.measurement import Epochs, Measurement, placed
from lightning_grok.callbacks.recording import Value
from lightning_grok.errors import InputError
from lightning_grok.geometry import (
    NotALinearStackError,
    NTKFactors,
    distance_between,
    effective_rank,
    kernel_distance_floor,
    kernel_sketch,
    kernel_target_alignment,
    kernel_velocity,
    ntk_factors,
    pairwise_kernel_distance,
    sketched_kernel_distance,
)
from lightning_grok.geometry.ntk.empirical import trace_kernel
from lightning_grok.geometry.ntk.sketch import DistanceEstimate, KernelSketch
from lightning_grok.ranges import Range, Seed, within_ranges
from lightning_grok.runs.directory import RunDirectory, snapshot_epochs
from lightning_grok.tasks.mlp import MLP
from lightning_grok.tasks.reference_set import ReferenceSet

Parameters = dict[str, Tensor]
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_FLOOR_PAIRS = 5
# Of the fresh network that stands for the paper's reference: one that no run begins from.
_FOREIGN_SEED = 0x5EED_F0E1


class KernelDistance(Measurement):
    """Kernel distance S of the full block kernel and of the trace kernel, over fixed samples.

    The network is a stack of linear layers and elementwise activations, as in every setup of the
    paper; `empirical_ntk` takes any other one, a kernel at a time.

    Logged: ``{full,trace}/own`` to the run's own initialization, ``{full,trace}/previous`` to the
    measurement before and ``{full,trace}/velocity``, that distance over the difference of the two
    epochs' natural logarithms (not from epoch 0, which has none); ``{full,trace}/foreign`` to
    another random network of the same architecture and scale (the paper's reference), the null
    floor ``{full,trace}/floor`` between fresh initializations with its standard deviation
    ``floor_sd``, once; of the trace kernel ``alignment`` and ``centered_alignment`` with the labels
    and ``effective_rank``. All are exact. Between the other pairs an estimate with its standard
    error stands in ``pairwise_estimate.npz`` while the run goes on, and the exact matrix in
    ``pairwise.npz`` at its end.

    Args:
        samples: images the kernel is taken over.
        split: ``train`` (the first rows of the training subset, as in the paper) or ``test``.
        dtype: precision of the kernels: the network's own by default (None), or ``float32`` or
            ``float64``.
        seed: of the test images drawn and of the estimate's random signs.
        probes: random sign vectors of the estimate; 0 leaves it out.
        pairwise: whether to compute the exact matrix at the end.
        enabled, epochs, strict, options: as for every `Measurement`.
        name: prefix of the keys; another one lets a second such measurement stand in
            ``trainer.callbacks`` of the same run.
    """

    name = "kernel_distance"

    @within_ranges("kernel_distance")
    def __init__(
        self,
        enabled: bool = True,
        samples: Annotated[int, Range(2, 10**7)] = 256,
        split: Literal["train", "test"] = "train",
        dtype: Literal["float32", "float64"] | None = None,
        seed: Seed = 0,
        probes: Annotated[int, Range(0, 10_000)] = 64,
        pairwise: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> None:
        self.name = name or type(self).name
        super().__init__(enabled, epochs, strict, **options)
        if probes == 1:
            raise InputError(f"expected kernel_distance.probes of 0 or above 1, received {probes}")
        self.samples = samples
        self.split = split
        self.dtype = None if dtype is None else _DTYPES[dtype]
        self.seed = seed
        self.probes = probes
        self.pairwise = pairwise
        self._initial: Parameters | None = None
        self._previous: Parameters | None = None
        self._previous_epoch: float = 0
        self._references: dict[str, NTKFactors] = {}
        self._sketches: dict[float, KernelSketch] = {}
        self._estimates: dict[tuple[int, int], DistanceEstimate] = {}

    def check(self, model: nn.Module, probe: ReferenceSet) -> None:
        """Refuse more samples than there are, and networks whose kernel has no factors."""
        inputs, _ = self._inputs(model, probe)
        try:
            ntk_factors(model, inputs[:1])
        except NotALinearStackError as error:
            raise InputError(
                f"{self.name}: expected a network (module.network, or the module itself) that is a "
                f"stack of linear layers and elementwise activations: {error}"
            ) from None

    def start(self, model: nn.Module) -> None:
        """Keep the initialization: its parameters, a thousandth of what its kernel would take."""
        self._initial = _parameters(model)
        self._previous = None
        self._previous_epoch = 0
        self._references = {}
        self._sketches = {}
        self._estimates = {}

    def measure(self, model: nn.Module, probe: ReferenceSet) -> Mapping[str, Value | Tensor]:
        """All distances of the network as it is now."""
        inputs, labels = self._inputs(model, probe)
        now = ntk_factors(model, inputs, dtype=self.dtype)
        if self.probes:
            self._sketches[self.epoch] = kernel_sketch(now, probes=self.probes, seed=self.seed)
        values = self._floor(model, inputs) if self._previous is None else {}
        for kind, reference in self._settled(model, inputs).items():
            values[f"full/{kind}"] = distance_between(reference, now)
            values[f"trace/{kind}"] = distance_between(reference, now, kind="trace")
        values |= self._velocity(values)
        kernel = trace_kernel(now)
        values["alignment"] = kernel_target_alignment(kernel, labels)
        values["centered_alignment"] = kernel_target_alignment(kernel, labels, centered=True)
        values["effective_rank"] = effective_rank(kernel)
        self._previous = _parameters(model)
        self._previous_epoch = self.epoch
        self._references["previous"] = now
        return values

    def _velocity(self, values: Mapping[str, Value | Tensor]) -> dict[str, Value | Tensor]:
        if self._previous_epoch == 0:
            return {}
        epochs = np.array([self._previous_epoch, self.epoch])
        return {
            f"{kind}/velocity": float(
                kernel_velocity(epochs, np.array([values[f"{kind}/previous"]])).velocity[0]
            )
            for kind in ("full", "trace")
        }

    def _inputs(self, model: nn.Module, probe: ReferenceSet) -> tuple[Tensor, Tensor]:
        inputs, labels = probe.kernel_inputs(self.samples, self.split, self.seed)
        return placed(inputs, model), labels

    def _settled(self, model: nn.Module, inputs: Tensor) -> dict[str, NTKFactors]:
        """Factors of the references; they are rebuilt from parameters after a resume only."""
        known = {"own": self._initial, "previous": self._previous}
        if isinstance(model, MLP):
            known["foreign"] = self._foreign(model)
        for kind, parameters in known.items():
            if kind not in self._references and parameters is not None:
                self._references[kind] = ntk_factors(
                    model, inputs, parameters=_on(model, parameters), dtype=self.dtype
                )
        return self._references

    def _foreign(self, model: MLP) -> Parameters | None:
        if "foreign" in self._references:
            return None
        return _parameters(_fresh(model, _FOREIGN_SEED))

    def _floor(self, model: nn.Module, inputs: Tensor) -> dict[str, Value | Tensor]:
        if not isinstance(model, MLP):  # another network doesn't say how it is built anew
            return {}
        floor = kernel_distance_floor(
            lambda seed: _fresh(model, seed),
            inputs,
            pairs=_FLOOR_PAIRS,
            seed=self.seed,
            dtype=self.dtype,
        )
        return {
            "full/floor": floor.full,
            "full/floor_sd": floor.full_sd,
            "trace/floor": floor.trace,
            "trace/floor_sd": floor.trace_sd,
        }

    def summarize(
        self, run: RunDirectory, model: nn.Module, probe: ReferenceSet, final: bool
    ) -> None:
        """Write the distances of all pairs: an estimate, or the exact matrix at the end."""
        epochs = [epoch for epoch in snapshot_epochs(run.path) if self.due(epoch)]
        if len(epochs) < 2 or not (self.pairwise if final else self.probes):
            return
        inputs, _ = self._inputs(model, probe)
        if not final:
            run.save_arrays(
                self.name, "pairwise_estimate", self._estimate(run, model, inputs, epochs)
            )
            return
        states = [_on(model, run.load_snapshot(epoch)) for epoch in epochs]
        full, trace = (
            pairwise_kernel_distance(states, model, inputs, kind=kind, dtype=self.dtype)
            for kind in ("full", "trace")
        )
        arrays = {"epochs": np.array(epochs), "distance": full, "trace_distance": trace}
        run.save_arrays(self.name, "pairwise", arrays)
        run.remove_arrays(self.name, "pairwise_estimate")

    def _estimate(
        self, run: RunDirectory, model: nn.Module, inputs: Tensor, epochs: list[int]
    ) -> dict[str, np.ndarray]:
        for epoch in epochs:
            if epoch not in self._sketches:  # measured before this process resumed the run
                parameters = _on(model, run.load_snapshot(epoch))
                factors = ntk_factors(model, inputs, parameters=parameters, dtype=self.dtype)
                self._sketches[epoch] = kernel_sketch(factors, probes=self.probes, seed=self.seed)
        distance = np.zeros((len(epochs), len(epochs)))
        error = np.zeros_like(distance)
        for i, first in enumerate(epochs):
            for j, second in enumerate(epochs[:i]):
                if (first, second) not in self._estimates:
                    sketches = self._sketches[first], self._sketches[second]
                    self._estimates[first, second] = sketched_kernel_distance(*sketches)
                pair = self._estimates[first, second]
                distance[i, j] = distance[j, i] = pair.estimate
                error[i, j] = error[j, i] = pair.standard_error
        return {"epochs": np.array(epochs), "distance": distance, "standard_error": error}

    def state_dict(self) -> dict[str, Any]:
        """Parameters of the initialization and of the last measurement, with its epoch."""
        return {
            "initial": self._initial,
            "previous": self._previous,
            "previous_epoch": self._previous_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self._initial = state_dict["initial"]
        self._previous = state_dict["previous"]
        self._previous_epoch = state_dict["previous_epoch"]


def _parameters(model: nn.Module) -> Parameters:
    return {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}


def _on(model: nn.Module, parameters: Mapping[str, Tensor]) -> Parameters:
    own = model.state_dict()
    return {key: value.to(own[key]) for key, value in parameters.items()}


def _fresh(model: MLP, seed: int) -> MLP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = MLP(**copy.deepcopy(model.arguments))
    parameter = next(model.parameters())
    return fresh.to(parameter.device, parameter.dtype)

"""How far the neural tangent kernel has moved: from its own start, and since the last look."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_grok.callbacks.floor import begin_anew, imported, state_of
from lightning_grok.callbacks.kernels import Kernel, Kernels, Method, Parameters
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.progress import share_bar
from lightning_grok.callbacks.recording import LoggedValue
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.errors import InputError
from lightning_grok.geometry import (
    KernelSketch,
    effective_rank,
    kernel_target_alignment,
    kernel_velocity,
    ntk_factors,
    pairwise_kernel_distance,
    sketched_kernel_distance,
)
from lightning_grok.geometry.ntk.empirical import trace_kernel
from lightning_grok.geometry.ntk.floor import fresh_pairs, mean_and_spread
from lightning_grok.geometry.ntk.sketch import DistanceEstimate
from lightning_grok.geometry.samples import count_samples, place_samples, take_samples
from lightning_grok.ranges import Range, Seed, within_ranges
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.snapshots import snapshot_epochs
from lightning_grok.tasks.reference_set import ReferenceSet

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_SAMPLES = 256
_FLOOR_PAIRS = 5
# Of the fresh network that stands for the paper's reference: one that no run begins from.
_FOREIGN_SEED = 0x5EED_F0E1


class KernelDistance(Measurement):
    """Kernel distance S of the full block kernel and of the trace kernel, over fixed samples.

    The network is any module. Logged: ``{full,trace}/own`` to the run's own initialization,
    ``{full,trace}/previous`` to the measurement before and ``{full,trace}/velocity``, that distance
    over the difference of the two epochs' natural logarithms (not from epoch 0, which has none);
    ``{full,trace}/foreign`` to another random network of the same architecture and scale (the
    paper's reference), the null floor ``{full,trace}/floor`` between fresh initializations with its
    standard deviation ``floor_sd``, once; of the trace kernel ``alignment`` and
    ``centered_alignment`` with the labels, or with real-valued targets themselves, and
    ``effective_rank``. All are exact. Where the full kernel is sketched, an estimate stands under
    ``sketch/...`` instead of ``full/...``, with its standard error ``sketch/own_se`` and so on.
    Between the other pairs an estimate with its standard error stands in ``pairwise_estimate.npz``
    while the run goes on, and the exact matrix in ``pairwise.npz`` at its end.

    ``foreign`` and ``floor`` need to know how the network begins: by the ``reset_parameters`` of
    its modules, or by `fresh`. Without either they are left out, which is said once.

    Args:
        samples: samples the kernel is taken over; of `inputs` that are given, at most so many. None
            takes 256, or all where there are fewer; the line that names the method says how many.
        split: ``train`` (the first rows of the training subset, as in the paper) or ``test``.
        method: of the full kernel: ``exact``, ``sketch`` (`probes` random sign vectors), ``trace``
            (left out, the trace kernel alone) or ``auto``: exact where one distance takes no more
            than 3e11 multiplications and two kernels no more than 2 GB, by the shapes alone, else
            the sketch. Which one is said once.
        dtype: precision of the kernels: the network's own by default (None), or ``float32`` or
            ``float64``.
        seed: of the test samples drawn and of the estimate's random signs.
        probes: random sign vectors of the estimate; 0 leaves the estimate of pairs out.
        pairwise: whether to compute the exact matrix at the end.
        enabled, epochs, strict, options: as for every `Measurement`.
        name: prefix of the keys; another one lets a second such measurement stand in
            ``trainer.callbacks`` of the same run.
        fresh: builds the network anew, without arguments: a function, a class, or a dotted path.

    Raises:
        InputError: an argument is out of range, or there is no such function.
    """

    name = "kernel_distance"
    remembers = ("initial", "previous", "previous_epoch")

    @within_ranges("kernel_distance")
    def __init__(
        self,
        enabled: bool = True,
        samples: Annotated[int, Range(2, 10**7)] | None = None,
        split: Literal["train", "test"] = "train",
        method: Method = "auto",
        dtype: Literal["float32", "float64"] | None = None,
        seed: Seed = 0,
        probes: Annotated[int, Range(0, 10_000)] = 64,
        pairwise: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        name: str | None = None,
        fresh: str | Callable[[], nn.Module] | None = None,
        **options: Any,
    ) -> None:
        self.name = name or type(self).name
        super().__init__(enabled, epochs, strict, **options)
        if probes == 1:
            raise InputError(f"expected kernel_distance.probes of 0 or above 1, received {probes}")
        if method == "sketch" and not probes:
            raise InputError("expected kernel_distance.probes above 1 for a sketch, received 0")
        self.samples = samples
        self.split = split
        self.dtype = None if dtype is None else _DTYPES[dtype]
        self.seed = seed
        self.probes = probes
        self.pairwise = pairwise
        self.fresh = imported(fresh) if isinstance(fresh, str) else fresh
        self._initial: Parameters | None = None
        self._previous: Parameters | None = None
        self._previous_epoch: float = 0
        self._kernels = Kernels(self.name, method, self.dtype, probes, seed)
        self._references: dict[str, Kernel] = {}
        self._sketches: dict[float, KernelSketch] = {}
        self._estimates: dict[tuple[int, int], DistanceEstimate] = {}

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse more samples than there are, and networks whose answer has no kernel."""
        inputs, _ = self._samples(model, reference)
        try:
            ntk_factors(model, take_samples(inputs, slice(0, 2)))
        except ValueError as error:
            raise InputError(f"{self.name}: {error}") from None

    def start(self, model: nn.Module) -> None:
        """Keep the initialization: its parameters, a thousandth of what its kernel would take."""
        self._initial = state_of(model)
        self._previous = None
        self._previous_epoch = 0
        self._references = {}
        self._sketches = {}
        self._estimates = {}

    def measure(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        """All distances of the network as it is now."""
        inputs, labels = self._samples(model, reference)
        now = self._kernels.take(model, inputs)
        if self.probes:
            self._sketches[self.epoch] = now.sketch or self._kernels.sketch(model, inputs)
        values = self._floor(model, inputs) if self._previous is None else {}
        for key, kernel in self._settled(model, inputs).items():
            values |= self._kernels.distances(key, kernel, now)
        values |= self._velocity(values)
        values |= _of_the_trace_kernel(trace_kernel(now.factors), labels)
        self._previous = state_of(model)
        self._previous_epoch = self.epoch
        self._references["previous"] = now
        return values

    def _samples(self, model: nn.Module, reference: ReferenceSet) -> tuple[Any, Any]:
        """Inputs on the network's device, and labels or None."""
        known = count_samples(reference.part(self.split).images)
        asked = self.samples if self.inputs is None else None  # for what fewer are no answer
        samples = asked or min(self.samples or _SAMPLES, known)
        inputs, labels = reference.kernel_inputs(samples, self.split, self.seed)
        parameter = next(model.parameters())
        return place_samples(inputs, parameter.device, parameter.dtype), labels

    def _velocity(
        self, values: Mapping[str, LoggedValue | Tensor]
    ) -> dict[str, LoggedValue | Tensor]:
        if self._previous_epoch == 0:
            return {}
        epochs = np.array([self._previous_epoch, self.epoch])
        return {
            f"{kind}/velocity": float(
                kernel_velocity(epochs, np.array([values[f"{kind}/previous"]])).velocity[0]
            )
            for kind in ("full", "sketch", "trace")
            if f"{kind}/previous" in values
        }

    def _settled(self, model: nn.Module, inputs: Any) -> dict[str, Kernel]:
        """Kernels of the references; they are rebuilt from parameters after a resume only."""
        for key, parameters in (("own", self._initial), ("previous", self._previous)):
            if key not in self._references and parameters is not None:
                self._references[key] = self._kernels.take(model, inputs, _on(model, parameters))
        if "foreign" not in self._references and self._begins_anew(model):
            self._references["foreign"] = self._kernels.take(
                self._fresh(model, _FOREIGN_SEED), inputs
            )
        return self._references

    def _fresh(self, model: nn.Module, seed: int) -> nn.Module:
        """Another initialization of the architecture, where the network is."""
        return begin_anew(model, seed, self.fresh, self.output)

    def _begins_anew(self, model: nn.Module) -> bool:
        """Whether the network says how it begins."""
        try:
            self._fresh(model, _FOREIGN_SEED)
        except ValueError:
            return False
        return True

    def _floor(self, model: nn.Module, inputs: Any) -> dict[str, LoggedValue | Tensor]:
        if not self._begins_anew(model):
            rank_zero_info(
                f"{self.name}: no foreign and no floor, since a part of the network has no "
                "reset_parameters; fresh= takes a function that builds it"
            )
            return {}
        found: dict[str, list[float]] = {}
        for pair in fresh_pairs(
            lambda seed: self._fresh(model, seed), pairs=_FLOOR_PAIRS, seed=self.seed
        ):
            first, second = (self._kernels.take(each, inputs) for each in pair)
            for key, value in self._kernels.distances("floor", first, second).items():
                found.setdefault(key, []).append(float(value))
        values: dict[str, LoggedValue | Tensor] = {}
        for key, distances in found.items():
            if not key.endswith("_se"):
                values[key], values[f"{key}_sd"] = mean_and_spread(distances)
        return values

    def summarize(
        self, run: RunDirectory, model: nn.Module, reference: ReferenceSet, final: bool
    ) -> None:
        """Write the distances of all pairs: an estimate, or the exact matrix at the end."""
        epochs = [epoch for epoch in snapshot_epochs(run.path) if self.due(epoch)]
        exact = final and self._kernels.taken != "sketch"
        if len(epochs) < 2 or not (self.pairwise if exact else self.probes):
            return
        inputs, _ = self._samples(model, reference)
        if not exact:
            estimate = self._estimate(run, model, inputs, epochs)
            run.save_arrays(self.name, "pairwise_estimate", estimate)
            return
        what = f"{self.name}: exact distances between {len(epochs)} checkpoints"
        rank_zero_info(what)
        states = [_on(model, run.load_snapshot(epoch)) for epoch in epochs]
        arrays = {"epochs": np.array(epochs)}
        keys: dict[Literal["full", "trace"], str] = {"full": "distance", "trace": "trace_distance"}
        for kind, key in keys.items():
            if kind == "trace" or self._kernels.taken != "trace":
                with share_bar(what) as watch:
                    arrays[key] = pairwise_kernel_distance(
                        states, model, inputs, kind=kind, dtype=self.dtype, watch=watch
                    )
        run.save_arrays(self.name, "pairwise", arrays)
        run.remove_arrays(self.name, "pairwise_estimate")

    def _estimate(
        self, run: RunDirectory, model: nn.Module, inputs: Any, epochs: list[int]
    ) -> dict[str, np.ndarray]:
        for epoch in epochs:
            if epoch not in self._sketches:  # measured before this process resumed the run
                parameters = _on(model, run.load_snapshot(epoch))
                self._sketches[epoch] = self._kernels.sketch(model, inputs, parameters)
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


def _of_the_trace_kernel(kernel: Tensor, labels: Any) -> dict[str, LoggedValue | Tensor]:
    """Effective rank, and alignments where there are classes or targets that differ."""
    values: dict[str, LoggedValue | Tensor] = {"effective_rank": effective_rank(kernel)}
    targets = None if labels is None else torch.as_tensor(labels)
    if targets is None or targets.ndim > 1 + targets.is_floating_point():
        return values  # none, or some for each of several positions
    if len(targets.unique(dim=0)) > 1:
        values["alignment"] = kernel_target_alignment(kernel, labels)
        values["centered_alignment"] = kernel_target_alignment(kernel, labels, centered=True)
    return values


def _on(model: nn.Module, parameters: Mapping[str, Tensor]) -> Parameters:
    own = model.state_dict()
    return {key: value.to(own[key]) for key, value in parameters.items()}

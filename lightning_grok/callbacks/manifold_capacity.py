"""Capacity, radius and dimension of the class manifolds in every layer."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from torch import Tensor, nn

from lightning_grok.callbacks.floor import Floor, Floors, Fresh
from lightning_grok.callbacks.layers import check_layers, layers_of
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.network import placed
from lightning_grok.callbacks.recording import LoggedValue
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.errors import InputError
from lightning_grok.geometry import ManifoldGeometry, manifold_capacity
from lightning_grok.geometry.activations import record
from lightning_grok.geometry.cores import on_all_cores
from lightning_grok.ranges import Range, Seed, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet

_SCALARS = (
    "capacity", "radius", "dimension", "capacity_se", "radius_se", "dimension_se",
    "median_radius", "center_correlation", "residual_correlation", "rank", "flagged", "failed",
)  # fmt: skip
_HEADLINES = ("capacity", "radius", "dimension")


class ManifoldCapacity(Measurement):
    """Replica mean-field capacity and anchor geometry of the classes (Chung et al. 2018).

    Logged for every layer: ``capacity`` (harmonic mean over classes), ``radius`` and ``dimension``
    (arithmetic means) with their Monte-Carlo standard errors ``..._se``; ``median_radius``, which
    an outlier doesn't move; ``center_correlation`` before and ``residual_correlation`` after the
    common structure of the centers is removed, and the ``rank`` that was removed; ``flagged``,
    classes with a center too short to trust their radius, and ``failed``, classes without a value.
    Values of single classes go to the arrays: ``capacity_per_class``, ``center_ratio_per_class``
    and so on. The samples and the Gaussian vectors are the same at every epoch. A split other than
    test stands before the layer.

    The standard errors know the Gaussian vectors alone. Which of the center correlations are
    removed depends on random starts too, and in some layers on them more: with ``repeats=5`` all of
    it is done with five seeds, and ``capacity_sd``, ``radius_sd`` and ``dimension_sd`` are the
    standard deviations over them, at five times the cost. The values are those of the first.

    Args:
        layers: names of submodules; None takes all of ``model.layer_names``, else at most twelve.
        splits: ``test``, ``train`` or both.
        per_class: samples a class, at most; every class has as many as the smallest of all splits.
        num_vectors: Gaussian vectors a class.
        restarts: random starts of the removal of center correlations, for every rank.
        kappa: margin.
        seed: of samples, vectors and restarts.
        repeats: seeds of vectors and restarts, `seed` the first of them.
        floor, draws, fresh: capacity, radius and dimension of what has learned nothing, beside the
            values, as a `FunctionMeasurement` takes them; each kind costs `draws` times as much.
        enabled, epochs, strict, options: as for every `Measurement`.
        name: prefix of the keys; another one lets a second such measurement stand in
            ``trainer.callbacks`` of the same run.
    """

    name = "manifold_capacity"

    @within_ranges("manifold_capacity")
    def __init__(
        self,
        enabled: bool = True,
        layers: Sequence[str] | None = None,
        splits: Sequence[Literal["train", "test"]] = ("test",),
        per_class: Annotated[int, Range(2, 10**7)] = 200,
        num_vectors: Annotated[int, Range(1, 100_000)] = 200,
        restarts: Annotated[int, Range(1, 10_000)] = 10,
        kappa: Annotated[float, Range(0, 1000)] = 0.0,
        seed: Seed = 0,
        epochs: Epochs = None,
        strict: bool = False,
        repeats: Annotated[int, Range(1, 1000)] = 1,
        floor: Floor | Sequence[Floor] | None = None,
        draws: Annotated[int, Range(2, 1000)] = 5,
        fresh: str | Fresh | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        self.name = name or type(self).name
        super().__init__(enabled, epochs, strict, **options)
        if not splits or isinstance(splits, str):
            raise InputError(
                f"expected a list of train, test or both as {self.name}.splits, received {splits!r}"
            )
        self.layers = layers
        self.splits = tuple(splits)
        self.per_class = per_class
        self.num_vectors = num_vectors
        self.restarts = restarts
        self.kappa = kappa
        self.seed = seed
        self.repeats = repeats
        self._floors = Floors(self.name, floor, draws, seed, fresh)

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse layers and classes that aren't there, and labels that are no classes."""
        for split in self.splits:
            inputs, labels = reference.manifold_points(split, self.per_class, self.seed)
            if len(labels) == len(labels.unique()):
                raise InputError(
                    f"expected at least two samples of every class in the {split} set for "
                    f"{self.name}, received one of some class (per_class: {self.per_class})"
                )
            inputs = placed(inputs, model)
            check_layers(model, layers_of(model, self.layers, inputs), inputs, self.pool, self.name)
        self._floors.check(model, self.output)

    def start(self, model: nn.Module) -> None:
        """Begin the floors."""
        self._floors.start(model)

    def measure(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        """The geometry of every split and layer, and its floors."""
        values: dict[str, LoggedValue | Tensor] = {}
        for prefix, (result, *more) in self._geometries(model, reference, self.repeats).items():
            values |= {f"{prefix}/{key}": getattr(result, key) for key in _SCALARS}
            for key in _HEADLINES if more else ():
                spread = np.std([getattr(each, key) for each in (result, *more)], ddof=1)
                values[f"{prefix}/{key}_sd"] = float(spread)
            values |= {f"{prefix}/{key}_per_class": v for key, v in result.per_class.items()}
        take = partial(self._headlines, reference=reference)
        return values | self._floors.measure(take, model, self.output)

    def _headlines(
        self,
        model: nn.Module,
        reference: ReferenceSet,
        shuffle: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """What has floors."""
        found = self._geometries(model, reference, 1, shuffle)
        return {
            f"{prefix}/{key}": getattr(result, key)
            for prefix, (result,) in found.items()
            for key in _HEADLINES
        }

    def _geometries(
        self,
        model: nn.Module,
        reference: ReferenceSet,
        repeats: int,
        shuffle: np.random.Generator | None = None,
    ) -> dict[str, list[ManifoldGeometry]]:
        """One of every seed, by the prefix of its keys; of labels without meaning if `shuffle`."""
        found: dict[str, list[ManifoldGeometry]] = {}
        per_class = self._samples_a_class(reference)
        for split in self.splits:
            inputs, labels = reference.manifold_points(split, per_class, self.seed)
            inputs = placed(inputs, model)
            activations = record(
                model, layers_of(model, self.layers, inputs), inputs, pool=self.pool
            )
            targets = labels.cpu().numpy()
            if shuffle is not None:
                targets = shuffle.permutation(targets)
            of = partial(self._of_layer, targets, repeats)
            results = on_all_cores(of, activations.values())
            for layer, result in zip(activations, results, strict=True):
                found[layer if split == "test" else f"{split}/{layer}"] = result
        return found

    def _samples_a_class(self, reference: ReferenceSet) -> int:
        """What the smallest class of any split has, so that splits differ by nothing else."""
        drawn = [
            reference.manifold_points(split, self.per_class, self.seed)[1] for split in self.splits
        ]
        return min(int((labels == labels[0]).sum()) for labels in drawn)

    def _of_layer(self, labels: np.ndarray, repeats: int, points: Tensor) -> list[ManifoldGeometry]:
        rows = points.double().cpu().numpy()
        return [
            manifold_capacity(
                rows,
                labels,
                kappa=self.kappa,
                num_vectors=self.num_vectors,
                restarts=self.restarts,
                seed=seed,
            )
            for seed in range(self.seed, self.seed + repeats)
        ]

    def state_dict(self) -> dict[str, Any]:
        """What the floors need after a resume."""
        return self._floors.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._floors.load_state_dict(state_dict)

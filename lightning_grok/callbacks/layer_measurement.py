"""A function of the activations of every layer, as a measurement."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from lightning_grok.callbacks.function_measurement import FunctionMeasurement
from lightning_grok.callbacks.layers import check_layers, layers_of
from lightning_grok.callbacks.network import placed
from lightning_grok.callbacks.recording import as_array
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.geometry.activations import record
from lightning_grok.geometry.samples import take_samples
from lightning_grok.ranges import Count, Seed, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet, count


class LayerMeasurement(FunctionMeasurement):
    """Calls ``function(points, labels)`` on every chosen layer.

    In a configuration::

        trainer:
          callbacks:
            - class_path: lightning_grok.callbacks.LayerMeasurement
              init_args:
                function: lightning_grok.geometry.participation_ratio

    logs ``participation_ratio/layers.0`` and so on. A function that returns a NamedTuple logs its
    fields, ``name/layer/field``; one with a single parameter without a default is called with the
    points alone.

    Args:
        function: f(points (n, d), labels (n,)) -> number or NamedTuple of numbers and arrays, or
            its dotted path. Both arguments are NumPy arrays.
        layers: names of submodules; None takes all of ``model.layer_names``, else at most twelve.
        name: prefix of the keys; None takes the function's name.
        arguments: further keyword arguments of the function.
        split: ``train`` or ``test`` samples.
        per_class: samples a class, at most; for a function of points alone where labels are no
            classes ten times as many in all.
        seed: of the samples drawn, and of floors.
        enabled, epochs, strict: as for every `Measurement`.
        options: as for every `FunctionMeasurement`; ``floor`` among them.

    Raises:
        InputError: there is no such function.
    """

    @within_ranges("layer_measurement")
    def __init__(
        self,
        function: str | Callable[..., Any],
        layers: Sequence[str] | None = None,
        name: str | None = None,
        arguments: dict[str, Any] | None = None,
        split: Literal["train", "test"] = "test",
        per_class: Count = 200,
        seed: Seed = 0,
        enabled: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(function, name, arguments, enabled, epochs, strict, seed=seed, **options)
        self.layers = layers
        self.split = split
        self.per_class = per_class
        self._layers: list[str] | None = None  # fresh networks are looked at in the same

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse layers and samples that aren't there."""
        super().check(model, reference)
        inputs = placed(self._points(reference)[0], model)
        self._layers = layers_of(model, self.layers, inputs)
        check_layers(model, self._layers, inputs, self.pool, self.name)

    def can_shuffle(self, reference: ReferenceSet) -> bool:
        """Whether the function takes labels."""
        return super().can_shuffle(reference) and _given(self.function, self.arguments) > 1

    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every layer, with its activations and, where the function takes them, the labels."""
        inputs, labels = self._points(reference)
        inputs = placed(inputs, model)
        layers = self._layers or layers_of(model, self.layers, inputs)
        activations = record(model, layers, inputs, pool=self.pool)
        for layer, points in activations.items():
            yield layer, (as_array(points), *([] if labels is None else [labels.cpu().numpy()]))

    def _points(self, reference: ReferenceSet) -> tuple[Any, Tensor | None]:
        """Samples of every class with their labels; for a function of points alone, without."""
        takes_labels = _given(self.function, self.arguments) > 1
        if takes_labels or reference.has_classes:
            inputs, labels = reference.manifold_points(self.split, self.per_class, self.seed)
            return inputs, labels if takes_labels else None
        inputs = reference.part(self.split).images
        rows = np.random.default_rng(self.seed).permutation(count(inputs))
        return take_samples(inputs, rows[: 10 * self.per_class]), None


def _given(function: Callable[..., Any], arguments: Mapping[str, Any]) -> int:
    """How many of points and labels a function takes: what it must be given by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in kinds
        and parameter.default is inspect.Parameter.empty
        and parameter.name not in arguments
    ]
    return min(2, len(wanted))

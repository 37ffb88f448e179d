"""Any function of a layer's activations as a measurement: one function, one YAML entry."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Literal

from torch import Tensor, nn

from lightning_grok.callbacks.layers import check_layers, layers_of
from lightning_grok.callbacks.measurement import Epochs, Measurement, placed
from lightning_grok.callbacks.recording import Value, as_array
from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import record
from lightning_grok.ranges import Count, Seed, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet


class LayerMeasurement(Measurement):
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
        per_class: samples a class, at most.
        seed: of the samples drawn.
        enabled, epochs, strict, options: as for every `Measurement`.

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
        self.function = imported(function) if isinstance(function, str) else function
        self.name = name or _name_of(function)
        super().__init__(enabled, epochs, strict, **options)
        self.layers = layers
        self.arguments = arguments or {}
        self.split = split
        self.per_class = per_class
        self.seed = seed

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse layers and samples that aren't there."""
        inputs, _ = reference.manifold_points(self.split, self.per_class, self.seed)
        inputs = placed(inputs, model)
        check_layers(model, layers_of(model, self.layers, inputs), inputs, self.pool, self.name)

    def measure(self, model: nn.Module, reference: ReferenceSet) -> Mapping[str, Value | Tensor]:
        """The function's result for every layer."""
        inputs, labels = reference.manifold_points(self.split, self.per_class, self.seed)
        inputs = placed(inputs, model)
        activations = record(model, layers_of(model, self.layers, inputs), inputs, pool=self.pool)
        targets = labels.cpu().numpy()
        values: dict[str, Value | Tensor] = {}
        for layer, points in activations.items():
            given = (as_array(points), targets)[: _given(self.function, self.arguments)]
            result = self.function(*given, **self.arguments)
            if hasattr(result, "_asdict"):
                fields = result._asdict().items()
                values |= {f"{layer}/{key}": value for key, value in fields}
            else:
                values[layer] = result
        return values


def imported(path: str) -> Callable[..., Any]:
    """The function at a dotted path.

    Raises:
        InputError: there is none.
    """
    module, _, name = path.rpartition(".")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"expected the dotted path of a function, received {path}: {error}"
        ) from None
    if not callable(function):
        raise InputError(f"expected a function, received {path}, a {type(function).__name__}")
    return function


def _name_of(function: str | Callable[..., Any]) -> str:
    if isinstance(function, str):
        return function.rpartition(".")[2]
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    if name == "<lambda>":
        raise InputError("expected a name for the measurement of a lambda, received none")
    return name


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

"""Any function of a layer's activations as a measurement: one function, one YAML entry."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

from torch import Tensor, nn

from lightning_grok.callbacks.measurement import Epochs, Measurement, placed
from lightning_grok.callbacks.recording import Value, as_array
from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import record
from lightning_grok.ranges import Count, Seed, within_ranges
from lightning_grok.tasks.probe_set import ProbeSet


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
        function: dotted path of f(points (n, d), labels (n,)) -> number or NamedTuple of numbers
            and arrays. Both arguments are NumPy arrays.
        layers: names of submodules; None takes all of ``model.layer_names``.
        name: prefix of the keys; None takes the function's name.
        arguments: further keyword arguments of the function.
        split: ``train`` or ``test`` images.
        per_class: images a class, at most.
        seed: of the images drawn.
        enabled, epochs, strict: as for every `Measurement`.

    Raises:
        InputError: there is no such function.
    """

    @within_ranges("layer_measurement")
    def __init__(
        self,
        function: str,
        layers: Sequence[str] | None = None,
        name: str | None = None,
        arguments: dict[str, Any] | None = None,
        split: Literal["train", "test"] = "test",
        per_class: Count = 200,
        seed: Seed = 0,
        enabled: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
    ) -> None:
        self.function = _imported(function)
        self.name = name or function.rpartition(".")[2]
        super().__init__(enabled, epochs, strict)
        self.layers = layers
        self.arguments = arguments or {}
        self.split = split
        self.per_class = per_class
        self.seed = seed

    def check(self, model: nn.Module, probe: ProbeSet) -> None:
        """Refuse layers and images that aren't there."""
        layers_of(model, self.layers)
        probe.manifold_points(self.split, self.per_class, self.seed)

    def measure(self, model: nn.Module, probe: ProbeSet) -> Mapping[str, Value | Tensor]:
        """The function's result for every layer."""
        images, labels = probe.manifold_points(self.split, self.per_class, self.seed)
        activations = record(model, layers_of(model, self.layers), placed(images, model))
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


def layer_before_last(model: nn.Module, layer: str | None, name: str) -> str:
    """The chosen layer of the measurement `name`, or the one before the last.

    Raises:
        InputError: the layer doesn't exist, or there is none before the last.
    """
    names = layers_of(model, None if layer is None else [layer])
    if layer is not None:
        return layer
    if len(names) < 2:
        raise InputError(f"expected {name}.layer for a network of {len(names)} layer, given none")
    return names[-2]


def layers_of(model: nn.Module, layers: Sequence[str] | None) -> list[str]:
    """The chosen layers, or all that the model names.

    Raises:
        InputError: a chosen layer doesn't exist; none were chosen and the model has no
            ``layer_names``.
    """
    if layers is not None:
        known = [name for name, _ in model.named_modules() if name]
        missing = [layer for layer in layers if layer not in known]
        if missing:
            raise InputError(
                f"expected layers among {', '.join(known)}; received {', '.join(missing)}"
            )
        return list(layers)
    names = getattr(model, "layer_names", None)
    if names is None:
        kind = type(model).__name__
        raise InputError(f"expected layers for a {kind}, which has no layer_names; received none")
    return list(names)


def _imported(path: str) -> Callable[..., Any]:
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

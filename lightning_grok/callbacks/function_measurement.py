"""Any function as a measurement: of layers' activations, of weights, of the whole network."""

import copy
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_grok.callbacks.layers import check_layers, layers_of
from lightning_grok.callbacks.measurement import Epochs, Measurement, placed
from lightning_grok.callbacks.recording import Value, as_array
from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import record
from lightning_grok.geometry.samples import take_samples
from lightning_grok.ranges import Count, Seed, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet, count


class FunctionMeasurement(Measurement):
    """What is logged of a function: one number, or the fields of a NamedTuple or a mapping.

    Args:
        function: the function, or its dotted path.
        name: prefix of the keys; None takes the function's name.
        arguments: further keyword arguments of the function.
        enabled, epochs, strict, options: as for every `Measurement`.

    Raises:
        InputError: there is no such function.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        name: str | None = None,
        arguments: dict[str, Any] | None = None,
        enabled: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        self.function = imported(function) if isinstance(function, str) else function
        self.name = name or _name_of(function)
        super().__init__(enabled, epochs, strict, **options)
        self.arguments = arguments or {}

    def measure(self, model: nn.Module, reference: ReferenceSet) -> Mapping[str, Value | Tensor]:
        """The function's result wherever it is called."""
        values: dict[str, Value | Tensor] = {}
        for place, given in self.calls(model, reference):
            result = self.function(*given, **self.arguments)
            fields = result._asdict() if hasattr(result, "_asdict") else result
            if not isinstance(fields, Mapping):
                values[place or "value"] = fields
                continue
            values |= {f"{place}/{key}".lstrip("/"): value for key, value in fields.items()}
        return values

    @abstractmethod
    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Where the function is called, as it stands in the key, and with what."""


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
        super().__init__(function, name, arguments, enabled, epochs, strict, **options)
        self.layers = layers
        self.split = split
        self.per_class = per_class
        self.seed = seed

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse layers and samples that aren't there."""
        inputs, _ = reference.manifold_points(self.split, self.per_class, self.seed)
        inputs = placed(inputs, model)
        check_layers(model, layers_of(model, self.layers, inputs), inputs, self.pool, self.name)

    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every layer, with its activations and, where the function takes them, the labels."""
        inputs, labels = reference.manifold_points(self.split, self.per_class, self.seed)
        inputs = placed(inputs, model)
        activations = record(model, layers_of(model, self.layers, inputs), inputs, pool=self.pool)
        taken = _given(self.function, self.arguments)
        for layer, points in activations.items():
            yield layer, (as_array(points), labels.cpu().numpy())[:taken]


class WeightMeasurement(FunctionMeasurement):
    """Calls ``function(weight)`` on every weight matrix of the network.

    Logs ``name/layers.0.weight`` or, of a function that returns a NamedTuple,
    ``name/layers.0.weight/field``. It looks at no sample.

    Args:
        function: f(weight (m, n)) -> number or NamedTuple of numbers and arrays, or its dotted
            path. The weight is a NumPy array; that of a convolution has a row an output channel.
        weights: names as in ``model.named_parameters()``; None takes all with two axes or more.
        name, arguments, enabled, epochs, strict, options: as for every `FunctionMeasurement`.

    Raises:
        InputError: there is no such function.
    """

    needs_samples = False

    @within_ranges("weight_measurement")
    def __init__(
        self,
        function: str | Callable[..., Any],
        weights: Sequence[str] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(function, name, **options)
        self.weights = weights

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse weights that aren't there."""
        known = [name for name, value in model.named_parameters() if value.ndim > 1]
        missing = [name for name in self.weights or () if name not in known]
        if missing or not known:
            raise InputError(
                f"expected {self.name}.weights among {', '.join(known) or 'matrices'}, received "
                f"{', '.join(missing) or 'a network without any'}"
            )

    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every matrix."""
        for name, value in model.named_parameters():
            if value.ndim > 1 and (self.weights is None or name in self.weights):
                yield name, (as_array(value.flatten(1)),)


class ModelMeasurement(FunctionMeasurement):
    """Calls ``function(model, inputs, labels)``, gradients allowed.

    The function gets a copy of the network in eval mode, with which it may do what it likes. Logs
    ``name/value`` or, of a function that returns a NamedTuple, ``name/field``.

    Args:
        function: f(model, inputs (n, ...), labels (n,)) -> number or NamedTuple of numbers and
            arrays, or its dotted path. Inputs and labels are tensors on the model's device.
        split: ``train`` or ``test`` samples.
        samples: at most so many, the first of the split.
        name, arguments, enabled, epochs, strict, options: as for every `FunctionMeasurement`.

    Raises:
        InputError: there is no such function.
    """

    @within_ranges("model_measurement")
    def __init__(
        self,
        function: str | Callable[..., Any],
        split: Literal["train", "test"] = "train",
        samples: Count = 1000,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(function, name, **options)
        self.split = split
        self.samples = samples

    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The whole network, once."""
        inputs, labels = reference.part(self.split)
        rows = slice(min(self.samples, count(inputs)))
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        given = None if labels is None else take_samples(labels, rows).to(device)
        with torch.enable_grad():
            yield "", (copy.deepcopy(model), placed(take_samples(inputs, rows), model), given)


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

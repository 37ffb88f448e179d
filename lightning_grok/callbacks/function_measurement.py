"""Any function as a measurement: of layers' activations, of weights, of the whole network."""

import copy
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lightning_grok.callbacks.floor import Floor, Floors, Fresh, state_of
from lightning_grok.callbacks.layers import check_layers, layers_of
from lightning_grok.callbacks.measurement import Epochs, Measurement, placed
from lightning_grok.callbacks.recording import LoggedValue, as_array
from lightning_grok.errors import InputError
from lightning_grok.geometry.activations import record
from lightning_grok.geometry.samples import take_samples
from lightning_grok.ranges import Count, Range, Seed, within_ranges
from lightning_grok.runs.panels import FLOORS
from lightning_grok.tasks.reference_set import ReferenceSet, count

_REMEMBERED = ("start", "previous")
"""Keyword-only parameters of a function that take the same thing at an earlier epoch."""


class FunctionMeasurement(Measurement):
    """What is logged of a function: one number, or the fields of a NamedTuple or a mapping.

    A function with a keyword-only parameter ``start``, ``previous`` or ``below`` is given there
    what its first argument was at the run's initialization, at the measurement before, or, by name,
    at the layers or weights before this one: ``f(points, *, start)``. They are None, or empty,
    where there is none.

    A number alone says little of training. With `floor` the same number is logged of what has
    learned nothing, as the mean and standard deviation over `draws`, under ``<key>/floor_<kind>``
    and ``<key>/floor_<kind>_sd``, and drawn as a band beside the number: of fresh networks
    (``init``), of shuffled labels or, of weights, shuffled entries (``shuffle``), and of random
    walks that begin at the run's own initialization and go as far, parameter by parameter, as the
    training from one measurement to the next (``walk``).

    Args:
        function: the function, or its dotted path.
        name: prefix of the keys; None takes the function's name.
        arguments: further keyword arguments of the function.
        enabled, epochs, strict, options: as for every `Measurement`.
        floor: ``init``, ``shuffle`` or ``walk``, or several of them. Each takes the measure `draws`
            times more, ``init`` only once in a run.
        draws: fresh networks, permutations, walks.
        seed: of what is drawn.
        fresh: builds the network anew for ``init``, or its dotted path; None initializes it by the
            ``reset_parameters`` of its modules.

    Raises:
        InputError: there is no such function, or no such floor.
    """

    @within_ranges("function_measurement")
    def __init__(
        self,
        function: str | Callable[..., Any],
        name: str | None = None,
        arguments: dict[str, Any] | None = None,
        enabled: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        floor: Floor | Sequence[Floor] | None = None,
        draws: Annotated[int, Range(2, 1000)] = 5,
        seed: Seed = 0,
        fresh: str | Fresh | None = None,
        **options: Any,
    ) -> None:
        self.function = imported(function) if isinstance(function, str) else function
        self.name = name or _name_of(function)
        super().__init__(enabled, epochs, strict, **options)
        self.arguments = arguments or {}
        kinds = (floor,) if isinstance(floor, str) else tuple(floor or ())
        if unknown := [kind for kind in kinds if kind not in FLOORS]:
            raise InputError(
                f"expected {self.name}.floor among {', '.join(FLOORS)}, received {unknown[0]}"
            )
        begin = imported(fresh) if isinstance(fresh, str) else fresh
        self.seed = seed
        self._floors = Floors(kinds, draws, seed, begin)
        self._asks = _keywords(self.function) - self.arguments.keys()
        self._states: dict[str, dict[str, Tensor]] = {}  # by what is remembered

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse floors that the function or the network doesn't have."""
        if "shuffle" in self._floors.kinds and not self.can_shuffle(reference):
            raise InputError(
                f"expected labels to shuffle for {self.name}.floor, received "
                f"{'none' if reference.test.labels is None else 'a function of points alone'}"
            )
        if "init" in self._floors.kinds:
            try:
                self._floors.fresh_network(model, self.output)
            except ValueError as error:
                raise InputError(
                    f"{self.name}.floor: {error}; fresh= takes a function that builds it"
                ) from None

    def can_shuffle(self, reference: ReferenceSet) -> bool:
        """Whether the function is called with what `shuffled` shuffles."""
        return reference.test.labels is not None

    def start(self, model: nn.Module) -> None:
        """Begin the floors, and keep what the function asks for later."""
        self._floors.start(model)
        self._states = self._remembered("start", model)

    def measure(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        """The function's result wherever it is called, and its floors."""
        past = {name: self._past(name, model, reference) for name in self._states}
        take = partial(self._values, reference=reference, past=past)
        values = take(model) | self._floors.measure(take, model, self.output)
        self._states = self._states | self._remembered("previous", model)
        return values

    def _remembered(self, name: str, model: nn.Module) -> dict[str, dict[str, Tensor]]:
        return {name: state_of(model)} if name in self._asks else {}

    def _past(self, name: str, model: nn.Module, reference: ReferenceSet) -> dict[str, Any]:
        """What the function's first argument was, by place."""
        network = copy.deepcopy(model)
        network.load_state_dict(self._states[name])
        return {place: given[0] for place, given in self.calls(network, reference)}

    def _values(
        self,
        model: nn.Module,
        reference: ReferenceSet,
        past: Mapping[str, Mapping[str, Any]],
        shuffle: np.random.Generator | None = None,
    ) -> dict[str, LoggedValue | Tensor]:
        values: dict[str, LoggedValue | Tensor] = {}
        below: dict[str, Any] = {}
        for place, given in self.calls(model, reference):
            if shuffle is not None:
                given = (*given[:-1], self.shuffled(given[-1], shuffle))
            more = {name: past.get(name, {}).get(place) for name in _REMEMBERED} | {"below": below}
            asked = {name: each for name, each in more.items() if name in self._asks}
            result = self.function(*given, **self.arguments, **asked)
            below = {**below, place: given[0]} if "below" in asked else {}
            fields = result._asdict() if hasattr(result, "_asdict") else result
            if not isinstance(fields, Mapping):
                values[place or "value"] = fields
                continue
            values |= {f"{place}/{key}".lstrip("/"): value for key, value in fields.items()}
        return values

    def shuffled(self, labels: Any, generator: np.random.Generator) -> Any:
        """The last argument of the function with its meaning gone: labels of other samples."""
        return labels[generator.permutation(len(labels))]

    def state_dict(self) -> dict[str, Any]:
        """What the floors and the function need after a resume."""
        states = {"states": self._states} if self._states else {}
        return self._floors.state_dict() | states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._floors.load_state_dict(state_dict)
        self._states = state_dict.get("states", {})

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
        inputs, _ = reference.manifold_points(self.split, self.per_class, self.seed)
        inputs = placed(inputs, model)
        self._layers = layers_of(model, self.layers, inputs)
        check_layers(model, self._layers, inputs, self.pool, self.name)

    def can_shuffle(self, reference: ReferenceSet) -> bool:
        """Whether the function takes labels."""
        return super().can_shuffle(reference) and _given(self.function, self.arguments) > 1

    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every layer, with its activations and, where the function takes them, the labels."""
        inputs, labels = reference.manifold_points(self.split, self.per_class, self.seed)
        inputs = placed(inputs, model)
        layers = self._layers or layers_of(model, self.layers, inputs)
        activations = record(model, layers, inputs, pool=self.pool)
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
        super().check(model, reference)
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

    def can_shuffle(self, reference: ReferenceSet) -> bool:
        """Entries always can."""
        return True

    def shuffled(self, weight: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The same entries at other places."""
        return generator.permuted(weight)


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


def _keywords(function: Callable[..., Any]) -> set[str]:
    """Names of the keyword-only parameters; none of what has no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # compiled
        return set()
    return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


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

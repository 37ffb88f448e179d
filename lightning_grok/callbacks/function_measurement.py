"""Any function as a measurement: with its own past, and with floors of what has learned nothing."""

import copy
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import lightning as L
import numpy as np
from torch import Tensor, nn

from lightning_grok.callbacks.floor import Floor, Floors, Fresh, imported, state_of
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.recording import LoggedValue
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.errors import InputError
from lightning_grok.geometry import optimizer_scale
from lightning_grok.ranges import Range, Seed, within_ranges
from lightning_grok.runs.network import network_of
from lightning_grok.tasks.reference_set import ReferenceSet

_REMEMBERED = ("start", "previous")
"""Keyword-only parameters of a function that take the same thing at an earlier epoch."""

_SCALE = "optimizer_scale"
"""Keyword-only parameter of a function that takes what the training's optimizer is about to do."""


class FunctionMeasurement(Measurement):
    """What is logged of a function: one number, or the fields of a NamedTuple or a mapping.

    The function gets copies, with which it may do what it likes.

    A function with a keyword-only parameter ``start``, ``previous`` or ``below`` is given there
    what its first argument was at the run's initialization, at the measurement before, or, by name,
    at the layers or weights before this one: ``f(points, *, start)``. They are None, or empty,
    where there is none. One with ``optimizer_scale`` is given
    `lightning_grok.geometry.optimizer_scale` of the training's optimizers there, and can't be
    measured afterwards.

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
        self.seed = seed
        self._floors = Floors(self.name, floor, draws, seed, fresh)
        self._asks = _keywords(self.function) - self.arguments.keys()
        self._states: dict[str, dict[str, Tensor]] = {}  # by what is remembered
        self._scale: dict[str, Tensor] = {}
        self.keeps_snapshots = _SCALE not in self._asks  # they hold no optimizer's state

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse floors that the function or the network doesn't have."""
        if "shuffle" in self._floors.kinds and not self.can_shuffle(reference):
            raise InputError(
                f"expected labels to shuffle for {self.name}.floor, received "
                f"{'none' if reference.test.labels is None else 'a function of points alone'}"
            )
        self._floors.check(model, self.output)

    def can_shuffle(self, reference: ReferenceSet) -> bool:
        """Whether the function is called with what `shuffled` shuffles."""
        return reference.test.labels is not None

    def start(self, model: nn.Module) -> None:
        """Begin the floors, and keep what the function asks for later."""
        self._floors.start(model)
        self._states = self._remembered("start", model)

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: float) -> None:
        if _SCALE in self._asks:
            parameters = dict(network_of(pl_module).named_parameters())
            self._scale = optimizer_scale(trainer.optimizers, parameters)
        super()._take(trainer, pl_module, epoch)

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
            more = {name: past.get(name, {}).get(place) for name in _REMEMBERED}
            more |= {"below": below, _SCALE: self._scale or None}
            asked = {name: each for name, each in more.items() if name in self._asks}
            # Copies: what is given may be the weights that are trained, or the samples themselves.
            result = self.function(*copy.deepcopy(given), **self.arguments, **asked)
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

"""What a measurement is held against: the same of networks, labels or weights without training."""

import copy
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lightning_grok.callbacks.network import selection
from lightning_grok.callbacks.recording import split_values
from lightning_grok.errors import InputError
from lightning_grok.geometry import fresh_copy, random_walk, squared_steps
from lightning_grok.geometry.ntk.floor import mean_and_spread
from lightning_grok.geometry.ntk.network import Output

Floor = Literal["init", "shuffle", "walk"]
Fresh = Callable[[], nn.Module]

_KEPT = ("_of_fresh", "_begun", "_last", "_squares")


def begin_anew(model: nn.Module, seed: int, fresh: Fresh | None, output: Output) -> nn.Module:
    """Another initialization of the architecture, in evaluation mode, where the network is.

    Args:
        model: the network; without `fresh` it is initialized by its own ``reset_parameters``.
        seed: of the initialization; the global random state is put back.
        fresh: builds the network.
        output: what `model` is asked for.

    Raises:
        ValueError: without `fresh`, some parameter belongs to no module with ``reset_parameters``.
    """
    if fresh is None:
        return fresh_copy(model, seed)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        network = fresh().eval()
    choose = selection(output)
    if choose is not None:
        network.register_forward_hook(choose)
    parameter = next(model.parameters())
    return network.to(parameter.device, parameter.dtype)


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


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's parameters and buffers on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}


class Floors:
    """The same numbers of what has learned nothing, several times over: their mean and spread.

    ``init``: of fresh networks. ``shuffle``: of the network, of whose samples or weights something
    was shuffled. ``walk``: of random walks from the run's own initialization, each step as long,
    parameter by parameter, as the way from one measured point to the next, which is shorter than
    the optimizer's steps together; buffers stay those of the initialization.

    Args:
        name: of the measurement.
        floor: which, one or several; None for none.
        draws: how many of each.
        seed: of what is drawn.
        fresh: as in `begin_anew`, or its dotted path.

    Raises:
        InputError: there is no such function.
    """

    def __init__(
        self,
        name: str,
        floor: Floor | Sequence[Floor] | None,
        draws: int,
        seed: int,
        fresh: str | Fresh | None,
    ) -> None:
        self.kinds = (floor,) if isinstance(floor, str) else tuple(floor or ())
        self._name = name
        self._draws = draws
        self._seed = seed
        self._fresh = imported(fresh) if isinstance(fresh, str) else fresh
        self._of_fresh: dict[str, float] = {}  # they don't change while the network trains
        self._begun: dict[str, Tensor] = {}
        self._last: dict[str, Tensor] = {}
        self._squares: dict[str, float] = {}

    def check(self, model: nn.Module, output: Output) -> None:
        """Refuse fresh networks of a kind that can't be begun anew.

        Raises:
            InputError: as `begin_anew`.
        """
        if "init" in self.kinds:
            try:
                self.fresh_network(model, output)
            except ValueError as error:
                raise InputError(
                    f"{self._name}.floor: {error}; fresh= takes a function that builds it"
                ) from None

    def start(self, model: nn.Module) -> None:
        """Keep the initialization, where the walks begin."""
        self._of_fresh = {}
        if "walk" in self.kinds:
            self._begun = self._last = state_of(model)
            names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
            self._squares = dict.fromkeys(names, 0.0)

    def fresh_network(self, model: nn.Module, output: Output, seed: int = 0) -> nn.Module:
        """One network of ``init``."""
        return begin_anew(model, seed, self._fresh, output)

    def measure(self, take: Callable[..., Any], model: nn.Module, output: Output) -> Any:
        """``<key>/floor_<kind>`` and its ``_sd`` for every number.

        Args:
            take: f(network, shuffle=None or a generator) -> what is measured, by key.
            model: the network as it is now; to be called in the order of training.
            output: what it is asked for.
        """
        if self._begun:
            now = state_of(model)
            before = {name: self._last[name] for name in self._squares}
            steps = squared_steps(before, now)
            self._squares = {name: self._squares[name] + steps[name] for name in steps}
            self._last = now
        floors: dict[str, float] = {}
        for kind in self.kinds:
            if kind == "walk" and not self._begun:  # measured afterwards, without a start
                continue
            known = self._of_fresh if kind == "init" else {}
            floors |= known or self._spread(kind, take, model, output)
        self._of_fresh = {key: floors[key] for key in floors if "/floor_init" in key}
        return floors

    def _spread(
        self, kind: Floor, take: Callable[..., Any], model: nn.Module, output: Output
    ) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for draw in range(self._draws):
            generator = np.random.default_rng((self._seed, draw))
            seed = int(generator.integers(2**31))
            if kind == "shuffle":
                values = take(model, shuffle=generator)
            elif kind == "init":
                values = take(self.fresh_network(model, output, seed))
            else:
                network = copy.deepcopy(model)
                network.load_state_dict(random_walk(self._begun, self._squares, seed))
                values = take(network)
            for key, number in split_values(values)[0].items():
                found.setdefault(key, []).append(number)
        floor: dict[str, float] = {}
        for key, numbers in found.items():
            name = f"{key}/floor_{kind}"
            with np.errstate(invalid="ignore"):  # infinities have no spread
                floor[name], floor[f"{name}_sd"] = mean_and_spread(numbers)
        return floor

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: where the walks began and are, and what doesn't change."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return {name: value for name, value in kept.items() if value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for name in _KEPT:
            setattr(self, name, state.get(name, {}))

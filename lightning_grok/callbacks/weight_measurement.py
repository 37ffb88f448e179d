"""A function of every weight matrix, as a measurement."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import nn

from lightning_grok.callbacks.function_measurement import FunctionMeasurement
from lightning_grok.callbacks.recording import as_array
from lightning_grok.errors import InputError
from lightning_grok.ranges import within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet


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

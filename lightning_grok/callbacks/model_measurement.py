"""A function of the whole network, as a measurement."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import nn

from lightning_grok.callbacks.function_measurement import FunctionMeasurement
from lightning_grok.callbacks.network import placed
from lightning_grok.geometry.losses import Loss
from lightning_grok.geometry.samples import take_samples
from lightning_grok.ranges import Count, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet, count


class ModelMeasurement(FunctionMeasurement):
    """Calls ``function(model, inputs, labels)``, gradients allowed.

    The function gets the network in eval mode and, for a parameter ``loss`` that `arguments` leaves
    out, the name of the loss that the module is trained with, if it has one in ``module.loss``.
    Logs ``name/value`` or, of a function that returns a NamedTuple, ``name/field``.

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

    def find_reference(
        self, module: Any, datamodule: Any, loaders: Callable[[], Mapping[str, Any]]
    ) -> ReferenceSet:
        """As of every measurement; what loss the module is trained with is seen on the way."""
        loss = getattr(module, "loss", None)
        known = isinstance(loss, str) and loss in get_args(Loss)
        if known and "loss" in inspect.signature(self.function).parameters:
            self.arguments = {"loss": loss} | self.arguments
        return super().find_reference(module, datamodule, loaders)

    def calls(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The whole network, once."""
        inputs, labels = reference.part(self.split)
        rows = slice(min(self.samples, count(inputs)))
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        given = None if labels is None else take_samples(labels, rows).to(device)
        with torch.enable_grad():
            yield "", (model, placed(take_samples(inputs, rows), model), given)

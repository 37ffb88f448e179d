"""How large the weights are: all together, layer by layer, and against the initialization."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.recording import LoggedValue
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.geometry import parameter_cosine, parameter_norms
from lightning_grok.ranges import within_ranges


class WeightNorm(Measurement):
    """Euclidean norms of the parameters, biases included.

    Logged: ``total`` ‖θ‖, ``relative`` ‖θ‖ / ‖θ₀‖ to the run's own initialization, ``cosine`` of
    the angle between θ and θ₀, and for every layer with parameters its own norm, ``layers.0`` and
    so on. The last layer's is the one whose fall the paper shows for MNIST (Figure 8).

    Args:
        enabled, epochs, strict, options: as for every `Measurement`; it looks at no sample.
    """

    name = "weight_norm"
    needs_samples = False
    remembers = ("initial",)

    @within_ranges("weight_norm")
    def __init__(
        self,
        enabled: bool = True,
        epochs: Epochs = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(enabled, epochs, strict, **options)
        self._initial: dict[str, Tensor] | None = None

    def start(self, model: nn.Module) -> None:
        """Keep the initialization."""
        self._initial = {key: p.detach().cpu().clone() for key, p in model.named_parameters()}

    def measure(self, model: nn.Module, reference: Any) -> Mapping[str, LoggedValue | Tensor]:
        """All norms; no sample plays a part."""
        now = {key: p.detach().cpu() for key, p in model.named_parameters()}
        norms = parameter_norms(now)
        values: dict[str, LoggedValue | Tensor] = {**norms.layers, "total": norms.total}
        if self._initial is not None:
            values["relative"] = norms.total / parameter_norms(self._initial).total
            values["cosine"] = parameter_cosine(now, self._initial)
        return values

"""The samples that a measurement looks at: a user's own, the datamodule's, or the loaders'."""

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L

from lightning_grok.callbacks.reference import (
    BatchReader,
    drawn_reference,
    given_reference,
    loaders_of,
)
from lightning_grok.errors import InputError
from lightning_grok.tasks.reference_set import ReferenceSet


class WithSamples:
    """Looks at samples that are found once; its options are those of every `Measurement`."""

    name: str
    inputs: Any
    labels: Any
    dataloader: Any
    batch_keys: BatchReader
    needs_samples = True
    """Whether `measure` looks at any sample."""
    _reference: ReferenceSet | None = None

    @property
    def reference(self) -> ReferenceSet:
        """The samples that are looked at; from `prepare` on."""
        assert self._reference is not None
        return self._reference

    def find_reference(
        self, module: Any, datamodule: Any, loaders: Callable[[], Mapping[str, Any]]
    ) -> ReferenceSet:
        """The samples to look at; of a measurement that needs none, an empty set.

        Args:
            module: of the training; its ``batch_keys``, if it has some, are of every measurement
                without its own.
            datamodule: of the training; one with a ``reference_set`` knows the samples.
            loaders: the training's, asked for where nobody else has samples.

        Raises:
            InputError: there are no samples, or they can't be read.
        """
        own = getattr(datamodule, "reference_set", None)
        keys = self.batch_keys or getattr(module, "batch_keys", None)
        try:
            if self.inputs is not None:
                return given_reference(self.inputs, self.labels)
            if self.dataloader is not None:
                return drawn_reference({"given": self.dataloader}, keys)
            if own is not None or not self.needs_samples:
                return own or ReferenceSet.empty()
            return drawn_reference(loaders(), keys)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None

    def _found(self, trainer: L.Trainer) -> ReferenceSet:
        datamodule = getattr(trainer, "datamodule", None)
        module = trainer.lightning_module
        return self.find_reference(module, datamodule, lambda: loaders_of(trainer))

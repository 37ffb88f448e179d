"""What a linear readout of the features knows: of digits never seen, or of the own task."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_grok.callbacks.layers import check_layers, layer_before_last
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.network import are_logits, placed
from lightning_grok.callbacks.recording import LoggedValue, as_array
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.geometry import direct_accuracy, own_readout, paper_probe, sound_probe
from lightning_grok.geometry.activations import record
from lightning_grok.geometry.cores import on_all_cores
from lightning_grok.geometry.samples import answer, take_samples
from lightning_grok.ranges import Count, Range, Seed, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet, Transfer


class LinearProbe(Measurement):
    """Accuracy of linear readouts of the network's features, on other digits or on its own task.

    Where the reference set brings digits to transfer to: ``sound/accuracy``, converged logistic
    regression on standardized features of the layer before the last, scored on held-out digits that
    are turned as the training images are; ``sound_stored``: the same with upright digits, as the
    paper showed them to a network trained on transposed letters. ``paper/accuracy``: the paper's
    own probe, 100 SGD steps on the unscaled logits scored on its own training samples.
    ``direct/accuracy`` and ``direct_stored/accuracy``: the network's own digit outputs. Of a
    network without ``layer_names`` the logits are its output. Each probe comes with
    ``accuracy_sd`` over its draws.

    Elsewhere, on the network's own task over held-out halves of the test samples:
    ``own/representation``, what a readout fitted to other test samples makes of the features,
    ``own/trained``, what one fitted to the training samples does, and ``own/network``, the
    network's own accuracy on the same samples (`lightning_grok.geometry.own_readout`), where its
    answer is a score for each class.

    Args:
        layer: whose features are read; None takes the one before the last.
        samples: samples a readout is fitted to (half of them where there are fewer than twice
            that).
        draws: random splits; the paper drew ten. Over five the mean of the sound probe has a
            standard error of 0.3 percent of all digits.
        seed: of the draws.
        enabled, epochs, strict, options: as for every `Measurement`.

    Raises:
        InputError: samples or draws are below 1.
    """

    name = "linear_probe"

    @within_ranges("linear_probe")
    def __init__(
        self,
        enabled: bool = True,
        layer: str | None = None,
        samples: Count = 1280,
        draws: Annotated[int, Range(1, 10_000)] = 5,
        seed: Seed = 0,
        epochs: Epochs = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(enabled, epochs, strict, **options)
        self.layer = layer
        self.samples = samples
        self.draws = draws
        self.seed = seed

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse a layer that isn't there, and labels that are no classes."""
        if reference.transfer is None:
            reference.classes()
        inputs = placed(take_samples(reference.test.images, slice(2)), model)
        layer = layer_before_last(model, self.layer, self.name, inputs)
        check_layers(model, [layer, ""], inputs, self.pool, self.name)
        if reference.transfer is None and not self._scores(model, inputs, reference):
            rank_zero_info(
                f"{self.name}: no own/network, since the network's answer to a sample is no score "
                "for each class from 0 to the largest; output= chooses a part of it"
            )

    def measure(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        """All readouts: of the digits in both orientations, or of the own task."""
        inputs = placed(take_samples(reference.test.images, slice(2)), model)
        layer = layer_before_last(model, self.layer, self.name, inputs)
        if reference.transfer is None:
            return self._own(model, layer, reference)
        return self._transferred(model, layer, reference.transfer)

    @staticmethod
    def _scores(model: nn.Module, inputs: Any, reference: ReferenceSet) -> bool:
        """Whether the class that the network answers with is that of its largest output."""
        with torch.no_grad():
            return are_logits(answer(model, inputs), reference.test.labels)

    def _own(
        self, model: nn.Module, layer: str, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        images = reference.test.images
        found = record(model, [layer, ""], placed(images, model), pool=self.pool)
        training = None
        if reference.train is not reference.test:
            inputs = placed(reference.train.images, model)
            features = as_array(record(model, [layer], inputs, pool=self.pool)[layer])
            training = features, reference.train.labels.numpy()
        labels = reference.test.labels.numpy()
        result = own_readout(
            as_array(found[layer]), as_array(found[""]), labels, training, **self._options(labels)
        )
        values = _flat("own", result)
        if not self._scores(model, placed(take_samples(images, slice(2)), model), reference):
            del values["own/network"]
        return values

    def _options(self, labels: np.ndarray) -> dict[str, int]:
        size = min(self.samples, len(labels) // 2)
        return {"train_size": size, "draws": self.draws, "seed": self.seed}

    def _transferred(
        self, model: nn.Module, layer: str, transfer: Transfer
    ) -> Mapping[str, LoggedValue | Tensor]:
        labels = transfer.labels.numpy()
        options = self._options(labels)
        logits = getattr(model, "layer_names", [""])[-1]  # of another network, its output
        values: dict[str, LoggedValue | Tensor] = {}
        readouts: dict[str, Callable[[], tuple[float, ...]]] = {}
        for suffix, images in (("", transfer.matched), ("_stored", transfer.stored)):
            recorded = record(model, [layer, logits], placed(images, model), pool=self.pool)
            features, outputs = (as_array(recorded[key]) for key in (layer, logits))
            readouts[f"sound{suffix}"] = partial(sound_probe, features, labels, **options)
            if suffix:
                readouts["paper"] = partial(paper_probe, outputs, labels, **options)
            if transfer.digits_are_classes:
                values |= _flat(f"direct{suffix}", direct_accuracy(outputs, labels))
        results = on_all_cores(lambda readout: readout(), readouts.values())
        for name, result in zip(readouts, results, strict=True):
            values |= _flat(name, result)
        return values


def _flat(name: str, result: tuple[float, ...]) -> dict[str, float | np.ndarray]:
    fields = getattr(result, "_asdict")()  # noqa: B009  (a NamedTuple of one of three kinds)
    return {f"{name}/{key}": value for key, value in fields.items()}

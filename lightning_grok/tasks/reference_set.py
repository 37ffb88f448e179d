"""What measurements look at: the same samples every time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lightning_grok.errors import InputError
from lightning_grok.geometry.samples import take_samples, tensors_of
from lightning_grok.tasks.datasets import DataPart, Samples

Inputs = Float[Tensor, "n 1 28 28"]
ReferenceLabels = Int[Tensor, " n"]


def count(inputs: Any) -> int:
    """How many samples inputs of any nesting hold: the length of their first tensor.

    Raises:
        InputError: there is no tensor, or the tensors differ in their lengths.
    """
    lengths = [len(tensor) for tensor in tensors_of(inputs)]
    if not lengths or len(set(lengths)) > 1:
        raise InputError(
            f"expected inputs as tensors of one length, received lengths {lengths or 'of none'}"
        )
    return lengths[0]


def dataset_of(datamodule: Any) -> str:
    """What a datamodule calls its data, else its class; ``own`` for a module's own loaders."""
    if datamodule is None:
        return "own"
    return str(getattr(datamodule, "dataset_name", type(datamodule).__name__))


class Transfer(NamedTuple):
    """Digits that the network was not trained on, for the linear probe.

    Attributes:
        matched: (n, 1, 28, 28) inputs, turned as the training images are.
        stored: the same upright, as MNIST stores them and as the paper showed them to networks
            trained on EMNIST's transposed images.
        labels: (n,) digits.
        name: where they come from, ``MNIST`` or ``embedded digits``.
        same_distribution: whether the network was trained on other images of this same set, so
            that the probe measures no transfer.
        digits_are_classes: whether label d of the digits is class d of the network (not so for
            EMNIST letters), so that the network's own answers can be scored.
    """

    matched: Inputs
    stored: Inputs
    labels: ReferenceLabels
    name: str
    same_distribution: bool
    digits_are_classes: bool


class ReferenceSet(NamedTuple):
    """Fixed samples for measurements; equal arguments return equal samples.

    That of `GrokData` depends on the data settings, never on the run's seed, unless that seed chose
    the training subset or permuted its labels.

    Attributes:
        train: inputs (n, ...) that the network is trained on, a tensor or any nesting of tensors,
            and the labels trained on; `test` once more where there is one set only.
        test: the same of data that it is not trained on.
        transfer: the linear probe's digits; None where there are none.
        class_names: the index is the label; None where nobody named them.
    """

    train: Samples
    test: Samples
    transfer: Transfer | None = None
    class_names: tuple[str, ...] | None = None

    @classmethod
    def empty(cls) -> "ReferenceSet":
        """No samples at all, for a measurement that needs none."""
        nothing = Samples(torch.empty(0), torch.empty(0, dtype=torch.long))
        return cls(nothing, nothing)

    def part(self, split: DataPart) -> Samples:
        """The training samples or the test samples, whole.

        Raises:
            InputError: the split is neither ``train`` nor ``test``.
        """
        if split not in ("train", "test"):
            raise InputError(f"expected a split of train or test, received {split!r}")
        return self.train if split == "train" else self.test

    @property
    def has_classes(self) -> bool:
        """Whether the labels are classes."""
        return _name_classes(self.train.labels) and _name_classes(self.test.labels)

    def classes(self) -> list[int]:
        """All labels that there are, in order.

        Raises:
            InputError: the labels are no classes.
        """
        if self.class_names is not None:
            return list(range(len(self.class_names)))
        return sorted({*_classes(self.train), *_classes(self.test)})

    def kernel_inputs(
        self, samples: int = 256, split: DataPart = "train", seed: int = 0
    ) -> tuple[Any, ReferenceLabels]:
        """Samples for a kernel: the first training rows as in the paper, or random test samples.

        Raises:
            InputError: the split is unknown or holds fewer than `samples`.
        """
        inputs, labels = self.part(split)
        known = count(inputs)
        if not 1 <= samples <= known:
            raise InputError(
                f"expected 1 to {known} samples for a kernel over the {split} set, "
                f"received {samples}"
            )
        rows = torch.arange(samples)
        if split == "test":
            rows = torch.from_numpy(np.random.default_rng(seed).permutation(known)[:samples])
        return take_samples(inputs, rows), take_samples(labels, rows)

    def manifold_points(
        self, split: DataPart = "test", per_class: int = 200, seed: int = 0
    ) -> tuple[Any, ReferenceLabels]:
        """Equally many random samples of every class, class after class.

        The paper draws 10,000 test images (185 to 213 of each of 47 classes) and truncates every
        class to the smallest; here every class has `per_class`, or what the smallest class has
        where that is less.

        Raises:
            InputError: the split is unknown, `per_class` is below 1, a class has no sample, or the
                labels are no classes.
        """
        return self._balanced(split, self.classes(), per_class, seed)

    def embedding_points(
        self, samples: int = 2000, classes: int | Sequence[int] = 10, seed: int = 0
    ) -> tuple[Any, ReferenceLabels]:
        """About so many test samples, equally many of each chosen class, class after class.

        Args:
            samples: in all; less where the smallest chosen class has not enough.
            classes: labels, or at most how many of the first (ten are the digits of EMNIST).
            seed: of the draw.

        Raises:
            InputError: no class, an unknown class, fewer samples than classes are asked for, or the
                labels are no classes.
        """
        known = self.classes()
        chosen = known[: max(classes, 0)] if isinstance(classes, int) else classes
        if not chosen or not set(chosen) <= set(known):
            raise InputError(
                f"expected classes of the {len(known)} that there are, received {classes}"
            )
        return self._balanced("test", chosen, samples // len(chosen), seed)

    def _balanced(
        self, split: DataPart, classes: Sequence[int], per_class: int, seed: int
    ) -> tuple[Any, ReferenceLabels]:
        if per_class < 1:
            raise InputError(f"expected at least 1 sample a class, received {per_class}")
        inputs, labels = self.part(split)
        shuffled = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
        members = [shuffled[labels[shuffled] == label] for label in classes]
        smallest = min(len(rows) for rows in members)
        if smallest == 0:
            names = self.class_names or [str(label) for label in range(max(classes) + 1)]
            empty = [names[label] for label in classes if not (labels == label).any()]
            raise InputError(
                f"expected a sample of every class among the {len(labels)} of {split}, "
                f"received none of {', '.join(empty)}"
            )
        rows = torch.cat([row[: min(per_class, smallest)] for row in members])
        return take_samples(inputs, rows), labels[rows]


def _name_classes(labels: Any) -> bool:
    return isinstance(labels, Tensor) and labels.ndim == 1 and not labels.is_floating_point()


def _classes(samples: Samples) -> list[int]:
    labels = samples.labels
    if not _name_classes(labels):
        received = "no labels"
        if isinstance(labels, Tensor):
            received = f"{labels.dtype} of shape {tuple(labels.shape)}".removeprefix("torch.")
        raise InputError(
            f"expected classes, one whole number a sample, received {received}: give them as "
            "labels=, or choose a measurement that needs no classes"
        )
    return labels.unique().tolist()

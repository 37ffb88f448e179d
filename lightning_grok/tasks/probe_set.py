"""The images that measurements look at: the same ones every time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lightning_grok.errors import InputError
from lightning_grok.tasks.datasets import Part, Samples

Inputs = Float[Tensor, "n 1 28 28"]
Labels = Int[Tensor, " n"]


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
    labels: Labels
    name: str
    same_distribution: bool
    digits_are_classes: bool


class ProbeSet(NamedTuple):
    """Fixed images for measurements; equal arguments return equal images.

    It depends on the data settings, never on the run's seed, unless that seed chose the training
    subset or permuted its labels.

    Attributes:
        train: the training subset: inputs (n, 1, 28, 28) and the labels trained on.
        test: the whole test set.
        transfer: the linear probe's digits.
        class_names: the index is the label.
    """

    train: Samples
    test: Samples
    transfer: Transfer
    class_names: tuple[str, ...]

    def part(self, split: Part) -> Samples:
        """The training subset or the test set, whole.

        Raises:
            InputError: the split is neither ``train`` nor ``test``.
        """
        if split not in ("train", "test"):
            raise InputError(f"expected a split of train or test, received {split!r}")
        return self.train if split == "train" else self.test

    def kernel_inputs(
        self, samples: int = 256, split: Part = "train", seed: int = 0
    ) -> tuple[Inputs, Labels]:
        """Images for a kernel: the first training rows as in the paper, or random test images.

        Raises:
            InputError: the split is unknown or holds fewer than `samples`.
        """
        images, labels = self.part(split)
        if not 1 <= samples <= len(labels):
            raise InputError(
                f"expected 1 to {len(labels)} samples for a kernel over the {split} images, "
                f"received {samples}"
            )
        if split == "train":
            return images[:samples], labels[:samples]
        rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels))[:samples])
        return images[rows], labels[rows]

    def manifold_points(
        self, split: Part = "test", per_class: int = 200, seed: int = 0
    ) -> tuple[Inputs, Labels]:
        """Equally many random images of every class, class after class.

        The paper draws 10,000 test images (185 to 213 of each of 47 classes) and truncates every
        class to the smallest; here every class has `per_class`, or what the smallest class has
        where that is less.

        Raises:
            InputError: the split is unknown, `per_class` is below 1 or a class has no image.
        """
        return self._balanced(split, range(len(self.class_names)), per_class, seed)

    def embedding_points(
        self, count: int = 2000, classes: int | Sequence[int] = 10, seed: int = 0
    ) -> tuple[Inputs, Labels]:
        """About `count` test images, equally many of each chosen class, class after class.

        Args:
            count: images in all; less where the smallest chosen class has not enough.
            classes: labels, or how many from label 0 on (ten are the digits of EMNIST).
            seed: of the draw.

        Raises:
            InputError: no class, an unknown class, or fewer images than classes are asked for.
        """
        known = len(self.class_names)
        chosen = range(classes) if isinstance(classes, int) else classes
        if not chosen or min(chosen) < 0 or max(chosen) >= known:
            raise InputError(f"expected classes of the {known} that there are, received {classes}")
        return self._balanced("test", chosen, count // len(chosen), seed)

    def _balanced(
        self, split: Part, classes: Sequence[int], per_class: int, seed: int
    ) -> tuple[Inputs, Labels]:
        if per_class < 1:
            raise InputError(f"expected at least 1 image a class, received {per_class}")
        images, labels = self.part(split)
        shuffled = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
        members = [shuffled[labels[shuffled] == label] for label in classes]
        smallest = min(len(rows) for rows in members)
        if smallest == 0:
            empty = [self.class_names[label] for label in classes if not (labels == label).any()]
            raise InputError(
                f"expected an image of every class among the {len(labels)} of {split}, "
                f"received none of {', '.join(empty)}"
            )
        rows = torch.cat([row[: min(per_class, smallest)] for row in members])
        return images[rows], labels[rows]

"""CIFAR-10 from the files that are at hand; nothing is downloaded.

Files lie in ``root/cifar-10-batches-bin`` or, pickled, in ``root/cifar-10-batches-py``, where
torchvision puts them. Of a pickle only the arrays are read: nothing in it is called.
"""

import io
import os
import pickle
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lightning_grok.errors import InputError
from lightning_grok.paths import expand_path
from lightning_grok.ranges import Count, Share, within_ranges
from lightning_grok.tasks.datasets import Samples, Subset, choose_rows, permute_labels
from lightning_grok.tasks.in_memory import InMemoryData

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_SHAPE = (3, 32, 32)
_BATCHES = [f"data_batch_{k}" for k in range(1, 6)]
_SUBSET, _PERMUTATION = 1, 2  # streams of random numbers under the seed; 0 orders batches
_OF_ARRAYS = {"_reconstruct", "ndarray", "dtype", "encode"}


class CIFAR10(InMemoryData):
    """CIFAR-10 (Krizhevsky 2009): a training subset and all test images in memory.

    Inputs are (n, 3, 32, 32) float32 in [0, 1].

    Args:
        root: folder that holds ``cifar-10-batches-bin`` or ``-py``; None takes the environment
            variable LIGHTNING_GROK_DATA, else ``data``.
        train_size: images to train on.
        subset: the ``first`` of the files, ``random`` ones, or ``balanced``: random ones, equally
            many a class.
        permute_fraction: share of training labels that is permuted.
        options: as for all `InMemoryData`.

    Raises:
        InputError: an option is out of range, or a file is missing or damaged.
    """

    @within_ranges("data")
    def __init__(
        self,
        root: str | None = None,
        train_size: Count = 1000,
        subset: Subset = "first",
        permute_fraction: Share = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.root = expand_path(root or os.environ.get("LIGHTNING_GROK_DATA") or "data")
        self.train_size = train_size
        self.subset: Subset = subset
        self.permute_fraction = permute_fraction

    @property
    def class_names(self) -> tuple[str, ...]:
        """What is on the images."""
        return _CLASSES

    @property
    def dataset_name(self) -> str:
        """``CIFAR-10``."""
        return "CIFAR-10"

    @property
    def in_features(self) -> int:
        """Numbers in an image."""
        return int(np.prod(_SHAPE))

    @cached_property
    def train_samples(self) -> Samples:
        """The training subset and the labels trained on."""
        images, labels = self._read(_BATCHES)
        seed = self.stream(_SUBSET)
        rows = choose_rows(labels, self.train_size, self.subset, self.num_classes, seed)
        chosen = permute_labels(labels[rows], self.permute_fraction, self.stream(_PERMUTATION))
        return Samples(_to_inputs(images[rows]), chosen)

    @cached_property
    def test_samples(self) -> Samples:
        """The whole test set."""
        images, labels = self._read(["test_batch"])
        return Samples(_to_inputs(images), labels)

    def _read(self, names: list[str]) -> Samples:
        binary, pickled = (self.root / f"cifar-10-batches-{kind}" for kind in ("bin", "py"))
        if (pickled / names[0]).is_file() and not (binary / f"{names[0]}.bin").is_file():
            rows = np.concatenate([_pickled(pickled / name) for name in names])
        else:
            rows = np.concatenate([_binary(binary / f"{name}.bin") for name in names])
        images = torch.from_numpy(rows[:, 1:].reshape(-1, *_SHAPE))
        return Samples(images, torch.from_numpy(rows[:, 0].astype(np.int64)))


def _to_inputs(images: UInt8[Tensor, "n 3 32 32"]) -> Float[Tensor, "n 3 32 32"]:
    return images.float().div_(255)


def _binary(path: Path) -> UInt8[np.ndarray, "n 3073"]:
    """Rows of a label and its image."""
    return _checked(np.frombuffer(_content(path), np.uint8), path)


def _pickled(path: Path) -> UInt8[np.ndarray, "n 3073"]:
    try:
        found = _ArraysAlone(io.BytesIO(_content(path)), encoding="bytes").load()
        labels = np.asarray(found[b"labels"], dtype=np.uint8)
        rows = np.column_stack([labels, np.asarray(found[b"data"], dtype=np.uint8)])
    except (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, ImportError,
            LookupError, TypeError, ValueError):  # fmt: skip
        raise InputError(f"expected a batch of CIFAR-10, received {path}: damaged") from None
    return _checked(rows.ravel(), path)


def _checked(content: np.ndarray, path: Path) -> UInt8[np.ndarray, "n 3073"]:
    width = 1 + int(np.prod(_SHAPE))
    if not content.size or content.size % width:
        raise InputError(
            f"expected images of {width} bytes each in {path}, received {content.size:,} bytes"
        )
    rows = content.reshape(-1, width)
    if rows[:, 0].max() >= len(_CLASSES):
        raise InputError(f"expected labels from 0 to 9 in {path}, received {rows[:, 0].max()}")
    return rows


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"expected {path}, or the pickled batches beside it (cifar-10-batches-py), received: "
            f"{error.strerror}; data.root or LIGHTNING_GROK_DATA says where they are"
        ) from None


class _ArraysAlone(pickle.Unpickler):
    """Makes NumPy arrays, and nothing else that a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        """What makes an array; anything else is refused."""
        if name in _OF_ARRAYS and module.partition(".")[0] in ("numpy", "_codecs"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"{module}.{name} is no array")

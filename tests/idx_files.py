"""Small data sets in the official files' format, written byte by byte."""

import gzip
import zipfile
from pathlib import Path

import numpy as np


def image_bytes(images: np.ndarray) -> bytes:
    """An IDX file of (n, height, width) bytes."""
    return _header(0x803, images.shape) + images.astype(np.uint8).tobytes()


def label_bytes(labels: np.ndarray) -> bytes:
    """An IDX file of (n,) bytes."""
    return _header(0x801, labels.shape) + labels.astype(np.uint8).tobytes()


def _header(magic: int, shape: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(4, "big") for word in (magic, *shape))


def made_up(count: int, classes: int, first_label: int = 0, seed: int = 0):
    """(count, 28, 28) random images and their labels, every class in turn."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return images, np.arange(count) % classes + first_label


def emnist_files(
    split: str = "balanced", classes: int = 47, train: int = 200, test: int = 100, first: int = 0
) -> dict[str, bytes]:
    """Names and contents of a split's four files."""
    files = {}
    for seed, (part, count) in enumerate((("train", train), ("test", test))):
        images, labels = made_up(count, classes, first, seed)
        files[f"emnist-{split}-{part}-images-idx3-ubyte"] = image_bytes(images)
        files[f"emnist-{split}-{part}-labels-idx1-ubyte"] = label_bytes(labels)
    return files


def mnist_files(train: int = 60, test: int = 40) -> dict[str, bytes]:
    """Names and contents of MNIST's four files."""
    files = {}
    for seed, (part, count) in enumerate((("train", train), ("t10k", test))):
        images, labels = made_up(count, 10, seed=10 + seed)
        files[f"{part}-images-idx3-ubyte"] = image_bytes(images)
        files[f"{part}-labels-idx1-ubyte"] = label_bytes(labels)
    return files


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a folder that may not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def archive(path: Path, *sets: dict[str, bytes]) -> None:
    """Pack the files as EMNIST's gzip.zip does."""
    with zipfile.ZipFile(path, "w") as packed:
        for files in sets:
            for name, content in files.items():
                packed.writestr(f"gzip/{name}.gz", gzip.compress(content))

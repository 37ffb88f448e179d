"""Small files in the two formats of CIFAR-10."""

import pickle
from pathlib import Path

import numpy as np

NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
EACH = 20


def write_cifar(root: Path, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Files of random images; pixels (120, 3072) and labels, the test ones last."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(256, size=(6 * EACH, 3072), dtype=np.uint8)
    labels = np.tile(np.arange(10), 12)
    folder = root / f"cifar-10-batches-{kind}"
    folder.mkdir(parents=True)
    for k, name in enumerate(NAMES):
        own = slice(k * EACH, (k + 1) * EACH)
        if kind == "bin":
            rows = np.column_stack([labels[own].astype(np.uint8), pixels[own]])
            rows.tofile(folder / f"{name}.bin")
        else:
            content = pickle.dumps({b"data": pixels[own], b"labels": labels[own].tolist()}, 2)
            # As Python 2 and its NumPy named it.
            (folder / name).write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    return pixels, labels

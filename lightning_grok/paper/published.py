"""Published numbers of the paper's runs, read from a user's file, laid over our own.

The file is a CSV table with the columns ``dataset``, ``run``, ``metric``, ``layer``, ``epoch`` and
``value``; others are passed over. Rows with an epoch are points of a series, rows without one are
numbers of a whole run. The EMNIST runs are named by their setup, the MNIST runs as in `_NAMES`;
an MNIST run's ``epoch`` counts steps. Each setup was published with one seed.
"""

import csv
import io
import math
import os
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from lightning_grok.errors import InputError
from lightning_grok.runs.yaml_file import read_text

PublishedPoints = tuple[np.ndarray, np.ndarray]
"""Epochs (T,) and values (T,)."""

_MOST_BYTES = 10**8
_COLUMNS = ("dataset", "run", "metric", "layer", "epoch", "value")

_NAMES = {
    "AdamW-8-1000-0.5-0-mse-200x200": ("MNIST", "alpha_0.5"),
    "AdamW-8-1000-0.001-0-mse-200x200": ("MNIST", "alpha_0.001"),
    "AdamW-8-1000-1-0.01-mse-200x200": ("MNIST", "scale_8"),
}
_PROBES = {
    "AdamW-10-2000-0.5-0": ("MNIST-probe", "ood_accs_p5"),
    "AdamW-10-2000-0.001-0": ("MNIST-probe", "ood_accs_p001"),
}
_EMNIST = {"train/accuracy": "train_acc", "test/accuracy": "test_acc"}
_MNIST = {"train/accuracy": "train_accuracies", "test/accuracy": "test_accuracies",
          "weight_norm/total": "norms", "weight_norm/layers.4": "last_layer_norms"}  # fmt: skip
_LOSSES = {"train/loss": "train_loss", "test/loss": "test_loss"}
_KERNELS = {  # the paper's image numbers; the file of the EMNIST runs doesn't name them
    "kernel_distance": "K_dist_to_model0_train",
    "kernel_distance_train512": "K_dist_to_model0_train_512",
    "kernel_distance_test256": "K_dist_to_model0_test",
}
_GEOMETRY = re.compile(r"manifold_capacity/layers\.(\d+)/(capacity|radius|dimension)")


class Published:
    """The content of a file of published numbers.

    Args:
        path: of the file.

    Raises:
        InputError: there is no such file, or it is no table of this kind; one line says where.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._series: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
        self._numbers: dict[tuple[str, ...], float] = {}
        try:
            text = read_text(Path(path), "published numbers", most=_MOST_BYTES)
            reader = csv.DictReader(io.StringIO(text, newline=""))
            missing = [each for each in _COLUMNS if each not in (reader.fieldnames or ())]
            if missing:
                names = ", ".join(missing)
                raise InputError(f"expected columns {names} in {path}, received none")
            for row in reader:
                self._add(row, f"{path}, line {reader.line_num}")
        except csv.Error as error:
            raise InputError(f"expected published numbers in {path}, received: {error}") from None
        if not self._series and not self._numbers:
            raise InputError(f"expected published numbers in {path}, received none")

    def _add(self, row: dict[str, str | None], place: str) -> None:
        dataset, run, metric, layer, epoch, value = ((row[key] or "").strip() for key in _COLUMNS)
        try:
            number = float(value)
            at = float(epoch) if epoch else None
            if not math.isfinite(number):
                raise ValueError
        except ValueError:
            text = f"{epoch[:40]!r} and {value[:40]!r}"
            raise InputError(
                f"expected numbers as epoch and value in {place}, received {text}"
            ) from None
        if at is None:
            self._numbers[dataset, run, metric] = number
        elif math.isfinite(at) and at >= 0:
            self._series[dataset, run, metric, layer][at] = number
        else:
            raise InputError(f"expected an epoch of at least 0 in {place}, received {epoch}")

    def points(self, setup: str, key: str) -> PublishedPoints:
        """Places (T,) and values (T,) of one of our keys in our unit; empty where there are none.

        Places are epochs, or steps of an MNIST run. The paper's reference network stands at place 0
        of its kernel distances; that is no point of the run and is left out.
        """
        source = _source(setup, key)
        found = self._series.get(source[0], {}) if source else {}
        kernel = key.endswith("/foreign")
        places = np.array(sorted(at for at in found if at > 0 or not kernel))
        scale = source[1] if source else 1.0
        return places, np.array([found[at] / scale for at in places])

    def all_points(self, setup: str, keys: list[str]) -> dict[str, PublishedPoints]:
        """`points` of those of `keys` that have some."""
        found = {key: self.points(setup, key) for key in keys}
        return {key: points for key, points in found.items() if len(points[0])}

    def kernel_points(self, setup: str, images: tuple[str, int]) -> dict[str, PublishedPoints]:
        """`points` of the kernel distance over some images, ``(split, count)``, by quantity."""
        group = "kernel_distance"
        if images != ("train", 256):
            group += f"_{images[0]}{images[1]}"
        points = self.points(setup, f"{group}/full/foreign")
        return {"full/foreign": points} if len(points[0]) else {}

    def number(self, setup: str, metric: str) -> float:
        """A number of a whole run, as the file gives it; NaN where there is none."""
        return self._numbers.get((*_NAMES.get(setup, ("EMNIST", setup)), metric), math.nan)


def belongs_to(setup: str, dataset: str) -> bool:
    """Whether the published numbers of `setup` are of this data set, not of a stand-in."""
    return dataset.split(" ")[0] == _NAMES.get(setup, ("EMNIST", ""))[0]


def _source(setup: str, key: str) -> tuple[tuple[str, str, str, str], float] | None:
    """(data set, run, metric, layer) in the file, and what its values are divided by."""
    if key == "linear_probe/paper/accuracy":
        return ((*_PROBES[setup], "acc_mean", ""), 1.0) if setup in _PROBES else None
    mnist = setup in _NAMES
    dataset, run = _NAMES.get(setup, ("EMNIST", setup))
    if match := _GEOMETRY.fullmatch(key):
        # On MNIST the paper counts the flattened input as layer 0.
        layer = str(int(match[1]) + mnist)
        return (dataset, run, f"avg_{match[2]}", layer), 1.0
    group, _, quantity = key.partition("/")
    if quantity == "full/foreign" and group in _KERNELS:
        name = _KERNELS[group] if mnist else "K_dist_to_model0"
        return (dataset, run, name, ""), 1.0
    metric = _LOSSES.get(key) or (_MNIST if mnist else _EMNIST).get(key)
    if metric is None:
        return None
    percent = not mnist and key.endswith("/accuracy")
    return (dataset, run, metric, ""), 100.0 if percent else 1.0

"""Runs written by hand: every measurement, classes that rise one after the other."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lightning_grok.runs.directory import RunDirectory

LAYERS = [f"layers.{k}" for k in range(5)]
EPOCHS = [0, *np.unique(np.geomspace(1, 10_000, 97).round()).astype(int).tolist()]
MEASURED = [0, 1, 2, 5, 10, 50, 100, 500, 1000, 2000, 4000, 5000, 6000, 8000, 10_000]
CLASSES = ["zero", "one", "two", "three"]
RISE = [3000, 400, 1500, 800]
"""The epoch at which each class is half way up."""
POINTS = 40
FLOORS, FLOOR_SD = {"full": 0.45, "trace": 0.05}, 0.03
MEMORIZED, HALF = 32, 10**3.04
"""Epochs at which it is evaluated to be memorized, and to be half way up (the middle of `RISE`)."""
ALL = (
    "evaluation", "kernel_distance", "manifold_capacity", "linear_probe", "weight_norm", "umap",
    "estimate",
)  # fmt: skip
IN_FIGURES = ("evaluation", "manifold_capacity", "kernel_distance", "pairwise", "umap")
"""What the figure of a run shows."""


def accuracy_of_classes(epoch: int) -> np.ndarray:
    """Test accuracy (4,): from 0.1 to 0.9, half way at `RISE`."""
    return 0.1 + 0.8 / (1 + (np.array(RISE) / max(epoch, 0.1)) ** 8)


def write_run(
    root: Path,
    name: str = "run",
    *,
    last: int = 10_000,
    seed: int = 0,
    groups: Iterable[str] = ALL,
    **meta: object,
) -> RunDirectory:
    """A run with some groups of measurements up to the epoch `last`, still held for writing."""
    directory = RunDirectory.create(root, name, numbered=False)
    directory.update_meta(
        **{
            "dataset": "EMNIST balanced",
            "setup": "AdamW-10-1000-1-0.001",
            "seed": seed,
            "state": "running",
            "max_epochs": 10_000,
            "layer_names": LAYERS,
            "network": {"activation": "relu"},
            "class_names": CLASSES,
            "transfer": {"name": "MNIST", "same_distribution": False},
            "created": f"2026-01-0{seed + 1}",
        }
        | meta
    )
    measured = [epoch for epoch in MEASURED if epoch <= last]
    for group in groups if measured else ():
        if group == "evaluation":
            for epoch in [each for each in EPOCHS if each <= last]:
                evaluate(directory, epoch, seed)
        elif group in ("pairwise", "estimate"):
            save_pairs(directory, measured, exact=group == "pairwise")
        else:
            for epoch in measured:
                _MEASURE[group](directory, epoch)
    return directory


def evaluate(directory: RunDirectory, epoch: int, seed: int = 0) -> None:
    """One evaluation; seeds differ by a percent of the train accuracy."""
    classes = accuracy_of_classes(epoch)
    directory.save_arrays("evaluation", epoch, {"test/accuracy_per_class": classes})
    values = {
        "train/accuracy": min(1.0, epoch / 30) * (1 - 0.01 * seed * (epoch < 20)),
        "test/accuracy": float(classes.mean()),
        "train/loss": 100.0 / (1 + epoch),
        "test/loss": 100.0 / (1 + epoch) ** 0.1,
    }
    directory.log("evaluation", epoch, 8 * epoch, values)


def measure(directory: RunDirectory, epoch: int) -> None:
    """Every measurement of one epoch."""
    for write in _MEASURE.values():
        write(directory, epoch)
    save_pairs(directory, [each for each in MEASURED if each <= epoch])


def _measure_kernel(directory: RunDirectory, epoch: int) -> None:
    values = {f"kernel_distance/{kind}/own": 0.1 * float(np.log10(epoch + 1)) for kind in FLOORS}
    if epoch == 0:
        values |= {f"kernel_distance/{kind}/floor": floor for kind, floor in FLOORS.items()}
        values |= {f"kernel_distance/{kind}/floor_sd": FLOOR_SD for kind in FLOORS}
    directory.log("kernel_distance", epoch, 8 * epoch, values)


def _measure_capacity(directory: RunDirectory, epoch: int) -> None:
    values, arrays = {}, {}
    for k, layer in enumerate(LAYERS):
        for quantity, scale in (("capacity", 0.02), ("radius", 1.0), ("dimension", 20.0)):
            value = scale * (1 + 0.1 * k + 0.05 * float(np.log10(epoch + 1)))
            values[f"manifold_capacity/{layer}/{quantity}"] = value
            values[f"manifold_capacity/{layer}/{quantity}_se"] = 0.02 * value
        arrays[f"{layer}/capacity_per_class"] = (k + 1) * 0.01 * accuracy_of_classes(epoch)
    directory.save_arrays("manifold_capacity", epoch, arrays)
    directory.log("manifold_capacity", epoch, 8 * epoch, values)


def _measure_probe(directory: RunDirectory, epoch: int) -> None:
    probe = {"linear_probe/sound/accuracy": 0.5, "linear_probe/sound/accuracy_sd": 0.01}
    directory.log("linear_probe", epoch, 8 * epoch, probe | {"linear_probe/paper/accuracy": 0.4})


def _measure_norm(directory: RunDirectory, epoch: int) -> None:
    x = float(np.log10(epoch + 1))
    norms = {"weight_norm/total": 100.0 - x, "weight_norm/relative": 1 - x / 100}
    directory.log("weight_norm", epoch, 8 * epoch, norms | {"weight_norm/layers.0": 60.0})


def _measure_umap(directory: RunDirectory, epoch: int) -> None:
    frame = {"coordinates": umap_points(epoch), "labels": np.arange(POINTS) % len(CLASSES)}
    directory.save_arrays("umap", epoch, frame)
    directory.log("umap", epoch, 8 * epoch, {"umap/preservation": 0.3})


_MEASURE = {
    "kernel_distance": _measure_kernel,
    "manifold_capacity": _measure_capacity,
    "linear_probe": _measure_probe,
    "weight_norm": _measure_norm,
    "umap": _measure_umap,
}


def umap_points(epoch: int) -> np.ndarray:
    """Points (40, 2) about a center that moves right."""
    center = np.array([np.log10(epoch + 1), 0])
    return np.random.default_rng(epoch).normal(size=(POINTS, 2)) + center


def distances(epochs: list[int]) -> np.ndarray:
    """Between all pairs."""
    x = np.log10(np.array(epochs) + 1)
    return np.abs(x[:, None] - x) / 5


def save_pairs(directory: RunDirectory, epochs: list[int], *, exact: bool = False) -> None:
    """The distances between all pairs so far, or an estimate of them."""
    arrays = {"epochs": np.array(epochs), "distance": distances(epochs)}
    more = {} if exact else {"standard_error": 0.01 * arrays["distance"]}
    name = "pairwise" if exact else "pairwise_estimate"
    directory.save_arrays("kernel_distance", name, arrays | more)

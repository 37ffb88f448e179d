"""Runs written by hand for the page: every measurement, classes that rise one after the other."""

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


def accuracy_of_classes(epoch: int) -> np.ndarray:
    """Test accuracy (4,): from 0.1 to 0.9, half way at `RISE`."""
    return 0.1 + 0.8 / (1 + (np.array(RISE) / max(epoch, 0.1)) ** 8)


def write_run(
    root: Path, name: str = "run", *, last: int = 10_000, seed: int = 0, **meta: object
) -> RunDirectory:
    """A run up to the epoch `last`, still held for writing."""
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
    for epoch in [each for each in EPOCHS if each <= last]:
        evaluate(directory, epoch, seed)
    for epoch in [each for each in MEASURED if each <= last]:
        measure(directory, epoch)
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
    x = float(np.log10(epoch + 1))
    kernel = {f"kernel_distance/{kind}/own": 0.1 * x for kind in ("full", "trace")}
    if epoch == 0:
        for kind, floor in (("full", 0.45), ("trace", 0.05)):
            kernel |= {f"kernel_distance/{kind}/floor": floor}
            kernel |= {f"kernel_distance/{kind}/floor_sd": 0.03}
    directory.log("kernel_distance", epoch, 8 * epoch, kernel)
    values, arrays = {}, {}
    for k, layer in enumerate(LAYERS):
        for quantity, scale in (("capacity", 0.02), ("radius", 1.0), ("dimension", 20.0)):
            value = scale * (1 + 0.1 * k + 0.05 * x)
            values[f"manifold_capacity/{layer}/{quantity}"] = value
            values[f"manifold_capacity/{layer}/{quantity}_se"] = 0.02 * value
        arrays[f"{layer}/capacity_per_class"] = (k + 1) * 0.01 * accuracy_of_classes(epoch)
    directory.save_arrays("manifold_capacity", epoch, arrays)
    directory.log("manifold_capacity", epoch, 8 * epoch, values)
    probe = {"linear_probe/sound/accuracy": 0.5, "linear_probe/sound/accuracy_sd": 0.01}
    directory.log("linear_probe", epoch, 8 * epoch, probe | {"linear_probe/paper/accuracy": 0.4})
    norms = {"weight_norm/total": 100.0 - x, "weight_norm/relative": 1 - x / 100}
    directory.log("weight_norm", epoch, 8 * epoch, norms | {"weight_norm/layers.0": 60.0})
    frame = {"coordinates": umap_points(epoch), "labels": np.arange(POINTS) % len(CLASSES)}
    directory.save_arrays("umap", epoch, frame)
    directory.log("umap", epoch, 8 * epoch, {"umap/preservation": 0.3})
    save_pairs(directory, [each for each in MEASURED if each <= epoch])


def umap_points(epoch: int) -> np.ndarray:
    """Points (40, 2) about a center that moves right."""
    center = np.array([np.log10(epoch + 1), 0])
    return np.random.default_rng(epoch).normal(size=(POINTS, 2)) + center


def save_pairs(directory: RunDirectory, epochs: list[int]) -> None:
    """The estimate of the distances between all pairs so far."""
    x = np.log10(np.array(epochs) + 1)
    distance = np.abs(x[:, None] - x) / 5
    arrays = {"epochs": np.array(epochs), "distance": distance, "standard_error": 0.01 * distance}
    directory.save_arrays("kernel_distance", "pairwise_estimate", arrays)

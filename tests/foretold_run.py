"""Runs written by hand, whose figures can be foretold."""

from pathlib import Path

import numpy as np

from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run
from lightning_grok.schedule import evaluation_epochs

LAYERS = [f"layers.{k}" for k in range(5)]
MEASURED = [0, 1, 2, 5, 10, 50, 100, 500, 1000, 2000, 4000, 5000, 6000, 8000, 10_000]
GROUPS = ("evaluation", "manifold_capacity", "kernel_distance", "pairwise", "umap")
CLASSES = ["0", "1", "A", "b"]
FLOOR, FLOOR_SD = 0.45, 0.03


def train_accuracy(epoch: int) -> float:
    """Complete from epoch 30 on."""
    return 1.0 if epoch >= 30 else 0.05 + 0.03 * epoch


def test_accuracy(epoch: int) -> float:
    """0.1 to epoch 100, 0.9 from epoch 1,000 on, and a straight line on the log axis between."""
    share = 0.0 if epoch == 0 else np.clip(np.log10(epoch) - 2, 0, 1)
    return float(0.1 + 0.8 * share)


test_accuracy.__test__ = False  # type: ignore[attr-defined]


def distances(epochs: list[int]) -> np.ndarray:
    """A distance that is different for every pair."""
    x = np.log10(np.array(epochs) + 1)
    return np.abs(x[:, None] - x) / 5 + 0.003 * np.abs(x[:, None] ** 2 - x**2)


def umap_points(epoch: int) -> np.ndarray:
    """40 points about a center that moves."""
    generator = np.random.default_rng(epoch)
    return generator.normal(size=(40, 2)) + np.array([np.log10(epoch + 1), 0])


def write_run(
    root: Path, *groups: str, last: int = 10_000, name: str = "run", **meta: object
) -> Run:
    """A run with the given groups of measurements up to the epoch `last`."""
    directory = RunDirectory.create(root, name, numbered=True)
    directory.update_meta(
        **{
            "dataset": "EMNIST balanced",
            "setup": "AdamW-10-1000-1-0.001",
            "seed": 3,
            "max_epochs": 10_000,
            "layer_names": LAYERS,
            "network": {"activation": "relu"},
            "class_names": CLASSES,
        }
        | meta
    )
    measured = [epoch for epoch in MEASURED if epoch <= last]
    write = {
        "evaluation": _write_evaluations,
        "manifold_capacity": _write_capacity,
        "kernel_distance": _write_kernel_distance,
        "pairwise": _write_pairs,
        "estimate": _write_estimate,
        "umap": _write_umap,
    }
    for group in groups:
        write[group](directory, measured)
    directory.close()
    return Run(directory.path)


def _write_evaluations(directory: RunDirectory, measured: list[int]) -> None:
    for epoch in sorted(evaluation_epochs(measured[-1], 12) if measured[-1] else [0]):
        values = {
            "train/accuracy": train_accuracy(epoch),
            "test/accuracy": test_accuracy(epoch),
            "train/loss": 100.0 / (1 + epoch),
            "test/loss": 100.0 / (1 + epoch) ** 0.1,
        }
        directory.log("evaluation", epoch, 8 * epoch, values)


def _write_capacity(directory: RunDirectory, measured: list[int]) -> None:
    for epoch in measured:
        values = {}
        for k, layer in enumerate(LAYERS):
            for quantity, scale in (("capacity", 0.02), ("radius", 1.0), ("dimension", 20.0)):
                value = scale * (1 + 0.1 * k + 0.05 * np.log10(epoch + 1))
                values[f"manifold_capacity/{layer}/{quantity}"] = value
                values[f"manifold_capacity/{layer}/{quantity}_se"] = 0.02 * value
        directory.log("manifold_capacity", epoch, 8 * epoch, values)


def _write_kernel_distance(directory: RunDirectory, measured: list[int]) -> None:
    for epoch, distance in zip(measured, distances(measured)[0], strict=True):
        values = {}
        for kind, scale in (("full", 1.0), ("trace", 0.5)):
            values[f"kernel_distance/{kind}/own"] = scale * distance
            if epoch == 0:
                values[f"kernel_distance/{kind}/floor"] = scale * FLOOR
                values[f"kernel_distance/{kind}/floor_sd"] = scale * FLOOR_SD
        directory.log("kernel_distance", epoch, 8 * epoch, values)


def _write_pairs(directory: RunDirectory, measured: list[int]) -> None:
    exact = distances(measured)
    arrays = {"epochs": np.array(measured), "distance": exact, "trace_distance": exact / 2}
    directory.save_arrays("kernel_distance", "pairwise", arrays)


def _write_estimate(directory: RunDirectory, measured: list[int]) -> None:
    exact = distances(measured)
    error = 0.012 * (exact > 0)
    arrays = {"epochs": np.array(measured), "distance": exact, "standard_error": error}
    directory.save_arrays("kernel_distance", "pairwise_estimate", arrays)


def _write_umap(directory: RunDirectory, measured: list[int]) -> None:
    for epoch in measured:
        labels = np.arange(40) % len(CLASSES)
        arrays = {"coordinates": umap_points(epoch), "labels": labels}
        directory.save_arrays("umap", epoch, arrays)

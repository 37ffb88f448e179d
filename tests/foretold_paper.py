"""Runs of the paper's setups written by hand: several seeds, every group, curves in closed form."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run
from lightning_grok.schedule import ROUND_EPOCHS, evaluation_epochs

LETTERS = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"]
FLOOR = 0.46
ALL = (
    "evaluation", "manifold_capacity", "kernel_distance", "linear_probe", "weight_norm", "umap",
)  # fmt: skip


def delay(seed: int) -> float:
    """Epoch of half of the rise: later with every seed."""
    return 2000.0 * 1.2**seed


def risen(epoch: int, seed: int, width: float = 0.2) -> float:
    """0 before the rise, 1 after it, 1/2 at `delay`."""
    x = -9.0 if epoch == 0 else np.log10(epoch / delay(seed))
    return float(1 / (1 + np.exp(-x / (width / 4))))


def accuracy(part: str, epoch: int, seed: int) -> float:
    """Training: complete from epoch 30 on. Test: 0.13, then 0.5."""
    if part == "train":
        return min(1.0, 0.02 + 0.033 * epoch)
    return 0.13 + 0.37 * risen(epoch, seed)


def geometry(layer: int, quantity: str, epoch: int, seed: int, split: str = "test") -> float:
    """Capacity rises with the accuracy, the more the deeper; radius and dimension fall."""
    part = risen(epoch, seed) * (layer + 1) / 7
    more = 1.05 if split == "train" else 1.0
    value = {
        "capacity": 0.04 * (1 + 0.01 * layer) * (1 + part),
        "radius": 2.0 * (1 - 0.3 * part) + 0.05 * layer,
        "dimension": 40.0 * (1 - 0.4 * part) - layer,
    }[quantity]
    return more * value


def own_distance(epoch: int, seed: int, factor: float = 1.0) -> float:
    """Leaves the start at once, and rises again with the accuracy."""
    start = 1 - 1 / (1 + epoch) ** 0.5
    return factor * (0.6 * start + 0.2 * risen(epoch, seed)) * (1 + 0.01 * seed)


def foreign_distance(epoch: int, seed: int, factor: float = 1.0) -> float:
    """From the floor on."""
    return FLOOR + (1 - FLOOR) * own_distance(epoch, seed, factor)


def distances(epochs: Iterable[int], seed: int) -> np.ndarray:
    """Between all pairs: the difference of the distances to the start."""
    values = np.array([own_distance(epoch, seed) for epoch in epochs])
    return np.abs(values[:, None] - values)


def write_seed(
    root: Path,
    setup: str,
    seed: int = 0,
    *,
    groups: Iterable[str] = ALL,
    last: int = 10_000,
    splits: Iterable[str] = ("test",),
    images: tuple[str, int] = ("train", 256),
    kernel: str = "kernel_distance",
    max_epochs: int | None = None,
    **meta: object,
) -> Run:
    """A run of `setup` up to the epoch `last`, with its configuration."""
    mnist = setup.endswith("200x200")
    size = 5 if mnist else 7
    layers = [f"layers.{k}" for k in range(size)]
    directory = RunDirectory.create(root, f"{setup}_seed{seed}", numbered=True)
    directory.update_meta(
        **{
            "dataset": "MNIST" if mnist else "EMNIST balanced",
            "setup": setup,
            "seed": seed,
            "max_epochs": max_epochs or last,
            "steps_per_epoch": 5 if mnist else 8,
            "layer_names": layers,
            "network": {"activation": "relu"},
            "class_names": LETTERS[:10] if mnist else LETTERS,
            "transfer": {"name": "MNIST", "same_distribution": mnist},
        }
        | meta
    )
    options = {
        "model": {"loss": "mse" if mnist else "cross_entropy"},
        "kernel_distance": {"split": images[0], "samples": images[1]},
        "manifold_capacity": {"per_class": 20 if len(list(splits)) > 1 else 200},
    }
    (directory.path / "config.yaml").write_text(yaml.safe_dump(options))
    measured = sorted({0, *(epoch for epoch in ROUND_EPOCHS if epoch <= last), last})
    evaluated = sorted({*measured, *evaluation_epochs(last, 12)})
    for group in groups:
        for epoch in evaluated if group == "evaluation" else measured:
            values = _values(group, epoch, seed, layers, tuple(splits), kernel)
            if values:
                directory.log(kernel if group == "kernel_distance" else group, epoch, 8, values)
        if group == "kernel_distance":
            arrays = {"epochs": np.array(measured), "distance": distances(measured, seed)}
            directory.save_arrays("kernel_distance", "pairwise", arrays)
        if group == "umap":
            for epoch in measured[:: max(1, len(measured) // 8)]:
                points = np.random.default_rng(epoch).normal(size=(40, 2))
                labels = np.arange(40) % 4
                points += risen(epoch, seed) * 9 * np.eye(2)[labels % 2] * (labels[:, None] - 1)
                directory.save_arrays("umap", epoch, {"coordinates": points, "labels": labels})
    directory.close()
    return Run(directory.path)


def _values(
    group: str, epoch: int, seed: int, layers: list[str], splits: tuple[str, ...], kernel: str
) -> dict[str, float]:
    if group == "evaluation":
        loss = {"train": 900.0 / (1 + epoch) ** 2 + 1e-6, "test": 900.0 / (1 + epoch) ** 0.3}
        return {
            **{f"{part}/accuracy": accuracy(part, epoch, seed) for part in loss},
            **{f"{part}/loss": value for part, value in loss.items()},
        }
    if group == "manifold_capacity":
        return {
            f"manifold_capacity/{'' if split == 'test' else 'train/'}{layer}/{quantity}": geometry(
                k, quantity, epoch, seed, split
            )
            for split in splits
            for k, layer in enumerate(layers)
            for quantity in ("capacity", "radius", "dimension")
        }
    if group == "kernel_distance":
        return _kernel_values(epoch, seed, kernel)
    if group == "linear_probe":
        values = {
            "sound": 0.75 + 0.1 * risen(epoch, seed),
            "sound_stored": 0.7 + 0.1 * risen(epoch, seed),
            "paper": 0.6 - 0.4 * risen(epoch, seed),
        }
        of_probes = {f"linear_probe/{name}/accuracy": value for name, value in values.items()}
        return of_probes | {f"{key}_sd": 0.03 for key in of_probes}
    if group == "weight_norm":
        total = 93.0 - 40 * risen(epoch, seed)
        last = {f"weight_norm/{layers[-1]}": 15.0 - 10 * risen(epoch, seed)}
        return {"weight_norm/total": total} | last
    return {}


def _kernel_values(epoch: int, seed: int, kernel: str) -> dict[str, float]:
    values = {}
    for kind, scale in (("full", 1.0), ("trace", 0.5)):
        values[f"{kernel}/{kind}/own"] = own_distance(epoch, seed, scale)
        values[f"{kernel}/{kind}/foreign"] = foreign_distance(epoch, seed, scale)
        if epoch == 0:
            values[f"{kernel}/{kind}/floor"] = scale * FLOOR
            values[f"{kernel}/{kind}/floor_sd"] = scale * 0.02
    return values

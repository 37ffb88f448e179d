"""Runs written by hand of which it is known what a claim must say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import expit

from lightning_grok.paper.claims.verdict import verdict
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run

LAYERS = range(7)
N1000, SMALL_OUTPUT = "AdamW-10-1000-1-0.001", "AdamW-10-2000-0.001-0"
HALF_OUTPUT, SMALL_WEIGHT = "AdamW-10-2000-0.5-0", "AdamW-1-2000-1-0.001"
FLOAT64, FAST_CLOCK = f"{N1000}-loss64", f"{N1000}-betas0.9+0.99"
CLAIMS = [f"C{k}" for k in range(1, 22)]
ROWS = [
    each
    for claim in CLAIMS
    for each in (claim, *{"C3": ("C3b", "C3c")}.get(claim, ()),
                 *([f"{claim}b"] if claim in ("C10", "C12", "C15", "C18", "C21") else ()))
]  # fmt: skip
"""Claims and their parts, in the order in which a verdict shows them."""
ADAM, MNIST_HALF = "Adam-10-1000-1-0.001", "AdamW-8-1000-0.5-0-mse-200x200"


def step(x: np.ndarray, center: float, width: float) -> np.ndarray:
    """From 0 to 1, half way at `center`; from a tenth to nine tenths within `width`."""
    return expit((x - center) * 2 * np.log(9) / width)


def by_layer(value: float) -> list[float]:
    """The same for every layer."""
    return [value] * len(LAYERS)


@dataclass
class Truth:
    """What a run shows, all of it on the axis x = log10(epoch).

    Attributes:
        last: epoch of its end.
        half, width: of the rise of test accuracy from 0.14 to 0.4.
        lags: of capacity behind accuracy, by layer.
        growth: of capacity, relative, by layer.
        capacity_width: of that rise.
        stray: how far capacity moves on the plateau and back, as a part of its rise.
        late: rise of capacity per decade beyond epoch 1,000.
        early, jump: how far the kernel moves in its first epochs, and at the onset.
        creep: speed of the kernel on the plateau, per decade.
        floor: of the trace kernel, whose distance is a fifth of the full one's.
        radius, dimension: relative change at the onset, by layer.
        probe, probe_step, probe_late: its level, change at the onset, and at epoch 30,000.
        norm_lag, norm_fall, norm_return: of the weights against half-rise; how much of the norm
            comes back at the end.
        train_offset: of train geometry from test geometry, in parts of the test's whole change.
        train_noise: of train geometry, relative, from one epoch to the next.
        unstable: x at which the training loss jumps up; None for a run that logs no loss.
        lost: x about which the training set is lost for a while and all is far off; None for never.
    """

    last: int = 10_000
    half: float = 3.0
    width: float = 0.3
    lags: list[float] = field(default_factory=lambda: by_layer(0.0))
    growth: list[float] = field(default_factory=lambda: [0.2 + 0.2 * k for k in LAYERS])
    capacity_width: float = 0.3
    stray: float = 0.0
    late: float = 0.0
    early: float = 0.5
    jump: float = 0.25
    creep: float = 0.001
    floor: float = 0.01
    radius: list[float] = field(default_factory=lambda: by_layer(-0.3))
    dimension: list[float] = field(default_factory=lambda: by_layer(-0.4))
    probe: float = 0.6
    probe_step: float = 0.05
    probe_late: float = 0.0
    norm_lag: float = -0.5
    norm_fall: float = 0.3
    norm_return: float = 0.0
    train_offset: float = 0.0
    train_noise: float = 0.0
    unstable: float | None = None
    lost: float | None = None


def series_of(truth: Truth, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Epochs (t,) and values (t,) of every key."""
    epochs = np.unique(np.round(np.geomspace(1, truth.last, int(24 * np.log10(truth.last)) + 1)))
    x = np.log10(epochs)
    random = np.random.default_rng(seed)

    def noise(size: float) -> np.ndarray:
        return size * random.normal(size=len(x))

    rise = step(x, truth.half, truth.width)
    found = {
        "train/accuracy": np.clip(epochs / 20, 0, 1),
        "test/accuracy": 0.14 + 0.26 * rise + noise(2e-4),
    }
    start = truth.early * (1 - np.exp(-epochs / 3)) + truth.creep * x
    own = start + truth.jump * step(x, truth.half - 0.05, truth.width)
    previous = np.abs(np.diff(own, prepend=0))
    for kind, scale in (("full", 1.0), ("trace", 0.2)):
        found[f"kernel_distance/{kind}/own"] = scale * own
        found[f"kernel_distance/{kind}/previous"] = scale * previous
    bump = np.exp(-(((x - 2.0) / 0.15) ** 2))
    for k in LAYERS:
        change = step(x, truth.half + truth.lags[k], truth.capacity_width)
        shape = change + truth.stray * bump + truth.late * np.maximum(x - 3, 0)
        base = {
            "capacity": 0.04 * (1 + truth.growth[k] * shape),
            "radius": 1.4 * (1 + truth.radius[k] * change),
            "dimension": 40 * (1 + truth.dimension[k] * change),
        }
        for name, values in base.items():
            key = f"layers.{k}/{name}"
            found[f"manifold_capacity/{key}"] = values * (1 + noise(1e-4))
            moved = values + truth.train_offset * np.ptp(values)
            if truth.train_noise:
                moved = moved * (1 + noise(truth.train_noise))
            found[f"manifold_capacity_20/{key}"] = values
            found[f"manifold_capacity_20/train/{key}"] = moved
    late = step(x, 4.48, 0.1)
    probe = truth.probe + truth.probe_step * rise + truth.probe_late * late + noise(1e-4)
    found["linear_probe/sound/accuracy"] = probe
    norm = 100 * (1 - truth.norm_fall * step(x, truth.half + truth.norm_lag + 0.15, 0.3))
    norm += 100 * truth.norm_return * step(x, truth.half + 0.5, 0.1)
    found |= {"weight_norm/total": norm, "weight_norm/layers.6": norm / 4}
    if truth.unstable is not None:
        found["train/loss"] = np.where(x < truth.unstable, 1e-8, 1e-2)
    if truth.lost is not None:
        off = np.abs(x - truth.lost) < 0.05
        for key, values in found.items():
            far = 1.0 if key.startswith("kernel") else 3 * values.max()
            values[off] = 0.1 if key.startswith(("train/", "test/")) else far
    return epochs, found


def write_run(
    root: Path,
    truth: Truth,
    *,
    seed: int = 0,
    setup: str = N1000,
    leave_out: Sequence[str] = (),
    name: str | None = None,
    config: dict[str, Any] | None = None,
    also: dict[str, float] | None = None,
    **meta: Any,
) -> Run:
    """One finished run; keys that begin with one of `leave_out` are not logged.

    `also` names further keys and how far they lie above the kernel distance to the own start.
    """
    data = "MNIST" if "mse" in setup else "EMNIST balanced"
    run = RunDirectory.create(root, name or f"{setup}_seed{seed}", numbered=True)
    epochs, found = series_of(truth, seed)
    for key, above in (also or {}).items():
        found[key] = found["kernel_distance/full/own"] + above
    found = {key: v for key, v in found.items() if not key.startswith(tuple(leave_out) or "\0")}
    start = {"kernel_distance/full/own": 0.0, "kernel_distance/trace/own": 0.0}
    start |= {"weight_norm/total": 100.0, "weight_norm/layers.6": 25.0}
    start |= {"kernel_distance/trace/floor": truth.floor}
    rows = [{"event": "synthetic", "epoch": 0, "step": 0} | start]
    rows[0] = {k: v for k, v in rows[0].items() if not k.startswith(tuple(leave_out) or "\0")}
    for index, epoch in enumerate(epochs.astype(int).tolist()):
        row = {key: float(values[index]) for key, values in found.items()}
        rows.append({"event": "synthetic", "epoch": epoch, "step": 8 * epoch} | row)
    run.events_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if config is not None:
        (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    described = {"name": run.name, "dataset": data, "setup": setup, "seed": seed}
    described |= {"layer_names": [f"layers.{k}" for k in LAYERS], "state": "finished"}
    (run.path / "run.json").write_text(json.dumps(described | meta))
    run.close()
    return Run(run.path)


def write_runs(
    root: Path, truth: Truth, *changes: dict[str, Any], count: int = 6, **options: Any
) -> list[Run]:
    """`count` seeds; seed k deviates from `truth` by ``changes[k % len(changes)]``.

    Half-rises are spread over 0.2 decades, as those of seeds are.
    """
    runs = []
    for seed in range(count):
        change = changes[seed % len(changes)] if changes else {}
        half = truth.half + 0.2 * (seed / max(count - 1, 1) - 0.5)
        seeded = replace(truth, **{"half": half} | change)
        runs.append(write_run(root, seeded, seed=seed, **options))
    return runs


@cache
def claims_file() -> dict[str, Any]:
    """What the package's claims file holds."""
    return yaml.safe_load((files("lightning_grok.paper.claims") / "claims.yaml").read_text())


def only(tmp_path: Path, *names: str) -> Path:
    """The package's claims file cut down to some claims, without its variants."""
    content = claims_file()
    path = tmp_path / "claims.yaml"
    some = {"claims": {name: content["claims"][name] for name in names}, "variants": {}}
    path.write_text(yaml.safe_dump(content | some))
    return path


def judged(tmp_path: Path, name: str, runs: list[Run], **options: Any) -> dict[str, Any]:
    """The verdict on one claim."""
    return verdict(runs, claims=only(tmp_path, name), **options)[name]

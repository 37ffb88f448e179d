"""How the measurements grow with their sizes, and how far they go.

    python -m benchmarks.growth [--json] [--only capacity] [--write docs/benchmarks.md]

Every measurement is taken at a base size and with one size doubled at a time, on one thread, on
Gaussian clouds and networks with random weights. Times are CPU seconds of this process, so that
a busy machine doesn't matter much; the exponent of a size is the binary logarithm of the ratio. How
far a measurement goes is extrapolated from the larger size along that size alone: to where it takes
an hour, and to where it takes 24 GB.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.page import cost, machine, markdown, write_section

TITLE = "Farther than this it does not go"
HOUR, MOST = 3600.0, 24e9
_SEEN = 20e6  # bytes below which a peak is noise
_GROWS = 0.3  # exponents below which a cost is taken not to grow
_OUT_OF_SIGHT = 1000.0  # times the size measured, to which nothing is extrapolated

Sizes = Mapping[str, int]
Make = Callable[[Sizes], Callable[[], Any]]


class Growth(NamedTuple):
    """A measurement with one size doubled.

    Attributes:
        measurement, size: their names.
        at: the doubled size.
        seconds: CPU time there.
        peak: bytes above what stood before, there.
        exponent: of the time.
        hour: the size at which it takes one; infinite where that is out of sight.
        full: the size at which it takes 24 GB; infinite where that is.
    """

    measurement: str
    size: str
    at: int
    seconds: float
    peak: float
    exponent: float
    hour: float
    full: float


def clouds(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes around Gaussian centers, in float32, and their labels."""
    classes, points, width = (sizes[key] for key in ("classes", "points a class", "width"))
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((classes, 1, width), dtype=np.float32)
    spread = generator.standard_normal((classes, points, width), dtype=np.float32)
    return (centers + spread).reshape(-1, width), np.repeat(np.arange(classes), points)


def network(sizes: Sizes, seed: int = 0) -> tuple[torch.nn.Module, torch.Tensor]:
    """Three hidden layers with random weights, and random images."""
    from lightning_grok.tasks.mlp import MLP

    torch.manual_seed(seed)
    model = MLP(100, (sizes["width"],) * 3, sizes["outputs"])
    return model, torch.randn(sizes["samples"], 100, generator=torch.Generator().manual_seed(1))


def of_clouds(function: Callable[..., Any], **options: Any) -> Make:
    """A function of points and labels."""
    return lambda sizes: partial(function, *clouds(sizes), **options)


def capacity(sizes: Sizes) -> Callable[[], Any]:
    """Capacity with so many Gaussian vectors."""
    from lightning_grok.geometry import manifold_capacity

    return partial(manifold_capacity, *clouds(sizes), num_vectors=sizes["vectors"])


def exact_distance(sizes: Sizes) -> Callable[[], Any]:
    """One exact distance of two networks, from their factors on, which keep what was computed."""
    from lightning_grok.geometry import distance_between, ntk_factors

    networks = [network(sizes, seed) for seed in range(2)]
    return lambda: distance_between(*(ntk_factors(*each) for each in networks))


def pairwise(sizes: Sizes, kind: Literal["full", "trace"] = "full") -> Callable[[], Any]:
    """All distances between checkpoints."""
    from lightning_grok.geometry import pairwise_kernel_distance

    model, inputs = network(sizes)
    states = [network(sizes, seed)[0].state_dict() for seed in range(sizes["checkpoints"])]
    return partial(pairwise_kernel_distance, states, model, inputs, kind=kind)


def sketch(sizes: Sizes) -> Callable[[], Any]:
    """The estimate by probes."""
    from lightning_grok.geometry import kernel_sketch

    return partial(kernel_sketch, *network(sizes), probes=sizes["probes"])


def trace(sizes: Sizes) -> Callable[[], Any]:
    """The trace kernel."""
    from lightning_grok.geometry import empirical_ntk

    return partial(empirical_ntk, *network(sizes), kind="trace")


def measurements() -> dict[str, tuple[Make, dict[str, int]]]:
    """Every measurement with its base sizes."""
    from lightning_grok import geometry

    points = {"classes": 24, "points a class": 200, "width": 256}
    kernel = {"samples": 128, "outputs": 24, "width": 256}
    return {
        "capacity": (capacity, {**points, "vectors": 200}),
        "capacity of many classes": (
            capacity,
            {"classes": 192, "points a class": 100, "width": 256, "vectors": 200},
        ),
        "linear probe": (of_clouds(geometry.sound_probe), points),
        "paper's probe": (of_clouds(geometry.paper_probe), points),
        "neural collapse": (of_clouds(geometry.neural_collapse), points),
        "participation ratio": (
            lambda sizes: partial(geometry.participation_ratio, clouds(sizes)[0]),
            points,
        ),
        "linear CKA": (
            lambda sizes: partial(geometry.linear_cka, clouds(sizes)[0], clouds(sizes)[0] ** 2),
            points,
        ),
        "exact kernel distance": (exact_distance, kernel),
        "trace kernel": (trace, {**kernel, "samples": 1024}),
        "kernel sketch": (sketch, {**kernel, "probes": 64}),
        "all exact distances": (pairwise, {**kernel, "samples": 64, "checkpoints": 8}),
        "all trace distances": (
            partial(pairwise, kind="trace"),
            {**kernel, "samples": 512, "checkpoints": 16},
        ),
    }


def grown(name: str, make: Make, base: Sizes) -> list[Growth]:
    """One measurement with every size doubled."""
    measure = make(base)
    measure()  # compile
    first = cost(measure, repeat=2)
    peak, found = float(first.peak or 0), []
    for size, value in base.items():
        second = cost(make({**base, size: 2 * value}), repeat=2)
        more, higher = second.cpu, float(second.peak or 0)
        exponent = math.log2(max(more, 1e-6) / max(first.cpu, 1e-6))
        hour = _reached(2 * value, HOUR / more, exponent)
        memory = math.log2(higher / peak) if min(higher, peak) > _SEEN else 0.0
        full = _reached(2 * value, MOST / max(higher, 1.0), memory)
        found.append(Growth(name, size, 2 * value, more, higher, exponent, hour, full))
    return found


def _reached(size: int, factor: float, exponent: float) -> float:
    """The size at which a cost is `factor` times as high; infinite where it is out of sight."""
    if exponent < _GROWS:
        return math.inf
    further = factor ** (1 / exponent)
    return size * further if further < _OUT_OF_SIGHT else math.inf


def table(found: list[Growth]) -> list[list[str]]:
    """Rows of the page."""
    rows = [
        ["measurement", "size", "at", "CPU s", "peak, MB", "exponent", "an hour at", "24 GB at"]
    ]
    for each in found:
        ends = [
            f"{float(f'{end:.2g}'):,.0f}" if math.isfinite(end) else "-"
            for end in (each.hour, each.full)
        ]
        seconds, peak = f"{each.seconds:.3g}", f"{each.peak / 1e6:.0f}"
        numbers = [str(each.at), seconds, peak, f"{each.exponent:.1f}", *ends]
        rows.append([each.measurement, each.size, *numbers])
    return rows


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", help="one measurement")
    parser.add_argument("--write", type=Path, help="a page for the docs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[Growth] = []
    with threadpool_limits(1, user_api="blas"):
        for name, (make, base) in measurements().items():
            if options.only in (None, name):
                found += grown(name, make, base)
                for row in table(found)[-len(base) :]:
                    print(*row, sep="  ", flush=True)
    if options.write:
        sizes = "; ".join(
            f"{name}: {', '.join(f'{value} {key}' for key, value in base.items())}"
            for name, (_, base) in measurements().items()
        )
        text = (
            f"`python -m benchmarks.growth --write {options.write}`: one thread, {machine()}, "
            f"PyTorch {torch.__version__}, NumPy {np.__version__}; CPU time. Each row doubles one "
            f"size of the base, and says where an hour and 24 GB would end, with the other sizes "
            f"as they are. The bases: {sizes}. A dash: farther than a thousand times that "
            "size, or too little to tell.\n\n"
        )
        write_section(options.write, TITLE, text + markdown(table(found)))
    if options.json:
        print(json.dumps([each._asdict() for each in found]))


if __name__ == "__main__":
    main()

"""Kernels and manifold capacity beside the published way of computing them, on one thread.

    python -m benchmarks.geometry [--json] [--layer layers.2] [--write docs/benchmarks.md]

The network of configs/grok.yaml is trained for 200 epochs; its checkpoints, images and activations
are what is measured. Three parts: all pairwise kernel distances of 32 checkpoints (256 samples);
one full kernel beside the published loop over outputs with its explicit Jacobian, at the largest
number of samples that the loop finishes within two minutes; the manifold capacity of one layer (see
`benchmarks.capacity`, whose published side needs pymanopt 0.2.5, autograd and cvxopt).
"""

import argparse
import json
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks import capacity
from benchmarks.published import markdown

EPOCHS, CHECKPOINTS, SAMPLES = 200, 32, 256
LIMIT = 120.0  # seconds for the published kernel


def trained() -> tuple[list[dict[str, Tensor]], Any, Tensor, str]:
    """32 checkpoints evenly spaced in log(epoch), the network, kernel images, the data's name."""
    from lightning_grok.data import GrokData
    from lightning_grok.model import MLP

    data = GrokData()
    data.prepare_data()
    data.setup("fit")
    images, labels = data.probe_set.train
    torch.manual_seed(0)
    model = MLP(num_classes=data.num_classes, weight_scale=10.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
    spaced = np.geomspace(1, EPOCHS, 4 * CHECKPOINTS).round().astype(int)
    kept = {0, *np.unique(spaced)[-(CHECKPOINTS - 1) :].tolist()}
    states = []
    for epoch in range(EPOCHS + 1):
        if epoch in kept:
            states.append({key: value.clone() for key, value in model.state_dict().items()})
        for rows in torch.randperm(len(labels)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    inputs, _ = data.probe_set.kernel_inputs(SAMPLES)
    return states, model.eval(), inputs, data.dataset_name


def pairwise(states: list[dict[str, Tensor]], model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """Seconds and peak memory of the exact distances between all checkpoints."""
    from lightning_grok.geometry import pairwise_kernel_distance

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    pairwise_kernel_distance(states, model, inputs)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "pairwise_checkpoints": len(states),
        "pairwise_32_seconds": seconds,
        "pairwise_32_peak_gb": (peak - before) * 1024 / 1e9,  # above what stood before
    }


def published_kernel(model: Any, inputs: Tensor) -> Tensor:
    """J J' with J built by a loop over outputs, (n c, n c), rows sample-major."""
    parameters = dict(model.named_parameters())

    def output(values: dict[str, Tensor], image: Tensor, index: int) -> Tensor:
        return torch.func.functional_call(model, values, (image[None],))[0, index]

    rows = []
    for index in range(model.num_classes):
        gradient = torch.func.vmap(torch.func.grad(output), in_dims=(None, 0, None))
        found = gradient(parameters, inputs, index)
        rows.append(torch.cat([value.detach().flatten(1) for value in found.values()], dim=1))
    jacobian = torch.stack(rows, dim=1).flatten(0, 1)  # (c, n, p) -> (n c, p)
    return jacobian @ jacobian.T


def kernel(model: Any, inputs: Tensor) -> dict[str, Any]:
    """Seconds of one full kernel in both ways, at the largest n the published one finishes."""
    from lightning_grok.geometry import empirical_ntk

    n, seconds, published = 8, 0.0, torch.zeros(0)
    while True:
        start = time.perf_counter()
        published = published_kernel(model, inputs[:n])
        seconds = time.perf_counter() - start
        if 4 * seconds > LIMIT or 2 * n > min(64, len(inputs)):  # 64 images: 3 GB of Jacobian
            break
        n *= 2
    times = []
    for _ in range(3):
        start = time.perf_counter()
        ours = empirical_ntk(model, inputs[:n])
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    empirical_ntk(model, inputs)
    whole = time.perf_counter() - start
    return {
        "ntk_samples": n,
        "ntk_published_seconds": seconds,
        "ntk_seconds": min(times),
        "ntk_over_published": seconds / min(times),
        "ntk_difference": float((ours - published).norm() / published.norm()),
        "ntk_256_seconds": whole,
    }


def growth() -> list[list[str]]:
    """Seconds of the capacity of Gaussian clouds, one size doubled at a time; a table's rows."""
    from lightning_grok.geometry import manifold_capacity

    base = {"classes": 20, "points a class": 100, "width": 128, "vectors": 100}
    sizes = [base, *({**base, name: 2 * value} for name, value in base.items())]
    rows = []
    for size in sizes:
        classes, points, width, vectors = size.values()
        generator = np.random.default_rng(0)
        centers = generator.standard_normal((classes, 1, width))
        clouds = centers + generator.standard_normal((classes, points, width))
        labels = np.repeat(np.arange(classes), points)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            manifold_capacity(clouds.reshape(-1, width), labels, num_vectors=vectors)
            times.append(time.perf_counter() - start)
        rows.append([*(str(value) for value in size.values()), f"{min(times):.2f}"])
    return rows


def page(found: dict[str, Any], layer: str) -> str:
    """docs/benchmarks.md from what was measured."""
    pairs = f"all distances between {found['pairwise_checkpoints']} checkpoints, {SAMPLES} images"
    rows = [
        ["quantity", "seconds", "published way, seconds", "ratio"],
        [
            f"one full kernel, {found['ntk_samples']} images",
            f"{found['ntk_seconds']:.3f}",
            f"{found['ntk_published_seconds']:.1f} (loop over outputs, explicit Jacobian)",
            f"{found['ntk_over_published']:.0f}",
        ],
        [f"one full kernel, {SAMPLES} images", f"{found['ntk_256_seconds']:.2f}", "", ""],
        [pairs, f"{found['pairwise_32_seconds']:.1f}", "", ""],
    ]
    text = (
        f"The two kernels differ by {found['ntk_difference']:.1e} of their norm. The pairwise "
        f"distances took {found['pairwise_32_peak_gb']:.2f} GB above what stood before."
    )
    if "published_share_run" in found:
        rows.append(_capacity_row(found, layer))
        text += (
            f" The low-rank step of the capacity took {found['low_rank_seconds']:.2f} s (published "
            f"{found['published_low_rank_seconds']:.0f} s), its programs "
            f"{found['program_seconds']:.2f} s (published "
            f"{found['published_program_seconds']:.0f} s); solutions of the programs differ by at "
            f"most {found['worst_program_difference']:.1e}."
        )
    sizes = [["classes", "points a class", "width", "vectors", "seconds"], *found["growth"]]
    head = (
        "# Geometry beside the published way of computing it\n\n"
        "Written by `python -m benchmarks.geometry --write docs/benchmarks.md`: one thread, "
        f"{found['machine']}, PyTorch {found['torch']}, {found['dataset']}."
    )
    growth_head = "## Growth of the capacity's time with its sizes (Gaussian clouds)"
    return "\n\n".join([head, markdown(rows), text, growth_head, markdown(sizes)]) + "\n"


def _capacity_row(found: dict[str, Any], layer: str) -> list[str]:
    share = found["published_share_run"]
    published = found["published_low_rank_seconds"] + found["published_program_seconds"]
    return [
        f"capacity of {layer}: {found['classes']} classes x {found['points_per_class']} points x "
        f"{found['width']}, {capacity.NUM_VECTORS} vectors, {capacity.RESTARTS} starts a rank",
        f"{found['capacity_seconds_a_layer']:.2f}",
        f"{published:.0f} ({share['restarts']} of {capacity.RESTARTS} starts and "
        f"{share['vectors']} of {capacity.NUM_VECTORS} vectors run, scaled to all)",
        f"{found['capacity_over_published']:.0f}",
    ]


def main() -> None:
    """Print what was measured; with ``--json`` the last line is one object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.geometry", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--layer", default="layers.2", help="of the capacity")
    parser.add_argument("--write", type=Path, help="a page for the docs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1, user_api="blas"):
        found = measured(options.layer)
    for key, value in found.items():
        print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    if options.write:
        options.write.write_text(page(found, options.layer))
    if options.json:
        print(json.dumps(found))


def measured(layer: str) -> dict[str, Any]:
    """All that this benchmark measures."""
    states, model, inputs, dataset = trained()
    found: dict[str, Any] = {"dataset": dataset, "torch": torch.__version__, "machine": machine()}
    found |= pairwise(states, model, inputs)
    found |= kernel(model, inputs)
    try:
        found |= capacity.measure(layer, EPOCHS, whole=False)
    except ImportError as error:
        print(f"capacity is left out: {error}")
    return found | {"growth": growth()}


def machine() -> str:
    """The processor, as far as the operating system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


if __name__ == "__main__":
    main()

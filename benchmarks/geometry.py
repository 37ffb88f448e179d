"""Kernels and manifold capacity beside oracles and the published way of computing them.

    python -m benchmarks.geometry [--json] [--layer layers.2] [--write docs/benchmarks.md]

The network of configs/grok.yaml is trained for 200 epochs; its checkpoints, images and activations
are what is measured, on one thread: every quantity beside a slow way to the same number, with time,
peak memory and difference; all pairwise kernel distances of 32 checkpoints (256 samples); one full
kernel beside the published loop over outputs with its explicit Jacobian, at the largest number of
samples that the loop finishes within two minutes; the manifold capacity of one layer (see
`benchmarks.capacity`, whose published side needs pymanopt 0.2.5, autograd and cvxopt). How times
grow with every size is told by `benchmarks.growth`.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks import capacity
from benchmarks.page import Cost, cost, machine, markdown, write_section

EPOCHS, CHECKPOINTS, SAMPLES = 200, 32, 256
LIMIT = 120.0  # seconds for the published kernel
TITLE = "Geometry beside the published way of computing it"

State = dict[str, Tensor]


def trained() -> tuple[list[State], Any, Tensor, Tensor, str]:
    """Checkpoints evenly spaced in log(epoch), network, kernel images, labels, data's name."""
    spaced = np.geomspace(1, EPOCHS, 4 * CHECKPOINTS).round().astype(int)
    kept = {0, *np.unique(spaced)[-(CHECKPOINTS - 1) :].tolist()}
    states: list[State] = []

    def keep(epoch: int, model: nn.Module) -> None:
        if epoch in kept:
            states.append({key: value.clone() for key, value in model.state_dict().items()})

    data, model = capacity.trained(EPOCHS + 1, keep)
    inputs, targets = data.reference_set.kernel_inputs(SAMPLES)
    return states, model.eval(), inputs, targets, data.dataset_name


def pairwise(states: list[State], model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """Seconds and peak memory of the exact distances between all checkpoints."""
    from lightning_grok.geometry import pairwise_kernel_distance

    found = cost(lambda: pairwise_kernel_distance(states, model, inputs))
    return {
        "pairwise_checkpoints": len(states),
        "pairwise_32_seconds": found.seconds,
        "pairwise_32_peak_gb": (found.peak or 0) / 1e9,  # above what stood before
    }


def published_kernel(model: Any, inputs: Tensor, state: State | None = None) -> Tensor:
    """J J' with J built by a loop over outputs, (n c, n c), rows sample-major."""
    parameters = dict(model.named_parameters()) if state is None else state

    def output(values: State, image: Tensor, index: int) -> Tensor:
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
    ours = cost(lambda: empirical_ntk(model, inputs[:n]), repeat=3)
    return {
        "ntk_samples": n,
        "ntk_published_seconds": seconds,
        "ntk_seconds": ours.seconds,
        "ntk_over_published": seconds / ours.seconds,
        "ntk_difference": float((ours.value - published).norm() / published.norm()),
    }


def quantities(states: list[State], model: Any, inputs: Tensor, labels: Tensor) -> list[list[str]]:
    """A row for every kernel quantity: ours at 256 samples, and beside a slow way at fewer.

    The slow way is the definition on whole kernels from explicit Jacobians, in float32 as ours.
    """
    from lightning_grok.geometry import (
        distance_between,
        effective_rank,
        kernel_distance,
        kernel_distance_floor,
        kernel_sketch,
        kernel_target_alignment,
        layer_ntk,
        ntk_factors,
        sketched_kernel_distance,
    )
    from lightning_grok.geometry.ntk.empirical import trace_kernel
    from lightning_grok.tasks.mlp import MLP

    few, c = 16, model.num_classes

    def factors(number: int, n: int) -> Any:
        return ntk_factors(model, inputs[:n], parameters=states[number])

    def explicit(number: int) -> Tensor:
        return published_kernel(model, inputs[:few], states[number])

    def traced(kernel: Tensor) -> Tensor:
        return torch.einsum("iaja->ij", kernel.view(few, c, few, c)) / c

    def to_start_and_predecessor(
        n: int, kind: Literal["full", "trace"] = "full"
    ) -> Callable[[], float]:
        start, before = factors(0, n), factors(-2, n)
        for each in (start, before):
            distance_between(each, each, kind=kind)  # its norm is known from its own measurement

        def distances() -> float:
            now = factors(-1, n)
            distance_between(before, now, kind=kind)
            return distance_between(start, now, kind=kind)

        return distances

    def sketched(n: int) -> Callable[[], float]:
        start = kernel_sketch(model, inputs[:n], parameters=states[0])
        return lambda: (
            sketched_kernel_distance(
                start, kernel_sketch(model, inputs[:n], parameters=states[-1])
            ).estimate
        )

    last, first = explicit(-1), explicit(0)
    slow = cost(lambda: (explicit(-1), explicit(-2)))
    distance = kernel_distance(first, last)
    trace_distance = kernel_distance(traced(first), traced(last))
    fresh = lambda seed: MLP(num_classes=c, weight_scale=10.0)  # noqa: E731
    parts: list[tuple[str, Callable[[int], Callable[[], Any]], Any]] = [
        ("S to the own start and to the predecessor", to_start_and_predecessor, distance),
        (
            "trace S to both",
            lambda n: to_start_and_predecessor(n, "trace"),
            trace_distance,
        ),
        ("S of one pair, estimated by 64 probes", sketched, distance),
        ("trace kernel", lambda n: lambda: trace_kernel(factors(-1, n)), traced(last)),
        (
            "kernel of each layer",
            lambda n: (
                lambda: sum(
                    layer_ntk(model, inputs[:n], parameters=states[-1], kind="trace").values()
                )
            ),
            traced(last),
        ),
        (
            "alignment with the labels, of the trace kernel",
            lambda n: lambda: kernel_target_alignment(trace_kernel(factors(-1, n)), labels[:n]),
            kernel_target_alignment(traced(last), labels[:few]),
        ),
        (
            "effective rank of the trace kernel",
            lambda n: lambda: effective_rank(trace_kernel(factors(-1, n))),
            effective_rank(traced(last)),
        ),
        (
            "null floor, 5 pairs of fresh networks",
            lambda n: lambda: kernel_distance_floor(fresh, inputs[:n]).full,
            None,
        ),
    ]
    rows = [
        [
            "quantity",
            f"seconds, {SAMPLES} images",
            "peak, MB",
            f"seconds, {few} images",
            f"explicit Jacobians, {few} images",
            "difference",
        ]
    ]
    for name, make, oracle in parts:
        make(few)()  # compile
        whole, small = cost(make(SAMPLES)), cost(make(few), repeat=3)
        rows.append([name, *_cells(whole), f"{small.seconds:.4f}", *_compared(small, oracle, slow)])
    return rows


def _cells(found: Cost) -> list[str]:
    return [f"{found.seconds:.2f}", "" if found.peak is None else f"{found.peak / 1e6:.0f}"]


def _compared(ours: Cost, oracle: Any, slow: Cost) -> list[str]:
    """Seconds of the two explicit kernels, and the difference relative to the oracle's norm."""
    if oracle is None:
        return ["", ""]
    expected = torch.as_tensor(oracle, dtype=torch.float64)
    difference = (torch.as_tensor(ours.value, dtype=torch.float64) - expected).norm()
    return [f"{slow.seconds:.1f}", f"{float(difference / expected.norm()):.0e}"]


def page(found: dict[str, Any], layer: str) -> str:
    """The section of docs/benchmarks.md from what was measured."""
    pairs = f"all distances between {found['pairwise_checkpoints']} checkpoints, {SAMPLES} images"
    rows = [
        ["quantity", "seconds", "published way, seconds", "ratio"],
        [
            f"one full kernel, {found['ntk_samples']} images",
            f"{found['ntk_seconds']:.3f}",
            f"{found['ntk_published_seconds']:.1f} (loop over outputs, explicit Jacobian)",
            f"{found['ntk_over_published']:.0f}",
        ],
        [pairs, f"{found['pairwise_32_seconds']:.1f}", "", ""],
    ]
    text = (
        f"The two kernels differ by {found['ntk_difference']:.1e} of their norm. The pairwise "
        f"distances took {found['pairwise_32_peak_gb']:.2f} GB above what stood before."
    )
    rows.append(_capacity_row(found, layer))
    if "published_share_run" in found:
        text += (
            f" The low-rank step of the capacity took {found['low_rank_seconds']:.2f} s (published "
            f"{found['published_low_rank_seconds']:.0f} s), its programs "
            f"{found['program_seconds']:.2f} s (published "
            f"{found['published_program_seconds']:.0f} s); solutions of the programs differ by at "
            f"most {found['worst_program_difference']:.1e}."
        )
    return "\n\n".join(
        [
            f"`python -m benchmarks.geometry --write docs/benchmarks.md`: one thread, "
            f"{found['machine']}, PyTorch {found['torch']}, {found['dataset']}.",
            markdown(rows),
            text,
            "Every quantity of the kernel beside its definition on whole kernels from explicit "
            "Jacobians, two of which are needed for a distance. Differences are relative; that of "
            "the estimate is its error.",
            markdown(found["quantities"]),
        ]
    )


def _capacity_row(found: dict[str, Any], layer: str) -> list[str]:
    ours = [
        f"capacity of {layer}: {found['classes']} classes x {found['points_per_class']} points x "
        f"{found['width']}, {capacity.NUM_VECTORS} vectors, {capacity.RESTARTS} starts a rank",
        f"{found['capacity_seconds_a_layer']:.2f}",
    ]
    if "published_share_run" not in found:
        return [*ours, "", ""]
    share = found["published_share_run"]
    published = found["published_low_rank_seconds"] + found["published_program_seconds"]
    return [
        *ours,
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
        write_section(options.write, TITLE, page(found, options.layer))
    if options.json:
        print(json.dumps(found))


def measured(layer: str) -> dict[str, Any]:
    """All that this benchmark measures."""
    states, model, inputs, labels, dataset = trained()
    found: dict[str, Any] = {"dataset": dataset, "torch": torch.__version__, "machine": machine()}
    found |= pairwise(states, model, inputs)
    found |= kernel(model, inputs)
    found["quantities"] = quantities(states, model, inputs, labels)
    found |= capacity.measure(layer, EPOCHS, whole=False)
    return found


if __name__ == "__main__":
    main()

"""Manifold capacity beside the published method, on activations of a network trained here.

    python -m benchmarks.capacity [--json] [--layer layers.2] [--epochs 200] [--whole]
    python -m benchmarks.capacity --seeds 10 [--layer layers.2] [--write docs/benchmarks.md]

The published method, in lines of our own: conjugate gradients of pymanopt 0.2.5 on the Stiefel
manifold with its defaults, its gradient by autograd, ten random starts a rank; one call of cvxopt a
Gaussian vector. Both are needed by this benchmark only, and without them it states our times alone:

    pip install -e ".[benchmark]"

By default the published method runs one start of ten for every rank that ours tries, and
`VECTORS` of the Gaussian vectors, and its times are scaled to all of them; ``--whole`` runs all.
``--seeds`` runs both searches for the centers' common structure in full with so many seeds and
compares the ranks K they choose, and capacity, radius and dimension for one draw of the vectors.
"""

import argparse
import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.page import cost, markdown, write_section

RESTARTS = 10
NUM_VECTORS = 200
VECTORS = 8
OUR_REPETITIONS = 3  # within a second or two; the published method averages over minutes


def trained(
    epochs: int, look: Callable[[int, nn.Module], object] = lambda epoch, model: None
) -> tuple[Any, Any]:
    """The data and the network of configs/grok.yaml after so many epochs.

    `look` is given the network before each of them.
    """
    from lightning_grok.tasks.images import GrokData
    from lightning_grok.tasks.mlp import MLP

    data = GrokData()
    data.prepare_data()
    data.setup("fit")
    images, targets = data.reference_set.train
    torch.manual_seed(0)
    model = MLP(num_classes=data.num_classes, weight_scale=10.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
    for epoch in range(epochs):
        look(epoch, model)
        for rows in torch.randperm(len(targets)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), targets[rows]).backward()
            optimizer.step()
    return data, model


def activations(layer: str, epochs: int) -> tuple[np.ndarray, np.ndarray, str]:
    """(n, d) activations and labels of 200 test images a class, and the data's name."""
    from lightning_grok.geometry.activations import record

    data, model = trained(epochs)
    points, labels = data.reference_set.manifold_points("test", 200)
    return record(model, [layer], points)[layer].double().numpy(), labels.numpy(), data.dataset_name


def published_start(rows: np.ndarray, rank: int) -> np.ndarray:
    """Orthonormal (N, K) where conjugate gradients end, for (P, N) centers."""
    from pymanopt import Problem
    from pymanopt.manifolds import Stiefel
    from pymanopt.solvers import ConjugateGradient

    anp = import_module("autograd.numpy")

    def cost(basis: Any) -> Any:
        left = rows - anp.dot(anp.dot(rows, basis), basis.T)
        lengths = anp.sqrt(anp.sum(left**2, axis=1))
        return 0.5 * anp.sum((anp.dot(left, left.T) / anp.outer(lengths, lengths)) ** 2)

    problem = Problem(manifold=Stiefel(rows.shape[1], rank), cost=cost, verbosity=0)
    return ConjugateGradient(logverbosity=0).solve(problem)


def published_program(points: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """v(t) of one Gaussian vector at kappa = 0."""
    from cvxopt import matrix, solvers

    # Tolerances out of reach, as published: it stops where it can't go on.
    options: dict[str, Any] = {"show_progress": False, "maxiters": 1_000_000}
    options |= {"feastol": 1e-24, "abstol": 1e-24, "reltol": 1e-24}
    identity, none = matrix(np.eye(len(points))), matrix(np.zeros(points.shape[1]))
    solution = solvers.qp(identity, matrix(-vector), matrix(points.T), none, options=options)
    return np.array(solution["x"]).ravel()


def published_structure(centers: np.ndarray, seed: int) -> np.ndarray:
    """(d, K) basis that the published search removes: most stable starts, least correlated rank."""
    from lightning_grok.geometry.capacity.center_correlation import (
        _lengths,
        _mean_correlation,
        _reduced,
    )

    rows, directions, max_rank = _reduced(centers - centers.mean(axis=0))
    np.random.seed(seed)  # noqa: NPY002 - pymanopt draws its starts from the global state
    bases: list[np.ndarray] = []
    residuals: list[float] = []
    for rank in range(1, max_rank + 1):
        starts = [published_start(rows, rank) for _ in range(RESTARTS)]
        left = np.stack([rows - (rows @ basis) @ basis.T for basis in starts])
        best = int(np.argmax(_lengths(left).min(axis=1)))
        bases.append(starts[best])
        residuals.append(float(_mean_correlation(left[best])))
        if rank > 4 and np.all(np.diff(residuals[-4:]) > 0):
            break
    return directions @ bases[int(np.argmin(residuals))]


def programs(
    points: np.ndarray, labels: np.ndarray, basis: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Center-augmented points and vectors of every class, as `manifold_capacity` makes them."""
    from lightning_grok.geometry.capacity.manifolds import (
        center_augmented,
        normalized_manifold,
        rows_by_label,
    )

    origin, scale = points.mean(axis=0), float(np.abs(points).max())
    made = []
    for index, rows in enumerate(rows_by_label(labels)[0]):
        normalized = normalized_manifold(points[rows], origin, basis, scale)
        augmented = center_augmented(normalized.points)
        generator = np.random.default_rng(np.random.SeedSequence((0, index)))
        drawn = generator.standard_normal((len(augmented), NUM_VECTORS))
        made.append((augmented, np.roll(drawn, -1, axis=0)))
    return made


def geometry_outside(points: np.ndarray, labels: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Capacity, radius and dimension of the layer once span(basis) is removed."""
    from lightning_grok.geometry import anchor_geometry

    found = np.array([anchor_geometry(*each)[:3] for each in programs(points, labels, basis)])
    return np.array([1 / np.mean(1 / found[:, 0]), *found[:, 1:].mean(axis=0)])


def agreement(layer: str, epochs: int, seeds: int) -> dict[str, Any]:
    """Ranks chosen by both methods over seeds, and the layer's geometry at the common rank."""
    from lightning_grok.geometry import center_structure

    points, labels, dataset = activations(layer, epochs)
    centers = np.stack([points[labels == label].mean(axis=0) for label in np.unique(labels)])
    bases = {
        "published": [published_structure(centers, seed) for seed in range(seeds)],
        "ours": [center_structure(centers, seed=seed).basis for seed in range(seeds)],
    }
    ranks = {name: [basis.shape[1] for basis in each] for name, each in bases.items()}
    found: dict[str, Any] = {"dataset": dataset, "layer": layer, "epoch": epochs, "seeds": seeds}
    found |= {f"{name}_ranks": chosen for name, chosen in ranks.items()}
    found["published_agreement"] = _agreement(ranks["published"])
    found["ours_agreement"] = _agreement(ranks["ours"])
    found["cross_agreement"] = float(
        np.mean([a == b for a in ranks["published"] for b in ranks["ours"]])
    )
    common = max(sorted(set(ranks["published"])), key=ranks["published"].count)
    found["common_rank"] = common
    values = {
        name: np.array([geometry_outside(points, labels, b) for b in each if b.shape[1] == common])
        for name, each in bases.items()
    }
    mean = values["published"].mean(axis=0)
    for name, each in values.items():
        spread = each.std(axis=0, ddof=1) / mean if len(each) > 1 else np.full(3, np.nan)
        found[f"{name}_spread_percent"] = (100 * spread).tolist()
    difference = values["ours"].mean(axis=0) / mean - 1 if len(values["ours"]) else [np.nan] * 3
    return found | {"difference_percent": (100 * np.asarray(difference)).tolist()}


def _agreement(ranks: list[int]) -> float:
    """Share of pairs of seeds that choose one rank."""
    pairs = [a == b for i, a in enumerate(ranks) for b in ranks[:i]]
    return float(np.mean(pairs)) if pairs else float("nan")


def agreement_page(found: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md from what `agreement` found."""
    ranks = sorted({*found["published_ranks"], *found["ours_ranks"]})
    rows = [["search", *(f"K = {rank}" for rank in ranks), "pairs of seeds that agree"]]
    for name in ("published", "ours"):
        chosen = found[f"{name}_ranks"]
        share = f"{found[f'{name}_agreement']:.2f}"
        rows.append([name, *(str(chosen.count(rank)) for rank in ranks), share])
    spreads = [["percent of the published mean", "capacity", "radius", "dimension"]]
    for title, key in (
        ("standard deviation over seeds, published", "published_spread_percent"),
        ("standard deviation over seeds, ours", "ours_spread_percent"),
        ("difference of the means", "difference_percent"),
    ):
        spreads.append([title, *(f"{value:.2f}" for value in found[key])])
    return "\n\n".join(
        [
            f"`python -m benchmarks.capacity --seeds {found['seeds']} --layer {found['layer']} "
            f"--epochs {found['epoch']} --write docs/benchmarks.md`: {found['dataset']}, "
            f"{found['layer']} after {found['epoch']} epochs, both searches in full. Seeds that "
            "chose each rank K:",
            markdown(rows),
            f"One of ours and one published choose the same rank in "
            f"{found['cross_agreement']:.2f} of the pairs. At K = {found['common_rank']}, with "
            "the same Gaussian vectors:",
            markdown(spreads),
        ]
    )


def measure(layer: str, epochs: int, whole: bool) -> dict[str, Any]:
    """Seconds of both methods on one layer, and how far their programs agree."""
    from lightning_grok.geometry import center_structure, manifold_capacity
    from lightning_grok.geometry.capacity.anchor import solve_anchors

    points, labels, dataset = activations(layer, epochs)
    manifold_capacity(points, labels, num_vectors=2, restarts=1)  # compile
    ours = cost(lambda: manifold_capacity(points, labels, num_vectors=NUM_VECTORS), OUR_REPETITIONS)
    centers = np.stack([points[labels == label].mean(axis=0) for label in np.unique(labels)])
    low_rank = cost(lambda: center_structure(centers), OUR_REPETITIONS)
    made = programs(points, labels, low_rank.value.basis)
    solved = cost(lambda: [solve_anchors(*each) for each in made], OUR_REPETITIONS)

    found = {
        "dataset": dataset,
        "layer": layer,
        "width": points.shape[1],
        "classes": len(centers),
        "points_per_class": len(points) // len(centers),
        "rank": ours.value.rank,
        "capacity": ours.value.capacity,
        "capacity_seconds_a_layer": ours.seconds,
        "low_rank_seconds": low_rank.seconds,
        "program_seconds": solved.seconds,
    }
    missing = [name for name in ("pymanopt", "autograd", "cvxopt") if find_spec(name) is None]
    if missing:
        print(f"the published method is left out: {', '.join(missing)} not installed ([benchmark])")
        return found | {"capacity_over_published": None}
    ranks = len(low_rank.value.by_rank)
    return found | published(centers, made, solved.value, ranks, ours.seconds, whole)


def published(
    centers: np.ndarray,
    made: list[tuple[np.ndarray, np.ndarray]],
    solutions: list[Any],
    ranks: int,
    ours: float,
    whole: bool,
) -> dict[str, Any]:
    """Seconds of the published method on the same centers and programs, scaled to all of them."""
    from lightning_grok.geometry.capacity.center_correlation import _reduced

    rows, _, _ = _reduced(centers - centers.mean(axis=0))
    restarts, vectors = (RESTARTS, NUM_VECTORS) if whole else (1, VECTORS)
    np.random.seed(0)  # noqa: NPY002 - pymanopt draws its starts from the global state
    starts = [rank for rank in range(1, ranks + 1) for _ in range(restarts)]
    low_rank = cost(lambda: [published_start(rows, rank) for rank in starts]).seconds
    primal = cost(
        lambda: [[published_program(s, t[:, k]) for k in range(vectors)] for s, t in made]
    )
    worst = 0.0
    for (_, drawn), solution, found in zip(made, solutions, primal.value, strict=True):
        for k, other in enumerate(found):
            vector = drawn[:, k]
            difference = np.linalg.norm(vector - solution.combination[:, k] - other)
            worst = max(worst, float(difference / np.linalg.norm(vector)))
    low_rank *= RESTARTS / restarts
    solved = primal.seconds * NUM_VECTORS / vectors
    return {
        "published_low_rank_seconds": low_rank,
        "published_program_seconds": solved,
        "published_share_run": {"restarts": restarts, "vectors": vectors},
        "capacity_over_published": (low_rank + solved) / ours,
        "worst_program_difference": worst,
    }


def main() -> None:
    """Print a table, or with ``--json`` one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--layer", default="layers.2")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--whole", action="store_true", help="run the published method in full")
    parser.add_argument("--seeds", type=int, help="compare the ranks chosen with so many seeds")
    parser.add_argument("--write", type=Path, help="with --seeds: a page for the docs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.seeds is None:
        found = measure(options.layer, options.epochs, options.whole)
    else:
        found = agreement(options.layer, options.epochs, options.seeds)
        if options.write:
            title = f"Agreement with the published search, {options.layer}"
            write_section(options.write, title, agreement_page(found))
    if options.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:28} {value:.4g}" if isinstance(value, float) else f"{key:28} {value}")


if __name__ == "__main__":
    main()

"""Manifold capacity beside the published method, on activations of a network trained here.

    python -m benchmarks.capacity [--json] [--layer layers.2] [--epochs 200] [--whole]

The published method, in lines of our own: conjugate gradients of pymanopt 0.2.5 on the Stiefel
manifold with its defaults, its gradient by autograd, ten random starts a rank; one call of cvxopt a
Gaussian vector. Both are needed by this benchmark only:

    pip install "pymanopt==0.2.5" autograd cvxopt

By default the published method runs one start of ten for every rank that ours tries, and
`VECTORS` of the Gaussian vectors, and its times are scaled to all of them; ``--whole`` runs all.
"""

import argparse
import json
import time
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

RESTARTS = 10
NUM_VECTORS = 200
VECTORS = 8


def activations(layer: str, epochs: int) -> tuple[np.ndarray, np.ndarray, str]:
    """(n, d) activations and labels of 200 test images a class, and the data's name."""
    from lightning_grok.activations import record
    from lightning_grok.data import GrokData
    from lightning_grok.model import MLP

    data = GrokData()
    data.prepare_data()
    data.setup("fit")
    images, targets = data.probe_set.train
    torch.manual_seed(0)
    model = MLP(num_classes=data.num_classes, weight_scale=10.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(targets)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), targets[rows]).backward()
            optimizer.step()
    points, labels = data.probe_set.manifold_points("test", 200)
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


def programs(
    points: np.ndarray, labels: np.ndarray, basis: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Center-augmented points and vectors of every class, as `manifold_capacity` makes them."""
    from lightning_grok.geometry.manifolds import (
        center_augmented,
        normalized_manifold,
        split_by_label,
    )

    origin, scale = points.mean(axis=0), float(np.abs(points).max())
    made = []
    for index, manifold in enumerate(split_by_label(points, labels)[0]):
        normalized = normalized_manifold(manifold, origin, basis, scale)
        augmented = center_augmented(normalized.points)
        generator = np.random.default_rng(np.random.SeedSequence((0, index)))
        drawn = generator.standard_normal((len(augmented), NUM_VECTORS))
        made.append((augmented, np.roll(drawn, -1, axis=0)))
    return made


def seconds(function: Any, *arguments: Any, **options: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    value = function(*arguments, **options)
    return time.perf_counter() - start, value


def measure(layer: str, epochs: int, whole: bool) -> dict[str, Any]:
    """Seconds of both methods on one layer, and how far their programs agree."""
    from lightning_grok.geometry import center_structure, manifold_capacity
    from lightning_grok.geometry.anchor import solve_anchors
    from lightning_grok.geometry.center_correlation import _reduced

    points, labels, dataset = activations(layer, epochs)
    manifold_capacity(points, labels, num_vectors=2, restarts=1)  # compile
    ours, result = seconds(manifold_capacity, points, labels, num_vectors=NUM_VECTORS)
    centers = np.stack([points[labels == label].mean(axis=0) for label in np.unique(labels)])
    low_rank, structure = seconds(center_structure, centers)
    made = programs(points, labels, structure.basis)
    solved, solutions = seconds(lambda: [solve_anchors(*each) for each in made])

    rows, _, _ = _reduced(centers - centers.mean(axis=0))
    ranks, restarts = range(1, len(structure.by_rank) + 1), RESTARTS if whole else 1
    np.random.seed(0)  # noqa: NPY002 - pymanopt draws its starts from the global state
    published_low_rank, _ = seconds(
        lambda: [published_start(rows, rank) for rank in ranks for _ in range(restarts)]
    )
    vectors = NUM_VECTORS if whole else VECTORS
    published_programs, primal = seconds(
        lambda: [[published_program(s, t[:, k]) for k in range(vectors)] for s, t in made]
    )
    worst = 0.0
    for (_, drawn), solution, found in zip(made, solutions, primal, strict=True):
        for k, other in enumerate(found):
            vector = drawn[:, k]
            difference = np.linalg.norm(vector - solution.combination[:, k] - other)
            worst = max(worst, float(difference / np.linalg.norm(vector)))
    published_low_rank *= RESTARTS / restarts
    published_programs *= NUM_VECTORS / vectors
    return {
        "dataset": dataset,
        "layer": layer,
        "width": points.shape[1],
        "classes": len(centers),
        "points_per_class": len(points) // len(centers),
        "rank": result.rank,
        "capacity": result.capacity,
        "capacity_seconds_a_layer": ours,
        "low_rank_seconds": low_rank,
        "program_seconds": solved,
        "published_low_rank_seconds": published_low_rank,
        "published_program_seconds": published_programs,
        "published_share_run": {"restarts": restarts, "vectors": vectors},
        "capacity_over_published": (published_low_rank + published_programs) / ours,
        "worst_program_difference": worst,
    }


def main() -> None:
    """Print a table, or with ``--json`` one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--layer", default="layers.2")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--whole", action="store_true", help="run the published method in full")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.layer, options.epochs, options.whole)
    if options.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:28} {value:.4g}" if isinstance(value, float) else f"{key:28} {value}")


if __name__ == "__main__":
    main()

"""Slow and obvious oracles of the manifold capacity, one vector and one pair at a time."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

GOLDEN = os.environ.get("LIGHTNING_GROK_GOLDEN")


def golden_files() -> list[object]:
    """Programs solved by the published code, as parameters of a test; one that skips without."""
    if GOLDEN is None:
        reason = pytest.mark.skip(reason="LIGHTNING_GROK_GOLDEN names no folder of programs")
        return [pytest.param(None, marks=reason, id="none")]
    return [pytest.param(path, id=path.stem) for path in sorted(Path(GOLDEN).glob("*.npz"))]


def random_manifold(seed: int, size: int, count: int, extent: float = 1.0) -> np.ndarray:
    """(D+1, m) center-augmented points of a Gaussian cloud around its own center."""
    points = extent * np.random.default_rng(seed).standard_normal((size, count))
    points -= points.mean(axis=1, keepdims=True)
    return np.concatenate([points, np.ones((1, count))])


def random_vectors(seed: int, points: np.ndarray, count: int) -> np.ndarray:
    return np.random.default_rng(seed + 1000).standard_normal((len(points), count))


def multipliers(points: np.ndarray, vector: np.ndarray, kappa: float) -> np.ndarray:
    """x >= 0 of min |S x - (t + kappa e)|, by scipy."""
    target = vector.copy()
    target[-1] += kappa
    return nnls(points, target)[0]


def geometry(points: np.ndarray, vectors: np.ndarray, kappa: float) -> tuple[float, float, float]:
    """Capacity, radius and dimension with a loop over the vectors, term by term as published."""
    anchors, terms, cosines = [], [], []
    for vector in vectors.T:
        x = multipliers(points, vector, kappa)
        if np.linalg.norm(points @ x) < 1e-8:
            anchor = points[:, np.argmax(vector[:-1] @ points[:-1])]
        else:
            anchor = points @ x / x.sum()
        terms.append(max(vector @ anchor + kappa, 0.0) ** 2 / (anchor @ anchor))
        lengths = np.linalg.norm(vector[:-1]) * np.linalg.norm(anchor[:-1])
        cosines.append(vector[:-1] @ anchor[:-1] / lengths if lengths > 0 else 0.0)
        anchors.append(anchor)
    centered = np.array(anchors) - np.mean(anchors, axis=0)
    deviations = centered[:, :-1] / np.array(anchors)[:, -1:]
    radius = np.sqrt(np.mean(np.sum(deviations**2, axis=1)))
    return 1 / np.mean(terms), radius, (len(points) - 1) * np.mean(cosines) ** 2


def squared_correlation(rows: np.ndarray, weights: np.ndarray) -> float:
    """Half the sum of all squared correlations of (P, N) rows outside the rows of `weights`."""
    basis = np.linalg.qr(weights.T)[0]
    left = rows - rows @ basis @ basis.T
    total = 0.0
    for first in left:
        for second in left:
            total += (first @ second) ** 2 / ((first @ first) * (second @ second))
    return total / 2


def mean_correlation(centers: np.ndarray) -> float:
    """Mean |cosine| of two different rows."""
    pairs = [(i, j) for i in range(len(centers)) for j in range(i)]
    unit = [center / np.linalg.norm(center) for center in centers]
    return float(np.mean([abs(unit[i] @ unit[j]) for i, j in pairs]))

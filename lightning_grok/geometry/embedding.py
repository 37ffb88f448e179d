"""UMAP of representations in the plane, each map from the one before: a sequence to be watched."""

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from lightning_grok.extras import named_extra
from lightning_grok.geometry.arrays import Points, finite_array

# UMAP's rate is 1. A map that starts near its end needs less: 1,000 digits that did not change then
# move by 0.07 a map instead of 0.12, and more of their neighbors are kept (0.60 of them for 0.55).
_RATE_FROM_PREVIOUS = 0.25
_EXTENT = 10.0  # of the plane that the first map starts from, the largest coordinate: as in UMAP
_START_NOISE = 1e-4  # parts copies, which would stay on one spot
_ROWS = 512  # of points whose distances are taken at a time, which bounds memory


class Embedding(NamedTuple):
    """A map of n points in the plane and how far it can be trusted.

    Attributes:
        coordinates: (n, 2) in float32, aligned to the previous map where there is one.
        preservation: share of every point's nearest neighbors in the plane that are among its
            nearest neighbors before, in [0, 1]: Q_NX(k) of Lee & Verleysen 2009, k = neighbors - 1,
            where a tie in distance counts as kept.
        movement: root mean square displacement since the previous map, over that map's root mean
            square distance from its center; NaN without a previous map or where it was one spot.
    """

    coordinates: Float[np.ndarray, "n 2"]
    preservation: float
    movement: float


def embed(
    points: Points,
    previous: Float[np.ndarray, "m 2"] | None = None,
    *,
    neighbors: int = 15,
    min_dist: float = 0.1,
    iterations: int = 200,
    seed: int = 0,
) -> Embedding:
    """UMAP (McInnes et al. 2018) from exact Euclidean neighbors, in the plane.

    It starts from the previous map, at a quarter of UMAP's learning rate, and is turned, reflected
    and shifted onto it, never scaled; without one, or where that was one spot, it starts from the
    first two principal components. Shifting all points or scaling them by one positive number does
    not change a map, rounding apart. Same arguments, same bits.

    Dead features and copies of a point are harmless; where all points are copies of one, the map is
    one spot, at the previous map's center. With n <= `neighbors`, n - 1 are used.

    Args:
        points: n >= 3 samples of d features.
        previous: (n, 2), the map of the same samples before.
        neighbors: size of the local neighborhoods, a point itself counted; at least 2.
        min_dist: how tightly the plane packs neighbors, in [0, 1].
        iterations: passes over the neighbor graph (UMAP's n_epochs).
        seed: of the optimization's draws, below 2³².

    Returns:
        The map. For 2,000 points of 200 features and 50 iterations 0.4 s of one core, nearly half
        of it for the exact neighbors, besides the loading that `compile_umap` does.

    Raises:
        ValueError: too few points, an entry is not finite, or `previous` is of other points.
    """
    values = _normalized(points)
    if previous is not None and (len(previous) != len(values) or not np.isfinite(previous).all()):
        raise ValueError(
            f"expected a finite previous map of {len(values)} points, received {len(previous)}"
        )
    nearest = nearest_neighbors(values, min(neighbors, len(values) - 1))
    coordinates = np.zeros((len(values), 2))
    if values.any():
        if previous is not None and np.ptp(previous, axis=0).all():
            start, rate = previous, _RATE_FROM_PREVIOUS
        else:
            start, rate = _principal_plane(values), 1.0
        noise = np.random.default_rng(seed).normal(scale=_START_NOISE, size=start.shape)
        coordinates = _optimized(
            values,
            nearest,
            start=start + noise,
            rate=rate,
            min_dist=min_dist,
            iterations=iterations,
            seed=seed,
        )
    movement = float("nan")
    if previous is not None:
        coordinates = align(coordinates, previous)
        movement = _movement(coordinates, previous)
    return Embedding(
        coordinates.astype(np.float32), _preservation(values, coordinates, nearest), movement
    )


def align(coordinates: Points, reference: Points) -> Float[np.ndarray, "n p"]:
    """`coordinates` turned, reflected and shifted as close to `reference` as can be, not scaled.

    Orthogonal Procrustes (Schönemann 1966) on centered points: with X^T Y = U S V^T the orthogonal
    Q that minimizes ‖X Q - Y‖ is U V^T.

    Args:
        coordinates: (n, p) points, n >= 1.
        reference: (n, p), the same points elsewhere.

    Returns:
        The points (n, p) in float64.
    """
    moved, goal = (
        finite_array(coordinates, "coordinates", 2),
        finite_array(reference, "reference", 2),
    )
    center = goal.mean(axis=0)
    centered = moved - moved.mean(axis=0)
    left, _, right = np.linalg.svd(centered.T @ (goal - center))
    return centered @ (left @ right) + center


class Neighbors(NamedTuple):
    """The nearest neighbors of n points, nearest first, the point itself at the head.

    Attributes:
        indices: (n, k) rows.
        distances: (n, k) Euclidean; exactly zero between copies.
    """

    indices: Int[np.ndarray, "n k"]
    distances: Float[np.ndarray, "n k"]


def nearest_neighbors(points: Float[np.ndarray, "n d"], count: int) -> Neighbors:
    """Exact nearest neighbors, the point itself counted: all distances, n² d.

    Args:
        points: n samples of d features.
        count: k, from 1 to n.
    """
    values = torch.from_numpy(np.asarray(points, dtype=np.float64))
    squares = values.square().sum(dim=1)
    found = []
    for rows in torch.arange(len(values)).split(_ROWS):
        # ‖y‖² - 2 x·y, which ranks as ‖x - y‖² does: (rows, n)
        ranked = torch.addmm(squares, values[rows], values.T, alpha=-2)
        ranked[torch.arange(len(rows)), rows] = -torch.inf  # a point stands before its own copies
        found.append(ranked.topk(count, largest=False).indices)
    indices = torch.cat(found).numpy()
    distances = _distances_to(values.numpy(), indices)
    order = np.argsort(distances, axis=1, kind="stable")  # what rounding of the products confused
    return Neighbors(*(np.take_along_axis(each, order, axis=1) for each in (indices, distances)))


def compile_umap() -> None:
    """Load UMAP and compile what `embed` calls, by mapping a few points; later calls find it done.

    The machine code is kept on disk where Numba may write: beside the installed package, or in the
    user's cache. 20 to 40 s the first time on a machine, then 1 to 3 s a process, nearly all of it
    UMAP's import.
    """
    embed(np.eye(8, dtype=np.float32), neighbors=3, iterations=1)


def _optimized(
    values: np.ndarray,
    nearest: Neighbors,
    *,
    start: np.ndarray,
    rate: float,
    min_dist: float,
    iterations: int,
    seed: int,
) -> np.ndarray:
    """UMAP's own graph and its own descent on one thread, from the very map that is given.

    `UMAP.fit` would first stretch each axis of a given start to ten units, by which a map that
    nothing has happened to moves by a third of its radius.

    What UMAP compiles for many threads takes no more of them than PyTorch may, and sets the number
    back: both share OpenMP, where Numba would leave PyTorch one thread a core.
    """
    import numba

    umap = _umap()
    fit = umap.UMAP(
        n_neighbors=nearest.indices.shape[1],
        precomputed_knn=(nearest.indices, nearest.distances.astype(np.float32)),
        min_dist=min_dist,
        random_state=seed,
        n_jobs=1,
        transform_mode="graph",
    )
    with warnings.catch_warnings():
        # New points can't be added to a map whose neighbors were given; none will be.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        threads = torch.get_num_threads()
        numba.set_num_threads(min(threads, numba.get_num_threads()))
        try:
            graph = fit.fit_transform(values.astype(np.float32)).tocoo()
            graph.sum_duplicates()
            # The heaviest edge is visited each time, others in proportion; what never is, is out.
            graph.data[graph.data < graph.data.max() / iterations] = 0
            graph.eliminate_zeros()
            coordinates = start.astype(np.float32, order="C")
            coordinates = umap.layouts.optimize_layout_euclidean(
                coordinates,
                coordinates,
                graph.row,
                graph.col,
                iterations,
                len(values),
                umap.umap_.make_epochs_per_sample(graph.data, iterations),
                *umap.umap_.find_ab_params(fit.spread, min_dist),
                np.random.default_rng(seed).integers(-(2**31), 2**31, size=3),
                initial_alpha=rate,
                move_other=True,
            )
        finally:
            torch.set_num_threads(threads)
    if not np.isfinite(coordinates).all():
        raise FloatingPointError("expected finite coordinates from UMAP, received NaN or infinity")
    return coordinates


@cache
@named_extra()
def _umap() -> Any:
    """The package umap, its compiled functions cached on disk where Numba allows it.

    UMAP leaves most of them uncached: 10 s of compilation in every process. It can't be imported
    where Numba may write nothing, neither beside it nor in the user's cache; there it gets a folder
    that ends with the process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        try:
            import umap
        except RuntimeError:
            import numba

            folder = tempfile.mkdtemp(prefix="lightning_grok-numba-")
            numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            import umap
    for module in (umap.umap_, umap.layouts):
        for function in vars(module).values():
            if hasattr(function, "enable_caching"):
                try:
                    function.enable_caching()
                except RuntimeError:  # no place to write: every process compiles for itself
                    return umap
    return umap


def _normalized(points: Points) -> np.ndarray:
    """Centered, the largest entry 1; zeros for copies of one point."""
    values = finite_array(points, "points", 2)
    if len(values) < 3:
        raise ValueError(f"expected at least 3 points, received {len(values)}")
    centered = values - values.mean(axis=0)
    largest = np.abs(centered).max(initial=0)
    # Activations are float32: a smaller spread is rounding.
    if largest <= np.finfo(np.float32).eps * np.abs(values).max(initial=0):
        return np.zeros_like(values)
    return centered / largest


def _principal_plane(values: np.ndarray) -> np.ndarray:
    """(n, 2) first two principal components of centered points, the largest entry `_EXTENT`."""
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    components = (left * singular)[:, :2]
    plane = np.zeros((len(values), 2))
    plane[:, : components.shape[1]] = components * _EXTENT / np.abs(components).max()
    return plane


def _preservation(values: np.ndarray, coordinates: np.ndarray, nearest: Neighbors) -> float:
    neighbors = nearest.indices.shape[1]
    chosen = nearest_neighbors(coordinates, neighbors).indices
    kept = _distances_to(values, chosen) <= nearest.distances[:, -1:]
    return float(np.mean(kept[:, 1:]))


def _distances_to(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(n, k) distances to the rows (n, k), by differences: zero between copies."""
    chunks = [slice(start, start + _ROWS) for start in range(0, len(values), _ROWS)]
    return np.concatenate(
        [np.linalg.norm(values[rows, None] - values[indices[rows]], axis=2) for rows in chunks]
    )


def _movement(coordinates: np.ndarray, previous: np.ndarray) -> float:
    if not np.ptp(previous, axis=0).any():
        return float("nan")
    spread = np.linalg.norm(previous - previous.mean(axis=0))
    return float(np.linalg.norm(coordinates - previous) / spread)

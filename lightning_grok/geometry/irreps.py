"""Fourier analysis on any finite group, from its composition table alone.

The functions on a group G fall into parts, one an irreducible representation ρ of dimension d, of
d² dimensions each: those spanned by the matrix elements of ρ. Of a cyclic group they are the
frequencies. A representation and its complex conjugate are one part here, so that all numbers are
real.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from lightning_grok.geometry.arrays import Labels, Points, as_tensor
from lightning_grok.geometry.fourier import PartLosses, losses_of_part, means_by_answer

_SAME = 1e-6  # two eigenvalues of a random element of the center


class IsotypicParts(NamedTuple):
    """The parts of the functions on a group of order n.

    Attributes:
        dimensions: (k,) d² of each, twice that of a complex pair; increasing, the constants first.
        elements: (k, n) the real class functions e by which a part is cut out: (e ∗ f)(g) =
            Σ_h e(g h⁻¹) f(h); d χ(g) / n for the character χ of a real representation.
        quotients: (n, n) the number of g h⁻¹.
    """

    dimensions: Int[np.ndarray, " k"]
    elements: Float[np.ndarray, "k n"]
    quotients: Int[np.ndarray, "n n"]


def isotypic_parts(table: Int[np.ndarray, "_ _"]) -> IsotypicParts:
    """Split the functions on a group by its irreducible representations (Burnside's method).

    The eigenvectors of a random real element of the center of the group algebra are the characters,
    up to scale. Cost: n times the number of classes, and the cube of that.

    Args:
        table: (n, n), the product of elements a and b at [a, b].

    Raises:
        ValueError: the table is no group's.

    >>> isotypic_parts(np.add.outer(np.arange(5), np.arange(5)) % 5).dimensions.tolist()
    [1, 2, 2]
    """
    product = np.asarray(table)
    n = len(product)
    identity, inverse = _neutral(product)
    classes, sizes = _classes(product, inverse)
    kinds = len(sizes)
    first = np.array([np.flatnonzero(classes == kind)[0] for kind in range(kinds)])
    # How often z, of class l, is x y with x of class j and y of class k: y = x⁻¹ z.
    weights = np.random.default_rng(0).normal(size=kinds)
    center = np.zeros((kinds, kinds))
    for kind, z in enumerate(first):
        np.add.at(center[:, kind], classes[product[inverse, z]], weights[classes])
    scale = np.sqrt(sizes)
    values, vectors = np.linalg.eigh(center * scale / scale[:, None])
    if (np.diff(values) < _SAME * np.abs(values).max()).any():
        raise ValueError("expected a group's composition table, received one whose classes mix")
    functions = (vectors / scale[:, None]).T[:, classes]  # (k, n), of norm 1
    at_identity = functions[:, identity]
    dimensions = n * at_identity**2
    order = np.lexsort((-np.abs(functions.sum(axis=1)), dimensions.round(6)))
    return IsotypicParts(
        dimensions.round().astype(int)[order],
        (at_identity[:, None] * functions)[order],
        product[:, inverse],
    )


def irrep_losses(
    logits: Points,
    parts: IsotypicParts,
    answers: Labels,
    trained: Labels,
    kept: Sequence[int],
) -> PartLosses:
    """Restricted loss over all pairs and excluded loss over the training pairs.

    Of a cyclic group they are those of `fourier_losses`. Computed in float64; cost n² C.

    Args:
        logits: (n, n, C) of every pair (a, b).
        parts: of the group.
        answers: (n, n), the right class of each pair, which is the number of ab.
        trained: (n, n), whether a pair is trained on.
        kept: numbers of parts.

    Raises:
        ValueError: shapes differ, a logit is not finite, a part is unknown, or no pair is trained
            on.
    """
    values = as_tensor(logits, "logits").detach().double()
    right, seen = as_tensor(answers, "answers"), as_tensor(trained, "trained pairs")
    n, count = len(parts.quotients), len(parts.dimensions)
    if values.shape[:2] != (n, n) or right.shape != (n, n) or seen.shape != (n, n):
        raise ValueError(
            f"expected logits, answers and trained pairs of ({n}, {n}) pairs, received "
            f"{tuple(values.shape)}, {tuple(right.shape)} and {tuple(seen.shape)}"
        )
    if not values.isfinite().all():
        raise ValueError("expected finite logits, received NaN or infinity")
    if not seen.any() or not kept or not all(0 <= part < count for part in kept):
        raise ValueError(
            f"expected parts from 0 to {count - 1} and a trained pair, received {list(kept)} and "
            f"{int(seen.sum())} pairs"
        )
    element = torch.as_tensor(parts.elements[sorted(set(kept))].sum(axis=0)).to(values)
    projection = element[torch.as_tensor(parts.quotients, device=values.device)]
    part = (projection @ means_by_answer(values, right))[right]
    return losses_of_part(values, part, right, seen)


def _neutral(product: np.ndarray) -> tuple[int, np.ndarray]:
    """The number of the identity, and those of the inverses (n,)."""
    every = np.arange(len(product))
    if product.shape != (len(every), len(every)) or any(
        (np.sort(rows, axis=1) != every).any() for rows in (product, product.T)
    ):
        raise ValueError(
            "expected a composition table (n, n) with each element once in a row and in a column, "
            f"received shape {product.shape}"
        )
    found = [e for e in every if (product[e] == every).all() and (product[:, e] == every).all()]
    if not found:
        raise ValueError("expected a group's composition table, received one without an identity")
    return int(found[0]), np.argmax(product == found[0], axis=1)


def _classes(product: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class of every element (n,), inverses together, and the sizes of the classes."""
    n = len(product)
    smallest = np.full(n, n)
    for x in range(n):
        conjugates = product[product[:, x], inverse]
        smallest[x] = min(conjugates.min(), inverse[conjugates].min())
    _, classes, sizes = np.unique(smallest, return_inverse=True, return_counts=True)
    return classes, sizes

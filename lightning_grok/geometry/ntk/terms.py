"""One layer's part of the kernel, and the cheaper of two ways to multiply it out.

A layer of p inputs and q outputs that acts at T positions has the gradients

    G_i^a = Σ_t D_it^a ⊗ A_it

with A_i (T, p) what enters it and D_i^a (T, q) the derivative of output a by what leaves it. Its
part of the kernel, <G_i^a, G_j^b>, is taken a pair of samples at a time

- by positions: Σ_ts (A_it · A_js) (D_it^a · D_js^b), T² (p + c² q) multiplications;
- by gradients: G (c, p q) explicit, c² p q multiplications.

Parameters of no layer have T = p = 1, A = 1 and their own derivatives as D.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Kind = Literal["full", "trace", "sum"]
_PASS = 8  # multiplications that one pass over a product in memory is worth
_GRADIENTS = 128e6  # bytes of explicit gradients of one layer, for rows and as much for columns
_ROWS = 512  # rows of a tile: so few that little below the diagonal is made, and all of it cached


class TermShape(NamedTuple):
    """Sizes of a layer's part for one sample.

    Attributes:
        layer: dotted name of the module that owns the parameters.
        positions: T.
        inputs: p, with the one that the bias stands for; of an embedding the vocabulary.
        outputs: q.
        tokens: whether the inputs are integers that stand for one-hot vectors.
    """

    layer: str
    positions: int
    inputs: int
    outputs: int
    tokens: bool = False

    @property
    def gradients(self) -> int:
        """Numbers of one explicit gradient."""
        return self.inputs * self.outputs

    def numbers(self, outputs: int) -> int:
        """How many numbers A and D hold for a sample of a network with so many outputs."""
        width = 1 if self.tokens else self.inputs
        return self.positions * (width + outputs * self.outputs)


@dataclass(frozen=True)
class Term:
    """A layer's part at n samples.

    Attributes:
        layer: dotted name.
        inputs: A (n, T, p), or tokens (n, T) that stand for one-hot vectors.
        pulled: D (n, c, T, q).
        vocabulary: p of tokens, else 0.
    """

    layer: str
    inputs: Tensor
    pulled: Float[Tensor, "n c T q"]
    vocabulary: int = 0

    def rows(self, rows: slice) -> "Term":
        """The part at some of the samples."""
        return Term(self.layer, self.inputs[rows], self.pulled[rows], self.vocabulary)

    def weighted(self, weights: Float[Tensor, "n c"]) -> "Term":
        """That of the network whose outputs are multiplied by constants."""
        pulled = self.pulled * weights.to(self.pulled)[:, :, None, None]
        return Term(self.layer, self.inputs, pulled, self.vocabulary)

    def summed(self) -> "Term":
        """That of Σ_a f_a / √c, a network with one output."""
        pulled = self.pulled.sum(1, keepdim=True) / self.pulled.shape[1] ** 0.5
        return Term(self.layer, self.inputs, pulled, self.vocabulary)

    @property
    def shape(self) -> TermShape:
        """Its sizes."""
        positions, outputs = self.pulled.shape[2:]
        tokens = self.vocabulary > 0
        width = self.vocabulary if tokens else self.inputs.shape[2]
        return TermShape(self.layer, positions, width, outputs, tokens)

    def gram(self, other: "Term") -> Float[Tensor, "n T m S"]:
        """A Aᵀ between all positions of two sets of samples."""
        if self.vocabulary:
            equal = self.inputs[:, :, None, None] == other.inputs
            return equal.to(self.pulled.dtype)
        width = self.inputs.shape[2]
        products = self.inputs.reshape(-1, width) @ other.inputs.reshape(-1, width).T
        return products.view(*self.inputs.shape[:2], *other.inputs.shape[:2])

    def gradients(self) -> Float[Tensor, "n c pq"]:
        """G explicit."""
        n, c, _, q = self.pulled.shape
        if self.vocabulary:
            found = self.pulled.new_zeros(n, c, self.vocabulary, q)
            places = self.inputs[:, None, :, None].expand(self.pulled.shape)
            return found.scatter_add_(2, places, self.pulled).flatten(2)
        # (n, c q, T) (n, T, p): one product a sample, whose rows lie as they are wanted.
        pulled = self.pulled.transpose(2, 3).reshape(n, c * q, -1)
        return torch.bmm(pulled, self.inputs).view(n, c, -1)


def joined(parts: Sequence[Term]) -> Term:
    """The part at all samples from those at some, without positions that no output depends on.

    In the last block of a transformer they are often all but one.
    """
    used = torch.stack([_is_used(part) for part in parts]).any(0)
    used[0] |= not bool(used.any())
    chosen = used if int(used.sum()) <= len(used) // 2 else slice(None)  # else not worth a copy
    return Term(
        parts[0].layer,
        torch.cat([part.inputs[:, chosen] for part in parts]),
        torch.cat([part.pulled[:, :, chosen] for part in parts]),
        parts[0].vocabulary,
    )


def _is_used(part: Term) -> Bool[Tensor, " T"]:
    used = (part.pulled[0] != 0).any(2).any(0)
    # The first sample mostly settles it, at little cost.
    return used if bool(used.all()) else (part.pulled != 0).any(3).any(1).any(0)


def block_cost(shape: TermShape, outputs: int, kind: Kind = "full") -> dict[str, int]:
    """Multiplications a pair of samples, by either way; what making G costs is left out."""
    _, t, p, q, tokens = shape
    width = 1 if tokens else p
    c = 1 if kind == "sum" else outputs
    mixed = c * c if kind == "full" else c
    passed = c * c * _PASS if kind == "full" else _PASS
    return {"positions": t * t * (width + mixed * q + passed), "gradients": mixed * p * q}


def takes_gradients(shape: TermShape, outputs: int, kind: Kind = "full") -> bool:
    """Whether the explicit gradients are the cheaper way."""
    cost = block_cost(shape, outputs, kind)
    return shape.positions > 1 and cost["gradients"] < cost["positions"]


def add_terms(
    block: Tensor, left: Sequence[Term], right: Sequence[Term], kind: Kind = "full"
) -> None:
    """Add all layers' parts to a block of the kernel.

    Memory beside the block: two times 128 MB of gradients, or products of a few MB.

    Args:
        block: (n c, m c) of the full kernel, (n, m) of the others; changed in place.
        left, right: the terms at n and at m samples; the same object for a block on the diagonal,
            of which only the upper triangle is right afterwards (`mirror`).
        kind: ``trace`` is the mean over outputs.
    """
    pairs = list(zip(left, right, strict=True))
    if kind == "sum":
        pairs = [_summed(*pair) for pair in pairs]
    if not pairs:
        return
    c = pairs[0][0].pulled.shape[1]
    others = []
    for pair in pairs:
        if takes_gradients(pair[0].shape, c, kind):
            _add_gradients(block, *pair, kind)
        else:
            others.append(pair)
    if others:
        positions = max(first.shape.positions for first, _ in others)
        across = c if kind == "full" else 1
        _add_tiles(block, others, max(1, min(_ROWS // across, _ROWS // positions)), kind)


def _summed(first: Term, second: Term) -> tuple[Term, Term]:
    summed = first.summed()
    return summed, summed if second is first else second.summed()


def _add_gradients(block: Tensor, left: Term, right: Term, kind: Kind) -> None:
    """Add one layer's part by explicit gradients: those of all samples at once where they fit."""
    n, m, c = len(left.pulled), len(right.pulled), left.pulled.shape[1]
    bytes_a_sample = c * left.shape.gradients * block.element_size()
    same = left is right
    size = max(1, int(_GRADIENTS / bytes_a_sample))
    if same and n <= 2 * size:
        size = n

    def gradients(term: Term, rows: slice) -> Tensor:
        found = term.rows(rows).gradients()
        return found.flatten(0, 1) if kind == "full" else found.flatten(1)

    width, scale = (c, 1) if kind == "full" else (1, c)
    for rows in _parts(n, size):
        above = gradients(left, rows)
        for columns in _parts(m, size, rows.start if same else 0):
            on_diagonal = same and columns == rows
            beside = above if on_diagonal else gradients(right, columns)
            for some in _parts(len(above), _ROWS):
                start = some.start if on_diagonal else 0
                tall = slice(rows.start * width + some.start, rows.start * width + some.stop)
                wide = slice(columns.start * width + start, columns.stop * width)
                block[tall, wide] += above[some] @ beside[start:].T / scale


def _parts(count: int, size: int, start: int = 0) -> Iterator[slice]:
    """Slices of at most `size` from `start` to `count`."""
    return (slice(at, min(at + size, count)) for at in range(start, count, size))


def _add_tiles(block: Tensor, pairs: list[tuple[Term, Term]], size: int, kind: Kind) -> None:
    (first, second), *_ = pairs
    same = first is second
    n, m = len(first.pulled), len(second.pulled)
    width = first.pulled.shape[1] if kind == "full" else 1
    for rows in _parts(n, size):
        above = [one.rows(rows) for one, _ in pairs]
        for columns in _parts(m, size, rows.start if same else 0):
            on_diagonal = same and columns == rows
            beside = above if on_diagonal else [other.rows(columns) for _, other in pairs]
            # Contiguous, and all layers while it is in the cache.
            tile = block.new_zeros(
                (rows.stop - rows.start) * width, (columns.stop - columns.start) * width
            )
            for one, other in zip(above, beside, strict=True):
                _add_tile(tile, one, other, kind)
            wide, tall = (slice(s.start * width, s.stop * width) for s in (rows, columns))
            block[wide, tall] += tile


def mirror(kernel: Tensor, size: int = 1024) -> None:
    """Copy the upper triangle to the lower one, in place."""
    for top in range(0, len(kernel), size):
        end = top + size
        square = kernel[top:end, top:end]
        square.copy_(square.triu() + square.triu(1).T)
        kernel[end:, top:end] = kernel[top:end, end:].T


def _add_tile(block: Tensor, left: Term, right: Term, kind: Kind) -> None:
    """Add one layer's part by positions; of the trace and sum kernel the mean over outputs."""
    n, c, t, q = left.pulled.shape
    m = len(right.pulled)
    if kind != "full":
        # (n, T, m, S), the product over outputs and units taken with the Gram matrix
        rows, columns = (each.pulled.transpose(1, 2).flatten(2) for each in (left, right))
        products = (rows.flatten(0, 1) @ columns.flatten(0, 1).T).view(n, t, m, -1)
        block += products.mul_(left.gram(right)).sum((1, 3)) / c
    else:
        gram = left.gram(right)
        for at, beside in product(range(t), range(right.pulled.shape[2])):
            shared = gram[:, at, :, beside]
            if left.vocabulary and not bool(shared.any()):
                continue
            pulled = left.pulled[:, :, at].reshape(n * c, q)
            outer = pulled @ right.pulled[:, :, beside].reshape(m * c, q).T
            # Repeated along columns only: one contiguous row of factors a sample, (n, 1, m c).
            factor = shared.repeat_interleave(c, dim=1)[:, None, :]
            block.view(n, c, m * c).addcmul_(outer.view(n, c, m * c), factor)

"""How far a network has come to the known solution of its task."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_grok.errors import InputError
from lightning_grok.geometry.arrays import Points, finite_array
from lightning_grok.geometry.fourier import (
    fourier_losses,
    inverse_participation,
    key_frequencies,
    means_by_answer,
)
from lightning_grok.geometry.irreps import irrep_losses, isotypic_parts
from lightning_grok.geometry.samples import answer
from lightning_grok.tasks.groups import composition_table


class FourierProgress(NamedTuple):
    """How a network adds.

    Attributes:
        restricted: cross-entropy over all pairs of the mean logits and their part along the
            frequencies; that of the whole logits once the periodic solution is complete.
        excluded: cross-entropy over the training pairs of the logits without that part; log p where
            nothing else is left.
        sum_share: share of the logits' variance over all pairs that a + b alone explains, in
            [0, 1]; 1/p for noise, less where single operands explain much.
        participation: Σ_w s_w² of the shares s of that part's power over frequencies; 1/k for k
            equal ones.
        frequencies: (k,) the frequencies taken, the strongest first.
    """

    restricted: float
    excluded: float
    sum_share: float
    participation: float
    frequencies: np.ndarray


def fourier_progress(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    frequencies: Sequence[int] | None = None,
    count: int = 5,
) -> FourierProgress:
    """Restricted and excluded loss of Nanda et al. (2023), and how periodic the logits are.

    Args:
        model: answers pairs of residues modulo p with p logits.
        inputs: (n, 2) tokens or (n, 2 p) one-hot, pairs trained on.
        labels: (n,) their answers; most are a + b.
        frequencies: the key ones, fixed beforehand; None takes, at each measurement, those with
            most power then: no hindsight, but another set at other epochs. (Nanda et al. took those
            of the end.)
        count: of frequencies that None takes, at most (p - 1) / 2.

    Returns:
        Losses and shares, in float64. Cost: one forward pass of p² pairs, and p² C a frequency.

    Raises:
        InputError: the inputs are no pairs of residues with the answer a + b.
    """
    p = answer(model, inputs[:1]).shape[-1]
    pairs = _pairs(inputs, p)
    matching = (pairs.sum(1) % p == labels).double().mean().item()
    if not matching > 0.5:
        raise InputError(
            f"expected pairs whose answers are their sums modulo {p}, received "
            f"{matching:.0%} of these"
        )
    residues = torch.arange(p, device=inputs.device)
    answers = (residues[:, None] + residues) % p
    logits, trained = _all_logits(model, inputs, pairs, p)
    along = means_by_answer(logits, answers)
    power = torch.fft.rfft(along, dim=0)[1:].abs().square().sum(1)
    shares = power / power.sum()
    keys = list(frequencies) if frequencies else key_frequencies(logits, count)
    losses = fourier_losses(logits, answers, trained, keys)
    return FourierProgress(
        *losses,
        _explained(along, logits),
        float(shares.square().sum()),
        np.array(keys, dtype=float),
    )


def _pairs(inputs: Any, p: int) -> Tensor:
    """(n, 2) residues."""
    if inputs.ndim == 2 and inputs.is_floating_point() and inputs.shape[1] == 2 * p:
        return inputs.unflatten(1, (2, p)).argmax(-1)
    are_tokens = inputs.ndim == 2 and not inputs.is_floating_point() and inputs.shape[1] == 2
    if are_tokens and int(inputs.min()) >= 0 and int(inputs.max()) < p:
        return inputs
    raise InputError(
        f"expected pairs of residues modulo {p}, the number of outputs, as tokens (n, 2) or "
        f"one-hot (n, {2 * p}), received shape {tuple(inputs.shape)}"
    )


def _all_logits(model: nn.Module, inputs: Tensor, pairs: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Logits (n, n, n) of every pair in float64, and which pairs (n, n) are among the given."""
    symbols = torch.arange(n, device=inputs.device)
    everything = torch.cartesian_prod(symbols, symbols)
    if inputs.is_floating_point():
        everything = F.one_hot(everything, n).flatten(1).to(inputs.dtype)
    with torch.no_grad():
        logits = answer(model, everything).double().reshape(n, n, n)
    given = torch.zeros(n, n, dtype=torch.bool, device=inputs.device)
    given[pairs[:, 0], pairs[:, 1]] = True
    return logits, given


def _explained(along: Tensor, logits: Tensor) -> float:
    """Share of the logits' variance over all pairs that the answer alone explains."""
    centered = logits - logits.mean(dim=(0, 1))
    return float(len(along) * (along - along.mean(0)).square().sum() / centered.square().sum())


class IrrepProgress(NamedTuple):
    """How a network composes.

    Attributes:
        restricted, excluded: as of `FourierProgress`, of the strongest parts or of those given.
        product_share: share of the logits' variance over all pairs that the product alone explains.
        participation: Σ s² of the shares s of that part's power over representations.
        kept: number of representations taken for the two losses.
        shares: (k,) of the representations, the trivial one left out.
        dimensions: (k,) of their functions on the group: d², increasing.
    """

    restricted: float
    excluded: float
    product_share: float
    participation: float
    kept: int
    shares: np.ndarray
    dimensions: np.ndarray


def irrep_progress(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    group: str,
    share: float = 0.9,
    parts: Sequence[int] | None = None,
) -> IrrepProgress:
    """Which irreducible representations of a group a network's answers rest on.

    The logits' mean over the pairs of each product is split into the parts that the matrix elements
    of representations span (Chughtai et al. 2023); of a cyclic group these are frequencies, as of
    `fourier_progress`.

    Args:
        model: answers pairs of the n elements with n logits.
        inputs: (m, 2) tokens or (m, 2 n) one-hot, pairs trained on.
        labels: (m,) their products; most are right.
        group: such as ``A5``, as of `lightning_grok.tasks.groups.composition_table`.
        share: of the power: the strongest representations that have so much are taken at each
            measurement, which is no hindsight, but other ones at other epochs, where both losses
            jump.
        parts: the ones to take instead, fixed beforehand, by their place in `shares`.

    Returns:
        Losses and shares, in float64. Cost: one forward pass of n² pairs, and n³.

    Raises:
        InputError: the inputs are no pairs of elements with these products, or the group or a part
            is unknown.
    """
    n = answer(model, inputs[:1]).shape[-1]
    pairs = _pairs(inputs, n)
    table = composition_table(group)
    products = torch.from_numpy(table.answers).to(labels.device)
    right = n == table.symbols and products.reshape(n, n)[pairs[:, 0], pairs[:, 1]] == labels
    if right is False or not right.double().mean() > 0.5:
        raise InputError(
            f"expected pairs of the {table.symbols} elements of {group} and their products, "
            f"received those of another table of {n} answers"
        )
    answers = products.reshape(n, n)
    logits, trained = _all_logits(model, inputs, pairs, n)
    split = isotypic_parts(answers.cpu().numpy())
    along = means_by_answer(logits, answers)
    power = np.array(
        [
            ((torch.from_numpy(each[split.quotients]).to(along)) @ along).square().sum().item()
            for each in split.elements[1:]
        ]
    )
    shares = power / power.sum()
    strongest = shares.argsort()[::-1]
    kept = strongest[: int(np.searchsorted(shares[strongest].cumsum(), share)) + 1].tolist()
    if parts is not None:
        kept = sorted(set(parts))
        if not kept or kept[0] < 0 or kept[-1] >= len(shares):
            raise InputError(f"expected parts from 0 to {len(shares) - 1}, received {parts}")
    losses = irrep_losses(logits, split, answers, trained, [part + 1 for part in kept])
    return IrrepProgress(
        *losses,
        _explained(along, logits),
        float((shares**2).sum()),
        len(kept),
        shares,
        split.dimensions[1:].astype(float),
    )


def residue_participation(weight: Points, modulus: int) -> float:
    """Mean inverse participation ratio of a weight matrix's functions on the residues modulo p.

    Args:
        weight: (m, k p) of a layer that reads one-hot residues, k operands side by side, or
            (p, d), (p + 1, d) of an embedding or a readout, one row a residue (and one for ``=``).
        modulus: p, 3 or more.

    Returns:
        1 where each function has a single frequency, about 4/p for noise; NaN where all are
        constant.

    Raises:
        InputError: no side of the matrix is as long as that.

    >>> wave = np.cos(2 * np.pi * 3 * np.arange(31) / 31)
    >>> round(residue_participation(np.stack([np.r_[wave, 2 * wave]]), 31), 6)
    1.0
    """
    values = finite_array(weight, "weights", 2)
    rows, columns = values.shape
    if columns % modulus == 0:
        functions: Float[np.ndarray, "n p"] = values.reshape(-1, modulus)
    elif rows in (modulus, modulus + 1):
        functions = values[:modulus].T
    else:
        raise InputError(
            f"expected a side of {modulus} residues, received weights of shape {values.shape}"
        )
    found = inverse_participation(functions)
    known = found[np.isfinite(found)]
    return float(known.mean()) if len(known) else float("nan")


def coordinate_mass(weight: Points, first: int) -> float:
    """Share of a matrix's squared entries in its first columns: what reads what decides.

    Args:
        weight: (m, d), a column an input coordinate.
        first: k, the coordinates that decide, 1 to d.

    Returns:
        In [0, 1]; k/d for noise, 1 where nothing else is read. NaN where all entries are 0.

    Raises:
        InputError: `first` is out of range.

    >>> coordinate_mass(np.array([[3.0, 0.0, 4.0]]), 2)
    0.36
    """
    values = finite_array(weight, "weights", 2)
    if not 1 <= first <= values.shape[1]:
        raise InputError(f"expected 1 to {values.shape[1]} coordinates, received {first}")
    squares = (values**2).sum(axis=0)
    return float(squares[:first].sum() / squares.sum()) if squares.any() else float("nan")

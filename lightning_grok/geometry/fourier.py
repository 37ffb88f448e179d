"""Progress measures of modular addition: how periodic weights are, and what rests on it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lightning_grok.geometry.arrays import Labels, Points, as_tensor, finite_array


class PartLosses(NamedTuple):
    """Cross-entropies of logits of which a part is kept, or left out (Nanda et al. 2023).

    Attributes:
        restricted: over all pairs, of the mean logits and the part: falls when it answers alone.
        excluded: over the training pairs, of the logits without that part: rises when training
            answers come to rest on it.
    """

    restricted: float
    excluded: float


def inverse_participation(
    weight: Points,
) -> Float[np.ndarray, " n"]:
    """Σ_q s_q² of each row's shares s of power over the frequencies 1 to p/2 (Doshi et al. 2023).

    Args:
        weight: (n, p), row by row a function on the residues modulo p; the mean is left out.

    Returns:
        (n,): 1 for one frequency, 1/k for k equal ones, about 4/p for noise; NaN for a constant
        row. Cost n p log p.

    Raises:
        ValueError: an entry is not finite, or p < 3.

    >>> residues = np.arange(97)
    >>> inverse_participation(np.cos(2 * np.pi * 5 * residues / 97)[None]).round(6).tolist()
    [1.0]
    """
    values = finite_array(weight, "weights", 2)
    if values.shape[1] < 3:
        raise ValueError(f"expected rows of at least 3 residues, received shape {values.shape}")
    power = np.abs(np.fft.rfft(values, axis=1)[:, 1:]) ** 2
    total = power.sum(axis=1, keepdims=True)
    rounding = values.shape[1] * np.finfo(float).eps
    constant = total <= rounding**2 * (values**2).sum(axis=1, keepdims=True)
    shares = power / np.where(constant, np.nan, total)
    return (shares**2).sum(axis=1)


def key_frequencies(logits: Points, count: int = 5) -> list[int]:
    """The frequencies of a + b with most power in the logits, the strongest first.

    Chosen on a trained network they are hindsight for its earlier epochs: say so where they are
    used there.

    Args:
        logits: (p, p, C) of every pair (a, b).
        count: how many, at most (p - 1) / 2.

    Raises:
        ValueError: the logits are not those of all pairs or not finite, or `count` is out of range.
    """
    coefficients = _coefficients(_of_all_pairs(logits))  # (p, C), complex
    frequencies = (len(coefficients) - 1) // 2
    if not 1 <= count <= frequencies:
        raise ValueError(f"expected 1 to {frequencies} frequencies, received {count}")
    power = coefficients[1 : frequencies + 1].abs().square().sum(dim=1)
    return [int(index) + 1 for index in power.argsort(descending=True)[:count]]


def fourier_losses(
    logits: Points,
    answers: Labels,
    trained: Labels,
    frequencies: Sequence[int],
) -> PartLosses:
    """Restricted loss over all pairs and excluded loss over the training pairs.

    The part along a frequency w is that spanned by cos(2π w (a + b) / p) and
    sin(2π w (a + b) / p), for every logit. Computed in float64; cost p² C for each frequency.

    Args:
        logits: (p, p, C) of every pair (a, b).
        answers: (p, p), the right class of each pair.
        trained: (p, p), whether a pair is trained on.
        frequencies: the key ones, 1 to (p - 1) / 2.

    Raises:
        ValueError: shapes differ, a logit is not finite, a frequency is out of range, or no pair is
            trained on.
    """
    values = _of_all_pairs(logits)
    answers, trained = as_tensor(answers, "answers"), as_tensor(trained, "trained pairs")
    coefficients = _coefficients(values)
    p = len(coefficients)
    if answers.shape != (p, p) or trained.shape != (p, p) or not trained.any():
        raise ValueError(
            f"expected answers and trained pairs ({p}, {p}), received {tuple(answers.shape)} and "
            f"{tuple(trained.shape)} with {int(trained.sum())} trained"
        )
    if not frequencies or min(frequencies) < 1 or max(frequencies) > (p - 1) // 2:
        raise ValueError(f"expected frequencies 1 to {(p - 1) // 2}, received {list(frequencies)}")
    kept = torch.zeros_like(coefficients)
    for frequency in set(frequencies):
        kept[[frequency, -frequency]] = coefficients[[frequency, -frequency]]
    along = torch.fft.ifft(kept, dim=0).real  # (p, C), over a + b
    residues = torch.arange(p, device=values.device)
    part = along[(residues[:, None] + residues) % p]  # (p, p, C)
    return losses_of_part(values, part, answers, trained)


def losses_of_part(
    logits: Float[Tensor, "n n c"], part: Float[Tensor, "n n c"], answers: Tensor, trained: Tensor
) -> PartLosses:
    """Of logits of all pairs and a part of them; `answers` and `trained` as of `fourier_losses`."""
    restricted = logits.mean(dim=(0, 1)) + part
    return PartLosses(
        float(F.cross_entropy(restricted.flatten(0, 1), answers.flatten())),
        float(F.cross_entropy((logits - part)[trained], answers[trained])),
    )


def means_by_answer(logits: Float[Tensor, "n n c"], answers: Tensor) -> Float[Tensor, "n c"]:
    """The logits' mean over the n pairs of each answer: what a network that knows it would say.

    Args:
        logits: (n, n, c), of all pairs.
        answers: (n, n) whole numbers from 0 to n - 1, each of which n pairs have.

    Returns:
        (n, c), an answer a row.
    """
    n, classes = len(logits), logits.shape[2]
    means = logits.new_zeros(n, classes)
    return means.index_add_(0, answers.reshape(-1), logits.reshape(n * n, classes)) / n


def _of_all_pairs(logits: Points) -> Tensor:
    """Logits (p, p, C) in float64."""
    values = as_tensor(logits, "logits").detach().double()
    if values.ndim != 3 or values.shape[0] != values.shape[1] or len(values) < 3:
        raise ValueError(f"expected logits (p, p, C) of all pairs, received {tuple(values.shape)}")
    if not values.isfinite().all():
        raise ValueError("expected finite logits, received NaN or infinity")
    return values


def _coefficients(values: Tensor) -> Tensor:
    """(p, C) discrete Fourier transform of the logits' mean over the pairs of each sum a + b."""
    p = len(values)
    residues = torch.arange(p, device=values.device)
    means = means_by_answer(values, (residues[:, None] + residues) % p)
    return torch.fft.fft(means, dim=0)

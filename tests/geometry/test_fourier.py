"""Fourier progress measures against the analytic solution of modular addition and closed forms."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lightning_grok.geometry.fourier import fourier_losses, inverse_participation, key_frequencies

P = 31


def analytic(frequencies: list[int], strength: float = 5.0) -> torch.Tensor:
    """Logits (p, p, p) Σ_w cos(2π w (a + b - c) / p): right for every pair."""
    a, b, c = torch.meshgrid(*[torch.arange(P)] * 3, indexing="ij")
    angle = 2 * torch.pi * (a + b - c) / P
    return strength * sum(torch.cos(w * angle) for w in frequencies)


@pytest.fixture
def answers() -> torch.Tensor:
    a, b = torch.meshgrid(*[torch.arange(P)] * 2, indexing="ij")
    return (a + b) % P


@pytest.fixture
def trained() -> torch.Tensor:
    return torch.rand(P, P, generator=torch.Generator().manual_seed(0)) < 0.4


@pytest.mark.parametrize("equal", [1, 2, 3])
def test_k_equal_frequencies_have_one_kth(equal: int) -> None:
    angle = 2 * np.pi * np.arange(97) / 97
    row = sum(np.cos(w * angle + w) for w in (5, 11, 40)[:equal])
    assert inverse_participation(np.array([row + 7]))[0] == pytest.approx(1 / equal)


def test_noise_has_that_of_exponential_powers() -> None:
    found = inverse_participation(np.random.default_rng(0).normal(size=(4000, 97)))
    assert found.mean() == pytest.approx(2 / 49, rel=0.02)  # 48 exponential shares: 2 / (48 + 1)


@pytest.mark.parametrize("p", [9, 31, 97, 113, 1009])
def test_a_constant_row_has_none(p: int) -> None:
    assert np.isnan(inverse_participation(np.full((1, p), 3.0))[0])
    wave = 3 + 1e-9 * np.cos(2 * np.pi * 2 * np.arange(p) / p)
    assert inverse_participation(wave[None])[0] == pytest.approx(1, rel=1e-3)


def test_key_frequencies_are_those_of_the_solution() -> None:
    logits = analytic([3]) * 2 + analytic([11]) + analytic([7]) / 2
    assert key_frequencies(logits, 3) == [3, 11, 7]


def test_the_solution_is_all_that_its_frequencies_keep(answers, trained) -> None:
    logits = analytic([3, 11])
    found = fourier_losses(logits, answers, trained, [3, 11])
    whole = F.cross_entropy(logits.double().reshape(-1, P), answers.reshape(-1))
    assert found.restricted == pytest.approx(float(whole), rel=1e-5)
    assert found.excluded == pytest.approx(np.log(P), rel=1e-5)


def test_what_is_memorized_is_excluded_from_neither(answers, trained) -> None:
    memorized = 20.0 * F.one_hot(answers, P) * trained[..., None]
    found = fourier_losses(memorized, answers, trained, [3])
    assert found.excluded < 0.1  # the training pairs don't rest on a frequency
    assert found.restricted > 2  # nor does one frequency answer the others


def test_what_does_not_fit_is_refused(answers, trained) -> None:
    logits = analytic([3])
    for wrong in ([], [0], [16]):
        with pytest.raises(ValueError, match="frequencies"):
            fourier_losses(logits, answers, trained, wrong)
    with pytest.raises(ValueError, match="trained"):
        fourier_losses(logits, answers, trained & False, [3])
    with pytest.raises(ValueError, match="all pairs"):
        key_frequencies(logits[:5])

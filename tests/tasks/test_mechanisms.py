"""Measures of mechanisms at their known end values: the analytic solution of modular addition."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_grok.errors import InputError
from lightning_grok.geometry import isotypic_parts
from lightning_grok.runs.measures import named_measures
from lightning_grok.tasks.groups import composition_table
from lightning_grok.tasks.mechanisms import (
    coordinate_mass,
    fourier_progress,
    irrep_progress,
    residue_participation,
)
from lightning_grok.tasks.networks import EmbeddingMLP, QuadraticMLP
from lightning_grok.tasks.synthetic import SparseParity
from lightning_grok.tasks.tables import ModularArithmetic

P = 13


def analytic(frequencies: list[int], p: int = P) -> QuadraticMLP:
    """Gromov's solution with phases on a grid of three, so that all but a + b - c cancels exactly.

    Neuron (w, i, j) reads cos(2π w a/p + φ_i) + cos(2π w b/p + φ_j) and writes
    cos(2π w c/p + φ_i + φ_j): the logits are 9/2 Σ_w cos(2π w (a + b - c)/p).
    """
    network = QuadraticMLP(2 * p, p, hidden=9 * len(frequencies)).double()
    angle = 2 * math.pi * torch.arange(p).double() / p
    rows, columns = [], []
    for w in frequencies:
        for left in range(3):
            for right in range(3):
                first, second = (2 * math.pi * phase / 3 for phase in (left, right))
                rows.append(torch.cat([(w * angle + first).cos(), (w * angle + second).cos()]))
                columns.append((w * angle + first + second).cos())
    with torch.no_grad():
        network.hidden.weight.copy_(torch.stack(rows))
        network.readout.weight.copy_(torch.stack(columns, dim=1))
    return network


@pytest.mark.parametrize("frequencies", [[2], [1, 5], [1, 3, 4, 6]])
def test_the_analytic_solution_has_the_known_end_values(frequencies: list[int]) -> None:
    network, data = analytic(frequencies), ModularArithmetic(p=P, seed=0)
    (inputs, labels), (held_out, answers) = data.train_samples, data.test_samples
    inputs, held_out = inputs.double(), held_out.double()
    everything, truth = torch.cat([inputs, held_out]), torch.cat([labels, answers])
    logits = network(everything)
    angle = 2 * math.pi * (truth[:, None] - torch.arange(P)).double() / P
    expected = 4.5 * sum((w * angle).cos() for w in frequencies)
    torch.testing.assert_close(logits, expected, atol=1e-9, rtol=0)
    found = fourier_progress(network, inputs, labels, count=len(frequencies))
    whole = F.cross_entropy(logits, truth).item()
    assert sorted(found.frequencies) == frequencies
    assert found.restricted == pytest.approx(whole, rel=1e-9)
    assert found.excluded == pytest.approx(math.log(P), rel=1e-9)
    assert found.sum_share == pytest.approx(1)
    assert found.participation == pytest.approx(1 / len(frequencies))
    assert residue_participation(network.hidden.weight, P) == pytest.approx(1)
    assert residue_participation(network.readout.weight, P) == pytest.approx(1)


def test_frequencies_fixed_beforehand_are_those_used() -> None:
    data = ModularArithmetic(p=P, seed=0)
    inputs, labels = data.train_samples
    found = fourier_progress(analytic([2, 5]), inputs.double(), labels, frequencies=[3])
    assert found.frequencies.tolist() == [3]
    assert found.restricted == pytest.approx(math.log(P), rel=1e-9)  # nothing rests on it


def test_a_fresh_network_rests_on_nothing() -> None:
    torch.manual_seed(0)
    data = ModularArithmetic(p=31, seed=0, encoding="tokens")
    found = fourier_progress(EmbeddingMLP(31, 31), *data.train_samples)
    assert found.sum_share < 1 / 31  # most of what two separate embeddings say is of one operand
    assert found.participation == pytest.approx(1 / 15, rel=0.3)
    assert found.excluded == pytest.approx(math.log(31), rel=0.3)


def test_tokens_and_one_hot_are_the_same_pairs() -> None:
    class OneHot(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return network(F.one_hot(tokens, P).flatten(1).double())

    network = analytic([1, 4])
    (hot, tokens) = (
        ModularArithmetic(p=P, seed=0, encoding=kind).train_samples
        for kind in ("one_hot", "tokens")
    )
    first = fourier_progress(network, hot.images.double(), hot.labels)
    second = fourier_progress(OneHot(), tokens.images, tokens.labels)
    assert first[:4] == second[:4]


def test_other_tasks_are_refused() -> None:
    times = ModularArithmetic(p=P, operation="multiply", seed=0).train_samples
    with pytest.raises(InputError, match="answers are their sums modulo 13, received"):
        fourier_progress(analytic([1]), times.images.double(), times.labels)
    parity = SparseParity(n=8).train_samples
    with pytest.raises(InputError, match=r"of residues modulo 2, .* received shape \(1000, 8"):
        fourier_progress(nn.Linear(8, 2), parity.images, parity.labels)
    with pytest.raises(InputError, match="a side of 7 residues"):
        residue_participation(np.ones((3, 5)), 7)
    for wrong in (0, 41):
        with pytest.raises(InputError, match="expected 1 to 40 coordinates"):
            coordinate_mass(np.ones((3, 40)), wrong)


@pytest.mark.parametrize("shape", [(64, 31), (64, 62), (31, 200), (32, 200)])
def test_noise_uses_all_frequencies(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).normal(size=shape)
    assert residue_participation(noise, 31) == pytest.approx(2 / 16, rel=0.1)


def test_constant_functions_have_no_frequency() -> None:
    assert math.isnan(residue_participation(np.ones((3, 31)), 31))
    assert math.isnan(coordinate_mass(np.zeros((3, 4)), 2))


def test_the_mass_on_what_decides_is_a_share() -> None:
    noise = np.random.default_rng(0).normal(size=(4000, 40))
    assert coordinate_mass(noise, 3) == pytest.approx(3 / 40, rel=0.02)
    noise[:, 3:] = 0
    assert coordinate_mass(noise, 3) == 1


def test_it_is_known_by_name() -> None:
    (measure,) = named_measures("fourier_progress")
    assert measure.function == f"{fourier_progress.__module__}.{fourier_progress.__name__}"


class Character(nn.Module):
    """Answers a, b with a character of A5 at a b c⁻¹, as the known solution does, and noise."""

    def __init__(self, part: int, noise: float = 0.0) -> None:
        super().__init__()
        table = composition_table("A5").answers.reshape(60, 60)
        parts = isotypic_parts(table)
        logits = torch.from_numpy(60 * parts.elements[part][parts.quotients[table]])
        generator = torch.Generator().manual_seed(0)
        self.logits = logits + noise * torch.randn(60, 60, 60, generator=generator)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.logits[pairs[:, 0], pairs[:, 1]]


def test_a_character_is_a_network_of_one_representation() -> None:
    table = composition_table("A5")
    pairs, products = torch.from_numpy(table.pairs), torch.from_numpy(table.answers)
    found = irrep_progress(Character(3), pairs[::2], products[::2], "A5")
    assert found.dimensions.tolist() == [9, 9, 16, 25]
    assert found.shares == pytest.approx([0, 0, 1, 0], abs=1e-12)
    assert (found.participation, found.kept) == (pytest.approx(1), 1)
    assert found.product_share == pytest.approx(1)
    whole = nn.functional.cross_entropy(Character(3)(pairs), products)
    assert found.restricted == pytest.approx(float(whole))
    assert found.excluded == pytest.approx(np.log(60))
    noisy = irrep_progress(Character(3, noise=10.0), pairs[::2], products[::2], "A5")
    variance = 16  # of d χ
    expected = (variance + 100 / 60) / (variance + 100)
    assert noisy.product_share == pytest.approx(expected, rel=0.03)
    with pytest.raises(InputError, match=r"pairs of the 24 elements of S4 .* of 60 answers"):
        irrep_progress(Character(3), pairs, products, "S4")
    with pytest.raises(InputError, match="pairs of the 60 elements of C60"):
        irrep_progress(Character(3), pairs, products, "C60")


def test_representations_fixed_beforehand_are_those_used() -> None:
    table = composition_table("A5")
    pairs, products = torch.from_numpy(table.pairs), torch.from_numpy(table.answers)
    logits = Character(3)(pairs)
    found = irrep_progress(Character(3), pairs, products, "A5", parts=[1])
    assert found.kept == 1
    assert found.restricted == pytest.approx(np.log(60))  # nothing rests on it
    assert found.excluded == pytest.approx(float(F.cross_entropy(logits, products)))
    for wrong in ([], [4], [-1]):
        with pytest.raises(InputError, match="expected parts from 0 to 3, received"):
            irrep_progress(Character(3), pairs, products, "A5", parts=wrong)

"""Spectra of weights against closed forms and known distributions."""

import math

import numpy as np
import pytest
import torch

from lightning_grok.geometry.weight_spectra import (
    marchenko_pastur_edge,
    tail_exponent,
    weight_spectrum,
)


def test_a_power_law_has_its_exponent() -> None:
    # numpy's Pareto a has the density a x^-(a + 1): exponent 3 for a = 2.
    sample = 1 + np.random.default_rng(0).pareto(2, size=2000)
    assert tail_exponent(sample) == pytest.approx(3, abs=0.15)
    assert tail_exponent(5 * sample) == pytest.approx(tail_exponent(sample))


def test_the_tail_begins_where_the_law_does() -> None:
    generator = np.random.default_rng(0)
    bulk, tail = generator.uniform(0, 1, 1000), 1 + generator.pareto(2, 1000)
    assert tail_exponent(np.concatenate([bulk, tail])) == pytest.approx(3, abs=0.25)


def test_few_eigenvalues_have_no_exponent() -> None:
    assert math.isnan(weight_spectrum(np.eye(10)).tail_exponent)


def test_a_diagonal_matrix_has_its_closed_form() -> None:
    found = weight_spectrum(torch.diag(torch.tensor([2.0, 1.0, 1.0, 0.0])))
    assert found.stable_rank == pytest.approx(6 / 4)
    assert found.spectral_norm == pytest.approx(2)
    shares = np.array([4, 1, 1]) / 6
    assert found.entropy == pytest.approx(-(shares * np.log(shares)).sum() / np.log(4))
    assert found.largest_over_rms == pytest.approx(2 / np.sqrt(6 / 16))


def test_random_matrices_end_at_their_edge_and_have_no_trap() -> None:
    for seed in range(5):
        matrix = np.random.default_rng(seed).normal(size=(200, 400))
        edge = marchenko_pastur_edge(400, 200, 1.0)
        assert weight_spectrum(matrix).spectral_norm ** 2 / 400 == pytest.approx(edge, rel=0.05)
        assert weight_spectrum(matrix, seed=seed).traps == 0


def test_structure_is_no_trap_but_huge_entries_are() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(200, 400))
    structured = matrix + 3 * np.outer(generator.normal(size=200), generator.normal(size=400))
    assert weight_spectrum(structured).traps <= 2  # products of normals are heavy, not huge
    matrix[3, 5] = 300
    assert weight_spectrum(matrix).traps == 1
    assert weight_spectrum(matrix).largest_over_rms > 100


@pytest.mark.parametrize("weight", [np.zeros((3, 3)), np.ones(3), np.full((2, 2), np.nan)])
def test_what_is_no_matrix_is_refused(weight: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        weight_spectrum(weight)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e200])
def test_the_scale_is_that_of_the_norm_alone(scale: float) -> None:
    weight = np.random.default_rng(0).normal(size=(60, 55))
    found, expected = weight_spectrum(scale * weight), weight_spectrum(weight)
    assert found.spectral_norm == pytest.approx(scale * expected.spectral_norm)
    assert found._replace(spectral_norm=0) == pytest.approx(expected._replace(spectral_norm=0))

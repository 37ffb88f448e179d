"""Parts of the functions on groups against character tables, translations and Fourier's."""

import numpy as np
import pytest
import torch

from lightning_grok.geometry import fourier_losses, irrep_losses, isotypic_parts
from lightning_grok.tasks.groups import composition_table


def table_of(group: str) -> np.ndarray:
    table = composition_table(group)
    return table.answers.reshape(table.symbols, table.symbols)


@pytest.mark.parametrize(
    ("group", "dimensions"),
    [
        ("C1", [1]),
        ("C6", [1, 1, 2, 2]),
        ("D5", [1, 1, 4, 4]),
        ("D6", [1, 1, 1, 1, 4, 4]),
        ("A4", [1, 2, 9]),  # two of its three of dimension 1 are conjugate
        ("A5", [1, 9, 9, 16, 25]),
        ("S4", [1, 1, 4, 9, 9]),
        ("S5", [1, 1, 16, 16, 25, 25, 36]),
    ],
)
def test_parts_are_those_of_the_regular_representation(group: str, dimensions: list[int]) -> None:
    table = table_of(group)
    parts = isotypic_parts(table)
    assert parts.dimensions.tolist() == dimensions
    projections = parts.elements[:, parts.quotients]
    unit = np.eye(len(table))
    for k, projection in enumerate(projections):
        assert np.linalg.matrix_rank(projection, tol=1e-9) == dimensions[k]
        for other, second in enumerate(projections):
            expected = projection if k == other else 0
            np.testing.assert_allclose(projection @ second, expected + 0 * unit, atol=1e-12)
        for x in range(0, len(table), 7):  # translations leave each part in itself
            for moved in (table[x], table[:, x]):
                shift = unit[moved]
                np.testing.assert_allclose(projection @ shift, shift @ projection, atol=1e-12)
    np.testing.assert_allclose(projections.sum(axis=0), unit, atol=1e-12)
    np.testing.assert_allclose(parts.elements[0], 1 / len(table), atol=1e-12)


def test_the_characters_of_the_symmetric_group_of_four() -> None:
    table = table_of("S4")
    parts = isotypic_parts(table)
    found = {
        tuple(np.unique((24 * e / d**0.5).round(9), return_counts=True)[0].tolist())
        for e, d in zip(parts.elements, parts.dimensions, strict=True)
    }
    assert found == {(1.0,), (-1.0, 1.0), (-1.0, 0.0, 2.0), (-1.0, 0.0, 1.0, 3.0)}
    order = np.array([next(k for k in range(1, 5) if power(table, x, k) == 0) for x in range(24)])
    assert sorted(np.unique(order, return_counts=True)[1].tolist()) == [1, 6, 8, 9]
    of_three = next(e for e, d in zip(parts.elements, parts.dimensions, strict=True) if d == 4)
    assert (2 * 24 / 4 * of_three[order == 3]).round(9).tolist() == [-1.0] * 8


def power(table: np.ndarray, element: int, exponent: int) -> int:
    product = 0
    for _ in range(exponent):
        product = table[product, element]
    return product


def test_of_a_cyclic_group_they_are_frequencies() -> None:
    table = table_of("C11")
    generator = np.random.default_rng(0)
    logits, trained = generator.normal(size=(11, 11, 11)), generator.random((11, 11)) < 0.5
    parts = isotypic_parts(table)
    frequency = np.abs(np.fft.rfft(parts.elements, axis=1)).argmax(axis=1)
    assert sorted(frequency) == [0, 1, 2, 3, 4, 5]
    for keys in ([2], [1, 5]):
        kept = [int(np.flatnonzero(frequency == key)[0]) for key in keys]
        found = irrep_losses(logits, parts, table, trained, kept)
        expected = fourier_losses(logits, table, trained, keys)
        assert found == pytest.approx(expected, rel=1e-12)


def test_logits_that_are_a_character_rest_on_it_alone() -> None:
    table = table_of("A5")
    parts = isotypic_parts(table)
    logits = 60 * parts.elements[3][parts.quotients[table]]  # (a, b, c) at a b c⁻¹
    trained = np.ones((60, 60), dtype=bool)
    found = irrep_losses(logits, parts, table, trained, [3])
    whole = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).flatten(0, 1), torch.from_numpy(table).flatten()
    )
    assert found.restricted == pytest.approx(float(whole), rel=1e-12)
    assert found.excluded == pytest.approx(np.log(60), rel=1e-12)
    others = irrep_losses(logits, parts, table, trained, [1, 2, 4])
    assert others.restricted == pytest.approx(np.log(60), rel=1e-12)
    assert others.excluded == pytest.approx(float(whole), rel=1e-12)


def test_what_is_no_group_is_refused() -> None:
    with pytest.raises(ValueError, match="each element once in a row"):
        isotypic_parts(np.zeros((3, 3), dtype=int))
    with pytest.raises(ValueError, match=r"received shape \(2, 3\)"):
        isotypic_parts(np.zeros((2, 3), dtype=int))
    with pytest.raises(ValueError, match="without an identity"):
        isotypic_parts(np.array([[1, 0, 2], [0, 2, 1], [2, 1, 0]]))
    parts, table = isotypic_parts(table_of("C3")), table_of("C3")
    with pytest.raises(ValueError, match=r"parts from 0 to 1 .* received \[2\]"):
        irrep_losses(np.zeros((3, 3, 3)), parts, table, table >= 0, [2])
    with pytest.raises(ValueError, match=r"\(3, 3\) pairs, received \(2, 2, 2\)"):
        irrep_losses(np.zeros((2, 2, 2)), parts, table, table >= 0, [1])

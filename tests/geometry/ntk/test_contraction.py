"""The weighted sum over samples against the same sum written with all its indices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from lightning_grok.geometry.ntk.contraction import units_of, weighted_gram_sums


def factors(n: int, c: int, p: int, q: int, silent: float) -> tuple[np.ndarray, ...]:
    """Random factors of which a part of the units is silent at each sample, and weights."""
    generator = np.random.default_rng([n, c, p, q])
    left, right = generator.standard_normal((n, c, p)), generator.standard_normal((n, c, q))
    left *= generator.random((n, 1, p)) >= silent
    right *= generator.random((n, 1, q)) >= silent
    root = generator.standard_normal((n, n))
    return left, right, root + root.T


def weighted_gram_sum(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> float:
    return weighted_gram_sums([(units_of(left), units_of(right), weight)])[0]


def expected(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> float:
    products = np.einsum("iap,iaq->ipq", left, right)
    return float(np.einsum("ij,ipq,jpq->", weight, products, products))


@given(
    n=st.integers(1, 70),
    c=st.integers(1, 5),
    p=st.integers(1, 70),
    q=st.integers(1, 9),
    silent=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_any_sizes(n: int, c: int, p: int, q: int, silent: float) -> None:
    left, right, weight = factors(n, c, p, q, silent)
    scale = expected(np.abs(left), np.abs(right), np.abs(weight))
    oracle = pytest.approx(expected(left, right, weight), abs=1e-13 * scale)
    assert weighted_gram_sum(left, right, weight) == oracle
    assert weighted_gram_sum(right, left, weight) == oracle


def test_terms_of_several_sizes_are_kept_apart() -> None:
    cases = [factors(9, 3, p, q, 0.5) for p, q in ((40, 3), (2, 70), (33, 33))]
    terms = [(units_of(left), units_of(right), weight) for left, right, weight in cases]
    assert weighted_gram_sums(terms) == pytest.approx([expected(*case) for case in cases])
    assert weighted_gram_sums([]) == []


def test_single_precision() -> None:
    left, right, weight = factors(150, 10, 40, 30, 0.5)
    found = weighted_gram_sum(left.astype(np.float32), right.astype(np.float32), weight)
    scale = expected(np.abs(left), np.abs(right), np.abs(weight))
    assert found == pytest.approx(expected(left, right, weight), abs=1e-7 * scale)


def test_the_number_of_threads_changes_no_bit() -> None:
    arrays = factors(80, 6, 100, 20, 0.5)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(weighted_gram_sum(*arrays))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]

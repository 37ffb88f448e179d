"""Estimated distances: the image of known vectors, and statistics over seeds."""

import numpy as np
import pytest
import torch
from networks import CASES, case
from reference import distance, explicit_ntk

from lightning_grok.geometry import kernel_sketch, sketched_kernel_distance
from lightning_grok.geometry.ntk.sketch import KernelSketch, signs

NAME = "modular transformer"


@pytest.fixture(scope="module")
def kernels() -> list[torch.Tensor]:
    return [explicit_ntk(case(NAME, seed)) for seed in range(2)]


def sketches(probes: int, seed: int) -> list[KernelSketch]:
    pair = [case(NAME, number) for number in range(2)]
    return [kernel_sketch(each.model, each.inputs, probes=probes, seed=seed) for each in pair]


@pytest.mark.parametrize("name", CASES)
def test_the_image_is_the_kernel_times_signs(name: str) -> None:
    given = case(name)
    kernel = explicit_ntk(given)
    sketch = kernel_sketch(given.model, given.inputs, probes=3, seed=4, output=given.output)
    n, c = 5, len(kernel) // 5
    expected = kernel @ signs(n, c, 3, 4).double().flatten(0, 1)
    torch.testing.assert_close(sketch.image, expected, rtol=1e-10, atol=1e-10 * float(kernel.max()))


def test_signs_are_fair_and_their_own() -> None:
    found = signs(20, 5, 400, 0)
    assert set(found.unique().tolist()) == {-1.0, 1.0}
    rows = found.flatten(0, 1)
    # 4,950 products of rows over 400 columns: standard error 1/20 each.
    products = (rows @ rows.T / 400).triu(1)
    assert float(products.square().sum() / 4950) == pytest.approx(1 / 400, rel=0.1)
    assert not torch.equal(signs(20, 5, 400, 1), found)


def estimates(kernels: list[torch.Tensor], probes: int, seeds: int) -> np.ndarray:
    """From sketches of whole kernels, which are the same as those of networks, and quicker."""
    found = []
    for seed in range(seeds):
        vectors = signs(5, 7, probes, seed).double().flatten(0, 1)
        pair = (KernelSketch(kernel @ vectors, seed) for kernel in kernels)
        found.append(sketched_kernel_distance(*pair))
    return np.array(found)


def test_it_converges_to_the_exact_distance_as_its_error_says(
    kernels: list[torch.Tensor],
) -> None:
    exact = distance(*kernels)
    errors = {}
    for probes in (32, 512):
        found = estimates(kernels, probes, seeds=60)
        deviation = found[:, 0] - exact
        errors[probes] = np.sqrt(np.mean(deviation**2))
        assert np.mean(np.abs(deviation) < 2 * found[:, 1]) > 0.85
        assert np.mean(found[:, 1]) == pytest.approx(errors[probes], rel=0.35)
    # Sixteen times the probes, a quarter of the error; of 60 seeds it is known to a tenth.
    assert errors[512] == pytest.approx(errors[32] / 4, rel=0.4)


def test_a_kernel_and_itself_or_a_multiple() -> None:
    first, again = sketches(8, 1)[0], sketches(8, 1)[0]
    assert torch.equal(first.image, again.image)
    assert sketched_kernel_distance(first, again) == pytest.approx((0, 0), abs=1e-12)
    scaled = type(first)(-3 * first.image, first.seed)
    assert sketched_kernel_distance(first, scaled).estimate == pytest.approx(2)
    assert not torch.equal(sketches(8, 2)[0].image, first.image)


def test_only_sketches_of_the_same_probes_compare() -> None:
    first = sketches(4, 0)[0]
    for other in (sketches(4, 1)[0], sketches(5, 0)[0]):
        with pytest.raises(ValueError, match="sketches of the same probes"):
            sketched_kernel_distance(first, other)
    with pytest.raises(ValueError, match="at least two probes, received 1"):
        sketches(1, 0)
    for value, message in ((0.0, "not zero"), (torch.nan, "finite sketches")):
        spoilt = type(first)(torch.full_like(first.image, value), first.seed)
        with pytest.raises(ValueError, match=message):
            sketched_kernel_distance(first, spoilt)

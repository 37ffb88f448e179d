"""Estimated distances: the image of known vectors, and statistics over seeds."""

import numpy as np
import pytest
import torch
from reference import distance, explicit_ntk

from lightning_grok.geometry import kernel_sketch, ntk_factors, sketched_kernel_distance
from lightning_grok.geometry.ntk.factors import NTKFactors
from lightning_grok.tasks.mlp import MLP


@pytest.fixture(scope="module")
def models() -> list[MLP]:
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        found.append(MLP(5, (12, 10), 6, weight_scale=5).double())
    return found


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(9, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.fixture(scope="module")
def kernels(models: list[MLP], inputs: torch.Tensor) -> list[torch.Tensor]:
    return [explicit_ntk(model, inputs) for model in models]


@pytest.fixture(scope="module")
def factors(models: list[MLP], inputs: torch.Tensor) -> list[NTKFactors]:
    return [ntk_factors(model, inputs) for model in models]


def test_the_image_is_the_kernel_times_signs(
    factors: list[NTKFactors], kernels: list[torch.Tensor]
) -> None:
    probes = 54  # as many as rows, so that the signs can be found from one kernel
    images = [kernel_sketch(each, probes=probes, seed=4).image for each in factors]
    ridge = torch.linalg.lstsq(torch.cat(kernels), torch.cat(images)).solution
    for kernel, image in zip(kernels, images, strict=True):
        torch.testing.assert_close(kernel @ ridge, image, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ridge.abs(), torch.ones_like(ridge), rtol=0, atol=1e-6)
    assert abs(float(ridge.sign().mean())) < 4 / 54  # 2,916 signs: 4 standard errors


def estimates(factors: list[NTKFactors], probes: int, seeds: int) -> np.ndarray:
    return np.array(
        [
            sketched_kernel_distance(
                *(kernel_sketch(each, probes=probes, seed=seed) for each in factors)
            )
            for seed in range(seeds)
        ]
    )


def test_it_converges_to_the_exact_distance_as_its_error_says(
    factors: list[NTKFactors], kernels: list[torch.Tensor]
) -> None:
    exact = distance(*kernels)
    errors = {}
    for probes in (32, 512):
        found = estimates(factors, probes, seeds=60)
        deviation = found[:, 0] - exact
        errors[probes] = np.sqrt(np.mean(deviation**2))
        assert np.mean(np.abs(deviation) < 2 * found[:, 1]) > 0.85
        assert np.mean(found[:, 1]) == pytest.approx(errors[probes], rel=0.35)
    # Sixteen times the probes, a quarter of the error; of 60 seeds it is known to a tenth.
    assert errors[512] == pytest.approx(errors[32] / 4, rel=0.4)


def test_a_kernel_and_itself_or_a_multiple(factors: list[NTKFactors]) -> None:
    first = kernel_sketch(factors[0], seed=1)
    again = kernel_sketch(factors[0], seed=1)
    assert torch.equal(first.image, again.image)
    assert sketched_kernel_distance(first, again) == pytest.approx((0, 0), abs=1e-12)
    scaled = type(first)(-3 * first.image, first.seed)
    assert sketched_kernel_distance(first, scaled).estimate == pytest.approx(2)
    assert not torch.equal(kernel_sketch(factors[0], seed=2).image, first.image)


def test_a_network_of_one_linear_layer(inputs: torch.Tensor) -> None:
    """Its only Jacobian is a diagonal."""
    model = torch.nn.Linear(5, 6).double()
    image = kernel_sketch(ntk_factors(model, inputs), probes=3).image
    # K = (X Xᵀ + 1) ⊗ I: outputs don't mix.
    signs = torch.linalg.lstsq(inputs @ inputs.T + 1, image.view(9, -1)).solution
    torch.testing.assert_close((inputs @ inputs.T + 1) @ signs, image.view(9, -1))


def test_only_sketches_of_the_same_probes_compare(factors: list[NTKFactors]) -> None:
    first = kernel_sketch(factors[0], probes=4)
    for other in (kernel_sketch(factors[0], probes=4, seed=1), kernel_sketch(factors[0], probes=5)):
        with pytest.raises(ValueError, match="sketches of the same probes"):
            sketched_kernel_distance(first, other)
    with pytest.raises(ValueError, match="at least two probes, received 1"):
        kernel_sketch(factors[0], probes=1)
    for value, message in ((0.0, "not zero"), (torch.nan, "finite sketches")):
        spoilt = type(first)(torch.full_like(first.image, value), first.seed)
        with pytest.raises(ValueError, match=message):
            sketched_kernel_distance(first, spoilt)

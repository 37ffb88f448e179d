"""Sparse parity and the XOR cluster: their rule, their sizes, what they refuse."""

import pytest
import torch

from lightning_grok.errors import InputError
from lightning_grok.tasks.synthetic import SparseParity, XorCluster


@pytest.mark.parametrize("k", [1, 3, 12])
def test_the_class_is_the_parity_of_the_first_k(k: int) -> None:
    data = SparseParity(n=12, k=k, train_size=500, test_size=300, seed=0)
    for samples, size in ((data.train_samples, 500), (data.test_samples, 300)):
        assert samples.images.shape == (size, 12)
        assert samples.images.abs().eq(1).all()
        assert torch.equal(samples.images[:, :k].prod(1).gt(0).long(), samples.labels)
    assert not torch.equal(data.train_samples.images[:300], data.test_samples.images)


def test_the_cluster_has_two_signs_and_small_noise() -> None:
    inputs, labels = XorCluster(n=50, noise=0.05, train_size=400, seed=0).train_samples
    assert torch.equal((inputs[:, 0] * inputs[:, 1] > 0).long(), labels)
    assert inputs[:, :2].abs().eq(1).all()
    assert torch.allclose(inputs[:, 2:].abs(), torch.tensor(0.05))


@pytest.mark.parametrize(
    "options",
    [{"k": 0}, {"k": 41}, {"n": 0}, {"train_size": 0}, {"test_size": 0}, {"n": 10**9, "k": 1}],
)
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="expected"):
        SparseParity(**options)

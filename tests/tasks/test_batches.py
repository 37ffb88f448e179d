import pytest
import torch

from lightning_grok.tasks.batches import BatchLoader, EpochSampler
from lightning_grok.tasks.datasets import Samples


@pytest.fixture
def samples():
    return Samples(torch.arange(30.0).reshape(10, 1, 1, 3), torch.arange(10))


def labels_of(loader):
    return [labels.tolist() for _, labels in loader]


def test_in_order_every_row_once_the_last_batch_partial(samples):
    loader = BatchLoader(samples, 4)
    assert labels_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3


def test_in_order_nothing_is_copied(samples):
    inputs = [inputs for inputs, _ in BatchLoader(samples, 4)]
    assert inputs[1].data_ptr() == samples.images[4:].data_ptr()


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 11])
def test_shuffled_every_row_once_with_its_own_input(samples, batch_size):
    loader = BatchLoader(samples, batch_size, EpochSampler(10, seed=0))
    batches = list(loader)
    assert len(batches) == len(loader)
    labels = torch.cat([labels for _, labels in batches])
    inputs = torch.cat([inputs for inputs, _ in batches])
    assert sorted(labels.tolist()) == list(range(10))
    assert torch.equal(inputs, samples.images[labels])
    assert all(len(labels) == batch_size for _, labels in batches[:-1])


def test_the_order_is_a_function_of_seed_and_epoch(samples):
    def order(seed, epoch):
        sampler = EpochSampler(10, seed)
        sampler.set_epoch(epoch)
        return tuple(torch.cat([labels for _, labels in BatchLoader(samples, 4, sampler)]).tolist())

    assert order(3, 5) == order(3, 5)
    assert len({order(seed, epoch) for seed in range(4) for epoch in range(4)}) == 16


def test_the_epoch_counts_when_the_first_batch_is_asked_for(samples):
    sampler = EpochSampler(10, seed=0)
    loader = BatchLoader(samples, 10, sampler)
    sampler.set_epoch(7)
    expected = labels_of(loader)
    sampler.set_epoch(0)
    begun = iter(loader)  # as Lightning does on resume
    sampler.set_epoch(7)
    assert labels_of(begun) == expected


def test_the_sampler_is_an_ordinary_one():
    sampler = EpochSampler(10, seed=0)
    assert list(sampler) == sampler.order().tolist()
    assert len(sampler) == 10

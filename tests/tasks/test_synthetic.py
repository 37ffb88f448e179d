"""Made data: their rule, their sizes, what they refuse."""

import pytest
import torch

from lightning_grok.errors import InputError
from lightning_grok.tasks.synthetic import SparseParity, TeacherStudent, XorCluster


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


def test_a_teacher_answers_both_sets_alike_and_every_class() -> None:
    """A student of another kind, the nearest neighbor, learns its answers."""
    data = TeacherStudent(n=2, hidden=8, classes=3, train_size=4000, test_size=1000, seed=3)
    assert data.dataset_name == "teacher 2-8-3"
    train, test = data.train_samples, data.test_samples
    for samples in (train, test):
        assert samples.images.dtype == torch.float32
        assert samples.labels.bincount(minlength=3).min() > len(samples.labels) / 20
    nearest = torch.cdist(test.images, train.images).argmin(1)
    assert (train.labels[nearest] == test.labels).float().mean() > 0.95
    again = TeacherStudent(n=2, hidden=8, classes=3, train_size=4000, test_size=1000, seed=3)
    assert torch.equal(again.train_samples.labels, train.labels)
    other = TeacherStudent(n=2, hidden=8, classes=3, train_size=4000, test_size=1000, seed=4)
    assert not torch.equal(other.train_samples.labels, train.labels)
    with pytest.raises(InputError, match=r"data.classes of 2 to 1,000, received 1"):
        TeacherStudent(classes=1)
    with pytest.raises(InputError, match=r"at most 10\^9 numbers"):
        TeacherStudent(n=10**7)

import numpy as np
import pytest
import torch

from lightning_grok.errors import InputError
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.reference_set import ReferenceSet, Transfer

NAMES = ("a", "b", "c", "d")


def numbered(labels):
    """Samples whose every pixel is the row's number."""
    labels = torch.tensor(labels)
    images = torch.arange(float(len(labels))).reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    return Samples(images, labels)


def rows_of(inputs):
    return inputs[:, 0, 0, 0].int().tolist()


@pytest.fixture
def probe():
    digits = torch.zeros(1, 1, 28, 28)
    transfer = Transfer(digits, digits, torch.zeros(1).long(), "MNIST", False, True)
    test_labels = np.random.default_rng(0).permutation([0] * 9 + [1] * 5 + [2] * 7 + [3] * 20)
    return ReferenceSet(
        numbered([3, 1, 1, 0, 2, 3]), numbered(test_labels.tolist()), transfer, NAMES
    )


class TestKernelInputs:
    def test_training_images_are_the_first_rows(self, probe):
        inputs, labels = probe.kernel_inputs(4, "train", seed=99)
        assert rows_of(inputs) == [0, 1, 2, 3]
        assert labels.tolist() == [3, 1, 1, 0]

    def test_test_images_are_drawn_by_the_seed(self, probe):
        inputs, labels = probe.kernel_inputs(12, "test", seed=0)
        rows = rows_of(inputs)
        assert len(set(rows)) == 12
        assert torch.equal(labels, probe.test.labels[rows])
        assert rows == rows_of(probe.kernel_inputs(12, "test", seed=0)[0])
        assert rows != rows_of(probe.kernel_inputs(12, "test", seed=1)[0])

    @pytest.mark.parametrize("samples", [0, 7])
    def test_more_than_there_are(self, probe, samples):
        with pytest.raises(InputError, match=f"1 to 6 samples .* train .*received {samples}"):
            probe.kernel_inputs(samples)

    def test_unknown_split(self, probe):
        with pytest.raises(InputError, match="train or test, received 'validation'"):
            probe.kernel_inputs(2, "validation")


class TestManifoldPoints:
    @pytest.mark.parametrize(("per_class", "taken"), [(3, 3), (5, 5), (200, 5)])
    def test_every_class_has_as_many_up_to_the_smallest(self, probe, per_class, taken):
        inputs, labels = probe.manifold_points("test", per_class)
        assert labels.tolist() == [label for label in range(4) for _ in range(taken)]
        assert len(set(rows_of(inputs))) == 4 * taken
        assert torch.equal(labels, probe.test.labels[rows_of(inputs)])

    def test_they_are_drawn_by_the_seed(self, probe):
        rows = rows_of(probe.manifold_points(per_class=4)[0])
        assert rows == rows_of(probe.manifold_points(per_class=4)[0])
        assert rows != rows_of(probe.manifold_points(per_class=4, seed=1)[0])

    def test_training_images(self, probe):
        assert probe.manifold_points("train", 20)[1].tolist() == [0, 1, 2, 3]

    def test_a_class_without_images(self, probe):
        bare = probe._replace(train=numbered([0, 0, 2]))
        with pytest.raises(InputError, match="among the 3 of train, received none of b, d"):
            bare.manifold_points("train")

    def test_no_image_asked_for(self, probe):
        with pytest.raises(InputError, match="at least 1 sample a class, received 0"):
            probe.manifold_points(per_class=0)


class TestEmbeddingPoints:
    def test_the_first_classes_share_the_count(self, probe):
        assert probe.embedding_points(9, classes=3)[1].tolist() == [0] * 3 + [1] * 3 + [2] * 3

    def test_chosen_classes(self, probe):
        inputs, labels = probe.embedding_points(100, classes=[3, 0])
        assert labels.tolist() == [3] * 9 + [0] * 9
        assert torch.equal(labels, probe.test.labels[rows_of(inputs)])

    @pytest.mark.parametrize("classes", [0, [], [4], [-1]])
    def test_unknown_classes(self, probe, classes):
        with pytest.raises(InputError, match="classes of the 4 that there are"):
            probe.embedding_points(10, classes)

    def test_fewer_images_than_classes(self, probe):
        with pytest.raises(InputError, match="at least 1 sample a class"):
            probe.embedding_points(3, classes=4)

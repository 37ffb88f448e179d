import itertools
import logging
import os
from pathlib import Path

import idx_files
import lightning as L
import pytest
import torch
from jsonargparse import ArgumentParser
from own_training import QUIET

from lightning_grok.errors import InputError
from lightning_grok.tasks import download as downloads
from lightning_grok.tasks.datasets import embedded_digits, emnist, missing_files, to_inputs
from lightning_grok.tasks.images import GrokData

NOWHERE = "http://127.0.0.1:9/gzip.zip"  # the discard port: refused at once


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(downloads, "EMNIST", (NOWHERE, "0" * 32))
    monkeypatch.setattr(downloads, "MIRRORS", [NOWHERE])
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)


@pytest.fixture
def root(tmp_path):
    """Synthetic EMNIST and MNIST."""
    idx_files.write(tmp_path / "EMNIST" / "raw", idx_files.emnist_files())
    idx_files.write(tmp_path / "MNIST" / "raw", idx_files.mnist_files())
    return str(tmp_path)


@pytest.fixture
def said(caplog):
    """What is printed for the user, line by line."""
    caplog.set_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero")
    return lambda: "\n".join(record.getMessage() for record in caplog.records).splitlines()


class Recorder(L.LightningModule):
    """Notes the labels and an image's pixel of every batch it sees, by epoch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(784, 47)
        self.seen, self.validated = {}, {}

    def training_step(self, batch, batch_idx):
        images, labels = batch
        self.seen.setdefault(self.current_epoch, []).append((labels.tolist(), images.sum().item()))
        return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.validated.setdefault(dataloader_idx, []).append(batch[1])

    def test_step(self, batch, batch_idx):
        self.validated.setdefault("test", []).append(batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, epochs, **options):
    settings = QUIET | {"logger": False, "num_sanity_val_steps": 0, "default_root_dir": folder}
    return L.Trainer(max_epochs=epochs, **settings | options)


def fitted(folder, data, epochs, checkpoint=None, **options):
    recorder = Recorder()
    fit = trainer(folder, epochs, **options)
    fit.fit(recorder, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return recorder, fit


class TestTraining:
    def test_two_epochs_see_every_image_once_each_in_new_order(self, root, tmp_path):
        data = GrokData(root=root, train_size=150, batch_size=64)
        recorder, _ = fitted(tmp_path, data, 2)
        expected = sorted(emnist_labels(root)[:150])
        for epoch in (0, 1):
            batches = [labels for labels, _ in recorder.seen[epoch]]
            assert [len(labels) for labels in batches] == [64, 64, 22]
            assert sorted(itertools.chain(*batches)) == expected
        assert recorder.seen[0] != recorder.seen[1]

    def test_validation_sees_the_whole_training_subset_then_the_whole_test_set(
        self, root, tmp_path
    ):
        data = GrokData(root=root, train_size=150, eval_batch_size=40)
        recorder, _ = fitted(tmp_path, data, 1)
        data.setup("fit")
        train, test = data.reference_set.train, data.reference_set.test
        assert torch.equal(torch.cat(recorder.validated[0]), train.labels)
        assert torch.equal(torch.cat(recorder.validated[1]), test.labels)

    def test_the_test_command_sees_the_test_set(self, root, tmp_path):
        recorder = Recorder()
        data = GrokData(root=root, train_size=150)
        trainer(tmp_path, 1).test(recorder, datamodule=data, verbose=False)
        assert torch.equal(torch.cat(recorder.validated["test"]), data.reference_set.test.labels)

    def test_a_resumed_run_sees_the_batches_of_an_unbroken_one(self, root, tmp_path):
        def data():
            return GrokData(root=root, train_size=150, batch_size=64, seed=5)

        unbroken, _ = fitted(tmp_path, data(), 4)
        _, first = fitted(tmp_path, data(), 2)
        first.save_checkpoint(tmp_path / "two.ckpt")
        second, _ = fitted(tmp_path, data(), 4, tmp_path / "two.ckpt")
        assert second.seen == {epoch: unbroken.seen[epoch] for epoch in (2, 3)}

    def test_overfit_batches_are_the_same_every_epoch(self, root, tmp_path):
        data = GrokData(root=root, train_size=150, batch_size=64)
        recorder, _ = fitted(tmp_path, data, 2, overfit_batches=2)
        assert len(recorder.seen[0]) == 2
        assert recorder.seen[0] == recorder.seen[1]

    def test_several_processes_are_refused(self, root, tmp_path):
        data = GrokData(root=root, train_size=150)
        data.trainer = trainer(tmp_path, 1, devices=2, strategy="ddp_spawn")
        with pytest.raises(InputError, match=r"one training process .*received 2"):
            data.setup("fit")


def emnist_labels(root):
    path = Path(root) / "EMNIST" / "raw" / "emnist-balanced-train-labels-idx1-ubyte"
    return list(path.read_bytes()[8:])


class TestSettings:
    def test_sizes_are_known_before_anything_is_loaded(self, root):
        data = GrokData(root=root, train_size=150)
        assert (data.num_classes, data.in_features, data.train_size) == (47, 784, 150)
        assert data.dataset_name == "EMNIST balanced"
        assert data.class_names == emnist().class_names

    def test_upright_is_the_transpose_of_what_is_stored(self, root):
        def images(orientation):
            return GrokData(root=root, train_size=9, orientation=orientation).reference_set

        stored, upright = images("stored"), images("upright")
        for part in ("train", "test"):
            expected = stored.part(part).images.transpose(-1, -2)
            assert torch.equal(upright.part(part).images, expected)

    def test_mnist_is_upright_either_way(self, root):
        def images(orientation):
            data = GrokData("mnist", root=root, train_size=9, orientation=orientation)
            return data.reference_set.test.images

        assert torch.equal(images("stored"), images("upright"))

    def test_normalization(self, root):
        plain = GrokData(root=root, train_size=9, normalization=None).reference_set.train.images
        scaled = GrokData(
            root=root, train_size=9, normalization=(0.5, 0.25)
        ).reference_set.train.images
        assert plain.min() >= 0
        assert plain.max() <= 1
        torch.testing.assert_close(scaled, (plain - 0.5) / 0.25)

    def test_permuted_labels_leave_images_and_test_labels_alone(self, root):
        true = GrokData(root=root, train_size=150).reference_set
        false = GrokData(root=root, train_size=150, permute_fraction=1.0).reference_set
        assert torch.equal(true.train.images, false.train.images)
        assert torch.equal(true.test.labels, false.test.labels)
        assert (true.train.labels != false.train.labels).float().mean() > 0.9
        assert torch.equal(true.train.labels.sort().values, false.train.labels.sort().values)

    def test_which_labels_are_permuted_says_nothing_of_the_subset(self, root):
        """Streams of their own: with one stream they would be the rows that were drawn first."""
        options = {"root": root, "train_size": 200}  # all rows, so that both draw 200 numbers
        stored = GrokData(**options).reference_set.train.images
        plain = GrokData(**options, subset="random").reference_set.train
        permuted = GrokData(**options, subset="random", permute_fraction=0.5).reference_set.train
        rows = [int((stored == image).flatten(1).all(1).nonzero()) for image in plain.images]
        changed = (plain.labels != permuted.labels).nonzero().flatten()
        assert len(changed) > 90
        # With one stream all of them are; of others a half, give or take 0.04.
        assert torch.isin(changed, torch.tensor(rows[:100])).float().mean() < 0.7

    def test_the_seed_is_the_runs_unless_one_is_given(self, root, monkeypatch):
        def rows(seed):
            data = GrokData(root=root, train_size=50, subset="random", seed=seed)
            return data.reference_set.train.labels.tolist()

        assert rows(None) == rows(0)
        monkeypatch.setenv("PL_GLOBAL_SEED", "3")
        assert rows(None) == rows(3) != rows(0)

    def test_a_training_set_larger_than_the_files(self, root):
        with pytest.raises(InputError, match="from 1 to 200, received 201"):
            GrokData(root=root, train_size=201).setup("fit")

    def test_a_root_from_the_environment(self, root, monkeypatch):
        monkeypatch.setenv("LIGHTNING_GROK_DATA", root)
        assert GrokData(download=False, fallback=None).dataset_name == "EMNIST balanced"

    def test_the_command_line_reads_every_setting(self, root):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(GrokData, "data")
        arguments = [f"--data.root={root}", "--data.train_size=9", "--data.normalization=null"]
        arguments += ["--data.fallback=null", "--data.orientation=upright", "--data.seed=4"]
        data = parser.instantiate_classes(parser.parse_args(arguments)).data
        assert (data.normalization, data.fallback, data.seed) == (None, None, 4)
        data = parser.instantiate_classes(parser.parse_args(["--data.normalization=[0.1,0.3]"]))
        assert data.data.normalization == (0.1, 0.3)


class TestFallback:
    def test_it_is_told_and_named(self, tmp_path, said):
        data = GrokData(root=str(tmp_path), train_size=1000)
        assert data.num_classes == 10
        assert data.dataset_name == "embedded digits"
        fetched, missing, remedy, goes_on = said()
        assert fetched.startswith(f"Downloading {NOWHERE}")
        assert f"EMNIST balanced is not in {tmp_path}/EMNIST/raw (4 of 4 files" in missing
        assert f"the download failed: {NOWHERE} can't be reached" in missing
        assert "put emnist-balanced-train-images-idx3-ubyte" in remedy
        assert "LIGHTNING_GROK_DATA" in remedy
        assert "configs/digits.yaml" in goes_on

    def test_it_is_told_once(self, tmp_path, said):
        data = GrokData(root=str(tmp_path), download=False)
        data.prepare_data()
        data.setup("fit")
        assert len(said()) == 3
        assert "data.download is off" in said()[0]

    def test_only_the_data_change(self, tmp_path):
        probe = GrokData(root=str(tmp_path), train_size=77, download=False).reference_set
        expected = to_inputs(embedded_digits("train").images[:77], (0.1307, 0.3081))
        assert torch.equal(probe.train.images, expected)
        assert len(probe.test.labels) == 1000

    def test_without_it_missing_data_are_an_error(self, tmp_path):
        data = GrokData(root=str(tmp_path), fallback=None)
        with pytest.raises(
            InputError, match=r"EMNIST balanced is not in .*download failed"
        ) as said:
            _ = data.num_classes
        assert "\n" not in str(said.value)

    def test_more_than_the_embedded_digits(self, tmp_path):
        data = GrokData(root=str(tmp_path), train_size=5000, download=False)
        with pytest.raises(InputError, match=r"at most 4000 .*stand in for EMNIST.*received 5000"):
            _ = data.num_classes

    def test_a_damaged_file_is_an_error_all_the_same(self, root):
        path = Path(root) / "EMNIST" / "raw" / "emnist-balanced-test-images-idx3-ubyte"
        path.write_bytes(path.read_bytes()[:-1])
        data = GrokData(root=root, train_size=9)
        with pytest.raises(InputError, match=f"{path}.*not whole"):
            data.setup("fit")

    def test_a_root_that_cant_be_written_is_an_error_all_the_same(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="writable"):
            GrokData(root=str(tmp_path / "file")).prepare_data()


class TestReferenceSet:
    def test_it_does_not_depend_on_the_runs_seed(self, root):
        one = GrokData(root=root, train_size=60, seed=0).reference_set
        other = GrokData(root=root, train_size=60, seed=1).reference_set
        for method in ("kernel_inputs", "manifold_points", "embedding_points"):
            options = {"samples": 20} if method == "kernel_inputs" else {}
            for mine, its in zip(
                getattr(one, method)(**options), getattr(other, method)(**options), strict=True
            ):
                assert torch.equal(mine, its)

    @pytest.mark.parametrize("orientation", ["stored", "upright"])
    def test_transfer_to_mnist_in_both_orientations(self, root, orientation):
        data = GrokData(root=root, train_size=9, orientation=orientation)
        transfer = data.reference_set.transfer
        digits = torch.frombuffer(
            bytearray(idx_files.mnist_files()["t10k-images-idx3-ubyte"][16:]), dtype=torch.uint8
        ).reshape(-1, 28, 28)
        assert torch.equal(transfer.stored, to_inputs(digits, (0.1307, 0.3081)))
        turned = transfer.stored.transpose(-1, -2)
        assert torch.equal(transfer.matched, turned if orientation == "stored" else transfer.stored)
        assert (transfer.name, transfer.same_distribution) == ("MNIST", False)
        assert transfer.digits_are_classes

    def test_without_mnist_all_embedded_digits_take_its_place(self, root, said):
        for path in (Path(root) / "MNIST" / "raw").iterdir():
            path.unlink()
        transfer = GrokData(root=root, train_size=9, download=False).reference_set.transfer
        assert (transfer.name, transfer.same_distribution) == ("embedded digits", False)
        assert len(transfer.labels) == 5000
        assert said()[-1].endswith("The linear probe takes the embedded digits.")

    def test_a_locked_folder_that_lacks_only_mnist_is_enough(self, root):
        folder = Path(root) / "MNIST"
        for path in (folder / "raw").iterdir():
            path.unlink()
        (folder / "raw").rmdir()
        folder.rmdir()
        folder.touch()  # no folder can be made here
        assert GrokData(root=root, train_size=9).reference_set.transfer.name == "embedded digits"

    def test_on_the_embedded_digits_the_probe_sees_no_training_image(self, tmp_path):
        data = GrokData("digits", root=str(tmp_path), train_size=4000)
        probe = data.reference_set
        assert probe.transfer.same_distribution
        trained = {image.numpy().tobytes() for image in probe.train.images}
        assert not trained & {image.numpy().tobytes() for image in probe.transfer.stored}
        assert torch.equal(probe.transfer.matched, probe.transfer.stored)

    def test_mnist_transfers_to_its_own_distribution(self, root):
        transfer = GrokData("mnist", root=root, train_size=9).reference_set.transfer
        assert (transfer.name, transfer.same_distribution) == ("MNIST", True)

    def test_the_letters_have_no_class_for_a_digit(self, root):
        files = idx_files.emnist_files("letters", 26, first=1)
        idx_files.write(Path(root) / "EMNIST" / "raw", files)
        data = GrokData(split="letters", root=root, train_size=9)
        assert not data.reference_set.transfer.digits_are_classes


def test_the_real_sample():
    root = os.environ.get("LIGHTNING_GROK_DATA")
    if not root or missing_files(emnist(), Path(root)):
        pytest.skip("needs EMNIST balanced below LIGHTNING_GROK_DATA")
    probe = GrokData(root=root, fallback=None, download=False).reference_set
    assert probe.train.images.shape == (1000, 1, 28, 28)
    labels = probe.manifold_points()[1]
    assert torch.equal(labels, torch.arange(47).repeat_interleave(200))
    assert len(probe.embedding_points()[1]) == 2000

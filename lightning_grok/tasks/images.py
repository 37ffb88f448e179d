"""The images of the study: subsets of EMNIST, MNIST and the embedded digits."""

import os
from functools import cached_property
from typing import Literal, get_args

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_grok.errors import InputError
from lightning_grok.paths import expand_path
from lightning_grok.ranges import Count, Finite, Positive, Seed, Share, within_ranges
from lightning_grok.tasks.datasets import (
    EMBEDDED,
    EMBEDDED_TRAIN,
    SIDE,
    DataPart,
    DatasetSource,
    EMNISTSplit,
    Samples,
    Subset,
    choose_rows,
    emnist,
    find_file,
    missing_files,
    mnist,
    permute_labels,
    read,
    to_inputs,
)
from lightning_grok.tasks.download import DownloadError, download
from lightning_grok.tasks.in_memory import InMemoryData
from lightning_grok.tasks.reference_set import ReferenceSet, Transfer

DatasetName = Literal["emnist", "mnist", "digits"]
Orientation = Literal["stored", "upright"]

_SUBSET, _PERMUTATION = 1, 2  # streams of random numbers under the run's seed; 0 orders batches


class GrokData(InMemoryData):
    """EMNIST, MNIST or the embedded digits: a training subset and the whole test set in memory.

    Where the files are absent they are downloaded; where that fails, the embedded digits (5,000
    images of MNIST that come with a dependency) take their place and say so, unless `fallback`
    forbids it. `num_classes`, `class_names` and `dataset_name` settle which it is.

    Args:
        dataset: ``emnist``, ``mnist`` or ``digits``, the embedded ones.
        split: of EMNIST; the paper's ``balanced`` has 47 classes.
        root: folder that holds ``EMNIST/raw`` and ``MNIST/raw``; None takes the environment
            variable LIGHTNING_GROK_DATA, else ``data``.
        download: whether to fetch what is missing.
        fallback: ``digits``, or None to make missing data an error.
        train_size: images to train on (n of the paper).
        subset: the ``first`` of the file as in the paper's code, ``random`` ones, or ``balanced``:
            random ones, equally many a class.
        seed: of the subset, the permuted labels and the order of batches; None takes the run's.
        batch_size: images a training batch.
        eval_batch_size: images a chunk of a whole-set evaluation. It changes speed only.
        normalization: mean and standard deviation of pixels in [0, 1]; None leaves them as they
            are, as the paper did on MNIST.
        orientation: EMNIST is stored transposed and trained on so by the paper; ``upright`` turns
            it. The others are upright either way.
        permute_fraction: share of training labels that is permuted, for the memorization control.

    Raises:
        InputError: an argument is out of range, or the data are missing or damaged.
    """

    @within_ranges("data")
    def __init__(
        self,
        dataset: DatasetName = "emnist",
        split: EMNISTSplit = "balanced",
        root: str | None = None,
        download: bool = True,
        fallback: Literal["digits"] | None = "digits",
        train_size: Count = 1000,
        subset: Subset = "first",
        seed: Seed | None = None,
        batch_size: Count = 128,
        eval_batch_size: Count = 512,
        normalization: tuple[Finite, Positive] | None = (
            0.1307,
            0.3081,
        ),
        orientation: Orientation = "stored",
        permute_fraction: Share = 0.0,
    ) -> None:
        super().__init__(seed, batch_size, eval_batch_size)
        self.dataset = dataset
        self.split = split
        self.root = expand_path(root or os.environ.get("LIGHTNING_GROK_DATA") or "data")
        self.download = download
        self.fallback = fallback
        self.train_size = train_size
        self.subset = subset
        self.normalization = normalization
        self.orientation = orientation
        self.permute_fraction = permute_fraction

    @property
    def in_features(self) -> int:
        """Pixels of an image."""
        return SIDE * SIDE

    @property
    def dataset_name(self) -> str:
        """``EMNIST balanced``, ``MNIST``, ``embedded digits``: the data that are really used."""
        return self._source.name

    @property
    def dataset_used(self) -> DatasetName:
        """The `dataset` that is really used: ``digits`` where they stand in."""
        return "digits" if self._source == EMBEDDED else self.dataset

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes; the index is the label."""
        return self._source.class_names

    @cached_property
    def reference_set(self) -> ReferenceSet:
        """The fixed images that measurements look at."""
        return ReferenceSet(self.train_samples, self.test_samples, self._transfer, self.class_names)

    def prepare_data(self) -> None:
        """Settle which data there are, downloading what is missing."""
        _ = self._source, self._transfer

    @cached_property
    def _source(self) -> DatasetSource:
        if self.dataset == "digits":
            return self._embedded("")
        wanted = mnist() if self.dataset == "mnist" else emnist(self.split)
        missing = missing_files(wanted, self.root)
        if missing and (other := find_file(wanted, self.root, missing[0].name, strict=False)):
            raise InputError(
                f"expected {wanted.name} in {missing[0].parent}, received files of these names in "
                f"{other.parent}, which may be another set: move them, or set data.root or "
                f"LIGHTNING_GROK_DATA to the folder that holds {wanted.folder}"
            )
        reason = self._provide(wanted)
        if reason is None:
            return wanted
        lost = f"{wanted.name} is not in {missing[0].parent} ({len(missing)} of 4 files missing)"
        remedy = (
            f"To use {wanted.name}, put {missing[0].name} and its companions there, or set "
            f"data.root or LIGHTNING_GROK_DATA to the folder that holds {wanted.folder}."
        )
        if self.fallback is None:
            raise InputError(f"{lost}; {reason}. {remedy}")
        rank_zero_info(
            f"{lost}; {reason}.\n"
            f"{remedy} data.fallback=null makes this an error.\n"
            "Going on with the embedded digits (5,000 of MNIST), all other settings unchanged; "
            "configs/digits.yaml is a setup made for them."
        )
        return self._embedded(f", which stand in for {wanted.name}")

    def _embedded(self, why: str) -> DatasetSource:
        if self.train_size > EMBEDDED_TRAIN:
            raise InputError(
                f"expected data.train_size of at most {EMBEDDED_TRAIN} with the embedded digits"
                f"{why}, received {self.train_size}"
            )
        return EMBEDDED

    def _provide(self, source: DatasetSource, *parts: DataPart) -> str | None:
        """Have the files of `source`; None, or the reason why they can't be had."""
        if not missing_files(source, self.root, *parts):
            return None
        if not self.download:
            return "data.download is off"
        try:
            download(source, self.root, rank_zero_info, *parts)
        except DownloadError as error:
            return f"the download failed: {error}"
        return None

    @cached_property
    def train_samples(self) -> Samples:
        """The training subset: inputs (n, 1, 28, 28) and the labels trained on."""
        images, labels = self._read("train")
        seed = self.stream(_SUBSET)
        rows = choose_rows(labels, self.train_size, self.subset, self.num_classes, seed)
        chosen = permute_labels(labels[rows], self.permute_fraction, self.stream(_PERMUTATION))
        return Samples(to_inputs(images[rows], self.normalization), chosen)

    @cached_property
    def test_samples(self) -> Samples:
        """The whole test set."""
        images, labels = self._read("test")
        return Samples(to_inputs(images, self.normalization), labels)

    def _read(self, part: DataPart) -> Samples:
        images, labels = read(self._source, self.root, part)
        upright = self.orientation == "upright" and self._source.transposed
        return Samples(images.transpose(1, 2).contiguous() if upright else images, labels)

    @cached_property
    def _transfer(self) -> Transfer:
        source = self._source
        name, digits = self._transfer_digits()
        upright = to_inputs(digits.images, self.normalization)
        turned = source.transposed and self.orientation == "stored"
        return Transfer(
            matched=upright.transpose(-1, -2) if turned else upright,
            stored=upright,
            labels=digits.labels,
            name=name,
            same_distribution=name == source.name,
            digits_are_classes=source.class_names[:10] == mnist().class_names,
        )

    def _transfer_digits(self) -> tuple[str, Samples]:
        """MNIST's test digits, or the embedded ones where these are absent; never trained on."""
        if self._source == EMBEDDED:
            return EMBEDDED.name, read(EMBEDDED, self.root, "test")
        try:
            reason = self._provide(mnist(), "test")
        except InputError as error:  # a folder of data that is complete but for this may be locked
            reason = str(error)
        if reason is None:
            return "MNIST", read(mnist(), self.root, "test")
        rank_zero_info(
            f"MNIST's test images are not in {self.root / 'MNIST' / 'raw'}; {reason}. "
            "The linear probe takes the embedded digits."
        )
        parts = [read(EMBEDDED, self.root, part) for part in get_args(DataPart)]
        return EMBEDDED.name, Samples(*map(torch.cat, zip(*parts, strict=True)))

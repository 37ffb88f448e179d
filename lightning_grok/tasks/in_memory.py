"""What all tasks share: a training set and a test set in memory, in whole batches."""

import os
from abc import abstractmethod
from functools import cached_property

import lightning as L
import numpy as np

from lightning_grok.errors import InputError
from lightning_grok.ranges import Count, Seed, within_ranges
from lightning_grok.tasks.batches import BatchLoader, EpochSampler
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.reference_set import ReferenceSet


class InMemoryData(L.LightningDataModule):
    """Batches of a task whose samples lie in memory; a task says which samples.

    Args:
        seed: of everything random about the data and of the order of batches; None takes the run's.
        batch_size: samples a training batch; None takes all of them, one step an epoch.
        eval_batch_size: samples a chunk of a whole-set evaluation. It changes speed only.

    Raises:
        InputError: a size is below 1 or the seed negative.
    """

    @within_ranges("data")
    def __init__(
        self,
        seed: Seed | None = None,
        batch_size: Count | None = None,
        eval_batch_size: Count = 512,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The classes; the index is the label."""

    @property
    @abstractmethod
    def dataset_name(self) -> str:
        """What figures and lists call the data that are really used."""

    @property
    @abstractmethod
    def train_samples(self) -> Samples:
        """What is trained on: inputs (n, ...) and labels (n,)."""

    @property
    @abstractmethod
    def test_samples(self) -> Samples:
        """What is never trained on, whole."""

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    @property
    def in_features(self) -> int:
        """Numbers in one input."""
        return self.train_samples.images[0].numel()

    @cached_property
    def reference_set(self) -> ReferenceSet:
        """The fixed samples that measurements look at."""
        return ReferenceSet(self.train_samples, self.test_samples, None, self.class_names)

    def setup(self, stage: str) -> None:
        """Make everything, before anything is trained.

        Raises:
            InputError: the data are damaged or too few, or several processes are to train.
        """
        if self.trainer is not None and self.trainer.world_size > 1:
            raise InputError(
                f"expected one training process (trainer.devices=1, trainer.num_nodes=1), received "
                f"{self.trainer.world_size}: every one would see all batches"
            )
        _ = self.train_samples, self.test_samples

    def train_dataloader(self) -> BatchLoader:
        """The training set in batches, newly ordered every epoch.

        With ``trainer.overfit_batches`` they are the same every epoch, as that option promises.
        """
        samples = self.train_samples
        size = len(samples.labels)
        if self.batch_size is None or getattr(self.trainer, "overfit_batches", 0) > 0:
            return BatchLoader(samples, self.batch_size or size)
        return BatchLoader(samples, self.batch_size, EpochSampler(size, self.used_seed))

    def val_dataloader(self) -> list[BatchLoader]:
        """The whole training set (dataloader 0) and the whole test set (1), in chunks."""
        sets = self.train_samples, self.test_samples
        return [BatchLoader(samples, self.eval_batch_size) for samples in sets]

    def test_dataloader(self) -> BatchLoader:
        """The whole test set, in chunks."""
        return BatchLoader(self.test_samples, self.eval_batch_size)

    @cached_property
    def used_seed(self) -> int:
        """The seed given, else the run's."""
        if self.seed is not None:
            return self.seed
        return int(os.environ.get("PL_GLOBAL_SEED", 0))  # where Lightning's seed_everything puts it

    def stream(self, purpose: int) -> np.random.SeedSequence:
        """Random numbers of one purpose (1 on; 0 orders batches), independent of the others."""
        return np.random.SeedSequence(self.used_seed, spawn_key=(purpose,))

"""Made data with a known rule: sparse parity, the XOR cluster, a teacher network."""

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch

from lightning_grok.errors import InputError
from lightning_grok.ranges import Count, NotNegative, Range, within_ranges
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.in_memory import InMemoryData

_TRAIN, _TEST, _TEACHER = 1, 2, 3  # streams of random numbers under the seed; 0 orders batches
_PROBES = 4096  # vectors on which the teacher's outputs are centered
_MOST = 10**9  # numbers in a set


class DrawnData(InMemoryData):
    """Vectors drawn for training, and others for testing; a task says how.

    Args:
        n: coordinates of a vector.
        train_size: vectors to train on.
        test_size: vectors to test on, drawn independently.
        eval_batch_size: vectors a chunk of a whole-set evaluation. It changes speed only.
        options: as for all `InMemoryData`.
    """

    @within_ranges("data")
    def __init__(
        self,
        n: Count,
        train_size: Count = 1000,
        test_size: Count = 2000,
        eval_batch_size: Count = 16_384,
        **options: Any,
    ) -> None:
        super().__init__(eval_batch_size=eval_batch_size, **options)
        _expect_room(n * max(train_size, test_size))
        self.n = n
        self.train_size = train_size
        self.test_size = test_size

    @property
    def in_features(self) -> int:
        """Coordinates of a vector."""
        return self.n

    @cached_property
    def train_samples(self) -> Samples:
        """Vectors (n, d) and classes trained on."""
        return self._draw(self.train_size, _TRAIN)

    @cached_property
    def test_samples(self) -> Samples:
        """Independent vectors of the same distribution."""
        return self._draw(self.test_size, _TEST)

    @abstractmethod
    def _draw(self, size: int, purpose: int) -> Samples:
        """So many vectors, of one stream of random numbers."""


class SignData(DrawnData):
    """Vectors of signs whose class is the sign of a product of the first k; the rest is noise.

    Args:
        n: coordinates of a vector.
        k: the first k decide, 1 to n.
        noise: size of the other coordinates.
        options: as for all `DrawnData`.
    """

    @within_ranges("data")
    def __init__(self, n: Count, k: Count, noise: NotNegative, **options: Any) -> None:
        super().__init__(n, **options)
        if not 1 <= k <= n:
            raise InputError(f"expected data.k from 1 to the {n} coordinates, received {k}")
        self.k = k
        self.noise = noise

    @property
    def class_names(self) -> tuple[str, ...]:
        """Sign of the product."""
        return "-1", "+1"

    def _draw(self, size: int, purpose: int) -> Samples:
        generator = np.random.default_rng(self.stream(purpose))
        signs = 2 * generator.integers(2, size=(size, self.n), dtype=np.int8) - 1
        labels = (signs[:, : self.k].prod(axis=1) > 0).astype(np.int64)
        inputs = torch.from_numpy(signs).float()
        inputs[:, self.k :] *= self.noise
        return Samples(inputs, torch.from_numpy(labels))


class SparseParity(SignData):
    """The parity of k of n signs (Barak et al. 2022; Merrill, Tsilivis and Shukla 2023).

    Inputs are (m, n) float32 of -1 and 1; the class is 1 where the product of the first k is 1.

    Args:
        n: signs of a vector.
        k: the first k decide, 1 to n.
        batch_size: vectors a training batch; None takes all of them, one step an epoch.
        options: as for all `SignData`.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self,
        n: Count = 40,
        k: Count = 3,
        batch_size: Count | None = 32,
        **options: Any,
    ) -> None:
        super().__init__(n, k, 1.0, batch_size=batch_size, **options)

    @property
    def dataset_name(self) -> str:
        """For example ``parity of 3 in 40``."""
        return f"parity of {self.k} in {self.n}"


class XorCluster(SignData):
    """Four clusters, two classes: the exclusive or of two signs among small noise (Xu et al. 2023).

    Inputs are (m, n) float32: two signs, then n - 2 coordinates of plus or minus `noise`.

    Args:
        n: coordinates of a vector; the published runs take 40,000.
        noise: size of the coordinates that say nothing, 0 or more.
        train_size: vectors to train on.
        test_size: vectors to test on, drawn independently.
        options: as for all `SignData`.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self,
        n: Count = 4000,
        noise: NotNegative = 0.05,
        train_size: Count = 400,
        test_size: Count = 1000,
        **options: Any,
    ) -> None:
        super().__init__(n, 2, noise, train_size=train_size, test_size=test_size, **options)

    @property
    def dataset_name(self) -> str:
        """For example ``XOR cluster in 4000``."""
        return f"XOR cluster in {self.n}"


class TeacherStudent(DrawnData):
    """Gaussian vectors, and the class that a network of random weights, the teacher, gives them.

    Inputs are (m, n) float32 of unit variance. The teacher has one rectified hidden layer and
    Gaussian weights; each of its outputs is centered, and the class is the largest one. Whoever is
    trained on them is the student. Liu, Michaud and Tegmark 2023 (arXiv 2210.01117) fit the outputs
    themselves; classes are what measurements look at.

    Args:
        n: coordinates of a vector.
        hidden: units of the teacher.
        classes: its outputs, at least 2.
        train_size: vectors to train on.
        test_size: vectors to test on, drawn independently.
        options: as for all `DrawnData`.

    Raises:
        InputError: an option is out of range.
    """

    @within_ranges("data")
    def __init__(
        self,
        n: Count = 20,
        hidden: Count = 5,
        classes: Annotated[int, Range(2, 1000)] = 5,
        train_size: Count = 200,
        test_size: Count = 2000,
        **options: Any,
    ) -> None:
        super().__init__(n, train_size, test_size, **options)
        _expect_room((n + hidden) * max(train_size, test_size, _PROBES))
        self.hidden = hidden
        self.classes = classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Numbers of the teacher's outputs."""
        return tuple(map(str, range(self.classes)))

    @property
    def dataset_name(self) -> str:
        """For example ``teacher 20-5-5``."""
        return f"teacher {self.n}-{self.hidden}-{self.classes}"

    def _draw(self, size: int, purpose: int) -> Samples:
        inputs = _gaussian(np.random.default_rng(self.stream(purpose)), size, self.n)
        answers = self._answers(inputs) - self._centers
        return Samples(torch.from_numpy(inputs), torch.from_numpy(answers.argmax(axis=1)))

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(self.stream(_TEACHER))
        widths = (self.n, self.hidden), (self.hidden, self.classes)
        first, second = (_gaussian(generator, *each) for each in widths)
        return first, second

    def _answers(self, inputs: np.ndarray) -> np.ndarray:
        first, second = self._weights
        return np.maximum(inputs @ first, 0) @ second

    @cached_property
    def _centers(self) -> np.ndarray:
        probes = _gaussian(np.random.default_rng(0), _PROBES, self.n)
        return self._answers(probes).mean(axis=0)


def _gaussian(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return generator.standard_normal((rows, columns), dtype=np.float32)


def _expect_room(numbers: int) -> None:
    """Refuse a set that no memory holds."""
    if numbers > _MOST:
        raise InputError(
            "expected at most 10^9 numbers in a set (data.n times its size), received "
            f"{numbers:.2g}"
        )

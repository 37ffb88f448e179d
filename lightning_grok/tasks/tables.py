"""Tasks whose data are a whole table of questions: binary operations and group composition."""

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch.nn import functional as F

from lightning_grok.errors import InputError
from lightning_grok.ranges import Count, Range, Share, within_ranges
from lightning_grok.tasks.arithmetic import Table, modular_table
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.groups import composition_table
from lightning_grok.tasks.in_memory import InMemoryData

Encoding = Literal["one_hot", "tokens"]

_SPLIT, _NOISE, _TABLE = 1, 2, 3  # streams of random numbers under the seed; 0 orders batches


class TableData(InMemoryData):
    """A random share of a table's pairs to train on, the others to test on.

    Inputs are the two operands: ``one_hot`` ones side by side, (n, 2 m) float32, or ``tokens``,
    (n, 2) int64 in [0, m), for m symbols.

    Args:
        fraction: share of the pairs to train on, in (0, 1).
        encoding: ``one_hot`` or ``tokens``.
        label_noise: share of the training pairs whose answer is replaced by a random one, in
            [0, 1]; test answers stay right.
        eval_batch_size: pairs a chunk of a whole-set evaluation. It changes speed only.
        options: as for all `InMemoryData`.

    Raises:
        InputError: an option is out of range, or the split leaves a side without pairs.
    """

    @within_ranges("data")
    def __init__(
        self,
        fraction: Annotated[float, Range(0, 1, above=True)] = 0.5,
        encoding: Encoding = "one_hot",
        label_noise: Share = 0.0,
        eval_batch_size: Count = 16_384,
        **options: Any,
    ) -> None:
        super().__init__(eval_batch_size=eval_batch_size, **options)
        if fraction == 1:
            raise InputError("expected data.fraction between 0 and 1, received 1")
        self.fraction = fraction
        self.encoding = encoding
        self.label_noise = label_noise

    @property
    @abstractmethod
    def table(self) -> Table:
        """All pairs and their answers."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The answers; the index is the label."""
        return tuple(map(str, range(self.table.answer_count)))

    @cached_property
    def train_samples(self) -> Samples:
        """The pairs trained on, in random order, with the answers trained on."""
        samples = self._samples(self._rows[0])
        generator = np.random.default_rng(self.stream(_NOISE))
        size = len(samples.labels)
        noisy = generator.permutation(size)[: round(self.label_noise * size)]
        replaced = samples.labels.clone()
        replaced[noisy] = torch.from_numpy(
            generator.integers(self.table.answer_count, size=len(noisy))
        )
        return Samples(samples.images, replaced)

    @cached_property
    def test_samples(self) -> Samples:
        """All other pairs, in random order."""
        return self._samples(self._rows[1])

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the table to train on, and to test on."""
        total = len(self.table.answers)
        shuffled = np.random.default_rng(self.stream(_SPLIT)).permutation(total)
        size = int(self.fraction * total)
        if not 0 < size < total:
            raise InputError(
                f"expected data.fraction to leave pairs on both sides of the {total}, "
                f"received {self.fraction}"
            )
        return shuffled[:size], shuffled[size:]

    def _samples(self, rows: np.ndarray) -> Samples:
        pairs = torch.from_numpy(self.table.pairs[rows])
        if self.encoding == "one_hot":  # (n, 2) -> (n, 2, m) -> (n, 2 m)
            pairs = F.one_hot(pairs, self.table.symbols).flatten(1).float()
        return Samples(pairs, torch.from_numpy(self.table.answers[rows]))


class ModularArithmetic(TableData):
    """A binary operation modulo p: predict the answer of held-out pairs.

    Args:
        p: modulus, 2 to 1009.
        operation: ``add``, ``subtract``, ``multiply``, ``divide`` (p prime), ``random`` (a control:
            nothing can be generalized) or a polynomial in x and y, such as ``x^2 + x*y + y^2``.
        options: as for all `TableData`.

    Raises:
        InputError: an option is out of range.
    """

    @within_ranges("data")
    def __init__(
        self,
        p: Annotated[int, Range(2, 1009)] = 97,
        operation: str = "add",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        modular_table(2, operation)  # refuse an operation before anything large is made
        self.p = p
        self.operation = operation

    @property
    def dataset_name(self) -> str:
        """For example ``add mod 97``."""
        return f"{self.operation} mod {self.p}"

    @cached_property
    def table(self) -> Table:
        """All pairs and their answers."""
        seed = int(self.stream(_TABLE).generate_state(1)[0])
        return modular_table(self.p, self.operation, seed)


class GroupComposition(TableData):
    """The product of two elements of a finite group: predict that of held-out pairs.

    Args:
        group: ``S5``, ``A5``, ``D59``, ``C113``: permutations, even ones, symmetries of a polygon,
            a cyclic group.
        encoding: ``one_hot`` or ``tokens``.
        options: as for all `TableData`.

    Raises:
        InputError: an option is out of range, or the group unknown.
    """

    @within_ranges("data")
    def __init__(
        self,
        group: str = "A5",
        encoding: Encoding = "tokens",
        **options: Any,
    ) -> None:
        super().__init__(encoding=encoding, **options)
        self.group = group
        _ = self.table

    @cached_property
    def table(self) -> Table:
        """All pairs of elements and their products."""
        return composition_table(self.group)

    @property
    def dataset_name(self) -> str:
        """For example ``group A5``."""
        return f"group {self.group}"

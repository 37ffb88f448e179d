"""Maps of the last hidden layer, one after the other, so that classes can be seen to part."""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Annotated, Any

import lightning as L
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_grok.callbacks.layers import check_layers, layer_before_last
from lightning_grok.callbacks.measurement import Measurement
from lightning_grok.callbacks.network import placed
from lightning_grok.callbacks.recording import LoggedValue
from lightning_grok.callbacks.scheduled import Epochs
from lightning_grok.errors import InputError
from lightning_grok.extras import MISSING
from lightning_grok.geometry import compile_umap, embed
from lightning_grok.geometry.activations import record
from lightning_grok.ranges import Count, Range, Seed, Share, within_ranges
from lightning_grok.tasks.reference_set import ReferenceSet

Iterations = Annotated[int, Range(1, 100_000)]


class UmapSnapshot(Measurement):
    """UMAP of the last hidden layer for some of the classes, over the same test samples every time.

    The initialization is mapped from its principal components; every later map starts from the one
    before and is turned, reflected and shifted onto it, so that the maps in a row show how classes
    part. Arrays: ``coordinates`` (n, 2) and ``labels`` (n,), class after class. Logged:
    ``preservation``, the share of nearest neighbors that the plane keeps, which says how far a map
    can be trusted, and from the second map on ``movement`` since the one before; about 0.1 of it
    is UMAP's own unrest.

    UMAP is loaded when training starts and compiled the first time on a machine, with a line that
    says so; a map of 2,000 points then takes about 0.4 s of one core, the first one 1 s.

    Args:
        layer: whose activations are mapped; None takes the one before the last.
        count: samples in all, equally many of each class.
        classes: labels, or at most how many from label 0 on.
        neighbors: size of the local neighborhoods, a point itself counted.
        min_dist: how tightly the plane packs neighbors, in [0, 1].
        first_iterations: passes of the optimization for the first map (UMAP's n_epochs).
        iterations: the same for every later one.
        seed: of the samples and of the optimization.
        enabled, epochs, strict, options: as for every `Measurement`.

    Raises:
        InputError: an argument is out of range.
    """

    name = "umap"
    remembers = ("previous",)

    @within_ranges("umap")
    def __init__(
        self,
        enabled: bool = True,
        layer: str | None = None,
        count: Annotated[int, Range(3, 10**7)] = 2000,
        classes: Count | list[Annotated[int, Range(0, 10**7)]] = 10,
        neighbors: Annotated[int, Range(2, 10_000)] = 15,
        min_dist: Share = 0.1,
        first_iterations: Iterations = 200,
        iterations: Iterations = 50,
        seed: Seed = 0,
        epochs: Epochs = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(enabled, epochs, strict, **options)
        number = _number_of(classes)
        if count < number:
            raise InputError(f"expected umap.count of at least {number}, received {count}")
        self.layer = layer
        self.count = count
        self.classes = classes
        self.neighbors = neighbors
        self.min_dist = min_dist
        self.first_iterations = first_iterations
        self.iterations = iterations
        self.seed = seed
        self._previous: Tensor | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Load UMAP before training starts or goes on; do without it where it isn't installed."""
        if self.enabled and not self.strict and find_spec("umap") is None:
            rank_zero_info(f"No UMAP maps: {MISSING.format(package='umap', extra='umap')}")
            self.enabled = False
        super().setup(trainer, pl_module, stage)
        if self.enabled and stage == "fit" and self.aside is None:
            _load_umap()

    def check(self, model: nn.Module, reference: ReferenceSet) -> None:
        """Refuse a layer or classes that aren't there."""
        inputs, _ = reference.embedding_points(self.count, self.classes, self.seed)
        inputs = placed(inputs, model)
        layer = layer_before_last(model, self.layer, self.name, inputs)
        check_layers(model, [layer], inputs, self.pool, self.name)

    def start(self, model: nn.Module) -> None:
        """No map before the initialization's."""
        if self.aside is None:
            _load_umap()
        self._previous = None

    def measure(
        self, model: nn.Module, reference: ReferenceSet
    ) -> Mapping[str, LoggedValue | Tensor]:
        """The next map."""
        inputs, labels = reference.embedding_points(self.count, self.classes, self.seed)
        inputs = placed(inputs, model)
        layer = layer_before_last(model, self.layer, self.name, inputs)
        points = record(model, [layer], inputs, pool=self.pool)[layer]
        previous = None if self._previous is None else self._previous.numpy()
        result = embed(
            points.float(),
            previous,
            neighbors=self.neighbors,
            min_dist=self.min_dist,
            iterations=self.first_iterations if previous is None else self.iterations,
            seed=self.seed,
        )
        values = {"labels": labels, **result._asdict()}
        if previous is None:
            del values["movement"]
        self._previous = torch.from_numpy(result.coordinates)
        return values


def _number_of(classes: int | Sequence[int]) -> int:
    """How many classes; an unknown one is told by the reference set."""
    labels = range(classes) if isinstance(classes, int) else classes
    if not labels or min(labels) < 0 or len(set(labels)) < len(labels):
        raise InputError(
            f"expected umap.classes of at least 1, or different labels, received {classes}"
        )
    return len(labels)


@cache
def _load_umap() -> None:
    """Load and compile UMAP, once a process, and say so: the first time takes long."""
    rank_zero_info("Loading UMAP: seconds, or half a minute where it is compiled first")
    start = time.perf_counter()
    compile_umap()
    rank_zero_info(f"UMAP is ready after {time.perf_counter() - start:.0f} s")

"""The fixed samples of a training that brings no reference set, drawn from its loaders."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lightning_grok.errors import InputError
from lightning_grok.geometry.samples import map_tensors, take_samples, tensors_of
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.reference_set import ReferenceSet, count

BatchReader = Sequence[str] | Callable[..., Any] | None
"""How inputs and labels stand in a batch: two keys, a function, or as the first two of a tuple."""

_SAMPLES = 10_000  # the paper draws as many test images
_BYTES = 2**28  # of one part, however large a sample is
_SEED = 0
_DRAWN: WeakKeyDictionary[Any, dict[Any, Samples]] = WeakKeyDictionary()
"""What was drawn of a loader: the measurements of a training share it."""


def given_reference(inputs: Any, labels: Any) -> ReferenceSet:
    """The reference set of inputs that a user hands over, one set for both splits.

    Args:
        inputs: (n, ...) tensor or array, or any nesting of them that the network takes.
        labels: (n,) classes or (n, ...) targets; None where there are none.

    Raises:
        InputError: the labels are not as many as the inputs.
    """
    inputs, labels = _tensors(inputs), _classes(_tensors(labels))
    if labels is not None and len(labels) != count(inputs):
        raise InputError(f"expected a label a sample, received {len(labels)} for {count(inputs)}")
    samples = Samples(inputs, labels)
    return ReferenceSet(samples, samples)


def drawn_reference(loaders: Mapping[str, Any], batch: BatchReader) -> ReferenceSet:
    """A reference set of up to 10,000 samples (256 MB) of each loader, and a line that says so.

    A loader over a dataset with a length is not iterated: the samples are taken from its dataset, a
    random choice that is the same whenever it is drawn. Of any other loader they are the first.

    Args:
        loaders: ``train`` and ``validation`` loader, one of them at least; None where there is
            none.
        batch: how inputs and labels stand in a batch.

    Raises:
        InputError: there is no loader, or its batches can't be read.
    """
    drawn: dict[str, Samples] = {}
    for name, loader in loaders.items():
        if loader is None:
            continue
        key = tuple(batch) if isinstance(batch, Sequence) else batch
        known = {} if isinstance(loader, list) else _DRAWN.setdefault(loader, {})
        if key in known:
            drawn[name] = known[key]
            continue
        with isolate_rng():
            drawn[name] = known[key] = _draw(loader, batch)
        total = len(loader.dataset) if _has_rows(loader) else None
        of = f"the first {count(drawn[name].images):,} samples"
        if total is not None:
            of = f"{count(drawn[name].images):,} of {total:,} samples, drawn with seed {_SEED},"
        rank_zero_info(f"measurements: {of} of the {name} loader are the reference set")
    if not drawn:
        raise InputError(
            "expected a loader, received none: give the measurement inputs= and labels="
        )
    test = [*drawn.values()][-1]
    return ReferenceSet(drawn.get("train", test), test)


def loaders_of(trainer: L.Trainer) -> dict[str, Any]:
    """The trainer's loaders, the first of several, from within ``on_train_start``."""
    late = trainer.val_dataloaders is None and trainer.enable_validation
    if late:  # validated later than in the first epoch
        with isolate_rng():
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.setup_data()
            trainer.training = True
    given = {"train": trainer.train_dataloader, "validation": trainer.val_dataloaders}
    return {name: _first_of(each) for name, each in given.items()}


def loaders_from(source: Any) -> dict[str, Any]:
    """The loaders of a datamodule, or of a module that brings its own, without a trainer."""
    if hasattr(source, "setup"):
        source.prepare_data()
        source.setup("fit")
    found: dict[str, Any] = {}
    with isolate_rng():
        for name, method in (("train", "train_dataloader"), ("validation", "val_dataloader")):
            try:
                found[name] = _first_of(getattr(source, method)())
            except MisconfigurationException:  # Lightning's own, which brings none
                continue
    return found


def _first_of(loaders: Any) -> Any:
    """The first of loaders that stand in a list or dict."""
    while isinstance(loaders, Sequence | Mapping):
        inner = list(loaders.values()) if isinstance(loaders, Mapping) else list(loaders)
        loaders = inner[0] if inner else None
    return loaders


def _has_rows(loader: Any) -> bool:
    return (
        isinstance(loader, DataLoader)
        and not isinstance(loader.dataset, IterableDataset)
        and loader.batch_size is not None
    )


def _draw(loader: Any, batch: BatchReader) -> Samples:
    batches = loader
    if _has_rows(loader):
        # Its own iterator would take its workers, its sampler's state and its generator with it.
        order = np.random.default_rng(_SEED).permutation(len(loader.dataset))[:_SAMPLES]
        size = loader.batch_size
        batches = DataLoader(loader.dataset, size, sampler=order, collate_fn=loader.collate_fn)
    inputs, labels, samples, size = [], [], 0, 0
    for each in batches:
        some, targets = _split(each, batch)
        inputs.append(_tensors(some))
        labels.append(_classes(_tensors(targets)))
        samples += count(inputs[-1])
        size += sum(tensor.nbytes for tensor in tensors_of(inputs[-1]))
        if samples >= _SAMPLES or size >= _BYTES:
            break
    if not samples:
        raise InputError("expected samples in the loader, received none")
    limit = slice(_SAMPLES)
    joined: Any = None if labels[0] is None else take_samples(_joined(labels), limit)
    return Samples(take_samples(_joined(inputs), limit), joined)


def _split(batch: Any, how: BatchReader) -> tuple[Any, Any]:
    """Inputs and labels of a batch; None for labels that it hasn't."""
    if callable(how):
        return how(batch)
    fields = batch if isinstance(batch, Mapping) else None
    if dataclasses.is_dataclass(batch):
        fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    if fields is not None:
        missing = [key for key in how or () if key not in fields]
        if not how or missing:
            raise InputError(
                'expected batch_keys=("inputs", "labels") of a batch with '
                f"{', '.join(map(str, fields))}, of each measurement or as an attribute of the "
                f"module; received {list(how) if how else 'none'}"
            )
        found = [fields[key] for key in how]
    else:
        found = list(batch) if isinstance(batch, tuple | list) else [batch]
    return found[0], found[1] if len(found) > 1 else None


def _tensors(values: Any) -> Any:
    """Arrays as tensors, at any depth, in their own dtype, on the CPU."""
    if isinstance(values, list) and values and not isinstance(values[0], Tensor | np.ndarray):
        return torch.tensor(values)
    return map_tensors(lambda tensor: tensor.detach().cpu(), values)


def _classes(labels: Any) -> Any:
    """False and true as the classes 0 and 1."""
    return map_tensors(lambda each: each.long() if each.dtype == torch.bool else each, labels)


def _joined(parts: list[Any]) -> Any:
    """Parts of one nesting, one behind the other."""
    columns = zip(*map(tensors_of, parts), strict=True)
    joined = iter([torch.cat(column) for column in columns])
    return map_tensors(lambda _: next(joined), parts[0])

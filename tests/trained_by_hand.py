"""A `GrokModule` on three blobs, trained by a Trainer, and the same training as a plain loop."""

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from own_training import QUIET
from torch import Tensor, nn

from lightning_grok.tasks.batches import BatchLoader, EpochSampler
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.module import GrokModule

NETWORK: dict[str, Any] = {
    "num_classes": 3, "in_features": 6, "hidden": (9, 8), "weight_scale": 1.0, "weight_decay": 0.0,
}  # fmt: skip
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def samples(size: int = 20) -> Samples:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % 3
    return Samples(torch.randn(size, 6, generator=generator) + 2 * torch.eye(6)[labels], labels)


def loader() -> BatchLoader:
    """Minibatches of 8, 8 and 4, shuffled anew every epoch."""
    return BatchLoader(samples(), 8, EpochSampler(20, 7))


def batches_of(epoch: int) -> list[tuple[Tensor, Tensor]]:
    """Those of one epoch."""
    batches = loader()
    batches.sampler.set_epoch(epoch)
    return list(batches)


def module(kind: type[GrokModule] = GrokModule, **options: Any) -> GrokModule:
    torch.manual_seed(1)
    return kind(**NETWORK | options)


def fitted(
    trained: GrokModule,
    epochs: int,
    *callbacks: Callback,
    ckpt_path: Any = None,
    batches: BatchLoader | None = None,
    **options: Any,
) -> L.Trainer:
    quiet = QUIET | {"logger": False, "num_sanity_val_steps": 0}
    trainer = L.Trainer(max_epochs=epochs, callbacks=list(callbacks), **quiet | options)
    trainer.fit(
        trained, batches or loader(), [loader(), loader()], ckpt_path=ckpt_path, weights_only=False
    )
    return trainer


def by_hand(
    start: GrokModule,
    optimizer: torch.optim.Optimizer,
    network: nn.Module,
    epochs: int,
    *,
    most: int | None = None,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Train `network` with the loss of `start`.

    Args:
        start: not changed.
        optimizer: of the network's parameters.
        network: trained.
        epochs: of them.
        most: minibatches an epoch.
        before, after: called before every step and after every epoch.
    """
    for epoch in range(epochs):
        for inputs, labels in batches_of(epoch)[:most]:
            optimizer.zero_grad()
            start.loss_of(network(inputs), labels).backward()
            before()
            optimizer.step()
        after()


def assert_close(trained: GrokModule, network: nn.Module) -> None:
    for own, expected in zip(trained.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)

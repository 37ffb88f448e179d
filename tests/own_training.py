"""Somebody's own training, as small as it can be: a module, loaders and a Trainer."""

import random
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False, "log_every_n_steps": 1,
}  # fmt: skip


class Convolutions(L.LightningModule):
    """A convolutional classifier of three classes with BatchNorm, whose parts nobody names."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
            nn.Linear(9 * width, 8), nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        outputs = self(images)
        accuracy = (outputs.argmax(1) == labels).float().mean()
        self.log("train_acc", accuracy, on_step=False, on_epoch=True)
        return F.cross_entropy(outputs, labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.log("val_acc", (self(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def blobs(samples: int = 60) -> TensorDataset:
    """Images (n, 1, 8, 8) of three classes that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(samples) % 3
    images = torch.randn(samples, 1, 8, 8, generator=generator) + labels[:, None, None, None]
    return TensorDataset(images, labels)


def loaders(batch_size: int = 20) -> tuple[DataLoader, DataLoader]:
    """Training batches, shuffled, and the same samples in batches for validation."""
    return (
        DataLoader(blobs(), batch_size, shuffle=True),
        DataLoader(blobs(), batch_size),
    )


def train(
    module: L.LightningModule | None = None, callbacks: Any = (), **options: Any
) -> tuple[L.Trainer, L.LightningModule]:
    """Two epochs, unless `options` of the Trainer say otherwise, from seed 0."""
    L.seed_everything(0)
    module = Convolutions() if module is None else module
    settings = {**QUIET, "max_epochs": 2, "logger": False, **options}
    trainer = L.Trainer(callbacks=list(callbacks), **settings)
    trainer.fit(module, *loaders())
    return trainer, module


class Blobs(L.LightningDataModule):
    """The same as a datamodule that knows nothing of measurements."""

    def __init__(self, batch_size: int = 20) -> None:
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self) -> DataLoader:
        return loaders(self.hparams["batch_size"])[0]

    def val_dataloader(self) -> DataLoader:
        return loaders(self.hparams["batch_size"])[1]


class TrainingBlobs(L.LightningDataModule):
    """Data without a held-out part."""

    def train_dataloader(self) -> DataLoader:
        return loaders()[0]


class Whole(Convolutions):
    """The module with its own loaders, and with a name that our perceptron uses otherwise."""

    arguments = ("width",)

    def train_dataloader(self) -> DataLoader:
        return loaders()[0]

    def val_dataloader(self) -> DataLoader:
        return loaders()[1]


class Noisy(Whole):
    """Draws from every global generator in every step, and drops out."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        noise = random.random() + float(np.random.rand())  # noqa: NPY002
        images = F.dropout(images + 0.1 * noise * torch.rand_like(images))
        return super().training_step((images, labels), batch_idx)


class Chosen(Whole):
    """Its optimizer and its schedule are options of its own."""

    def __init__(
        self,
        momentum: float = 0.9,
        adam: bool = False,
        decays: bool = True,
        gamma: float = 0.5,
        milestone: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()

    def configure_optimizers(self) -> Any:
        if self.hparams["adam"]:
            return torch.optim.AdamW(self.parameters(), lr=0.01)
        momentum = self.hparams["momentum"]
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01, momentum=momentum)
        if not self.hparams["decays"]:
            return optimizer
        gamma, milestone = self.hparams["gamma"], self.hparams["milestone"]
        kinds = torch.optim.lr_scheduler
        each = kinds.StepLR(optimizer, 1, gamma=gamma)
        if not milestone:
            return [optimizer], [each]
        later = kinds.MultiStepLR(optimizer, [milestone], gamma=gamma)
        return [optimizer], [kinds.ChainedScheduler([each, later])]


class Plateau(Whole):
    """Its scheduler waits for what a measurement logs."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=9.0)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": "weight_norm/total"},
        }


class Several(Blobs):
    """Two validation loaders, of which `Convolutions` knows nothing."""

    def val_dataloader(self) -> Any:
        return [super().val_dataloader()] * 2


class TwoAtOnce(Whole):
    """Two optimizers, which Lightning leaves to a module that steps by hand."""

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.01)] * 2


class ByHand(Whole):
    """Steps by hand, and returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


class Passing(IterableDataset):
    """The images one after the other, without a length."""

    def __iter__(self) -> Any:
        return iter(blobs())


class Streamed(L.LightningDataModule):
    """Loaders that don't know how long they are."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Passing(), 20)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Passing(), 20)


class Answers(Whole):
    """Its network answers with a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.network = InDict(self.backbone)
        del self.backbone

    def forward(self, images: Tensor) -> Tensor:
        return logits(self.network(images))


class InDict(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": self.backbone(images)}


def logits(answer):  # without types, as people write it
    return answer["logits"]

"""A convolutional network with BatchNorm in an ordinary training: python examples/digits_cnn.py

What is measured stands in the CSV file beside the accuracy of the same weights.
"""

import sys

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_grok import KernelDistance, LinearProbe, ManifoldCapacity, Onset, WeightNorm
from lightning_grok.tasks.datasets import embedded_digits, to_inputs


class DigitsCNN(L.LightningModule):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(36 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        outputs = self(images)
        accuracy = (outputs.argmax(1) == labels).float().mean()
        self.log("train_acc", accuracy, on_step=False, on_epoch=True)
        return F.cross_entropy(outputs, labels)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("val_acc", (self(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=1e-2)


def main(epochs: int = 20, size: int = 1000) -> None:
    """Train on so many digits."""
    L.seed_everything(0)
    sets = []
    for part in ("train", "test"):
        images, labels = embedded_digits(part)
        sets.append(TensorDataset(to_inputs(images[:size], None), labels[:size]))
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=CSVLogger("runs", name="digits_cnn"),
        callbacks=[
            ManifoldCapacity(layers=["body.2", "body.5"], per_class=50, every_n_epochs=5),
            KernelDistance(samples=100, every_n_epochs=5),
            LinearProbe(layer="body.6", every_n_epochs=5),
            WeightNorm(),
            Onset(),
        ],
    )
    trainer.fit(DigitsCNN(), DataLoader(sets[0], 100, shuffle=True), DataLoader(sets[1], 500))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

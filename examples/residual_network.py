"""A residual network with LayerNorm and its spectra: python examples/residual_network.py

``residual_network.yaml`` beside it trains the same by the command line.
"""

import sys

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_grok import LayerMeasurement, LinearProbe, Onset, RunLogger, WeightNorm
from lightning_grok.tasks.datasets import embedded_digits, to_inputs


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, stream: Tensor) -> Tensor:
        return stream + torch.relu(self.linear(self.norm(stream)))


class ResidualNetwork(L.LightningModule):
    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        parts = [Residual(width) for _ in range(blocks)]
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(784, width), *parts, nn.LayerNorm(width), nn.Linear(width, 10)
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        outputs = self.network(images)
        accuracy = (outputs.argmax(1) == labels).float().mean()
        self.log("train/accuracy", accuracy, on_step=False, on_epoch=True)
        return F.cross_entropy(outputs, labels)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("test/accuracy", (self.network(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Digits(L.LightningDataModule):
    def __init__(self, size: int = 1000, batch_size: int = 100) -> None:
        super().__init__()
        self.save_hyperparameters()

    def loader(self, part: str, shuffle: bool) -> DataLoader:
        images, labels = embedded_digits(part)
        size = self.hparams["size"]
        samples = TensorDataset(to_inputs(images[:size], None), labels[:size])
        return DataLoader(samples, self.hparams["batch_size"], shuffle=shuffle)

    def train_dataloader(self) -> DataLoader:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.loader("test", shuffle=False)


def main(epochs: int = 20, size: int = 1000) -> None:
    """Train on so many digits, measured at round epochs and at the end."""
    L.seed_everything(0)
    ratio = LayerMeasurement(
        "lightning_grok.geometry.participation_ratio", layers=["2", "3", "4", "5"], per_class=30
    )
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=RunLogger("runs/residual_network"),
        callbacks=[ratio, LinearProbe(layer="6"), WeightNorm(every_n_epochs=1), Onset()],
    )
    trainer.fit(ResidualNetwork(), datamodule=Digits(size))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

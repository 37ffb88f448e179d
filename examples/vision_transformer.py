"""torchvision's vision transformer on digits: python examples/vision_transformer.py"""

import sys

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import VisionTransformer

from lightning_grok import KernelDistance, ManifoldCapacity, Onset, RunLogger
from lightning_grok.tasks.datasets import embedded_digits, to_inputs


class DigitsViT(L.LightningModule):
    def __init__(self, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = VisionTransformer(28, 7, layers, 4, width, 2 * width, num_classes=10)

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


def main(epochs: int = 5, size: int = 500) -> None:
    """Train on so many digits; the kernel, and the capacity of both blocks and of the head."""
    L.seed_everything(0)
    sets = []
    for part in ("train", "test"):
        images, labels = embedded_digits(part)
        pixels = to_inputs(images[:size], None).expand(-1, 3, -1, -1)  # (n, 3, 28, 28)
        sets.append(TensorDataset(pixels, labels[:size]))
    blocks = [f"encoder.layers.encoder_layer_{number}" for number in range(2)]
    capacity = ManifoldCapacity(layers=[*blocks, "heads"], per_class=20, every_n_epochs=5)
    kernel = KernelDistance(samples=50, method="sketch", every_n_epochs=5)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=RunLogger("runs/vision_transformer"),
        callbacks=[capacity, kernel, Onset()],
    )
    trainer.fit(DigitsViT(), DataLoader(sets[0], 50, shuffle=True), DataLoader(sets[1], 250))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

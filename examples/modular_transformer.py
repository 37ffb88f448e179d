"""A one-layer transformer learns a + b mod 97 from tokens: python examples/modular_transformer.py

The run directory is one that ``python -m lightning_grok dashboard runs`` shows. The default is a
short look: test accuracy rises after some thousand steps.
"""

import sys

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_grok import KernelDistance, ManifoldCapacity, Onset, RunLogger, WeightNorm
from lightning_grok.tasks.networks import Transformer


class ModularTransformer(L.LightningModule):
    def __init__(self, p: int = 97, width: int = 128) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = Transformer(p, num_classes=p, width=width, hidden=4 * width)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.step("train", batch)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.step("test", batch)

    def step(self, name: str, batch: list[Tensor]) -> Tensor:
        tokens, answers = batch
        outputs = self.network(tokens)
        accuracy = (outputs.argmax(1) == answers).float().mean()
        self.log(f"{name}/accuracy", accuracy, on_step=False, on_epoch=True)
        return F.cross_entropy(outputs, answers)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)


def main(epochs: int = 200, p: int = 97) -> None:
    """Train on 40 % of all pairs at once: a step is an epoch."""
    L.seed_everything(0)
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    tokens = torch.stack([a.flatten(), b.flatten()], dim=1)  # (p^2, 2) whole numbers
    order = torch.randperm(p * p)
    half = int(0.4 * p * p)
    pairs = TensorDataset(tokens, tokens.sum(1) % p)
    train, test = (TensorDataset(*pairs[rows]) for rows in (order[:half], order[half:]))
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        log_every_n_steps=1,
        logger=RunLogger("runs/modular_transformer"),
        callbacks=[
            ManifoldCapacity(layers=["readout"], per_class=20, num_vectors=20, epochs=[0, epochs]),
            KernelDistance(samples=50, epochs=[0, epochs]),
            WeightNorm(steps=8),
            Onset(),
        ],
    )
    trainer.fit(ModularTransformer(p), DataLoader(train, len(train)), DataLoader(test, len(test)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""What is put into a run so that it fails: measurements that raise, weights that are no numbers."""

import errno
from typing import Any

import lightning as L
import numpy as np
import torch

ERRORS: dict[str, Exception] = {
    "RuntimeError": RuntimeError("out of luck"),
    "LinAlgError": np.linalg.LinAlgError("Singular matrix"),
    "MemoryError": MemoryError("out of memory"),
    "FileNotFoundError": FileNotFoundError(errno.ENOENT, "No such file", "reference.npz"),
}


def raises(points: np.ndarray, labels: np.ndarray, kind: str) -> float:
    """A measurement of a layer that never succeeds.

    Raises:
        Exception: the one of that name.
    """
    raise ERRORS[kind]


class Spoil(L.Callback):
    """Sets a weight to NaN or infinity after the last minibatch of an epoch.

    Args:
        epoch: completed epochs.
        value: of the weight.
    """

    def __init__(self, epoch: int, value: str) -> None:
        super().__init__()
        self.epoch = epoch
        self.value = float(value)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        """Do it, once it is time."""
        if trainer.current_epoch + 1 == self.epoch:
            with torch.no_grad():
                next(iter(pl_module.network.parameters()))[0, 0] = self.value

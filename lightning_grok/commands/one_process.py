"""A run is one process that trains something, whatever the environment and the options say."""

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

from lightning_grok.errors import InputError


class OneProcess(LightningEnvironment):
    """The first and only process of a run.

    A scheduler's variables (of SLURM, Torch Elastic, MPI, LSF, Kubeflow) tell a task its rank among
    others. Runs know nothing of one another, so every one has rank 0 of 1; else all but one would
    train and write nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_global_rank(0)

    @property
    def creates_processes_externally(self) -> bool:
        """Nobody creates others."""
        return True

    @property
    def main_address(self) -> str:
        """This machine."""
        return "127.0.0.1"

    def local_rank(self) -> int:
        """The first on its machine."""
        return 0

    def node_rank(self) -> int:
        """The first machine."""
        return 0

    def teardown(self) -> None:
        """Leave the environment as it is."""


def stand_alone() -> None:
    """Have Lightning speak and write in this process, which read a rank when it was imported."""
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # by which it asks


def plugins_of_one_process(given: object) -> list[Any]:
    """`given` plugins of a trainer, with `OneProcess` unless they bring an environment."""
    plugins = list(given) if isinstance(given, list | tuple) else [given] if given else []
    if any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        return plugins
    return [OneProcess(), *plugins]


def expect_training(trainer: L.Trainer, batches: int, chunks: Sequence[int]) -> None:
    """Refuse options with which a run would train nothing, or see nothing of its data.

    Args:
        trainer: built, not used yet.
        batches: of the training set.
        chunks: batches of each set that is evaluated.

    Raises:
        InputError: the option and what was expected of it.
    """
    for key in ("max_epochs", "max_steps"):
        if getattr(trainer, key) == 0:
            raise InputError(f"expected trainer.{key} of at least 1 (-1: no limit), received 0")
    if trainer.accumulate_grad_batches < 1:
        received = trainer.accumulate_grad_batches
        raise InputError(
            f"expected trainer.accumulate_grad_batches of at least 1, received {received}"
        )
    overfits = getattr(trainer, "overfit_batches", 0) > 0  # an attribute mypy can't see
    key = "overfit_batches" if overfits else "limit_train_batches"
    _expect_some(f"trainer.{key}", trainer.limit_train_batches, batches, "training")
    for count in chunks:
        _expect_some("trainer.limit_val_batches", trainer.limit_val_batches, count, "evaluation")


def _expect_some(key: str, limit: float, batches: int, kind: str) -> None:
    if taken(batches, limit) < 1:
        raise InputError(
            f"expected {key} that leaves one of {batches} {kind} batches or more, received {limit}"
        )


def taken(batches: int, limit: float) -> int:
    """Batches that a trainer takes: at most `limit` of them, or that share where it is a float."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)

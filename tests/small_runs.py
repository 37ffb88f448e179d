"""Runs that take seconds: their options, and waiting for what a process of theirs does."""

import os
import time
from collections.abc import Callable

from lightning_grok.runs.run import Run

Fit = Callable[..., Run]
"""The fixture `fit`: runs ``fit`` with the given arguments."""

SMALL = (
    "--data.dataset=digits",
    "--data.train_size=64",
    "--model.hidden=[16,16]",
    "--trainer.enable_model_summary=false",
)
"""A network and data so small that an epoch takes milliseconds."""

QUICK = (
    "--run.figures=false",
    "--umap.enabled=false",
    "--manifold_capacity.layers=[layers.3]",
)

OFF = tuple(
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
)
"""The measurements that take time, switched off."""

ENVIRONMENT = os.environ | {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""Pictures in Lightning's own loggers beside a run's directory, and rows of the same weights."""

from pathlib import Path

import pytest
from own_training import train

from lightning_grok import RunLogger
from lightning_grok.callbacks import KernelDistance, WeightNorm
from lightning_grok.runs.run import read_run

pytest.importorskip("tensorboard")


def test_tensorboard_shows_pictures_and_numbers_at_the_steps_of_their_weights(
    tmp_path: Path,
) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="board", version="0")
    callbacks = [
        KernelDistance(samples=10, probes=4, epochs=[0, 1, 2]),
        WeightNorm(),
    ]
    train(callbacks=callbacks, logger=[RunLogger(tmp_path / "mine"), logger])
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    pictures = {tag: [each.step for each in events.Images(tag)] for tag in events.Tags()["images"]}
    # Three steps an epoch; the last picture of pairs is the exact matrix at the end.
    assert pictures == {"kernel_distance/heatmap": [2, 5, 5]}
    own = read_run(tmp_path / "mine")
    for key in ("kernel_distance/full/own", "weight_norm/total"):
        scalars = events.Scalars(key)
        assert [each.step for each in scalars] == [-1, 2, 5]
        assert [each.value for each in scalars] == pytest.approx(own.series(key)[1], abs=1e-6)
    accuracy = events.Scalars("val_acc")
    assert [each.step for each in accuracy] == [2, 5]
    assert [each.value for each in accuracy] == pytest.approx(own.series("val_acc")[1])

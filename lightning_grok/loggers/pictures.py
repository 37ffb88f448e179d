"""Pictures of what a run has measured, for every logger that shows some."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from lightning_grok.errors import InputError
from lightning_grok.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[Run, float], dict[str, "Figure"]]


@contextmanager
def free_figures() -> Iterator[None]:
    """Free the figures drawn inside, whose cycles would wait long for the collector."""
    was_enabled = gc.isenabled()
    gc.disable()  # else some of them grow old meanwhile
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.collect(0)


def pictures_of(measurement: str, run: Run, epoch: float) -> dict[str, "Figure"]:
    """Figures of a measurement by key; draw and use them within `free_figures`."""
    try:
        return PICTURES[measurement](run, epoch) if measurement in PICTURES else {}
    except InputError:  # an option has switched off what the picture shows
        return {}


def show_pictures(logger: Logger, path: Path, measurement: str, epoch: float, step: int) -> None:
    """Show them in one of Lightning's own loggers; nothing in one that takes none.

    Args:
        logger: TensorBoard's and Weights & Biases' take pictures.
        path: directory of the run.
        measurement: whose pictures.
        epoch: completed epochs.
        step: of the same measurement's numbers in this logger.
    """
    if measurement not in PICTURES or not isinstance(logger, TensorBoardLogger | WandbLogger):
        return
    with free_figures():
        _send(logger, pictures_of(measurement, Run(path), epoch), epoch, step)


def _send(
    logger: TensorBoardLogger | WandbLogger, pictures: dict[str, "Figure"], epoch: float, step: int
) -> None:
    for key, figure in pictures.items():
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(key, figure, global_step=step, close=False)
        else:
            logger.log_image(key, [figure], step=step, caption=[f"epoch {epoch:g}"])


def _kernel_pictures(run: Run, epoch: float) -> dict[str, "Figure"]:
    from lightning_grok.figures import kernel_distance_figure

    # At the start there are no pairs yet.
    return {} if epoch == 0 else {"kernel_distance/heatmap": kernel_distance_figure(run)}


def _umap_pictures(run: Run, epoch: float) -> dict[str, "Figure"]:
    from lightning_grok.figures import umap_figure

    return {"umap/snapshot": umap_figure(run, int(epoch))} if epoch == int(epoch) else {}


PICTURES: dict[str, Draw] = {"kernel_distance": _kernel_pictures, "umap": _umap_pictures}
"""Name of a measurement -> what draws it."""

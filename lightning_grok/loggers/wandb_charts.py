"""What Weights & Biases is shown of a measurement: pictures, and curves as charts."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning_grok.errors import InputError
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.run import Run


def views_of(measurement: str, run: Run, epoch: int) -> dict[str, Any]:
    """Pictures and charts of a measurement by key, as W&B logs them."""
    charts = _layer_charts(measurement, run)
    try:
        with free_figures():
            return charts | PICTURES.get(measurement, lambda run, epoch: {})(run, epoch)
    except InputError:  # an option has switched off what the picture shows
        return charts


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


def _kernel_pictures(run: Run, epoch: int) -> dict[str, Any]:
    from lightning_grok.figures import kernel_distance_figure

    if epoch == 0:  # there are no pairs yet
        return {}
    return {"kernel_distance/heatmap": _picture(kernel_distance_figure(run), epoch)}


def _umap_pictures(run: Run, epoch: int) -> dict[str, Any]:
    from lightning_grok.figures import umap_figure

    return {"umap/snapshot": _picture(umap_figure(run, epoch), epoch)}


def _picture(figure: Any, epoch: int) -> Any:
    import wandb

    return wandb.Image(figure, caption=f"epoch {epoch}")


def _layer_charts(measurement: str, run: Run) -> dict[str, Any]:
    """What was measured of every layer over epochs, one line a layer, as charts."""
    import wandb

    charts = {}
    for panel in panels_of(run):
        lines = [line for line in panel.lines if line.layer]
        if not lines or lines[0].key.partition("/")[0] != measurement:
            continue
        curves = {line.layer: run.series(line.key) for line in lines}
        key = lines[0].key.replace(f"/{lines[0].layer}", "", 1)
        charts[key if "/" in key else f"{key}/layers"] = wandb.plot.line_series(
            xs=[epochs.tolist() for epochs, _ in curves.values()],
            ys=[values.tolist() for _, values in curves.values()],
            keys=list(curves),
            title=f"{panel.title}, each layer",
            xname="epoch",
        )
    return charts


PICTURES: dict[str, Callable[[Run, int], dict[str, Any]]] = {
    "kernel_distance": _kernel_pictures,
    "umap": _umap_pictures,
}
"""Name of a measurement -> what draws it as pictures."""

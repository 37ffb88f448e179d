"""What Weights & Biases is shown of a measurement: pictures, and curves as charts."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning_grok.errors import InputError
from lightning_grok.runs.run import Run


def views_of(measurement: str, run: Run, epoch: int) -> dict[str, Any]:
    """Pictures and charts by key, as W&B logs them, of one of the measurements in `VIEWS`."""
    try:
        with swept():
            return VIEWS[measurement](run, epoch)
    except InputError:  # an option has switched off what the picture shows
        return {}


@contextmanager
def swept() -> Iterator[None]:
    """Free the figures drawn inside, whose cycles would wait long for the collector."""
    was_enabled = gc.isenabled()
    gc.disable()  # else some of them grow old meanwhile
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.collect(0)


def _kernel_views(run: Run, epoch: int) -> dict[str, Any]:
    from lightning_grok.figures import kernel_distance_figure

    if epoch == 0:  # there are no pairs yet
        return {}
    return {"kernel_distance/heatmap": _picture(kernel_distance_figure(run), epoch)}


def _umap_views(run: Run, epoch: int) -> dict[str, Any]:
    from lightning_grok.figures import umap_figure

    return {"umap/snapshot": _picture(umap_figure(run, epoch), epoch)}


def _picture(figure: Any, epoch: int) -> Any:
    import wandb

    return wandb.Image(figure, caption=f"epoch {epoch}")


def _geometry_views(run: Run, epoch: int) -> dict[str, Any]:
    """Capacity, radius and dimension over epochs, one line a layer, as charts."""
    import wandb

    charts = {}
    for quantity in ("capacity", "radius", "dimension"):
        curves = {layer: run.series(key) for layer, key in _layer_keys(run, quantity).items()}
        if curves:
            charts[f"manifold_capacity/{quantity}"] = wandb.plot.line_series(
                xs=[epochs.tolist() for epochs, _ in curves.values()],
                ys=[values.tolist() for _, values in curves.values()],
                keys=list(curves),
                title=f"manifold {quantity} of each layer",
                xname="epoch",
            )
    return charts


def _layer_keys(run: Run, quantity: str) -> dict[str, str]:
    prefix, suffix = "manifold_capacity/", f"/{quantity}"
    return {
        key.removeprefix(prefix).removesuffix(suffix): key
        for key in run.keys
        if key.startswith(prefix) and key.endswith(suffix)
    }


VIEWS: dict[str, Callable[[Run, int], dict[str, Any]]] = {
    "kernel_distance": _kernel_views,
    "manifold_capacity": _geometry_views,
    "umap": _umap_views,
}

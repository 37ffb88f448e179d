"""What Weights & Biases is shown of a measurement: pictures, and curves as charts."""

from typing import Any

from lightning_grok.loggers.pictures import free_figures, pictures_of
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.run import Run


def views_of(measurement: str, run: Run, epoch: float) -> dict[str, Any]:
    """Pictures and charts of a measurement by key, as W&B logs them."""
    import wandb

    with free_figures():
        return _layer_charts(measurement, run) | {
            key: wandb.Image(figure, caption=f"epoch {epoch}")
            for key, figure in pictures_of(measurement, run, epoch).items()
        }


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

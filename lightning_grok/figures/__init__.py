"""Runs as figures: read from a run's directory, drawn by matplotlib, as pure functions.

run_figure              the paper's Figure 2 of a run
performance_figure      accuracy and loss
geometry_figure         capacity, radius and dimension of every layer
kernel_distance_figure  kernel distance over pairs of epochs
linear_probe_figure     linear readouts of digits
further_figures         whatever else was logged, a user's own measurements among it
umap_figure             the embedding at one epoch
branches_figure         a trunk and its branches about the epoch at which they left it
write_run_figures       all but the last, as files in the run's directory
write_branches_figure   that one

A figure belongs to its caller and to no window: nothing here uses pyplot or keeps a setting.
"""

from lightning_grok.figures.branches import branches_figure
from lightning_grok.figures.curves import (
    further_figures,
    geometry_figure,
    linear_probe_figure,
    performance_figure,
)
from lightning_grok.figures.kernel_distance import kernel_distance_figure
from lightning_grok.figures.overview import (
    run_figure,
    write_branches_figure,
    write_run_figures,
)
from lightning_grok.figures.umap import umap_figure

__all__ = [
    "branches_figure",
    "further_figures",
    "geometry_figure",
    "kernel_distance_figure",
    "linear_probe_figure",
    "performance_figure",
    "run_figure",
    "umap_figure",
    "write_branches_figure",
    "write_run_figures",
]

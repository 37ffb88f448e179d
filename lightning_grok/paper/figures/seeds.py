"""How differently the seeds of one setup come out: Figure 11."""

from typing import TYPE_CHECKING

import numpy as np

from lightning_grok.analysis.interval import wilson_interval
from lightning_grok.errors import InputError
from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    event_style,
    find_events,
    published_style,
)
from lightning_grok.figures.layout import COLUMN
from lightning_grok.figures.palette import TEST, TRAIN, layer_color
from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.figures.layout import (
    Handles,
    PageColumn,
    datasets,
    paper_page,
    shared_handles,
)
from lightning_grok.paper.figures.runs import PaperRuns, command_for
from lightning_grok.paper.figures.training import LARGE_OUTPUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"memorization": "|", "onset": "<", "generalization": "o"}


def figure_11(runs: PaperRuns) -> "Figure":
    """Figure 11: accuracy and capacity of every seed, and when its events came.

    Raises:
        InputError: there is one seed only.
    """
    seeds = runs.seeds(LARGE_OUTPUT)
    if seeds is None or len(seeds.runs) < 2:
        number = 0 if seeds is None else len(seeds.runs)
        raise InputError(
            f"expected several seeds of {LARGE_OUTPUT}, received {number}; to run: "
            f"{command_for(LARGE_OUTPUT)} --seed_everything=1"
        )
    grokked = sum(each.grokked for each in seeds.onsets)
    _, low, high, *_ = wilson_interval(grokked, len(seeds.runs))
    column = PageColumn("", seeds)
    title = (
        f"Figure 11. The seeds of output scale 0.5 (n = 2,000, {datasets([column])}): {grokked} of "
        f"{len(seeds.runs)} grokked (95 % Wilson interval {100 * low:.0f} to {100 * high:.0f} %). "
        "Thin lines are seeds, thick ones medians. Vertical lines are medians of the events."
    )
    height = 2.55 + 0.14 * len(seeds.runs)
    return paper_page(title, (COLUMN, height + 0.3), lambda figure: _draw(figure, seeds))


def _draw(figure: "Figure", seeds: Seeds) -> Handles:
    heights = [1.2, 1.0, 0.35 + 0.14 * len(seeds.runs)]
    column = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    last = (seeds.meta.get("layer_names") or ["layers.6"])[-1]
    lines = {
        "train/accuracy": (column[0], TRAIN, "train"),
        "test/accuracy": (column[0], TEST, "test"),
        f"manifold_capacity/{last}/capacity": (column[1], layer_color(6, 7), f"{last} (linear)"),
    }
    for axes, letter in zip(column, "abc", strict=True):
        draw_epoch_axis(axes, seeds)
        draw_events(axes, find_events(seeds))
        axes.set_title(f"$\\mathbf{{{letter}}}$", loc="left", pad=2)
    handles: Handles = {}
    for key, (axes, color, label) in lines.items():
        handles |= _draw_seeds(axes, seeds, key, color, label)
    _draw_times(column[2], seeds)
    column[0].set(ylim=(-0.02, 1.02), ylabel="accuracy\n(fraction)")
    column[1].set_ylabel("capacity $α_C$\n(classes/dimension)")
    for axes in column:
        axes.label_outer()
    figure.align_ylabels(column)
    named = shared_handles([PageColumn("", seeds)])
    for name, marker in _MARKERS.items():
        if name in named:
            named[name].set(marker=marker, markersize=3.2, mew=0.7)
    return handles | named


def _draw_seeds(axes: "Axes", seeds: Seeds, key: str, color: str, label: str) -> Handles:
    for run in seeds.runs:
        epochs, values = run.series(key)
        late = epochs > 0
        gid = f"{key}/seed {run.seed}"
        axes.plot(epochs[late], values[late], color=color, linewidth=0.4, alpha=0.7, gid=gid)
    epochs, values = seeds.series(key)
    late = epochs > 0
    if not late.any():
        return {}
    (line,) = axes.plot(epochs[late], values[late], color=color, label=label, gid=key)
    if key in seeds.published:
        style = published_style() | {"color": color, "gid": f"published/{key}"}
        axes.plot(*seeds.published[key], zorder=2.5, **style)
    return {key: line}


def _draw_times(axes: "Axes", seeds: Seeds) -> None:
    """A row a seed: its events; hollow rows have none (censored)."""
    for row, (run, found) in enumerate(zip(seeds.runs, seeds.onsets, strict=True)):
        times = {
            "memorization": found.t_mem,
            "onset": found.late.t_10,
            "generalization": found.late.t_half,
        }
        for name, time in times.items():
            if np.isfinite(time):
                color = event_style(name)["color"]
                gid = f"{name}/seed {run.seed}"
                axes.plot([time], [row], _MARKERS[name], color=color, ms=3.2, gid=gid, mew=0.7)
    pairs = zip(seeds.runs, seeds.onsets, strict=True)
    names = [f"{run.seed}{'' if found.grokked else ' (no)'}" for run, found in pairs]
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5), ylabel="seed\n(grokked?)")
    axes.tick_params(axis="y", length=0)

"""Accuracy and loss on the training subset and the test set."""

from typing import TYPE_CHECKING

from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    draw_series,
    event_handles,
    find_events,
    published_handles,
)
from lightning_grok.figures.layout import View, view_figure
from lightning_grok.figures.palette import TEST, TRAIN
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_PARTS = {"train": TRAIN, "test": TEST}
_LOSSES = {"cross_entropy": "cross-entropy (nats)", "mse": "mean squared error"}


def performance_figure(run: Runs) -> "Figure":
    """Accuracy over loss (log), train and test, with memorization and generalization.

    Raises:
        InputError: the run has no evaluation.
    """
    return view_figure(run, performance_view(run), "evaluations")


def performance_view(run: Runs) -> View | None:
    """Panels for what was logged of accuracy and loss; None where nothing was."""
    logged = [
        quantity
        for quantity in ("accuracy", "loss")
        if any(run.series(f"{part}/{quantity}")[0].size for part in _PARTS)
    ]
    if not logged:
        return None
    heading = " and ".join(logged).capitalize()
    return View(heading, 0.7 + 1.3 * len(logged), lambda parent: _draw(parent, run, logged))


def _draw(parent: "Figure | SubFigure", run: Runs, logged: list[str]) -> None:
    column = parent.subplots(len(logged), 1, sharex=True, squeeze=False)[:, 0]
    handles: dict[str, Line2D] = {}
    for axes, quantity in zip(column, logged, strict=True):
        handles |= draw_performance(axes, run, quantity)
        axes.label_outer()
    parent.align_ylabels(column)
    several = isinstance(run, Seeds)  # more to say in the same room
    named = [
        *event_handles(find_events(run), meaning=not several),
        *published_handles(run, "test/"),
    ]
    parent.legend(handles=[*handles.values(), *named], loc="outside lower center", ncols=2)


def draw_performance(axes: "Axes", run: Runs, quantity: str) -> "dict[str, Line2D]":
    """One panel: ``accuracy`` or ``loss``; the lines by their labels."""
    draw_epoch_axis(axes, run)
    draw_events(axes, find_events(run))
    if quantity == "loss":
        axes.set_yscale("log", nonpositive="mask")
    handles = {}
    for part, color in _PARTS.items():
        line = draw_series(axes, run, f"{part}/{quantity}", color=color, label=part)
        if line is not None:
            handles[part] = line
    if quantity == "accuracy":
        axes.set(ylim=(-0.02, 1.02), ylabel="accuracy (fraction)")
    else:
        loss = str(run.config.get("model", {}).get("loss", ""))
        axes.set_ylabel(_LOSSES.get(loss, "loss"))
    return handles

"""What linear readouts know of digits that the network never saw."""

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
from lightning_grok.figures.palette import PAPER_PROBE, SOUND_PROBE, TOTAL
from lightning_grok.figures.seeds import Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_PROBES = {
    "sound": ("held out, converged", SOUND_PROBE, "-"),
    "sound_stored": ("the same, upright digits", SOUND_PROBE, ":"),
    "paper": ("paper's: 100 steps, training digits", PAPER_PROBE, "-"),
    "direct": ("network's own digit outputs", TOTAL, "-"),
}


def linear_probe_figure(run: Runs) -> "Figure":
    """Accuracy of each probe against the epoch, bands of one standard deviation over its draws.

    The heading names the digits and says where they are of the same distribution as the training
    images, so that the probe measures no transfer.

    Raises:
        InputError: the run has no probe.
    """
    return view_figure(run, linear_probe_view(run), "linear probes")


def linear_probe_view(run: Runs) -> View | None:
    """The probes that were logged; None where none was."""
    logged = logged_probes(run)
    if not logged:
        return None
    transfer = run.meta.get("transfer") or {}
    same = bool(transfer.get("same_distribution"))
    heading = f"Linear probes of {transfer.get('name', 'digits')}"
    heading += " (same distribution)" if same else ""
    return View(heading, 2.9, lambda parent: _draw(parent, run, logged))


def logged_probes(run: Runs) -> list[str]:
    """Which of ``sound``, ``sound_stored``, ``paper`` and ``direct`` say something of their own."""
    logged = [name for name in _PROBES if run.series(f"linear_probe/{name}/accuracy")[0].size]
    if (run.meta.get("transfer") or {}).get("same_distribution"):  # its digits are stored upright
        logged = [name for name in logged if name != "sound_stored"]
    return logged


def _draw(parent: "Figure | SubFigure", run: Runs, logged: list[str]) -> None:
    handles = draw_probes(parent.subplots(), run, logged)
    named = [*event_handles(find_events(run)), *published_handles(run, "linear_probe/")]
    parent.legend(handles=[*handles.values(), *named], loc="outside lower center")


def draw_probes(axes: "Axes", run: Runs, names: list[str]) -> "dict[str, Line2D]":
    """One panel with some of the probes; the lines by name."""
    draw_epoch_axis(axes, run)
    draw_events(axes, find_events(run))
    handles = {}
    for name in names:
        label, color, dashes = _PROBES[name]
        key = f"linear_probe/{name}/accuracy"
        options = {"color": color, "label": label, "linestyle": dashes, "error": f"{key}_sd"}
        line = draw_series(axes, run, key, **options)
        if line is not None:
            handles[name] = line
    axes.set(ylim=(-0.02, 1.02), ylabel="accuracy (fraction; chance 0.1)")
    return handles

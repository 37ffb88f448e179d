"""What linear readouts know of digits that the network never saw."""

from typing import TYPE_CHECKING

from lightning_grok.figures.epoch_axis import (
    draw_epoch_axis,
    draw_events,
    draw_series,
    event_handles,
    find_events,
)
from lightning_grok.figures.layout import View, view_figure
from lightning_grok.figures.palette import PAPER_PROBE, SOUND_PROBE, TOTAL
from lightning_grok.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_PROBES = {
    "sound": ("held out, converged", SOUND_PROBE, "-"),
    "sound_stored": ("the same, upright digits", SOUND_PROBE, ":"),
    "paper": ("paper's: 100 steps, training digits", PAPER_PROBE, "-"),
    "direct": ("network's own digit outputs", TOTAL, "-"),
}


def linear_probe_figure(run: Run) -> "Figure":
    """Accuracy of each probe against the epoch, bands of one standard deviation over its draws.

    The heading names the digits and says where they are of the same distribution as the training
    images, so that the probe measures no transfer.

    Raises:
        InputError: the run has no probe.
    """
    return view_figure(run, linear_probe_view(run), "linear probes")


def linear_probe_view(run: Run) -> View | None:
    """The probes that were logged; None where none was."""
    logged = [name for name in _PROBES if run.series(f"linear_probe/{name}/accuracy")[0].size]
    transfer = run.meta.get("transfer") or {}
    same = bool(transfer.get("same_distribution"))
    if same:  # its digits are stored upright either way
        logged = [name for name in logged if name != "sound_stored"]
    if not logged:
        return None
    heading = f"Linear probes of {transfer.get('name', 'digits')}"
    heading += " (same distribution)" if same else ""
    return View(heading, 2.9, lambda parent: _draw(parent, run, logged))


def _draw(parent: "Figure | SubFigure", run: Run, logged: list[str]) -> None:
    axes = parent.subplots()
    events = find_events(run)
    draw_epoch_axis(axes, run)
    draw_events(axes, events)
    handles = []
    for name in logged:
        label, color, dashes = _PROBES[name]
        key = f"linear_probe/{name}/accuracy"
        options = {"color": color, "label": label, "linestyle": dashes, "error": f"{key}_sd"}
        line = draw_series(axes, run, key, **options)
        handles += [] if line is None else [line]
    axes.set(ylim=(-0.02, 1.02), ylabel="accuracy (fraction; chance 0.1)")
    parent.legend(handles=[*handles, *event_handles(events)], loc="outside lower center")

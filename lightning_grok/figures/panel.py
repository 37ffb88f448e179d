"""A panel of curves: how its lines look, in figures and on the page alike, and what draws it."""

import re
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lightning_grok.figures.breakdown import leave_off_scale
from lightning_grok.figures.epoch_axis import draw_epoch_axis, draw_events, draw_series, find_events
from lightning_grok.figures.palette import COLORS, SERIES, TOTAL, layer_color
from lightning_grok.figures.seeds import Runs, Seeds
from lightning_grok.runs.panels import layer_names
from lightning_grok.runs.quantities import Line, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_MARKERS = ("o", "s", "^", "D", "v")
_DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_BETWEEN: Any = (0, (1.2, 0.9))  # activations over seeds, which have no markers
MARKED = 60
"""More points than these are drawn as a line alone."""

_LONGEST = 48  # characters of a name in a line
_NO_BAND = ""  # no key
_FLOOR: dict[str, Any] = {"linestyle": ":", "linewidth": 0.8}


class LineStyle(NamedTuple):
    """How a line looks wherever it is drawn.

    Attributes:
        label: in a legend.
        color: as ``#rrggbb``.
        dash: ``solid``, ``dash``, ``dot`` or ``dashdot``.
        marker: in matplotlib's letters; empty for none.
        hollow: whether the marker is.
    """

    label: str
    color: str
    dash: str = "solid"
    marker: str = ""
    hollow: bool = False


def line_style(run: Runs, panel: Panel, line: Line) -> LineStyle:
    """The style of a line of `panel`.

    A layer's, and that of its weights, follows its place in the network, or in the panel where the
    run doesn't name its layers. Two layers share a shape of marker, of which the second, an MLP's
    activation, is hollow. Other lines have the color of their meaning, or one after the other those
    of `SERIES`. A floor has that of the line that is held against it, and no marker.
    """
    if line.floor:
        key = line.key.rpartition("/")[0]
        held = line_style(run, panel, next(each for each in panel.lines if each.key == key))
        return LineStyle(f"{held.label}: {line.floor}", held.color, line.dash)
    if line.layer:
        names, layer = layer_names(run), line.layer
        known = layer in names
        layer = layer if known else layer.removesuffix(".weight")
        if layer not in names:
            layer = line.layer
            names = [each.layer for each in panel.lines if each.layer and not each.floor]
        place = names.index(layer)
        label = _layer_label(run, layer, place) if known else line.layer
        color = layer_color(place, len(names))
        return LineStyle(label, color, line.dash, _MARKERS[place // 2 % 5], bool(place % 2))
    others = [each for each in panel.lines if each.color not in COLORS and not each.floor]
    place = others.index(line) if line in others else 0
    return LineStyle(line.label, COLORS.get(line.color, SERIES[place % len(SERIES)]), line.dash)


def is_logarithmic(panel: Panel, series: Iterable[np.ndarray]) -> bool:
    """Whether a panel of these values is logarithmic: with losses below 0 it is not."""
    return panel.log and not any((values < 0).any() for values in series)


def draw_panel(axes: "Axes", run: Runs, panel: Panel, *, alone: bool = True) -> "dict[str, Line2D]":
    """Draw all lines of a panel with their bands, levels and the run's events; the lines by key.

    Args:
        axes: to draw into.
        run: the run, or seeds of one setup.
        panel: of the run.
        alone: whether nothing was drawn into `axes` before, so that they get their axis and events.
    """
    if alone:
        draw_epoch_axis(axes, run)
        draw_events(axes, find_events(run))
        axes.set_ylabel(axis_label(panel))
    axes.set_autoscaley_on(True)  # a call before this one may have set the lower end
    log = is_logarithmic(panel, (run.series(line.key)[1] for line in panel.lines))
    if log:
        axes.set_yscale("log", nonpositive="mask")
    handles: dict[str, Line2D] = {}
    for line in panel.lines:
        error = None if line.error == "_se" else f"{line.key}{line.error}"
        if line.floor and panel.many_floors:
            error = _NO_BAND
        style = matplotlib_style(run, panel, line)
        drawn = draw_series(axes, run, line.key, error=error, **style)
        if drawn is not None:
            handles[line.key] = drawn
            _draw_level(axes, run, line, style["color"])
    if panel.low is not None and panel.high is not None:
        margin = 0.02 * (panel.high - panel.low)
        axes.set_ylim(panel.low - margin, panel.high + margin)
    elif panel.low is not None:
        axes.set_ylim(bottom=panel.low - 0.01 * (panel.low == 0))
    if any(line.layer for line in panel.lines) and not log:
        leave_off_scale(axes, run, list(handles))
    return handles


def legend_labels(run: Runs, panel: Panel) -> list[str]:
    """The words of a legend, each once."""
    return list({matplotlib_style(run, panel, line)["label"]: None for line in panel.lines})


def legend_handles(run: Runs, panel: Panel, drawn: "dict[str, Line2D]") -> list["Line2D"]:
    """What a legend says of the lines that `draw_panel` drew; of the floors of layers, each kind.

    Args:
        run: the run.
        panel: of it.
        drawn: its lines by key.
    """
    from matplotlib.lines import Line2D

    many = panel.many_floors
    of_layers = {line.floor: line for line in panel.lines if line.floor and many}
    values = [
        drawn[line.key] for line in panel.lines if line.key in drawn and not (line.floor and many)
    ]
    styles = [matplotlib_style(run, panel, line) for line in of_layers.values()]
    return [*values, *(Line2D([], [], **style | {"color": TOTAL}) for style in styles)]


def level_handles(run: Runs, panel: Panel) -> list["Line2D"]:
    """What a legend says of the levels that a panel has, one for all of them."""
    from matplotlib.lines import Line2D

    known = [line.level_label for line in panel.lines if run.series(line.level)[0].size]
    return [Line2D([], [], color=TOTAL, label=label, **_FLOOR) for label in dict.fromkeys(known)]


def broken(name: str) -> str:
    """A name as it stands, in lines that fit a column where it is long."""
    return textwrap.fill(plain(name), _LONGEST)


def axis_label(panel: Panel) -> str:
    """What stands beside the vertical axis: the quantity with its sign, and the unit below."""
    if not panel.symbol:
        return in_signs(panel.unit)
    return in_signs(f"{panel.symbol}\n" + (f"({panel.unit})" if panel.unit else ""))


def in_signs(text: str) -> str:
    """`text` with its signs (α_C, R_M, S, ‖θ‖) set as mathematics, and nothing else in it."""
    return re.sub(r"\b(\w_\w|S)\b|(‖θ₀?‖)", lambda match: f"${match[0]}$", plain(text))


def plain(text: str) -> str:
    """`text` from a run's directory, in which matplotlib is to see no mathematics."""
    return text.replace("$", r"\$")


def _layer_label(run: Runs, layer: str, place: int) -> str:
    """A layer's name, with what it is in an MLP."""
    activation = (run.meta.get("network") or {}).get("activation")
    if activation is None:
        return layer
    kind = {"relu": "ReLU"}.get(activation, activation) if place % 2 else "linear"
    return f"{layer} ({kind})"


def matplotlib_style(run: Runs, panel: Panel, line: Line) -> dict[str, Any]:
    """`line_style` for matplotlib.

    Over seeds, where open markers are published points, lines have none and activations are dotted.
    """
    style = line_style(run, panel, line)
    look: dict[str, Any] = {
        "label": broken(style.label),
        "color": style.color,
    }
    dashes = _DASHES[style.dash]
    if isinstance(run, Seeds):
        return look | {"linestyle": _BETWEEN if style.hollow else dashes}
    if line.floor:
        several = {"label": line.floor, "linewidth": 0.7, "markersize": 1}
        several = several if panel.many_floors else {}
        return look | {"linestyle": dashes} | several
    if line.layer:
        face = "white" if style.hollow else style.color
        markers = {"marker": style.marker, "markerfacecolor": face, "markeredgewidth": 0.7}
        return look | markers | {"linestyle": dashes}
    few = len(run.series(line.key)[0]) <= MARKED
    return look | {"linestyle": dashes} | ({"marker": "o"} if few else {})


def _draw_level(axes: "Axes", run: Runs, line: Line, color: str) -> None:
    """A constant, such as the distance between fresh networks, and one standard deviation of it."""
    if not line.level:
        return
    levels, deviations = run.series(line.level)[1], run.series(f"{line.level}_sd")[1]
    if not len(levels):
        return
    axes.axhline(levels[0], color=color, gid=line.level, **_FLOOR)
    if len(deviations) and np.isfinite(deviations[0]):
        low, high = levels[0] - deviations[0], levels[0] + deviations[0]
        axes.axhspan(low, high, color=color, alpha=0.25, linewidth=0, gid=f"{line.level}_sd")

"""What stands on a figure: texts with their boxes, artists by their id."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def of_gid(figure: Figure, gid: str) -> list[Any]:
    return figure.findobj(lambda artist: artist.get_gid() == gid, include_self=False)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def shown_texts(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    """Every text that is drawn, with its box in pixels; tick labels only of ticks on the axis."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    if figure.stale:
        figure.draw_without_rendering()
    of_ticks, drawn = set(), []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                of_ticks |= {tick.label1, tick.label2}
                if low <= tick.get_loc() <= high:
                    drawn += [tick.label1, tick.label2]
    drawn += [text for text in figure.findobj(Text) if text not in of_ticks]
    for text in drawn:
        if text.get_visible() and text.get_text().strip():
            yield text.get_text(), text.get_window_extent(renderer)


def misplaced(figure: Figure) -> list[str]:
    """Texts that reach out of the figure or into each other."""
    found = list(shown_texts(figure))
    page = figure.bbox
    complaints = [
        f"{text!r} outside of the figure"
        for text, box in found
        if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1
    ]
    return complaints + [
        f"{one!r} on {other!r}"
        for (one, a), (other, b) in combinations(found, 2)
        if a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1
    ]


def meeting(figure: Figure) -> list[str]:
    """Tick labels side by side with less than 2 points between them, or 6 to a neighbor's."""
    shown = []
    renderer = FigureCanvasAgg(figure).get_renderer()
    if figure.stale:
        figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = sorted(axes.xaxis.get_view_interval())
        for tick in axes.xaxis.get_major_ticks():
            if low <= tick.get_loc() <= high and tick.label1.get_visible():
                box = tick.label1.get_window_extent(renderer)
                shown += [(axes, tick.label1.get_text(), box)] * bool(tick.label1.get_text())
    gap = 2 / 72 * figure.dpi
    return [
        f"{one!r} beside {other!r}"
        for (first, one, a), (second, other, b) in combinations(shown, 2)
        if a.x0 < b.x1 + _least(first, second, gap) and b.x0 < a.x1 + _least(first, second, gap)
        and a.y0 < b.y1 and b.y0 < a.y1
    ]  # fmt: skip


def _least(first: object, second: object, gap: float) -> float:
    return 3 * gap if first is not second else gap

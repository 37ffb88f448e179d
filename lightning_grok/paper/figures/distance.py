"""The kernel's distance as the paper's figures show it: some kernels, images, one reference."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_grok.figures.panel import draw_panel, level_handles
from lightning_grok.figures.seeds import Seeds
from lightning_grok.runs.panels import panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_PANELS = {"own": "kernel", "foreign": "foreign"}


def draw_distance(
    axes: "Axes",
    seeds: Seeds,
    kinds: tuple[str, ...] = ("full", "trace"),
    reference: str = "own",
    group: str = "kernel_distance",
    *,
    alone: bool = True,
    **look: Any,
) -> "dict[str, Line2D]":
    """One panel: distances to the own start (with their floors) or to another network.

    Args:
        axes: to draw into.
        seeds: the runs.
        kinds: kernels, ``full`` and ``trace``.
        reference: ``own`` or ``foreign``.
        group: what stands first in the keys.
        alone: False leaves out events and floors, which another call draws.
        look: properties of the lines, such as ``label``.

    Returns:
        The lines by what they are.
    """
    images = group.removeprefix("kernel_distance").removeprefix("_")
    panel = panel_of(seeds, "-".join(filter(None, (_PANELS[reference], images))))
    if panel is None:
        return {}
    shown = [line for line in panel.lines if line.label.split()[0] in kinds]
    panel = panel._replace(
        lines=tuple(line if alone else line._replace(level="") for line in shown)
    )
    handles = draw_panel(axes, seeds, panel, alone=alone)
    for handle in handles.values():
        handle.set(**look)
    return handles | {f"level/{each.get_label()}": each for each in level_handles(seeds, panel)}


def outside_note(compared: Mapping[str, tuple[Seeds, str]]) -> str:
    """How many published distances to another network lie outside of our band; empty for none.

    Args:
        compared: what is compared, in words -> the runs, and what stands first in their keys.
    """
    said = []
    for words, (seeds, group) in compared.items():
        outside, known = outside_band(seeds, f"{group}/full/foreign")
        if outside:
            said.append(f"{words}: {outside} of {known}")
    return f"Published values outside of our band: {'; '.join(said)}." if said else ""


def outside_band(seeds: Seeds, key: str) -> tuple[int, int]:
    """Published points outside of the band over seeds, and all where it is; both 0 without a band.

    Between measured places the band's edges are straight over log(place).
    """
    edges = seeds.band(key)
    places, low, high = (each[edges[0] > 0] for each in edges)
    at, values = seeds.published.get(key, (np.zeros(0),) * 2)
    if not len(places) or not len(at):
        return 0, 0
    known = (at >= places[0]) & (at <= places[-1])
    lowest, highest = (np.interp(np.log(at[known]), np.log(places), edge) for edge in (low, high))
    outside = (values[known] < lowest) | (values[known] > highest)
    return int(outside.sum()), int(known.sum())

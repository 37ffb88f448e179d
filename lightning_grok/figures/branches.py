"""A trunk and the branches that left it, drawn together: what each change did."""

from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_grok.errors import InputError
from lightning_grok.figures.layout import Part, page_figure
from lightning_grok.figures.palette import EVENT, SERIES
from lightning_grok.figures.panel import axis_label, is_logarithmic, plain
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.panels import layer_names, panels_of
from lightning_grok.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_KEYS = (
    "test/accuracy", "train/loss", "stability/zero_loss_share", "stability/sqrt_v_rms",
    "stability/update_rms", "kernel_distance/full/own", "manifold_capacity/{last}/capacity",
)  # fmt: skip
"""What is drawn where two of the runs logged it; ``{last}`` is the layer that gives the logits."""
_MOST = 8  # panels of whatever else they logged, where they have nothing of that
_WHATEVER = ("trainer.max_epochs", "evaluation.every")
_DASHES = ("-", "--", ":")
_BEFORE = 0.15  # of the axis: epochs that all share
_TOGETHER = 10  # branches in one figure, where they left at several epochs
_WIDTH = 125  # characters across the legend


def branches_of(trunk: Run) -> list[Run]:
    """The runs beside `trunk`, in its folder or archive, that branch from it."""
    siblings = (Run(path) for path in find_runs(trunk.path.parent) if path != trunk.path)
    return [run for run in siblings if _trunk_name(run) == trunk.name]


def change_in_words(branch: Run) -> str:
    """What a branch was given that its trunk wasn't: ``model.eps 1e-06``; empty for a copy."""
    given = branch.meta.get("branches") or {}
    parts = [f"{key} {pair[1]}" for key, pair in given.get("changed", {}).items()
             if key not in _WHATEVER and not key.endswith(".enabled")]  # fmt: skip
    parts += [f"{key} × {value:g}" for key, value in (given.get("set") or {}).items()]
    return ", ".join(parts)


def drawn_together(branches: Sequence[Run]) -> dict[str, list[Run]]:
    """Branches by the figure that they are in: all, or those of each epoch where they are many."""
    epochs = sorted({run.meta["branches"]["epoch"] for run in branches})
    if len(epochs) == 1 or len(_named(branches)) <= _TOGETHER:
        return {"branches": list(branches)}
    return {
        f"branches_from_{epoch}": [r for r in branches if r.meta["branches"]["epoch"] == epoch]
        for epoch in epochs
    }


def branches_figure(trunk: Run, branches: Sequence[Run] | None = None) -> "Figure":
    """A trunk and its branches about the epochs at which these left it.

    Accuracy, loss, what is left of the loss, Adam's second moment and update, and kernel distance
    and capacity where two of the runs have them, on one linear axis of epochs; of runs that have
    none of these the first of what they logged. Of branches with one change at one epoch the
    longest is drawn.

    Args:
        trunk: a run.
        branches: from it; None takes those beside it.

    Raises:
        InputError: nothing branches from it, or they logged nothing.
    """
    branches = branches_of(trunk) if branches is None else branches
    if not branches:
        raise InputError(f"expected a run with branches beside it, received {trunk.path}")
    lines = {"trunk": trunk} | _named(branches)
    keys = [each.replace("{last}", (layer_names(trunk) or [""])[-1]) for each in _KEYS]
    shown = (
        _shared(keys, lines)
        or _shared([panel.lines[0].key for panel in panels_of(trunk)], lines)[:_MOST]
    )
    if not shown:
        raise InputError(f"expected two runs with one measurement, received none in {trunk.path}")
    parts = [_part(key, lines) for key in shown]
    rows = [parts[i : i + 2] for i in range(0, len(parts), 2)]
    return page_figure(trunk, [*rows, [_legend(lines)]], "Trunk and branches: ")


def _named(branches: Sequence[Run]) -> dict[str, Run]:
    """The branches by what they changed and, where they left at several epochs, when."""
    several = len({run.meta["branches"]["epoch"] for run in branches}) > 1
    found: dict[str, Run] = {}
    for run in sorted(branches, key=lambda run: (run.name, run.epoch)):
        name = change_in_words(run) or "unchanged"
        name += f", from {run.meta['branches']['epoch']:,}" if several else ""
        if name not in found or run.epoch > found[name].epoch:
            found[name] = run
    return found


def _shared(keys: Sequence[str], lines: Mapping[str, Run]) -> list[str]:
    return [key for key in keys if sum(key in run.keys for run in lines.values()) > 1]


def _part(key: str, lines: Mapping[str, Run]) -> Part:
    run = next(run for run in lines.values() if key in run.keys)
    panel = next(p for p in panels_of(run) if any(line.key == key for line in p.lines))
    label = next(line.label for line in panel.lines if line.key == key)

    def draw(parent: "Figure | SubFigure") -> None:
        axes = parent.subplots()
        if is_logarithmic(panel, (run.series(key)[1] for run in lines.values())):
            axes.set_yscale("log", nonpositive="mask")
        low, high = _draw_axis(axes, list(lines.values()))
        for place, run in enumerate(lines.values()):
            epochs, values = run.series(key)
            seen = (epochs >= low) & (epochs <= high)
            axes.plot(epochs[seen], values[seen], gid=f"{run.name}/{key}", **_style(place))
        axes.set_ylabel(axis_label(panel))

    return Part(plain(f"{panel.title}: {label}"), 1.7, draw)


def _draw_axis(axes: "Axes", runs: Sequence[Run]) -> tuple[float, float]:
    left = sorted({run.meta["branches"]["epoch"] for run in runs if "branches" in run.meta})
    end = max(left[0] + 1, *(run.epoch for run in runs if "branches" in run.meta))
    low = left[0] - _BEFORE * (end - left[0])
    axes.set(xlabel="epoch", xlim=(low, end))
    for epoch in left:
        axes.axvline(epoch, color=EVENT, linewidth=0.6, linestyle="--", gid="branch")
    return low, float(end)


def _legend(lines: Mapping[str, Run]) -> Part:
    def draw(parent: "Figure | SubFigure") -> None:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], label=plain(name), **_style(place)) for place, name in enumerate(lines)
        ]
        parent.legend(handles=handles, loc="lower left", ncols=columns)

    columns = _columns(list(lines))
    height = 0.13 * -(-len(lines) // columns)
    return Part("What each branch changed; dashed: where it left", height, draw)


def _columns(names: list[str]) -> int:
    """As many columns of a legend, three at most, as fit beside each other."""
    for columns in (3, 2):
        parts = [part for part in np.array_split(names, columns) if len(part)]
        if sum(max(map(len, part)) + 6 for part in parts) <= _WIDTH:
            return columns
    return 1


def _style(place: int) -> dict[str, Any]:
    return {
        "color": SERIES[place % len(SERIES)],
        "linestyle": _DASHES[place // len(SERIES) % len(_DASHES)],
        "zorder": 2 + (place == 0),
    }


def _trunk_name(run: Run) -> str:
    return PureWindowsPath(str((run.meta.get("branches") or {}).get("run", ""))).name

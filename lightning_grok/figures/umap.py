"""Embeddings of the representations, frame by frame on the same axes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_grok.errors import InputError
from lightning_grok.figures.layout import COLUMN, LINE_HEIGHT, PAGE, Part, part_figure
from lightning_grok.figures.palette import class_color, class_marker
from lightning_grok.figures.printing import page_width
from lightning_grok.figures.seeds import Runs, Seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

Frames = dict[int, dict[str, np.ndarray]]
"""Epoch -> ``coordinates`` (n, 2) and ``labels`` (n,)."""

_FRAMES = 8
_DECADES = 3.0  # of epochs, the last ones, that the frames are spread over


def umap_figure(run: Runs, epoch: int) -> "Figure":
    """The embedding at one epoch, on the axes of all epochs of the run.

    Raises:
        InputError: there is none of that epoch.
    """
    frames = run.arrays("umap")
    if epoch not in frames:
        raise InputError(f"expected an epoch of {sorted(frames)} for {run.path}, received {epoch}")
    width, classes = page_width(COLUMN), _classes(run, frames)
    part = Part(
        f"UMAP of the representations{_by_class(run, classes)} at epoch {epoch:,}",
        width + 0.1 + LINE_HEIGHT * _legend_rows(classes, width),
        lambda parent: _draw(parent, frames, [epoch], classes, titled=False),
    )
    return part_figure(run, part, "embeddings")


def umap_part(run: Runs) -> Part | None:
    """A row of frames as wide as a page, from the initialization to the newest; None for none."""
    frames = run.arrays("umap")
    if not frames:
        return None
    width, classes = page_width(PAGE), _classes(run, frames)
    shown = frame_epochs(sorted(frames), max(2, int(_FRAMES * width / PAGE)))
    of_seed = f" (seed {run.runs[0].seed})" if isinstance(run, Seeds) else ""
    return Part(
        f"UMAP of the representations{_by_class(run, classes)}, on the same axes at all epochs"
        f"{of_seed}",
        min(width / len(shown), 1.8) + 0.45 + LINE_HEIGHT * _legend_rows(classes, width),
        lambda parent: _draw(parent, frames, shown, classes, titled=True),
    )


def frame_epochs(measured: list[int], most: int = _FRAMES) -> list[int]:
    """At most `most` of the measured epochs: the first, the last, and between them those nearest to
    an even spacing in log(epoch) over the last three decades, where representations change."""
    if len(measured) <= most:
        return measured
    rest = np.array(measured[1:], dtype=float)
    start = max(rest[0], rest[-1] / 10**_DECADES)
    wanted = np.geomspace(start, rest[-1], most - 1)
    nearest = np.abs(np.log(rest[:, None] / wanted)).argmin(axis=0)
    return [measured[0], *(measured[1 + index] for index in sorted(set(nearest.tolist())))]


def _draw(
    parent: "Figure | SubFigure",
    frames: Frames,
    shown: list[int],
    classes: dict[int, str],
    *,
    titled: bool,
) -> None:
    row = parent.subplots(1, len(shown), squeeze=False)[0]
    center, reach = _window(frames)
    size = 1.2 if titled else 3.0
    for axes, epoch in zip(row, shown, strict=True):
        _draw_frame(axes, frames[epoch], size)
        axes.set(xlim=center[0] + reach, ylim=center[1] + reach, xticks=[], yticks=[])
        axes.set_box_aspect(1)
        axes.spines[:].set_visible(True)
        if titled:
            axes.set_title(f"epoch {epoch:,}")
    row[0].set(xlabel="UMAP 1 (a.u.)", ylabel="UMAP 2 (a.u.)")
    parent.legend(
        handles=_class_handles(classes),
        loc="outside lower center",
        ncols=_legend_columns(classes, page_width(PAGE if titled else COLUMN)),
        handlelength=1.0,
        handletextpad=0.2,
        columnspacing=0.8,
    )


def _draw_frame(axes: "Axes", frame: dict[str, np.ndarray], size: float) -> None:
    # In random order: no class lies on top of the others.
    order = np.random.default_rng(0).permutation(len(frame["labels"]))
    coordinates, labels = frame["coordinates"][order], frame["labels"][order].astype(int)
    markers = np.array([class_marker(label) for label in labels])
    for marker in dict.fromkeys(markers.tolist()):  # a scatter has one marker
        of_marker = markers == marker
        x, y = coordinates[of_marker].T
        colors = [class_color(label) for label in labels[of_marker]]
        axes.scatter(x, y, s=size, c=colors, marker=marker, linewidths=0, rasterized=True)


def _window(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Center (2,) and half-widths (-h, h) of the square that holds the points of all frames."""
    points = np.concatenate([frame["coordinates"] for frame in frames.values()])
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    half = 0.53 * float(np.max(high - low)) or 1.0
    return (low + high) / 2, np.array([-half, half])


def _class_handles(classes: dict[int, str]) -> list["Line2D"]:
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"linestyle": "", "markersize": 4, "markeredgewidth": 0}
    return [
        Line2D([], [], color=class_color(k), marker=class_marker(k), label=name, **style)
        for k, name in classes.items()
    ]


def _by_class(run: Runs, classes: dict[int, str]) -> str:
    """How many classes are shown, where not all are."""
    shown, known = len(classes), int(run.meta.get("num_classes", 0))
    return f" of {shown} of the {known} classes" if shown < known else " by class"


def _classes(run: Runs, frames: Frames) -> dict[int, str]:
    """Label -> name of the classes that occur."""
    labels = np.unique(np.concatenate([frame["labels"] for frame in frames.values()])).astype(int)
    return {label: class_name(run, label) for label in labels.tolist()}


def class_name(run: Runs, label: int) -> str:
    """What a class is called; its number where the run doesn't say."""
    names = run.meta.get("class_names") or []
    return str(names[label]) if label < len(names) else f"class {label}"


def _legend_columns(classes: dict[int, str], width: float) -> int:
    longest = max(len(name) for name in classes.values())
    fitting = max(1, int(72 * width / (18 + 4.2 * longest)))
    rows = -(-len(classes) // fitting)
    return -(-len(classes) // rows)  # rows of equal length


def _legend_rows(classes: dict[int, str], width: float) -> int:
    return -(-len(classes) // _legend_columns(classes, width))

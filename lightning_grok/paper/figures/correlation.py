"""What goes with test accuracy and loss, capacity or the kernel's distance: Figure 10."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lightning_grok.analysis.correlation import correlation, rates
from lightning_grok.analysis.interval import Interval, mean_interval
from lightning_grok.analysis.lag import at_shared_epochs
from lightning_grok.figures.epoch_axis import published_handles, published_style
from lightning_grok.figures.layout import PAGE
from lightning_grok.figures.palette import FULL_KERNEL, TOTAL, layer_color
from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.figures.layout import Handles, PageColumn, datasets, no_run, paper_page
from lightning_grok.paper.figures.runs import PaperRuns
from lightning_grok.paper.figures.training import EMNIST_OUTPUT, columns_of
from lightning_grok.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

OUTCOMES = {"test/accuracy": "test\naccuracy", "test/loss": "test loss\n(nats)"}
_FOREIGN, _OWN = "kernel_distance/full/foreign", "kernel_distance/full/own"
_CAPACITY = {f"manifold_capacity/layers.{k}/capacity": f"$α_C$ layers.{k}" for k in (2, 4, 6)}
PREDICTORS = {**_CAPACITY, _FOREIGN: "$S$, other net", _OWN: "$S$, own start"}
_LEAST = 3  # seeds for an interval
_BETWEEN = 0.07  # inches beside a panel: tick labels of neighbors don't meet
_KINDS = {"levels": ("o", 0.17), "changes": ("s", -0.17)}  # marker and place in the forest


class Association(NamedTuple):
    """How one predictor goes with one outcome, over seeds.

    Attributes:
        levels, changes: Pearson's r of each seed (n,), over checkpoints and over their differences
            per decade of epoch.
        of_levels, of_changes: means over seeds with their intervals, which end at ±1.
    """

    levels: np.ndarray
    changes: np.ndarray
    of_levels: Interval
    of_changes: Interval


def association(seeds: Seeds, predictor: str, outcome: str) -> Association:
    """One r a run, over the trained epochs at which both keys were logged."""
    levels, changes = [], []
    for run in seeds.runs:
        epochs, x, y = paired(run, predictor, outcome)
        levels.append(correlation(x, y))
        changes.append(correlation(rates(epochs, x), rates(epochs, y)))
    one, other = np.array(levels), np.array(changes)
    return Association(one, other, *(_interval(r) for r in (one, other)))


def _interval(r: np.ndarray) -> Interval:
    found = mean_interval(r[np.isfinite(r)])
    low, high = np.clip([found.low, found.high], -1.0, 1.0)
    return found._replace(low=float(low), high=float(high))


def paired(run: Run, predictor: str, outcome: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Epochs from 1 on (T,), and both keys there (T,); without NaN."""
    both, x, y = at_shared_epochs(run.series(predictor), run.series(outcome))
    good = (both > 0) & np.isfinite(x) & np.isfinite(y)
    return both[good], x[good], y[good]


def figure_10(runs: PaperRuns) -> "Figure":
    """Figure 10: scatter plots over checkpoints as in the paper, and r over seeds."""
    blocks = columns_of(runs, EMNIST_OUTPUT)
    title = (
        f"Figure 10. What goes with test accuracy and loss ({datasets(blocks)}). Left, as the "
        "paper: a point a measured epoch, r over the epochs of the first seed, kernel distance to "
        "another network. Right, sound: kernel distance to the own start, and one r a seed "
        "(ticks) of levels and of changes from one epoch to the next per decade, with the mean "
        "over seeds and, from three seeds on, its 95 % interval (Student's t)."
    )
    size = (PAGE, 2.2 * len(blocks) + 0.1)
    return paper_page(title, size, lambda figure: _draw(figure, blocks))


def _draw(figure: "Figure", blocks: Sequence[PageColumn]) -> Handles:
    figure.set_layout_engine("constrained", w_pad=_BETWEEN)
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    handles: Handles = {}
    for part, letter, block in zip(parts, "abcd", blocks, strict=False):
        number = 0 if block.seeds is None else len(block.seeds.runs)
        about = f", {number} seed{'s' * (number != 1)}" if number else ""
        text = f"$\\mathbf{{{letter}}}$  {block.heading}{about}"
        part.suptitle(text, x=0.01, ha="left", size=7)
        if block.seeds is None:
            no_run(part.subplots())
            continue
        handles |= _draw_block(part, block.seeds)
    return handles


def _draw_block(part: "SubFigure", seeds: Seeds) -> Handles:
    grid = part.subplots(
        2, len(PREDICTORS) + 1, sharex="col", width_ratios=[1] * len(PREDICTORS) + [1.75]
    )
    handles: Handles = {}
    for row, (outcome, name) in zip(grid, OUTCOMES.items(), strict=True):
        for axes, predictor in zip(row, PREDICTORS, strict=False):
            axes.sharey(row[0])
            handles |= _draw_scatter(axes, seeds, predictor, outcome)
            axes.label_outer()
        row[0].set_ylabel(name)
        handles |= _draw_forest(row[-1], seeds, outcome)
    for axes, name in zip(grid[1], PREDICTORS.values(), strict=False):
        axes.set_xlabel(name)
    grid[1, -1].set_xlabel("Pearson's r")
    return handles


def _draw_scatter(axes: "Axes", seeds: Seeds, predictor: str, outcome: str) -> Handles:
    from matplotlib.ticker import MaxNLocator

    color = _color(seeds, predictor)
    gid = f"{predictor}~{outcome}"
    pairs = [paired(run, predictor, outcome) for run in seeds.runs]
    x, y = (np.concatenate([pair[k] for pair in pairs]) for k in (1, 2))
    axes.plot(x, y, "o", markersize=1.8, color=color, mew=0, gid=gid)
    for place, value in _published(seeds, predictor, outcome):
        style = published_style() | {"color": color, "gid": f"published/{gid}"}
        axes.plot([place], [value], **style)
    axes.xaxis.set_major_locator(MaxNLocator(2, min_n_ticks=2))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    if predictor != _OWN:
        r = correlation(*pairs[0][1:])
        said = f"r = {r:.2f}".replace("-", "−") if np.isfinite(r) else "r: none"
        axes.set_title(said, loc="left", pad=2)
    named = published_handles(seeds, predictor)
    return {"published": named[0]} if named else {}


def _published(seeds: Seeds, predictor: str, outcome: str) -> Iterator[tuple[float, float]]:
    """Published pairs at the epochs of both."""
    if predictor in seeds.published and outcome in seeds.published:
        _, x, y = at_shared_epochs(seeds.published[predictor], seeds.published[outcome])
        yield from zip(x.tolist(), y.tolist(), strict=True)


def _draw_forest(axes: "Axes", seeds: Seeds, outcome: str) -> Handles:
    shown = [key for key in PREDICTORS if key != _FOREIGN]
    for row, predictor in enumerate(reversed(shown)):
        found = association(seeds, predictor, outcome)
        color = _color(seeds, predictor)
        for kind, (marker, offset) in _KINDS.items():
            place = row + offset
            of_seeds = getattr(found, f"of_{kind}")
            low, high = of_seeds[1:3] if of_seeds.seeds >= _LEAST else (np.nan, np.nan)
            each = getattr(found, kind)
            gid = f"{predictor}~{outcome}/{kind}"
            axes.plot(each, np.full(len(each), place), "|", color=color, ms=4, mew=0.5, gid=gid)
            axes.plot([low, high], [place, place], color=color, linewidth=1.2, gid=f"{gid}/ci")
            axes.plot(
                [of_seeds.estimate], [place], marker, color=color, ms=3.2, mew=0, gid=f"{gid}/mean"
            )
    axes.axvline(0, color="black", linewidth=0.5, zorder=1)
    axes.set_title("one r a seed", loc="left", pad=2)
    axes.set(xlim=(-1.05, 1.12), ylim=(-0.6, len(shown) - 0.4), xticks=[-1, -0.5, 0, 0.5, 1])
    axes.set_yticks(range(len(shown)), [PREDICTORS[key] for key in reversed(shown)])
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return _kinds_named()


def _kinds_named() -> Handles:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": TOTAL, "linestyle": "", "markersize": 3.2, "mew": 0}
    words = {"levels": "r of levels", "changes": "r of changes per decade of epoch"}
    return {
        kind: Line2D([], [], marker=marker, label=words[kind], **look)
        for kind, (marker, _) in _KINDS.items()
    }


def _color(seeds: Seeds, predictor: str) -> str:
    if predictor in (_FOREIGN, _OWN):
        return FULL_KERNEL
    names = seeds.meta.get("layer_names") or [f"layers.{k}" for k in range(7)]
    layer = predictor.split("/")[1]
    return layer_color(names.index(layer) if layer in names else 0, len(names))

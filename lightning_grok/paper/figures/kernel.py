"""How far the kernel moves, and from where: Figures 6 and 9, as the paper measured and soundly.

The paper's reference is another random network, which is far from the start already; the sound one
is the run's own initialization, beside the distance between two fresh networks (the null floor).
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lightning_grok.analysis.lag import at_shared_epochs
from lightning_grok.errors import InputError
from lightning_grok.figures.epoch_axis import published_handles
from lightning_grok.figures.layout import PAGE
from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.figures.distance import draw_distance, outside_note
from lightning_grok.paper.figures.layout import (
    Handles,
    PageColumn,
    column_title,
    datasets,
    no_run,
    on_one_axis,
    paper_page,
    seeds_note,
    shared_handles,
    steps_note,
)
from lightning_grok.paper.figures.runs import PaperRuns, command_for, comparable_runs
from lightning_grok.paper.figures.training import MNIST_OUTPUT, MNIST_WEIGHT, columns_of
from lightning_grok.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLED = "AdamW-8-1000-0.5-0-mse-200x200"
"""The setup of Figure 6."""

_IMAGES: dict[tuple[str, int], tuple[Any, str]] = {
    ("train", 256): ("-", "o"),
    ("train", 512): ("--", "s"),
    ("test", 256): ((0, (1.2, 0.9)), "^"),
}
"""Split and number -> line of ours and marker of published points."""
_GROUP = re.compile(r"kernel_distance(?:_(train|test)(\d+))?(?=/full/)")
_HEIGHT = 1.25  # of a row, in inches


class Sampled(NamedTuple):
    """The kernel distance over some images.

    Attributes:
        seeds: the runs that measured it.
        group: what stands first in their keys.
    """

    seeds: Seeds
    group: str


def figure_6(runs: PaperRuns) -> "Figure":
    """Figure 6: the distance over 256 and 512 training images and over 256 test images.

    Raises:
        InputError: fewer than two of the three were measured.
    """
    found = sampled_kernels(runs, SAMPLED)
    if len(found) < 2:
        raise InputError(
            "expected kernel distances over 256 and 512 training and 256 test images, received "
            f"{len(found)} of the three; to run: {command_for(SAMPLED)} "
            "--config configs/measurements/kernel_samples.yaml"
        )
    columns = [PageColumn("", each.seeds) for each in found.values()]
    title = (
        f"Figure 6. Kernel distance over other images (output scale 0.5): {datasets(columns)}. "
        "Left, to another random network, as the paper measured it; right, to the own start, with "
        "the distance between fresh networks over 256 training images. Δ: largest difference of "
        "the medians to these images. Published: one seed."
    )
    compared = {f"{n} {split} images": each for (split, n), each in found.items()}
    notes = [seeds_note(columns), steps_note(columns), outside_note(compared)]
    return paper_page(title, (PAGE, 2.2), lambda figure: _draw_sampled(figure, found), notes)


def sampled_kernels(runs: PaperRuns, setup: str) -> dict[tuple[str, int], Sampled]:
    """(split, images) -> where the distances over them stand, for those of Figure 6.

    The group ``kernel_distance`` is over the images that a run's configuration names, a group
    ``kernel_distance_<split><images>`` over those of its name.
    """
    by_images: dict[tuple[str, int], list[tuple[str, Run]]] = {}
    for run in runs.every(setup):
        for group, images in _groups(run).items():
            if images in _IMAGES:
                by_images.setdefault(images, []).append((group, run))
    found: dict[tuple[str, int], tuple[str, list[Run]]] = {}
    for images in _IMAGES:
        held = by_images.get(images, [])
        for group in sorted({group for group, _ in held}):
            kept, _ = comparable_runs([run for name, run in held if name == group])
            if images not in found or len(kept) > len(found[images][1]):
                found[images] = group, kept
    if not found:
        return {}
    # The same seeds in all of them, else they would differ by more than their images.
    shared = set.intersection(*({run.seed for run in kept} for _, kept in found.values()))
    sampled = {}
    for images, (group, kept) in found.items():
        same = [run for run in kept if run.seed in shared] or kept
        sampled[images] = _sampled(runs, setup, images, group, same)
    return sampled


def _groups(run: Run) -> dict[str, tuple[str, int]]:
    options = run.config.get("kernel_distance", {})
    own = (str(options.get("split", "train")), int(options.get("samples") or 256))
    return {
        match[0]: (match[1], int(match[2])) if match[1] else own
        for key in run.keys
        if (match := _GROUP.match(key))
    }


def _sampled(
    runs: PaperRuns, setup: str, images: tuple[str, int], group: str, kept: list[Run]
) -> Sampled:
    """With the points published over the same images, whatever the group is called in our runs."""
    seeds = runs.shown(setup, kept)
    published = runs.published if seeds.published else None
    own = {} if published is None else published.kernel_points(setup, images)
    seeds.published = {f"{group}/{quantity}": each for quantity, each in own.items()}
    seeds.marker = _IMAGES[images][1]
    return Sampled(seeds, group)


def _draw_sampled(figure: "Figure", found: Mapping[tuple[str, int], Sampled]) -> Handles:
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    handles: Handles = {}
    for axes, reference in ((left, "foreign"), (right, "own")):
        first = next(iter(found.values()))
        for (split, count), (seeds, group) in found.items():
            look: dict[str, Any] = {
                "label": f"{count} {split} images{_difference(found, (split, count))}",
                "linestyle": _IMAGES[split, count][0],
                "alone": seeds is first.seeds,
            }
            drawn = draw_distance(axes, seeds, ("full",), reference, group, **look)
            handles |= {f"{split}{count}/{key}": line for key, line in drawn.items()}
        axes.label_outer()
        side = "to another network, as the paper" if reference == "foreign" else "to the own start"
        heading = PageColumn(side, first.seeds)
        axes.set_title(column_title("ab"[reference == "own"], heading), loc="left")
    left.set_ylabel("kernel distance $S$, full kernel")
    named = shared_handles([PageColumn("", first.seeds)])
    named.pop("published", None)
    return handles | named | _published_named(found)


def _published_named(found: Mapping[tuple[str, int], Sampled]) -> Handles:
    """Published points over each set of images, by their markers."""
    named: Handles = {}
    for (split, count), sampled in found.items():
        for handle in published_handles(sampled.seeds):
            handle.set(marker=sampled.seeds.marker, label=f"published, {count} {split} images")
            named[f"published/{split}{count}"] = handle
    return named


def _difference(found: Mapping[tuple[str, int], Sampled], images: tuple[str, int]) -> str:
    """Largest difference of the distances to the own start from those over 256 training images."""
    if images == ("train", 256) or ("train", 256) not in found:
        return ""
    one, other = (
        each.seeds.series(f"{each.group}/full/own") for each in (found["train", 256], found[images])
    )
    epochs, near, far = at_shared_epochs(one, other)
    return f" (Δ ≤ {np.max(np.abs(near - far)):.3f})" if len(epochs) else ""


def figure_9(runs: PaperRuns) -> "Figure":
    """Figure 9: a row a setup; on the left as the paper measured it, on the right soundly."""
    rows = [*columns_of(runs, MNIST_OUTPUT), *columns_of(runs, MNIST_WEIGHT)]
    required = len(MNIST_OUTPUT)
    rows = [*rows[:required], *(row for row in rows[required:] if row.seeds is not None)]
    rows = on_one_axis(rows)
    title = (
        f"Figure 9. Kernel distance while training: {datasets(rows)}. Left, to another random "
        "network, as the paper measured it; right, to the own start, with the distance between "
        "fresh networks as a band."
    )
    compared = {
        row.heading: (row.seeds, "kernel_distance") for row in rows if row.seeds is not None
    }
    notes = [seeds_note(rows), steps_note(rows), outside_note(compared)]
    size = (PAGE, _HEIGHT * len(rows) + 0.3)
    return paper_page(title, size, lambda figure: _draw_starts(figure, rows), notes)


def _draw_starts(figure: "Figure", rows: Sequence[PageColumn]) -> Handles:
    grid = figure.subplots(len(rows), 2, sharex=True, sharey="row", squeeze=False)
    handles: Handles = {}
    letters = iter("abcdefgh")
    for pair, row in zip(grid, rows, strict=True):
        for axes, reference in zip(pair, ("foreign", "own"), strict=True):
            if row.seeds is None:
                no_run(axes)
            else:
                kinds = ("full",) if reference == "foreign" else ("full", "trace")
                drawn = draw_distance(axes, row.seeds, kinds, reference)
                handles |= {f"{reference}/{key}": line for key, line in drawn.items()}
                axes.label_outer()
            side = "to another network" if reference == "foreign" else "to the own start"
            axes.set_ylabel("")
            heading = row._replace(heading=f"{row.heading}, {side}")
            axes.set_title(column_title(next(letters), heading, ", "), loc="left")
    figure.supylabel("kernel distance $S$", size=7)
    return handles | shared_handles(rows)

"""The paper's Figure 2 for any run, and the files of a run's figures."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_grok.errors import InputError
from lightning_grok.figures.branches import branches_figure, branches_of, drawn_together
from lightning_grok.figures.curves import (
    further_figures,
    geometry_figure,
    geometry_part,
    linear_probe_figure,
    performance_figure,
    performance_part,
)
from lightning_grok.figures.kernel_distance import (
    kernel_distance_figure,
    pairwise_part,
    start_part,
)
from lightning_grok.figures.layout import page_figure
from lightning_grok.figures.printing import write_figure
from lightning_grok.figures.seeds import Runs
from lightning_grok.figures.umap import umap_figure, umap_part
from lightning_grok.runs.names import place_inside
from lightning_grok.runs.run import Run, read_run
from lightning_grok.runs.source import find_archive

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run_figure(run: Runs, prefix: str = "") -> "Figure":
    """Figure 2 of Zheng et al. (2024) for one run, two columns wide.

    Accuracy and loss; capacity, radius and dimension of the class manifolds in every layer; kernel
    distance to the run's own start and between all measured epochs; UMAP frames. What was not
    measured is left out, and what a running run has so far is shown. `prefix` begins the title.

    Raises:
        InputError: nothing was measured.
    """
    columns = [
        part
        for part in (
            performance_part(run), geometry_part(run), start_part(run), pairwise_part(run),
        )
        if part is not None
    ]  # fmt: skip
    first = len(columns) % 2  # an odd one out has a row for itself
    rows = [columns[:1]] if first else []
    rows += [columns[i : i + 2] for i in range(first, len(columns), 2)]
    frames = umap_part(run)
    if frames is not None:
        rows.append([frames])
    if not rows:
        raise InputError(f"expected a run with measurements, received none in {run.path}")
    return page_figure(run, rows, prefix)


def write_run_figures(
    run_path: str | os.PathLike[str],
    folder: Path | None = None,
    wrote: Callable[[Path], object] = lambda path: None,
) -> list[Path]:
    """Write all figures of a run into a folder, by default its own ``figures``, as `printing` says.

    Those of a run in an archive go into ``figures/<name>`` of the working directory.

    ``run`` is `run_figure`; ``performance``, ``geometry``, ``kernel_distance``, ``linear_probe``
    and ``umap`` (of the newest epoch) are single parts, where they were measured; ``further``,
    ``further_2`` and so on have all other logged keys. The same run gives the same bytes. `written`
    is called with every file that is there.

    Returns:
        The files written; none for a run without measurements.

    Raises:
        InputError: there is no run.
    """
    run = read_run(run_path)
    folder = folder or _folder_of(run)
    drawn: dict[str, Callable[[Runs], Figure]] = {
        "run": run_figure,
        "performance": performance_figure,
        "geometry": geometry_figure,
        "kernel_distance": kernel_distance_figure,
        "linear_probe": linear_probe_figure,
        "umap": _newest_umap,
    }
    files = []
    for name, draw in drawn.items():
        try:
            figure = draw(run)
        except InputError:  # not measured in this run
            continue
        files += write_figure(figure, folder / name, wrote)
    for number, figure in enumerate(further_figures(run), 1):
        files += write_figure(figure, folder / f"further{f'_{number}' * (number > 1)}", wrote)
    return files


def write_branches_figure(run_path: str | os.PathLike[str]) -> list[Path]:
    """Write `branches_figure` of a trunk into its folder of figures, as PNG and PDF.

    Where many branches left at several epochs it is one figure an epoch.

    Returns:
        The files written; none for a run from which nothing beside it branches.

    Raises:
        InputError: there is no run.
    """
    run = read_run(run_path)
    branches = branches_of(run)
    files = []
    for name, some in drawn_together(branches).items() if branches else ():
        files += write_figure(branches_figure(run, some), _folder_of(run) / name)
    return files


def _folder_of(run: Run) -> Path:
    if find_archive(run.path) is not None:
        return Path("figures") / run.name
    return place_inside(run.path, "figures")


def _newest_umap(run: Runs) -> "Figure":
    return umap_figure(run, max(run.arrays("umap"), default=0))

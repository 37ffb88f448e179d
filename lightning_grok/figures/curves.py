"""Parts of figures that are columns of panels: performance, geometry, probes, and all the rest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_grok.figures.epoch_axis import event_handles, published_handles
from lightning_grok.figures.layout import Part, page_figure, part_figure
from lightning_grok.figures.panel import (
    broken,
    draw_panel,
    legend_handles,
    legend_labels,
    level_handles,
)
from lightning_grok.figures.seeds import Runs, Seeds
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.quantities import GEOMETRY, PERFORMANCE, Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_FULL = 12  # panels on one page
_WIDE = 24  # more characters of a label leave no room for another beside it
_WIDE_OF_THREE = 18  # and these for two others


def performance_figure(run: Runs) -> "Figure":
    """Accuracy over loss (log), train and test, with memorization and generalization.

    Raises:
        InputError: the run has no evaluation.
    """
    return part_figure(run, performance_part(run), "evaluations")


def geometry_figure(run: Runs) -> "Figure":
    """Capacity, radius and dimension of every layer, with their standard errors as bands.

    Raises:
        InputError: the run has no manifold capacity.
    """
    return part_figure(run, geometry_part(run, name_events=True), "manifold capacities")


def linear_probe_figure(run: Runs) -> "Figure":
    """Accuracy of each probe against the epoch, bands of one standard deviation over its draws.

    The heading names the digits and says where they are of the same distribution as the training
    samples, so that the probe measures no transfer.

    Raises:
        InputError: the run has no probe.
    """
    return part_figure(run, probe_part(run), "linear probes")


def further_figures(run: Runs) -> list["Figure"]:
    """All panels that no other figure of a run has, a user's own among them, on pages of twelve."""
    shown = {panel.id for panel in (*_performance(run), *_geometry(run), *_probes(run))}
    shown.add("kernel")  # in the figure of the run
    rest = [panel for panel in panels_of(run) if panel.id not in shown]
    parts = [_further_part(run, panel) for panel in rest]
    pages = [parts[i : i + _FULL] for i in range(0, len(parts), _FULL)]
    return [page_figure(run, [page[i : i + 2] for i in range(0, len(page), 2)]) for page in pages]


def performance_part(run: Runs) -> Part | None:
    """Panels for what was logged of accuracy and loss; None where nothing was."""
    panels = _performance(run)
    if not panels:
        return None
    heading = " and ".join(panel.id for panel in panels).capitalize()

    def draw(parent: "Figure | SubFigure") -> None:
        handles = draw_column(parent, run, panels)
        several = isinstance(run, Seeds)  # more to say in the same room
        named = event_handles(run, meaning=not several)
        handles += [*named, *published_handles(run, "test/")]
        parent.legend(handles=handles, loc="outside lower center", ncols=2)

    return Part(heading, 0.7 + 1.3 * len(panels), draw)


def geometry_part(run: Runs, *, name_events: bool = False) -> Part | None:
    """A panel a quantity; None where none was logged.

    Layers are those of the test split, or of the train split where it alone was measured.

    Args:
        run: the run.
        name_events: whether the legend names memorization and generalization, too.
    """
    panels = _geometry(run)
    if not panels:
        return None
    over_seeds = isinstance(run, Seeds)
    labels = legend_labels(run, panels[0])
    most = 2 if name_events or over_seeds else 3  # names of events and published are long
    columns = _columns(labels, most)
    rows = _rows(labels, columns, 2 * name_events + over_seeds)
    samples = f"{'train' if panels[0].id.endswith('-train') else 'test'} samples"

    def draw(parent: "Figure | SubFigure") -> None:
        handles = draw_column(parent, run, panels)
        handles += event_handles(run) if name_events else []
        handles += published_handles(run, "manifold_capacity")
        parent.legend(handles=handles, loc="outside lower center", ncols=columns)

    about = samples if over_seeds else f"{samples}, bands ± s.e."
    height = 0.35 + 1.1 * len(panels) + 0.14 * rows
    return Part(f"Geometry of the class manifolds ({about})", height, draw)


def probe_part(run: Runs) -> Part | None:
    """The probes that were logged; None where none was."""
    panels = _probes(run)
    if not panels:
        return None
    transfer = run.meta.get("transfer") or {}
    heading = f"Linear probes of {transfer.get('name', 'digits')}"
    heading += " (same distribution)" if transfer.get("same_distribution") else ""

    def draw(parent: "Figure | SubFigure") -> None:
        handles = draw_column(parent, run, panels)
        handles += [*event_handles(run), *published_handles(run, "linear_probe/")]
        parent.legend(handles=handles, loc="outside lower center")

    return Part(heading, 2.9, draw)


def draw_column(parent: "Figure | SubFigure", run: Runs, panels: Sequence[Panel]) -> list["Line2D"]:
    """Panels above each other over one epoch axis; what a legend says of their lines, each once."""
    column = parent.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    handles: dict[str, Line2D] = {}
    for axes, panel in zip(column, panels, strict=True):
        for line in legend_handles(run, panel, draw_panel(axes, run, panel)):
            handles.setdefault(str(line.get_label()), line)
        axes.label_outer()
    parent.align_ylabels(column)
    return list(handles.values())


def _performance(run: Runs) -> list[Panel]:
    return [panel for panel in panels_of(run) if panel.id in PERFORMANCE]


def _geometry(run: Runs) -> list[Panel]:
    panels = {panel.id: panel for panel in panels_of(run)}
    of_test = [panels[name] for name in GEOMETRY if name in panels]
    of_train = [panels[f"{name}-train"] for name in GEOMETRY if f"{name}-train" in panels]
    return of_test or of_train


def _probes(run: Runs) -> list[Panel]:
    return [panel for panel in panels_of(run) if panel.id == "probe"]


def _columns(labels: Sequence[str], most: int) -> int:
    """Columns of a legend that has room for its longest label."""
    longest = max(map(len, labels))
    return 1 if longest > _WIDE else min(most, 2 if longest > _WIDE_OF_THREE else 3)


def _rows(labels: Sequence[str], columns: int, others: int = 0) -> int:
    """Lines of text in a legend, with so many `others` in it."""
    return -(-(len(labels) + others) // columns) + sum(label.count("\n") for label in labels)


def _further_part(run: Runs, panel: Panel) -> Part:
    """One panel with its legend."""
    labels = legend_labels(run, panel)
    columns = _columns(labels, 2)
    rows = _rows(labels, columns) + any(line.level for line in panel.lines)

    def draw(parent: "Figure | SubFigure") -> None:
        handles = [*draw_column(parent, run, [panel]), *level_handles(run, panel)]
        parent.legend(handles=handles, loc="outside lower center", ncols=columns)

    return Part(broken(panel.title), 1.5 + 0.14 * rows, draw)

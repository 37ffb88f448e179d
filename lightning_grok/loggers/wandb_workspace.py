"""The W&B workspace of a project, as code: the panels of the figures on log-epoch axes."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_grok.extras import named_extra
from lightning_grok.runs.panels import Described, panels_of
from lightning_grok.runs.quantities import CATALOGUE, LAYER, Panel

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

WORKSPACE_NAME = "Geometry of grokking"


def build_workspace(entity: str, project: str, runs: Sequence[Described] = ()) -> "Workspace":
    """The workspace, validated; nothing is sent.

    Sections and panels are those of the catalogue (`lightning_grok.runs.quantities`), and whatever
    else `runs` have logged. Panels whose keys a run has not logged stay empty, so that one
    workspace serves all setups.

    Args:
        entity: user or team.
        project: of that entity.
        runs: whose own keys get panels too, and whose layers are looked for by name.

    Raises:
        MissingExtra: the package wandb-workspaces isn't installed.
    """
    with named_extra():
        import wandb_workspaces.workspaces as workspaces
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=WORKSPACE_NAME,
        sections=[_section(name, panels) for name, panels in _sections(runs).items()],
        settings=workspaces.WorkspaceSettings(x_axis="epoch", remove_legends_from_panels=False),
    )


def _section(name: str, panels: list[Any]) -> "Section":
    import wandb_workspaces.workspaces as workspaces

    layout = workspaces.SectionLayoutSettings(columns=3, rows=1 + (len(panels) - 1) // 3)
    return workspaces.Section(name=name, panels=panels, is_open=True, layout_settings=layout)


def _sections(runs: Sequence[Described]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    measured = [panel for run in runs for panel in panels_of(run)]
    layers = {line.layer for panel in measured for line in panel.lines if line.layer}
    for panel in CATALOGUE:
        found.setdefault(panel.group, []).extend(_curves(panel, sorted(layers)))
    found["Performance"].append(_delays())
    found["Kernel distance"].append(
        _pictures("Distance of all pairs of epochs", "kernel_distance/heatmap")
    )
    found["UMAP"].append(_pictures("Test samples in the last hidden layer", "umap/snapshot"))
    own: dict[str, Panel] = {}
    for panel in measured:
        if not panel.known:
            lines = dict.fromkeys([*own.get(panel.id, panel).lines, *panel.lines])
            own[panel.id] = panel._replace(lines=tuple(lines))
    for panel in own.values():
        found.setdefault(panel.group, []).extend(_curves(panel))
    return found


def _curves(panel: Panel, layers: Sequence[str] = ()) -> list[Any]:
    """Logged keys over epochs; epoch 0 has no place on a logarithmic axis.

    What is measured of every layer has a plot of its own: of all layers with a dot in their name,
    which no other key has, and of those that the runs name.
    """
    import wandb_workspaces.reports.v2 as reports

    unit = panel.unit.format(loss="") or None
    look: dict[str, Any] = {"x": "epoch", "log_x": True, "title_x": "epoch", "title_y": unit}
    look |= {"log_y": True} if panel.log else {}
    keys: list[Any] = [line.key for line in panel.lines if LAYER not in line.key]
    keys += [line.level for line in panel.lines if line.level]
    patterns = [line.key for line in panel.lines if LAYER in line.key]
    plots = [reports.LinePlot(title=panel.title, y=keys, **look)] if keys else []
    for pattern in patterns:
        title = f"{panel.title}, each layer"
        plain = [re.escape(each) for each in layers if "." not in each]
        names = "|".join([r"[^/]+\.[^/]+", *plain])
        key = re.escape(pattern).replace(r"\{layer\}", f"({names})")
        plots.append(reports.LinePlot(title=title, metric_regex=f"^{key}$", **look))
    return plots


def _pictures(title: str, key: str) -> Any:
    """Media of one key, a slider over them; the epoch stands in their captions."""
    import wandb_workspaces.reports.v2 as reports

    return reports.MediaBrowser(title=title, media_keys=[key], mode="gallery", gallery_axis="step")


def _delays() -> Any:
    """Memorization and generalization of every run, which the diagonal parts."""
    import wandb_workspaces.reports.v2 as reports

    return reports.ScatterPlot(
        title="Epochs of memorization and of half the rise",
        x=reports.SummaryMetric("memorization"),
        y=reports.SummaryMetric("half"),
        log_x=True,
        log_y=True,
    )

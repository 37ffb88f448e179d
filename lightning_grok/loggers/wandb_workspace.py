"""The W&B workspace of a project, as code: the panels of the figures on log-epoch axes."""

from typing import TYPE_CHECKING, Any

from lightning_grok.errors import InputError

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

NAME = "Geometry of grokking"


def build_workspace(entity: str, project: str) -> "Workspace":
    """The workspace, validated; nothing is sent.

    Sections are the measurements, in the order of the command line's groups. Panels whose keys a
    run has not logged stay empty, so that one workspace serves all setups.

    Args:
        entity: user or team.
        project: of that entity.

    Raises:
        InputError: the package wandb-workspaces isn't installed.
    """
    try:
        import wandb_workspaces.workspaces as workspaces
    except ImportError:
        raise InputError(
            "expected the package wandb-workspaces, received none: "
            'pip install "lightning_grok[workspace]"'
        ) from None
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[_section(name, panels) for name, panels in _panels().items()],
        settings=workspaces.WorkspaceSettings(x_axis="epoch", remove_legends_from_panels=False),
    )


def _section(name: str, panels: list[Any]) -> "Section":
    import wandb_workspaces.workspaces as workspaces

    layout = workspaces.SectionLayoutSettings(columns=3, rows=1 + (len(panels) - 1) // 3)
    return workspaces.Section(name=name, panels=panels, is_open=True, layout_settings=layout)


def _panels() -> dict[str, list[Any]]:
    return {
        "Performance": [
            _lines("Accuracy", "train/accuracy", "test/accuracy", unit="share of images"),
            _lines("Loss", "train/loss", "test/loss", log_y=True),
            _delays(),
        ],
        "Kernel distance": [
            _lines(
                "Full kernel, distance S to",
                *(f"kernel_distance/full/{of}" for of in ("own", "previous", "foreign", "floor")),
            ),
            _lines(
                "Trace kernel, distance S to",
                *(f"kernel_distance/trace/{of}" for of in ("own", "previous", "foreign", "floor")),
            ),
            _lines(
                "Alignment of the trace kernel with the labels",
                "kernel_distance/alignment", "kernel_distance/centered_alignment",
            ),
            _pictures("Distance of all pairs of epochs", "kernel_distance/heatmap"),
        ],
        "Manifold geometry": [
            _layers("Capacity α_C of each layer", "manifold_capacity", "capacity"),
            _layers("Radius R_M of each layer", "manifold_capacity", "radius"),
            _layers("Dimension D_M of each layer", "manifold_capacity", "dimension"),
        ],
        "Linear probe": [
            _lines(
                "Digits read from the network's features",
                *(
                    f"linear_probe/{probe}/accuracy"
                    for probe in ("sound", "sound_stored", "paper", "direct", "direct_stored")
                ),
                unit="share of digits",
            ),
        ],
        "UMAP": [
            _pictures("Test images in the last hidden layer", "umap/snapshot"),
            _lines("Neighbors kept, and movement", "umap/preservation", "umap/movement"),
        ],
        "Weight norm": [
            _lines("Norm of all parameters", "weight_norm/total"),
            _lines("Against the initialization", "weight_norm/relative", "weight_norm/cosine"),
            _layers("Norm of each layer", "weight_norm"),
        ],
    }  # fmt: skip


def _lines(title: str, *keys: str, unit: str | None = None, log_y: bool = False) -> Any:
    """Logged keys over epochs; epoch 0 has no place on a logarithmic axis."""
    import wandb_workspaces.reports.v2 as reports

    return reports.LinePlot(
        title=title, x="epoch", y=list(keys), log_x=True, log_y=log_y, title_x="epoch",
        title_y=unit,
    )  # fmt: skip


def _layers(title: str, measurement: str, quantity: str = "") -> Any:
    """One quantity of all layers, however many the network has."""
    import wandb_workspaces.reports.v2 as reports

    key = rf"{measurement}/layers\.\d+" + (f"/{quantity}" if quantity else "")
    return reports.LinePlot(
        title=title, x="epoch", metric_regex=f"^{key}$", log_x=True, title_x="epoch"
    )


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

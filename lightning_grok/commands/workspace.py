"""``python -m lightning_grok workspace``: the W&B workspace of a project, as code."""

from collections.abc import Sequence
from pathlib import Path

from lightning_grok.commands import CommandParser
from lightning_grok.errors import InputError
from lightning_grok.loggers.wandb_workspace import build_workspace
from lightning_grok.runs.run import read_runs


def main(arguments: Sequence[str]) -> None:
    """Build the workspace and save it to the server."""
    parser = CommandParser(
        "workspace",
        description="Save a W&B workspace with the panels of the figures: accuracy, kernel "
        "distance, manifold geometry, probes, UMAP and weight norms over epochs. It needs an API "
        "key; the runs of the project may come later. What runs in folders have logged besides "
        "gets panels under its own name.",
    )
    parser.add_argument("project", help="ENTITY/PROJECT")
    parser.add_argument("runs", type=Path, nargs="*", help="runs, or folders of them")
    options = parser.parse_args(arguments)
    entity, slash, project = options.project.partition("/")
    if not (entity and slash and project) or "/" in project:
        raise InputError(f"expected ENTITY/PROJECT, received {entity}{slash}{project}")
    workspace = build_workspace(entity, project, read_runs(options.runs))
    reason = _why_not_online()
    if reason:
        raise InputError(
            f"expected a W&B server to save the workspace to, received: {reason}; "
            "run `wandb login` (or set WANDB_API_KEY) where there is a network, then this again"
        )
    workspace.save()
    print(f"workspace: {workspace.url}")


def _why_not_online() -> str:
    from lightning_grok.loggers.wandb_mode import decide_mode

    mode, reason = decide_mode("auto")
    return "" if mode == "online" else f"W&B is {mode}, {reason}"

"""The figures of docs/results/tasks.md, one a recipe, from runs of the recipes.

    python -m benchmarks.tasks RUN [RUN ...] [--out docs/results/tasks]

Below one another over the same epochs: accuracy; what other readouts make of the representation;
capacity of the answers' manifolds; kernel distance to the start; and whatever the recipe measures
of its mechanism. A figure is named as its run, up to ``_seed``.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lightning_grok.figures.layout import style
from lightning_grok.figures.panel import draw_panel
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.quantities import Panel
from lightning_grok.runs.run import Run, read_run

SHOWN = {
    "Accuracy": r"(train|test)/accuracy",
    "Readouts of the representation on held-out samples": r"linear_probe/own/\w+(?<!_sd)",
    "Manifold capacity of the answers": r"manifold_capacity/.*/capacity",
    "Kernel distance to the start": r"kernel_distance/full/own",
    "Loss of the periodic part alone, and without it": r"fourier_progress/(restricted|excluded)",
    "Share of a + b in the logits, and participation of frequencies":
        r"fourier_progress/(sum_share|participation)|residue_participation/.*",
    "Loss of the strongest representations alone, and without them":
        r"irrep_progress/(restricted|excluded)",
    "Share of the product in the logits, and participation of representations":
        r"irrep_progress/(product_share|participation)",
    "Share of the first layer's mass on the signs that decide": r"coordinate_mass/.*",
}  # fmt: skip
"""Title of each panel, from the top, and the keys in it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw each run's figure."""
    parser = argparse.ArgumentParser(description="draw the figures of docs/results/tasks.md")
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/results/tasks"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.runs:
        run = read_run(path)
        target = options.out / f"{run.name.partition('_seed')[0]}.png"
        with style():
            draw(run).savefig(target, dpi=110, metadata={"Software": None})
        print(target)


def draw(run: Run) -> Figure:
    """The panels of a run that `SHOWN` names, below one another."""
    panels = list(shown_panels(run))
    figure = Figure(figsize=(7, 1.35 * len(panels) + 0.5), layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), sharex=True), panels, strict=True):
        handles = draw_panel(axes, run, panel)
        axes.legend(handles=list(handles.values()), loc="center left", bbox_to_anchor=(1.01, 0.5))
        axes.set_title(panel.title, loc="left")
        axes.label_outer()
    return figure


def shown_panels(run: Run) -> Iterator[Panel]:
    """For each of `SHOWN` what the run has of it, in one panel."""
    for title, pattern in SHOWN.items():
        found = [
            panel._replace(title=title, lines=lines)
            for panel in panels_of(run)
            if (lines := tuple(line for line in panel.lines if re.fullmatch(pattern, line.key)))
        ]
        if found:
            yield found[0]._replace(lines=tuple(line for panel in found for line in panel.lines))


if __name__ == "__main__":
    main()

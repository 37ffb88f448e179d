"""Every measure by name on three runs: docs/results/measures.png.

    python -m benchmarks.measures [--root runs/measures]

Trains configs/grok.yaml with betas of 0.9 and 0.99, whose training set breaks down within 600
epochs instead of thousands, the same with all labels permuted, and configs/modular/quadratic.yaml;
runs that stand in the folder already are not trained anew. Then what any network has of
``python -m lightning_grok measures`` is taken of their snapshots. Some minutes of two cores.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_grok.commands.main import main as command
from lightning_grok.errors import InputError
from lightning_grok.runs.measures import BUILT_IN, Measure
from lightning_grok.runs.run import Run, read_run

FIGURE = Path(__file__).parents[1] / "docs" / "results" / "measures.png"
OTHERS = ("kernel_distance", "manifold_capacity", "linear_probe", "umap", "stability")
PERMUTED = "configs/table1/AdamW-10-1000-1-0.001-permuted1.yaml"
SHORT = ("--model.betas=[0.9,0.99]", "--trainer.max_epochs=600", "--evaluation.every=10")
DENSE = (0, 1, 10, 30, 60, 100, 150, 200, 250, 300, 350, 375, 400, 425, 450, 500, 600)
SPARSE = (0, 10, 20, 30, 50, 100, 150, 200, 250, 300, 350, 400, 500, 600)


class Subject(NamedTuple):
    """One run to measure.

    Attributes:
        arguments: of ``fit``.
        epochs: that are measured.
        layer, weight: that are looked at.
        loss: of what is trained.
    """

    arguments: tuple[str, ...]
    epochs: tuple[int, ...]
    layer: str
    weight: str
    loss: str = "cross_entropy"


SUBJECTS = {
    "grok": Subject(
        ("--config", "configs/grok.yaml", *SHORT), DENSE, "layers.5", "layers.4.weight"
    ),
    "control": Subject(
        ("--config", "configs/grok.yaml", "--config", PERMUTED, *SHORT),
        DENSE, "layers.5", "layers.4.weight",
    ),
    "quadratic": Subject(
        ("--config", "configs/modular/quadratic.yaml"), SPARSE, "square", "hidden.weight", "mse"
    ),
}  # fmt: skip

KEYS = {
    "participation_ratio": "", "effective_rank": "", "spectral_entropy": "", "numerical_rank": "",
    "intrinsic_dimension": "/dimension", "glue": "/capacity", "cka": "/start",
    "neural_collapse": "/within_over_between", "weight_spectrum": "/stable_rank",
    "sharpness": "value", "commutator": "defect", "gradient_noise": "signal_to_noise",
    "local_complexity": "total", "learning_coefficient": "value",
}  # fmt: skip
"""What is drawn of each: the end of its key, behind the layer or the weight."""

MEASURES = [measure for measure in BUILT_IN if measure.name in KEYS]
"""What any network has; measures of one task are shown on its page."""

OPTIONS = {
    "glue": ("per_class=15", "arguments={draws: 100}"),
    "local_complexity": ("samples=200",),
}


def train(root: Path, name: str, subject: Subject) -> Path:
    """The run of that name, with snapshots of its epochs."""
    path = root / name
    if not (path / "run.json").exists():
        off = [f"--{group}.enabled=false" for group in OTHERS]
        epochs = f"--weight_norm.epochs={list(subject.epochs)}"
        command(
            ["fit", *subject.arguments, *off, epochs, f"--run.root={root}", f"--run.name={name}"]
        )
    return path


def take(path: Path, subject: Subject, measure: Measure) -> str:
    """Take one measure of a run's snapshots; why it could not be taken, if so."""
    options = [f"epochs={list(subject.epochs)}", *OPTIONS.get(measure.name, ())]
    if measure.of == "layer":
        options.append(f"layers=[{subject.layer}]")
    elif measure.of == "weight":
        options.append(f"weights=[{subject.weight}]")
    elif measure.name != "local_complexity":
        options.append(f"arguments={{loss: {subject.loss}}}")
    callback = [f"--trainer.callbacks.{option}" for option in options]
    try:
        command(["measure", str(path), f"--measure={measure.name}", *callback])
    except (InputError, ValueError, SystemExit) as error:
        return f"{measure.name} of {path.name}: {error}"
    return ""


def key_of(subject: Subject, measure: Measure) -> str:
    """The logged key that is drawn."""
    place = {"layer": subject.layer, "weight": subject.weight, "model": ""}[measure.of]
    return f"{measure.name}/{place}{KEYS[measure.name]}"


def draw(runs: dict[str, Run]) -> Any:
    """A row for every measure, a column for every run, the test accuracy behind each curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.3 * len(MEASURES)), layout="constrained")
    axes = figure.subplots(len(MEASURES), len(runs), sharex="col", squeeze=False)
    for column, (name, run) in enumerate(runs.items()):
        for row, measure in enumerate(MEASURES):
            axis = axes[row, column]
            behind = axis.twinx()
            behind.fill_between(*run.series("test/accuracy"), color="0.9", linewidth=0)
            behind.set(ylim=(0, 1), yticks=[])
            axis.set(zorder=1, facecolor="none")
            key = key_of(SUBJECTS[name], measure)
            if key in run.keys:
                axis.plot(*run.series(key), ".-", color="C0")
            axis.set_xscale("symlog", linthresh=1)
            if column == 0:
                axis.set_ylabel(measure.name.replace("_", "\n"), fontsize=8)
        axes[0, column].set_title(name)
        axes[-1, column].set_xlabel("epoch")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what isn't there, measure it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/measures"))
    parser.add_argument("--only", help="names of measures to take, separated by commas")
    options = parser.parse_args(arguments)
    runs: dict[str, Run] = {}
    failures: list[str] = []
    for name, subject in SUBJECTS.items():
        path = train(options.root, name, subject)
        chosen = [each for each in MEASURES if each.name in (options.only or each.name).split(",")]
        failures += [take(path, subject, measure) for measure in chosen]
        runs[name] = read_run(path)
    print("\n".join(filter(None, failures)))
    draw(runs).savefig(FIGURE, dpi=110)
    print(FIGURE)


if __name__ == "__main__":
    main()

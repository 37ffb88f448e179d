"""Measures proposed as early warnings, judged alike: docs/results/forecast.md.

    python -m benchmarks.early_warning [--only parity] [--root runs/early_warning]
        [--write docs/results/forecast.md]

Trains recipes of `configs` and, with each, a control of the same network, on answers that nothing can
be learned of or, of the paper's main run, with its loss in float64, five seeds each, and takes the
measures while they train; what stands in the folder already is resumed. Then ``python -m
lightning_grok forecast`` judges them, and the committed runs of docs/results, runs.zip and tasks.zip,
with the series that these carry. A quarter of an hour to an hour of a core a recipe.
"""  # noqa: E501

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.page import markdown, write_section
from lightning_grok.claims.cohort import SeedRun, cohort
from lightning_grok.claims.content import read_claims
from lightning_grok.claims.forecast import forecast_runs
from lightning_grok.commands.forecast import HEAD, summary, table
from lightning_grok.commands.main import main as command
from lightning_grok.paper.claims.verdict import CLAIMS
from lightning_grok.runs.measures import BUILT_IN
from lightning_grok.runs.run import Run, read_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RATE = 0.2  # of false alarms: five controls can't show less

ROWS = 20
REFERENCES = ("epoch", "test accuracy", "test loss")
SEEDS = range(5)
MEASURES: dict[str, dict[str, Any]] = {
    "participation_ratio": {"per_class": 100},
    "spectral_entropy": {"per_class": 100},
    "intrinsic_dimension": {"per_class": 10},
    "glue": {"per_class": 20, "arguments": {"draws": 100}},
    "cka": {"per_class": 100},
    "neural_collapse": {"per_class": 100},
    "weight_spectrum": {},
    "sharpness": {"samples": 300},
    "commutator": {},
    "gradient_noise": {"samples": 100},
    "local_complexity": {"samples": 100},
    "learning_coefficient": {
        "samples": 300,
        "arguments": {"chains": 2, "draws": 15, "burn_in": 15},
    },
}
"""Measures by name, and their options."""


class Task(NamedTuple):
    """What is trained.

    Attributes:
        config: of ``fit``.
        control: what makes it one that memorizes and doesn't generalize.
        layer, weight: that are looked at.
        loss: of what is trained.
        epochs: that are measured; the last is trained to.
        every: epochs, of an evaluation.
        pool: of a layer's positions.
        without: measures that can't be taken.
        event: that is to be foreseen, after memorization.
    """

    config: str
    control: str
    layer: str
    weight: str
    loss: str
    epochs: tuple[int, ...]
    every: int
    pool: str = "auto"
    without: tuple[str, ...] = ()
    event: str = "half"


_KINKS = ("local_complexity",)  # of tokens there are no directions
TASKS = {
    "quadratic": Task(
        "configs/modular/quadratic.yaml", "--data.operation=random",
        "square", "hidden.weight", "mse",
        (0, 10, 30, 40, 55, 75, 100, 125, 150, 180, 210, 240, 270, 300, 340, 400), 5,
    ),
    "parity": Task(
        "configs/parity.yaml", "--data.k=20",
        "layers.1", "layers.0.weight", "hinge",
        (0, 10, 20, 35, 50, 70, 90, 115, 140, 170, 200, 230, 260, 300, 350, 420), 4,
    ),
    "a5": Task(
        "configs/groups/a5.yaml", "--data.label_noise=1",
        "relu", "hidden.weight", "cross_entropy",
        (0, 40, 80, 160, 300, 500, 700, 900, 1100, 1350, 1600, 2000, 2500, 3000, 3600, 4400), 20,
        without=_KINKS,
    ),
    "transformer": Task(
        "configs/modular/transformer_p53.yaml", "--data.operation=random",
        "blocks.0.output", "blocks.0.hidden.weight", "cross_entropy",
        (0, 20, 40, 60, 85, 110, 140, 170, 200, 240, 280, 330, 380, 440, 520, 620), 10,
        "last", _KINKS,
    ),
    "n1000": Task(
        "configs/grok.yaml", "--model.loss_precision=float64",
        "layers.5", "layers.4.weight", "cross_entropy",
        (0, 30, 100, 300, 700, 1300, 2000, 2600, 3000, 3300, 3600, 3900, 4200, 4600, 5200, 6000),
        50,
        event="test/accuracy >= 0.2",
    ),
    "mnist": Task(
        "configs/mnist/weight_scale_8.yaml", "--data.permute_fraction=1",
        "layers.3", "layers.2.weight", "mse",
        (0, 100, 300, 450, 700, 1000, 1400, 1800, 2200, 2600, 3000, 3500, 4000, 4500, 5200, 6000),
        50,
    ),
}  # fmt: skip


def options_of(task: Task) -> dict[str, Any]:
    """What is measured beside training, as a configuration."""
    epochs = {"epochs": list(task.epochs)}
    places: dict[str, dict[str, Any]] = {
        "layer": {"layers": [task.layer], "pool": task.pool},
        "weight": {"weights": [task.weight]},
    }
    callbacks = []
    for measure in BUILT_IN:
        if measure.name not in MEASURES or measure.name in task.without:
            continue
        init = measure.callback["init_args"] | epochs
        init |= places.get(measure.of, {}) | MEASURES[measure.name]
        if measure.name == "learning_coefficient":  # no fresh network stands at a minimum
            init["epochs"] = list(task.epochs[1:])
        if measure.of == "model" and measure.name != "local_complexity":
            init["arguments"] = {**init.get("arguments", {}), "loss": task.loss}
        callbacks.append(measure.callback | {"init_args": init})
    place = {"layer": task.layer, "pool": task.pool}
    return {
        "trainer": {"callbacks": callbacks, "max_epochs": task.epochs[-1]},
        "kernel_distance": {"samples": 24, **epochs},
        "manifold_capacity": {
            "layers": [task.layer],
            "pool": task.pool,
            "per_class": 8,
            "num_vectors": 25,
            "restarts": 1,
            **epochs,
        },
        "linear_probe": {**place, "samples": 500, "draws": 1, **epochs},
        "weight_norm": epochs,
        "evaluation": {"every": task.every},
        "umap": {"enabled": False},
        "run": {"figures": False},
        "wandb": {"mode": "disabled"},
    }


def train(root: Path, name: str) -> tuple[list[Path], list[Path]]:
    """The runs of a task and those of its control, one a seed."""
    task = TASKS[name]
    options = root / f"{name}.yaml"
    options.parent.mkdir(parents=True, exist_ok=True)
    options.write_text(yaml.safe_dump(options_of(task)))
    found: dict[str, list[Path]] = {}
    for kind, more in (("grok", []), ("control", [task.control])):
        found[kind] = [root / f"{name}-{kind}-{seed}" for seed in SEEDS]
        for seed, path in zip(SEEDS, found[kind], strict=True):
            files = ["--config", task.config, "--config", str(options)]
            at = [f"--seed_everything={seed}", f"--run.root={root}", f"--run.name={path.name}"]
            command(["fit", *files, *more, *at, "--trainer.enable_progress_bar=false", "--resume"])
    return found["grok"], found["control"]


def judged(runs: Sequence[Run], controls: Sequence[Run], event: str = "half") -> str:
    """What is said of some runs, and the table; without alarms of the best series alone."""
    found = forecast_runs(
        runs, series=[], event=event, since="memorization", controls=controls, rate=RATE,
        permutations=200,
    )  # fmt: skip
    rows = table(found)[1:]
    shown = [r for k, r in enumerate(rows) if controls or k < ROWS or r[0] in REFERENCES]
    further = len(rows) - len(shown)
    rest = f"\n\nAnd {further} further series with a smaller C-index." if further else ""
    left = [f"`{name}` ({reason})" for name, reason in found["left_out"].items()]
    without = f"Left out: {', '.join(left)}.\n\n" if left else ""
    said = summary(found).replace("\n", "\n\n")
    return f"{said}.\n\n{without}{markdown([HEAD, *shown])}{rest}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what isn't there, judge all, print and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/early_warning"))
    parser.add_argument("--only", choices=TASKS, help="train and judge one, no committed runs")
    parser.add_argument("--write", type=Path, help="a page for the docs")
    options = parser.parse_args(arguments)
    names = [options.only] if options.only else list(TASKS)
    subjects = {name: train(options.root, name) for name in names}
    sections = {
        f"On {name}": judged(read_runs(runs), read_runs(controls), TASKS[name].event)
        for name, (runs, controls) in subjects.items()
    }
    if not options.only:
        sections |= committed()
    for title, text in sections.items():
        print(f"## {title}\n\n{text}", flush=True)
        if options.write:
            write_section(options.write, title, text)


def committed() -> dict[str, str]:
    """What is said of the setups in docs/results that grok in enough seeds, by title."""
    sections = {}
    for claims, archive in ((CLAIMS, "runs.zip"), (RESULTS / "tasks.yaml", "tasks.zip")):
        content = read_claims(claims).of_arm()
        runs = [SeedRun(run, content) for run in read_runs([RESULTS / archive])]
        for name, setup in content.setups.items():
            found = cohort(runs, setup).grokked
            if len(found) >= content.min_seeds:
                title = f"On the committed runs of {name.replace('_', ' ')}"
                sections[title] = judged([each.run for each in found], [])
    return sections


if __name__ == "__main__":
    main()

"""Measures proposed as early warnings, judged alike: docs/results/forecast.md.

    python -m benchmarks.early_warning [--root runs/early_warning] [--write docs/results/forecast.md]

Trains configs/modular/quadratic.yaml and a control with random answers, in which nothing can be
generalized, five seeds each, and takes the measures while they train; runs that stand in the folder
already are not trained anew. Then ``python -m lightning_grok forecast`` judges them, and the
committed runs of docs/results, runs.zip and tasks.zip, with the series that these carry. Some 15
minutes of a core.
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
from lightning_grok.commands.forecast import summary, table
from lightning_grok.commands.main import main as command
from lightning_grok.runs.measures import BUILT_IN
from lightning_grok.runs.run import Run, read_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RATE = 0.2  # of false alarms: five controls can't show less

SEEDS = range(5)
EPOCHS = (0, 10, 30, 40, 55, 75, 100, 125, 150, 180, 210, 240, 270, 300, 340, 400)

MEASURES: dict[str, dict[str, Any]] = {
    "participation_ratio": {"per_class": 100},
    "spectral_entropy": {"per_class": 100},
    "intrinsic_dimension": {"per_class": 10},
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
        "epochs": EPOCHS[1:],  # no fresh network stands at a minimum
    },
}
"""Measures by name, and their options."""


class Task(NamedTuple):
    """What is trained.

    Attributes:
        config: of ``fit``.
        layer, weight: that are looked at.
        loss: of what is trained.
        control: what makes it one of which nothing can be generalized.
    """

    config: str
    layer: str
    weight: str
    loss: str
    control: str


TASKS = {
    "quadratic": Task(
        "configs/modular/quadratic.yaml", "square", "hidden.weight", "mse",
        "--data.operation=random",
    ),
}  # fmt: skip


def options_of(task: Task) -> dict[str, Any]:
    """What is measured beside training, as a configuration."""
    places: dict[str, dict[str, Any]] = {
        "layer": {"layers": [task.layer]},
        "weight": {"weights": [task.weight]},
    }
    callbacks = []
    for measure in BUILT_IN:
        if measure.name not in MEASURES:
            continue
        init = measure.callback["init_args"] | {"epochs": EPOCHS}
        init |= places.get(measure.of, {}) | MEASURES[measure.name]
        init["epochs"] = list(init["epochs"])
        if measure.of == "model" and measure.name != "local_complexity":
            init["arguments"] = {**init.get("arguments", {}), "loss": task.loss}
        callbacks.append(measure.callback | {"init_args": init})
    epochs = {"epochs": list(EPOCHS)}
    return {
        "trainer": {"callbacks": callbacks},
        "kernel_distance": {"samples": 24, **epochs},
        "manifold_capacity": {
            "layers": [task.layer],
            "per_class": 8,
            "num_vectors": 25,
            "restarts": 1,
            **epochs,
        },
        "linear_probe": {"layer": task.layer, "samples": 500, "draws": 1, **epochs},
        "weight_norm": epochs,
        "evaluation": {"every": 5},
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
            if not (path / "run.json").exists():
                files = ["--config", task.config, "--config", str(options)]
                at = [f"--seed_everything={seed}", f"--run.root={root}", f"--run.name={path.name}"]
                command(["fit", *files, *more, *at, "--trainer.enable_progress_bar=false"])
    return found["grok"], found["control"]


def judged(runs: Sequence[Run], controls: Sequence[Run]) -> str:
    """What is said of some runs, and the table."""
    found = forecast_runs(runs, series=[], controls=controls, rate=RATE, permutations=200)
    rows = [list(row) for row in table(found)]
    left = [f"`{name}` ({reason})" for name, reason in found["left_out"].items()]
    without = f"Left out: {', '.join(left)}.\n\n" if left else ""
    said = summary(found).replace("\n", "\n\n")
    return f"{said}.\n\n{without}{markdown(rows)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what isn't there, judge all, print and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/early_warning"))
    parser.add_argument("--write", type=Path, help="a page for the docs")
    options = parser.parse_args(arguments)
    subjects = {name: train(options.root, name) for name in TASKS}
    sections = {f"On {name}": judged(*map(read_runs, each)) for name, each in subjects.items()}
    sections["On the committed runs"] = judged(read_runs([RESULTS / "runs.zip"]), [])
    content, runs = read_claims(RESULTS / "tasks.yaml"), read_runs([RESULTS / "tasks.zip"])
    for name, setup in content.setups.items():
        found = cohort([SeedRun(run, content) for run in runs], setup).runs
        if len(found) >= content.min_seeds:
            title = f"On the committed runs of {name.replace('_', ' ')}"
            sections[title] = judged([each.run for each in found], [])
    for title, text in sections.items():
        print(f"## {title}\n\n{text}", flush=True)
        if options.write:
            write_section(options.write, title, text)


if __name__ == "__main__":
    main()

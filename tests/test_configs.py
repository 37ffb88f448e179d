"""Every configuration and sweep file is parsed by the command line, and every setup runs."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lightning_grok.commands.fit import GrokCLI
from lightning_grok.commands.main import main
from lightning_grok.commands.sweep_file import read_sweep
from lightning_grok.commands.sweep_points import grid, plan
from lightning_grok.runs.identity import setup_name
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run, read_runs

ROOT = Path(__file__).parents[1]
SETUPS = sorted(p for p in (ROOT / "configs").rglob("*.yaml") if p.name != "smoke.yaml")
NAMES = [str(path.relative_to(ROOT)) for path in SETUPS]
TASKS = [path for path in SETUPS if "class_path:" in path.read_text().partition("\ndata:")[2]]
"""On data of another class than `GrokData`."""

QUICK = ("quadratic", "parity", "a5", "transformer_p53", "stablemax")
"""Of these one of each kind of data and network."""

IMAGES = [path for path in SETUPS if path not in TASKS]
TABLE1 = [path for path in SETUPS if path.parent.name == "table1"]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
WHOLE = ("grok.yaml", "digits.yaml", "weight_scale_8.yaml")
"""Configurations that stand alone; the others are overlays on them."""

MEASUREMENTS = ("kernel_distance", "manifold_capacity", "linear_probe", "umap", "weight_norm")
Resolve = Callable[[list[str]], dict]


def first_line(path: Path) -> str:
    return path.read_text().splitlines()[0]


def configs_of(path: Path) -> list[str]:
    """The --config options of the command that runs a setup, from wherever the tests run."""
    return [f"--config={ROOT / part}" for part in shlex.split(first_line(path)) if ".yaml" in part]


@pytest.fixture(scope="module")
def resolved() -> Callable[[list[str]], dict]:
    """The whole configuration that the command line makes of its arguments."""
    parser = GrokCLI(["--data.dataset=digits"], run=False).parser

    def parse(arguments: list[str]) -> dict:
        return yaml.safe_load(parser.dump(parser.parse_args(arguments), skip_none=False))

    return parse


@pytest.mark.parametrize("path", SETUPS, ids=NAMES)
def test_begins_with_the_command_that_runs_it(path: Path) -> None:
    assert first_line(path).startswith("# python -m lightning_grok fit --config configs/")
    named = [part for part in first_line(path).split() if part.endswith(".yaml")]
    assert str(path.relative_to(ROOT)) == named[-1]
    assert all((ROOT / each).is_file() for each in named)
    assert "xpect" in path.read_text() or path.name in WHOLE


@pytest.mark.parametrize("path", TABLE1, ids=lambda path: path.stem)
def test_a_setup_of_the_paper_is_named_by_its_keys(path: Path, resolved: Resolve) -> None:
    config = resolved(configs_of(path))
    assert setup_name(config) == path.stem
    assert config["data"]["subset"] == "first"
    assert config["data"]["batch_size"] == 128


@pytest.mark.parametrize(
    ("options", "behind"),
    [
        (["--model.learning_rate=0.01"], "-lr0.01"),
        (["--model.activation=gelu", "--data.batch_size=64"], "-gelu-batch64"),
        (["--model.optimizer=sgd", "--model.momentum=0.9"], "-momentum0.9"),
        (["--data.normalization=null", "--data.orientation=upright"], "-raw-upright"),
        (["--data.normalization=[0,1]"], "-normalized0+1"),
        (["--model.loss=mse"], "-mse-batch128-normalized0.1307+0.3081"),
        (["--data.subset=random"], ""),
        (["--model.betas=[0.9,0.999]", "--model.eps=1e-8", "--model.loss_precision=float32"], ""),
        (["--model.betas=[0.9,0.99]", "--model.eps=1e-6"], "-betas0.9+0.99-eps1e-06"),
        (["--model.loss=stablemax", "--model.orthogonal_gradient=true"], "-stablemax-orthogonal"),
        (["--model.loss_precision=float64", "--model.hold_norm=true"], "-loss64-held"),
        (["--trainer.gradient_clip_val=0.5"], "-gradient_clip_val0.5"),
        (["--trainer.limit_val_batches=2", "--trainer.precision=32-true"], "-limit_val_batches2"),
    ],
)
def test_what_differs_from_the_recipe_is_named(
    options: list[str], behind: str, resolved: Resolve
) -> None:
    name = setup_name(resolved([f"--config={ROOT / 'configs' / 'grok.yaml'}", *options]))
    optimizer = "SGD" if "--model.optimizer=sgd" in options else "AdamW"
    assert name == f"{optimizer}-10-1000-1-0.001{behind}"


def test_an_optimizer_by_class_path_is_named_in_place_of_the_models(resolved: Resolve) -> None:
    given = ["--optimizer=torch.optim.NAdam", "--optimizer.lr=0.01", "--model.learning_rate=0.1"]
    plain, decayed = (
        setup_name(resolved([*given, *more])) for more in ([], ["--optimizer.weight_decay=0.5"])
    )
    assert re.fullmatch(r"NAdam\.[0-9a-f]{4}-10-1000-1-0", plain)
    assert re.fullmatch(r"NAdam\.[0-9a-f]{4}-10-1000-1-0\.5", decayed)


def test_schedules_of_the_learning_rate_are_told_apart(resolved: Resolve) -> None:
    names = {
        setup_name(resolved(["--lr_scheduler=ExponentialLR", f"--lr_scheduler.gamma={gamma}"]))
        for gamma in (0.9, 0.99)
    }
    assert len(names) == 2
    assert all(name.startswith("AdamW-10-1000-1-0.001-ExponentialLR.") for name in names)


def test_table_1_is_whole() -> None:
    rows = {
        "AdamW-10-2000-1-0.001", "AdamW-5-2000-1-0.001", "AdamW-1-2000-1-0.001",
        "AdamW-10-1000-1-0.001", "AdamW-10-5000-1-0.001",
        "AdamW-10-2000-0.5-0", "AdamW-10-2000-0.1-0", "AdamW-10-2000-0.001-0",
    }  # fmt: skip
    assert rows == {path.stem for path in TABLE1 if "# Table 1," in path.read_text()}
    sweep = read_sweep(ROOT / "sweeps" / "table1.yaml")
    assert rows == {Path(value).stem for value in sweep.parameters["config"]}


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        ("weight_scale_8", (8, 1, 0.01)), ("weight_scale_2", (2, 1, 0.01)),
        ("output_scale_0.5", (8, 0.5, 0)), ("output_scale_0.001", (8, 0.001, 0)),
    ],
)  # fmt: skip
def test_mnist_is_measured_at_the_steps_of_the_paper(
    name: str, scales: tuple, resolved: Resolve
) -> None:
    config = resolved(configs_of(ROOT / "configs" / "mnist" / f"{name}.yaml"))
    model, data = config["model"], config["data"]
    assert (model["weight_scale"], model["output_scale"], model["weight_decay"]) == scales
    assert (model["loss"], model["hidden"]) == ("mse", [200, 200])
    assert (data["train_size"], data["batch_size"], data["normalization"]) == (1000, 200, None)
    published = [10, 100, 500, 1000, 5000, *range(10_000, 110_000, 10_000)]
    steps_per_epoch = data["train_size"] // data["batch_size"]
    for group in MEASUREMENTS:
        measured = [epoch * steps_per_epoch for epoch in config[group]["epochs"]]
        assert measured == [0, *published]
    assert config["trainer"]["max_epochs"] * steps_per_epoch == published[-1]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, marks=[] if p == ROOT / "configs" / "digits.yaml" else [pytest.mark.slow])
        for p in IMAGES
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_runs_for_two_epochs(path: Path, fit: Callable[..., Run]) -> None:
    given = [*configs_of(path), f"--config={ROOT / 'configs' / 'smoke.yaml'}"]
    whole = path.name in WHOLE
    slow = [f"--{group}.enabled={str(whole).lower()}" for group in ("umap", "manifold_capacity")]
    images = 512 if path.stem == "kernel_samples" else 128
    small = ["--data.dataset=digits", f"--data.train_size={images}", "--trainer.max_epochs=2"]
    run = fit(*given, *small, *slow)
    assert run.state == "finished"
    assert [event for event in run.events if event["event"] == "error"] == []
    measured = {event["event"] for event in run.events}
    stated = yaml.safe_load(path.read_text())
    expected = {*MEASUREMENTS} if whole else {"kernel_distance", "linear_probe"}
    without = {group for group in expected if stated.get(group, {}).get("enabled") is False}
    assert expected - without <= measured
    assert not without & measured
    for group in ("model", "data"):
        for key, value in stated.get(group, {}).items():
            if key not in ("hidden", "dataset", "train_size"):  # the fixture's are small
                assert_states(run.config[group][key], value)


def assert_states(resolved: object, value: object) -> None:
    """What a file states is in the resolved configuration, beside the defaults it leaves out."""
    if isinstance(value, dict):
        assert isinstance(resolved, dict)
        for key, part in value.items():
            assert_states(resolved[key], part)
    else:
        assert resolved == value


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[] if p.stem in QUICK else [pytest.mark.slow]) for p in TASKS],
    ids=lambda path: path.stem,
)
def test_a_task_is_trained_and_measured(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_parser: None
) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    off = [f"--{group}.enabled=false" for group in MEASUREMENTS if group != "weight_norm"]
    content = yaml.safe_load(path.read_text()) | {"trainer": {"max_epochs": 2}}
    content["evaluation"] = {"every": 1}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(content))
    run = own_run(tmp_path / "task.yaml", tmp_path / "runs", *off)
    assert run.state == "finished"
    assert run.series("train/accuracy")[0].tolist() == [0, 1, 2]
    assert run.meta["num_classes"] == len(run.meta["class_names"]) > 1
    network = load_model(run.path, 2)
    state = [p.detach().double().square().sum() for p in network.parameters()]
    assert run.series("weight_norm/total")[1][-1] == pytest.approx(
        float(sum(state)) ** 0.5, rel=1e-5
    )


def own_run(config: Path, root: Path, *options: str) -> Run:
    """The run of one configuration alone."""
    main(["fit", f"--config={config}", f"--run.root={root}", "--run.figures=false",
          "--trainer.enable_progress_bar=false", "--wandb.mode=disabled", *options])  # fmt: skip
    (run,) = read_runs([root])
    return run


@pytest.mark.slow
def test_smoke_may_stand_on_any_setup_on_images(resolved: Resolve) -> None:
    smoke = f"--config={ROOT / 'configs' / 'smoke.yaml'}"
    for path in IMAGES:
        config = resolved([*configs_of(path), smoke])
        assert config["trainer"]["max_epochs"] == 3
        assert {config[group]["epochs"] for group in MEASUREMENTS} == {None}


@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=[pytest.mark.slow] * (f.stem != "claims_late")) for f in SWEEPS],
    ids=lambda path: path.name,
)
def test_every_point_of_a_sweep_is_a_fit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolved: Resolve
) -> None:
    monkeypatch.chdir(ROOT)  # sweep files name configurations as seen from the repository
    sweep = read_sweep(file)
    points = plan(sweep, grid(sweep), tmp_path)
    setups = set()
    for point in points:
        interpreter, *start = point.command[:4]
        assert (interpreter, start) == ("${interpreter}", ["-m", "lightning_grok", "fit"])
        config = resolved(list(point.command[4:]))
        setups.add((setup_name(config), config["seed_everything"]))
        assert config["run"]["name"] == point.name
    assert len(setups) == len(points)

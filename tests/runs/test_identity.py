"""A run is told by what differs in effect, also where a version with other options wrote it."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_grok.commands.fit import GrokCLI
from lightning_grok.commands.main import main
from lightning_grok.errors import InputError
from lightning_grok.runs.configuration import config_digest, differences
from lightning_grok.runs.identity import newest_run
from lightning_grok.runs.run import Run

OLD = Path(__file__).parent / "written_by_0_1_0"
"""Six epochs of 0.1.0, interrupted after the fourth by SIGTERM."""

GIVEN = (
    "--data.train_size=32", "--model.hidden=[2,3]", "--trainer.max_epochs=6",
    "--run.figures=false", "--umap.enabled=false", "--manifold_capacity.layers=[layers.3]",
    "--linear_probe.enabled=false", "--kernel_distance.samples=6", "--kernel_distance.probes=4",
    "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    "--data.dataset=digits",
)  # fmt: skip
"""What it was started with, over configs/grok.yaml and configs/smoke.yaml."""

OF_THE_MACHINE = ("run", "wandb", "data.root", "data.download", "data.eval_batch_size")

Config = dict[str, Any]


@pytest.fixture(scope="module")
def defaults() -> Config:
    cli = GrokCLI([], run=False)
    return cli._resolved(cli.parser.get_defaults())


@pytest.fixture
def old() -> Config:
    return Run(OLD / "run").config


def leaves(tree: Config, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def at(tree: Config, key: str) -> tuple[Config, str]:
    *groups, last = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    return tree, last


def without(tree: Config, key: str) -> Config:
    changed = copy.deepcopy(tree)
    group, last = at(changed, key)
    group.pop(last, None)
    return changed


BRANCHES = ["branch.branches", "branch.from_epoch", "branch.set"]
"""What a run that branches another is told by."""


def having(tree: Config, key: str, value: object) -> Config:
    changed = copy.deepcopy(tree)
    group, last = at(changed, key)
    group[last] = value
    return changed


def test_an_option_that_is_new_with_its_default_changes_nothing(
    old: Config, defaults: Config
) -> None:
    tried = 0
    for key in leaves(defaults):
        group, last = at(defaults, key)
        new = having(old, key, group[last])
        assert not list(differences(without(new, key), new, defaults)), key
        assert config_digest(without(new, key), defaults) == config_digest(new, defaults), key
        tried += 1
    assert tried > 100


def test_an_option_that_has_another_value_is_named(old: Config, defaults: Config) -> None:
    for key in leaves(defaults):
        new = having(old, key, "something else")
        found = [name for name, _, _ in differences(old, new, defaults)]
        named = [name for name, _, _ in differences(without(old, key), new, defaults)]
        changed = BRANCHES if key == "run.branches" else [key]
        assert found in (changed, []), key
        assert found == named, key
        assert (config_digest(old, defaults) == config_digest(new, defaults)) == (not found), key
        if not key.startswith((*OF_THE_MACHINE, "trainer.")):
            assert found == changed


def test_a_default_that_has_changed_is_named(old: Config, defaults: Config) -> None:
    new = having(old, "model.weight_decay", 0.5)
    usual = having(defaults, "model.weight_decay", 0.5)
    assert list(differences(old, new, usual)) == [("model.weight_decay", 0.001, 0.5)]


def test_an_option_that_is_gone_is_named(old: Config, defaults: Config) -> None:
    former = having(old, "model.gone", 3)
    assert list(differences(former, old, defaults)) == [("model.gone", 3, "none")]


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("lightning_grok.layers.LayerMeasurement", "LayerMeasurement", True),
        ("lightning_grok.callbacks.layer_measurement.LayerMeasurement", "LayerMeasurement", True),
        ("lightning_grok.callbacks.WeightNorm", "LayerMeasurement", False),
        ("other.LayerMeasurement", "LayerMeasurement", False),
    ],
)
def test_a_class_that_has_moved_is_the_same_and_its_new_arguments_have_defaults(
    old: Config, defaults: Config, before: str, now: str, same: bool
) -> None:
    path = f"lightning_grok.callbacks.{now}"
    full = {"function": "lightning_grok.geometry.weights.weight_norms", "strict": False,
            "every_n_epochs": None, "pool": "auto"}  # fmt: skip
    less = {"function": full["function"]}
    first = having(old, "trainer.callbacks", [{"class_path": before, "init_args": less}])
    second = having(old, "trainer.callbacks", [{"class_path": path, "init_args": full}])
    assert (not list(differences(first, second, defaults))) == same


def test_the_newest_unfinished_run_is_taken_whatever_its_digest(
    old: Config, defaults: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, created, state in (("a", "2026-01", "finished"), ("b", "2025-01", "interrupted")):
        shutil.copytree(OLD / "run", tmp_path / name)
        meta = Run(OLD / "run").meta | {"created": created, "state": state, "config_digest": name}
        (tmp_path / name / "run.json").write_text(json.dumps(meta))
    found = newest_run(tmp_path, None, old, defaults)
    assert found is not None
    assert found.name == "b"
    assert newest_run(tmp_path, None, having(old, "seed_everything", 1), defaults) is None
    other = having(old, "kernel_distance.samples", 7)
    assert newest_run(tmp_path, None, other, defaults) is None
    assert "another kernel_distance.samples: 7 instead of 6" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"another kernel_distance\.samples: 7 instead of 6"):
        newest_run(tmp_path, "b", other, defaults)
    (tmp_path / "b" / "config.yaml").write_text("{")
    with pytest.raises(InputError, match=r"config\.yaml"):
        newest_run(tmp_path, "b", old, defaults)


@pytest.mark.parametrize("name", [None, "run"])
def test_a_run_that_was_killed_before_its_configuration_stood_there_is_found(
    name: str | None, old: Config, defaults: Config, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    begun = {"seed": old["seed_everything"], "state": "running"}
    meta = begun | {"config_digest": config_digest(old, defaults)}
    (tmp_path / "run" / "run.json").write_text(json.dumps(meta))
    found = newest_run(tmp_path, name, old, defaults)
    assert found is not None
    (tmp_path / "run" / "checkpoints").mkdir()  # then it is lost, not unwritten
    assert name or newest_run(tmp_path, name, old, defaults) is None
    other = having(old, "kernel_distance.samples", 7)
    if name is None:
        assert newest_run(tmp_path, name, other, defaults) is None
    else:
        with pytest.raises(InputError, match=r"expected the configuration of a run in .*none"):
            newest_run(tmp_path, name, old, defaults)


def test_a_run_of_an_older_version_goes_on(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # restored afterwards
    shutil.copytree(OLD / "run", tmp_path / "run")
    config = Run(OLD / "run").config
    for key in ("data.orientation", "trainer.plugins", "kernel_distance.strict"):  # not there then
        config = without(config, key)
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    configs = [
        f"--config={OLD.parents[2] / 'configs' / f'{name}.yaml'}" for name in ("grok", "smoke")
    ]
    main(["fit", *configs, *GIVEN, f"--run.root={tmp_path}", "--resume"])
    assert f"resuming {tmp_path / 'run'} at epoch 4" in capsys.readouterr().out
    before, after = Run(OLD / "run"), Run(tmp_path / "run")
    assert after.state == "finished"
    assert after.events[: len(before.events)] == before.events
    for key in ("evaluation", "weight_norm", "kernel_distance", "manifold_capacity"):
        epochs = [event["epoch"] for event in after.events if event["event"] == key]
        assert epochs == list(range(7)), key
    assert [path.name for path in tmp_path.iterdir()] == ["run"]

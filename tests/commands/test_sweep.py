import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from lightning_grok.commands.sweep import main
from lightning_grok.commands.sweep_cluster import run_point
from lightning_grok.commands.sweep_file import fill, read_sweep
from lightning_grok.commands.sweep_points import grid, plan, point_name
from lightning_grok.errors import InputError
from lightning_grok.runs.run import Run

ROOT = Path(__file__).parents[2]


def one(**parameters: object) -> dict:
    return {"method": "grid", "parameters": parameters}


ONE = {"method": "grid", "parameters": {"a": {"value": 1}}}


def write(path: Path, **content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda p: p.name)
def test_every_sweep_of_the_project_can_be_planned(file: Path, tmp_path: Path) -> None:
    sweep = read_sweep(file)
    points = plan(sweep, grid(sweep), tmp_path)
    assert len({point.name for point in points}) == len(points) > 1
    for point in points:
        files = [part.partition("=")[2] or part for part in point.command if ".yaml" in part]
        assert files or any(part.startswith("--run.branches=") for part in point.command)
        assert all((ROOT / name).is_file() for name in files)


def test_a_grid_is_the_product_and_seeds_replace_the_files(tmp_path: Path) -> None:
    file = write(
        tmp_path / "s.yaml",
        method="grid",
        parameters={
            "a.b": {"values": [1, 2]},
            "c": {"value": True},
            "seed_everything": {"value": 9},
        },
        command=["${env}", "${interpreter}", "-m", "x", "${args}"],
    )
    sweep = read_sweep(file)
    assert grid(sweep, [4]) == [
        {"a.b": 1, "c": True, "seed_everything": 4},
        {"a.b": 2, "c": True, "seed_everything": 4},
    ]
    point = plan(sweep, grid(sweep), tmp_path)[0]
    assert point.command[:6] == (
        "${interpreter}", "-m", "x", "--a.b=1", "--c=true", "--seed_everything=9",
    )  # fmt: skip


def test_names_are_safe_and_tell_points_apart() -> None:
    first = point_name({"model.x": [1, 2], "config": "a/b c.yaml"})
    assert first != point_name({"model.x": [1, 3], "config": "a/b c.yaml"})
    assert not set(first) & set("/ []")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "grid"}, "expected `parameters`"),
        ({"method": "bayes", "parameters": {"a": {"value": 1}}}, "expected `method: grid`"),
        ({"method": "grid", "parameters": {"a": {"min": 1}}}, "`min` and `max`, below a"),
        (one(a={"min": 0.5, "max": 2.5}), "whole numbers min <= max, .* below a"),
        (one(a={"min": 3, "max": 1}), "whole numbers min <= max, .* below a"),
        (one(a={"min": 0, "max": 1, "q": 0}), "a positive step q, below a"),
        (one(a={"min": 0, "max": 10**12}), "at most 100,000 points in a of"),
        (one(a={"min": 0.0, "max": 1.0, "distribution": "uniform"}), "below a .*received uniform"),
        (one(a={"distribution": "log_uniform_values", "min": 1, "max": 2}), "log_uniform_values"),
        (
            one(a={"distribution": "normal", "mu": 0, "sigma": 1}),
            "received (mu|sigma)",
        ),
        (one(a={"values": [1, 2], "probabilities": [0.1, 0.9]}), "received probabilities"),
        (one(a={"values": []}), "as values of a"),
        (one(a={"values": "abc"}), "as values of a"),
        (one(a={"value": {"b": 1}}), "as values of a"),
        (one(a={"value": float("nan")}), "as values of a"),
        (one(a={"parameters": {"b": {"min": 1}}}), "below a.b in"),
        (one(a={"parameters": {"b": 5}}), "below a.b in"),
        (one(a={"parameters": {"b": {"value": 1}}}, **{"a.b": {"value": 2}}), "a.b once"),
        (one(a=5), "`value` or `values` below a in"),
        (one(**{k: {"values": [*range(100)]} for k in "abcde"}), "received 10,000,000,000"),
        ({**ONE, "run_cap": 5}, "received run_cap, which needs W&B"),
        ({**ONE, "command": ["x", "${args}", "${args_json_file}"]}, r"\$\{args_json_file\}"),
        ({**ONE, "command": ["x", "${args}", "${program}"]}, r"\$\{program\}"),
        ({"method": "grid", "parameters": {"a": {"value": date(2024, 1, 1)}}}, "as values of a"),
        ({"method": "grid", "parameters": {"config": {"values": [["a"]]}}}, "expected paths"),
        ({**ONE, "command": ["python", "-m", "x"]}, "a list that holds"),
        ({**ONE, "command": "python ${args}"}, "a list that holds"),
        ({**ONE, "program": "train.py"}, "beside `program`"),
    ],
)
def test_bad_sweeps_are_refused(content: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_sweep(write(tmp_path / "s.yaml", **content))


def test_what_wandb_accepts_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path / "s.yaml",
        name="a name", description="words", project="p", method="grid",
        metric={"name": "test/loss", "goal": "minimize"},
        parameters={
            "model": {"parameters": {
                "weight_scale": {"values": [1, 4]},
                "deep": {"parameters": {"er": {"value": True}}},
            }},
            "data.normalization": {"value": None},
            "a": {"min": 2, "max": 4},
            "b": {"distribution": "int_uniform", "min": -1, "max": 0},
            "c": {"distribution": "q_uniform", "min": 0.05, "max": 0.35, "q": 0.1},
            "d": {"distribution": "categorical", "values": [[1], "x"]},
            "e": {"distribution": "constant", "value": 0.5},
        },
    )  # fmt: skip
    sweep = read_sweep(file)
    assert sweep.parameters == {
        "model.weight_scale": [1, 4], "model.deep.er": [True], "data.normalization": [None],
        "a": [2, 3, 4], "b": [-1, 0], "c": [0.1, 0.2, 0.3], "d": [[1], "x"], "e": [0.5],
    }  # fmt: skip
    assert sweep.size == len(grid(sweep)) == 2 * 3 * 2 * 3 * 2
    (point, *_) = plan(sweep, grid(sweep), tmp_path)
    assert "--data.normalization=null" in point.command
    assert "--model.deep.er=true" in point.command


@pytest.mark.parametrize(
    ("macro", "given"),
    [
        ("${args}", ["--a.b=1", "--c=false", "--d=true", "--e=null"]),
        ("${args_no_equals}", ["--a.b", "1", "--c", "false", "--d", "true", "--e", "null"]),
        ("${args_no_hyphens}", ["a.b=1", "c=false", "d=true", "e=null"]),
        ("${args_no_boolean_flags}", ["--a.b=1", "--d", "--e=null"]),
        ("${args_json}", ['{"a": {"b": 1}, "c": false, "d": true, "e": null}']),
        ("${env}", []),
        ("${interpreter}", ["${interpreter}"]),
    ],
)
def test_macros_of_a_command(macro: str, given: list[str]) -> None:
    point = {"a.b": 1, "c": False, "d": True, "e": None}
    places = ["--run.name=x"] if "args" in macro else []
    assert fill(["go", macro, "end"], point, ["--run.name=x"]) == ["go", *given, *places, "end"]


def test_the_environment_in_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "here")
    command = ["${envvar:PLACE}/go", "${args}", "${program}"]
    file = write(tmp_path / "s.yaml", **ONE, command=command, program="x.py")
    assert read_sweep(file).command == ("here/go", "${args}", "x.py")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tabel1", "did you mean table1?"),
        ("sweeps/table2.yaml", "did you mean"),
        ("nothing-like-it", "no such file$"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        read_sweep(name)


def test_a_packaged_sweep_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_sweep("table1") == read_sweep(ROOT / "sweeps" / "table1.yaml")


def test_a_folder_that_cannot_be_written_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(InputError, match="expected a folder to write runs into, received"):
            main(["table1", f"--root={root}"])


def test_a_sweep_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected a sweep file"):
        read_sweep(file)


@pytest.mark.parametrize(
    "seeds", ["9-0", "²", "1-", "a", "", "1,,2", "-1", "0-4294967296", "1" * 5000]
)
def test_bad_seeds_are_refused(seeds: str) -> None:
    from lightning_grok.commands.sweep import main

    with pytest.raises(InputError, match="expected seeds such as"):
        main([str(ROOT / "sweeps" / "table1.yaml"), f"--seeds={seeds}", "--dry-run"])


@pytest.mark.parametrize("seeds", ["0-99999999", "0-4294967295", "0-99999"])
def test_seeds_without_end_are_refused_at_once(seeds: str) -> None:
    with pytest.raises(InputError, match="at most 100,000 points in"):
        main(["table1", f"--seeds={seeds}", "--dry-run"])


def test_a_finished_point_of_another_configuration_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("seed_everything: 0")
    end = 'import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text(\'{"state": "finished"}\')'
    file = write(
        tmp_path / "s.yaml",
        method="grid",
        parameters={"config": {"values": ["a.yaml"]}},
        command=["${interpreter}", "-c", end, "${args}", "runs/a.json"],
    )
    sweep = read_sweep(file)
    (point,) = plan(sweep, grid(sweep), Path("runs"))
    point.run.mkdir(parents=True)
    assert run_point(point, 1).status == 0
    (tmp_path / "runs" / "a.json").rename(point.run / "run.json")
    assert point.finished
    assert not point.changed
    (tmp_path / "a.yaml").write_text("seed_everything: 1")
    with pytest.raises(InputError, match="another one for 1 of 1 points"):
        main([str(file), "--root=runs"])


def sweep_command(file: Path, root: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "lightning_grok", "sweep", str(file), f"--root={root}"]
    return [*start, *more]


@pytest.mark.slow
def test_points_that_fail_stop_no_others_and_are_run_again(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    file = write(
        tmp_path / "s.yaml",
        method="grid",
        parameters={
            "seed_everything": {"values": [0, 1]},
            "model.learning_rate": {"values": [0.001, -1.0]},  # every other point fails
        },
        command=[
            "${interpreter}", "-m", "lightning_grok", "fit",
            "--config", str(ROOT / "configs" / "digits.yaml"), "--trainer.max_epochs=30",
            "--trainer.enable_progress_bar=false", "--run.figures=false", "--umap.enabled=false",
            "--kernel_distance.enabled=false", "--linear_probe.enabled=false",
            "--manifold_capacity.enabled=false", "${args}",
        ],
    )  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "disabled"}
    result = subprocess.run(
        sweep_command(file, root, "--workers=2"),
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 1
    assert "2 done, 2 failed" in result.stdout
    assert len(re.findall(r"expected model.learning_rate .*received -1\b", result.stdout)) == 2
    runs = [Run(path.parent) for path in root.glob("*/run.json")]
    assert sorted((run.seed, run.state, run.epoch) for run in runs) == [
        (0, "finished", 30), (1, "finished", 30),
    ]  # fmt: skip
    again = subprocess.run(
        sweep_command(file, root, "--dry-run"), capture_output=True, text=True, env=environment
    )
    assert "4 points, 2 finished, 2 to run" in again.stdout

"""Names that would lead out of a run, at every place that makes a path of one."""

from pathlib import Path

import numpy as np
import pytest

from lightning_grok.errors import InputError
from lightning_grok.figures import write_run_figures
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.names import place_inside, validate_measurements, validate_name

HOSTILE = [
    "", ".", "..", "../x", "../../../precious", "a/b", "/etc/passwd", "a\\b", "C:x", ".hidden",
    "-x", "a b", "a\nb", "a\0b", "x" * 152, "ü", "\udcff", "$HOME", "~", "a*", "a.", "CON", "nul.x",
    "com1",
]  # fmt: skip
HARMLESS = ["a", "umap", "run_2", "AdamW-10-1000-1-0.001", "x=1", "v1.2+b", "console", "x" * 151]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_hostile_names_are_refused_everywhere(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    with pytest.raises(InputError, match="expected a run name"):
        validate_name(name)
    with pytest.raises(InputError, match="expected the name of a measurement"):
        validate_measurements([name])
    with pytest.raises(InputError):
        RunDirectory.create(tmp_path / "runs", name, numbered=False)
    run = RunDirectory.create(tmp_path / "runs", "run", numbered=False)
    run.save_arrays("umap", 1, {"x": np.zeros(1)})
    for use in (
        lambda: run.forget(name),
        lambda: run.save_arrays(name, 0, {"x": np.zeros(1)}),
        lambda: run.save_arrays("umap", name, {"x": np.zeros(1)}),
        lambda: run.remove_arrays(name, "pairs"),
        lambda: run.remove_arrays("umap", name),
    ):
        with pytest.raises(InputError):
            use()
    assert (run.path / "arrays/umap/0000001.npz").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["precious", "runs"]
    assert (precious / "file").read_text() == "kept"
    run.close()


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_names_stay_as_they_are(name: str) -> None:
    assert validate_name(name) == name


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "b", "a"], "'a' twice"),
        (["umap", "UMAP"], "'UMAP' twice"),
        (["evaluation"], "which every run logs"),
        (["Timing"], "which every run logs"),
    ],
)
def test_names_of_one_run_are_different_and_its_own(names: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        validate_measurements(names)


@pytest.mark.parametrize(
    "part", ["arrays", "arrays/umap", "snapshots", "checkpoints", "events.jsonl"]
)
def test_links_are_not_followed_out_of_a_run(tmp_path: Path, part: str) -> None:
    outside = tmp_path / "outside"
    (outside / "umap").mkdir(parents=True)
    kept = [outside / "umap" / "0000009.npz", outside / "0000009.npz", outside / "events"]
    for file in kept:
        file.write_text("kept")
    run = RunDirectory.create(tmp_path / "runs", "run", numbered=False)
    (run.path / part).parent.mkdir(exist_ok=True)
    (run.path / part).symlink_to(outside / "events" if part == "events.jsonl" else outside)
    uses = {
        "arrays": [
            lambda: run.forget("umap"),
            lambda: run.save_arrays("umap", 9, {"x": np.zeros(1)}),
            lambda: run.rewind(0, 1),
        ],
        "snapshots": [lambda: run.save_snapshot(9, {})],
        "checkpoints": [lambda: run.checkpoints],
        "events.jsonl": [
            lambda: run.log("a", 1, 1, {}),
            lambda: run.rewind(0, 1),
            lambda: run.forget("umap"),
        ],
    }
    for use in uses[part.split("/")[0]]:
        with pytest.raises(InputError, match="which leads out of it"):
            use()
    run.close()
    if "/" not in part:
        with pytest.raises(InputError, match="which leads out of it"):
            RunDirectory(run.path)
    assert [file.read_text() for file in kept] == ["kept"] * 3


def test_figures_are_not_drawn_out_of_a_run(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", "run", numbered=False)
    run.update_meta(state="running")
    run.log("evaluation", 1, 1, {"train/accuracy": 0.5, "test/accuracy": 0.5})
    run.log("evaluation", 2, 1, {"train/accuracy": 0.5, "test/accuracy": 0.5})
    outside = tmp_path / "outside"
    outside.mkdir()
    (run.path / "figures").symlink_to(outside)
    with pytest.raises(InputError, match="which leads out of it"):
        write_run_figures(run.path)
    assert not list(outside.iterdir())


def test_a_lock_that_is_a_link_is_refused_by_a_writer(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    path = tmp_path / "run"
    path.mkdir()
    (path / "target").write_text("kept")
    for target in (outside, path / "target"):
        (path / ".lock").unlink(missing_ok=True)
        (path / ".lock").symlink_to(target)
        with pytest.raises(InputError, match="expected"):
            RunDirectory(path)
        assert target.read_text() == "kept"


def test_a_folder_that_is_a_link_is_not_taken_for_a_new_run(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(outside)
    with pytest.raises(InputError, match="expected a new run name"):
        RunDirectory.create(tmp_path / "runs", "run", numbered=False)
    assert not list(outside.iterdir())


def test_a_place_is_inside_links_followed(tmp_path: Path) -> None:
    (tmp_path / "run" / "a").mkdir(parents=True)
    (tmp_path / "run" / "loop").symlink_to(tmp_path / "run" / "loop")
    (tmp_path / "run" / "b").symlink_to(tmp_path / "run" / "a")
    assert place_inside(tmp_path / "run", "b", "c") == tmp_path / "run" / "b" / "c"
    for parts in ((".",), ("..",), ("a", "..", ".."), ("a", ".."), ("loop",), ("/etc",), ("a\0",)):
        with pytest.raises(InputError, match="which leads out of it"):
            place_inside(tmp_path / "run", *parts)

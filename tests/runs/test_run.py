import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_grok.errors import InputError
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import write_atomically
from lightning_grok.runs.folders import find_runs, is_alive
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import read_run
from lightning_grok.tasks.mlp import MLP


@pytest.fixture
def directory(tmp_path: Path):
    directory = RunDirectory.create(tmp_path, "run", numbered=True)
    directory.update_meta(name="run", state="running", seed=3)
    yield directory
    directory.close()


def test_scalars_come_back_as_series_and_table(directory: RunDirectory) -> None:
    directory.log("evaluation", 0, 0, {"test/accuracy": 0.1})
    directory.log("evaluation", 10, 80, {"test/accuracy": 0.5, "test/loss": math.nan})
    directory.log("error", 10, 80, {"message": "no"})
    run = read_run(directory.path)
    epochs, values = run.series("test/accuracy")
    assert epochs.tolist() == [0, 10]
    assert values.tolist() == [0.1, 0.5]
    table = run.table()
    assert table.loc[10, "test/accuracy"] == 0.5
    assert math.isnan(table.loc[10, "test/loss"])
    assert "message" not in table.columns
    assert run.series("nothing")[0].size == 0


def test_arrays_of_an_epoch_or_of_the_whole_run(directory: RunDirectory) -> None:
    for epoch in (0, 40, 40.5):
        directory.save_arrays("map", epoch, {"points": np.full(2, epoch)})
    directory.save_arrays("map", "pairs", {"points": np.ones(1)})
    run = read_run(directory.path)
    assert [run.array("map", at)["points"][0] for at in (40, 40.5, "pairs")] == [40, 40.5, 1]
    assert run.array("map", "other") == {}
    with pytest.raises(InputError, match=r"arrays of map \(0, 40, 40.5\), received 41"):
        run.array("map", 41)
    with pytest.raises(InputError, match=r"of maps \(none has any\), received 40"):
        run.array("maps", 40)


def test_a_last_line_cut_short_is_left_for_later(directory: RunDirectory) -> None:
    directory.log("evaluation", 1, 8, {"a": 1.0})
    line = json.dumps({"event": "evaluation", "epoch": 2, "step": 16, "a": 2.0}) + "\n"
    with open(directory.events_path, "a") as file:
        file.write(line[:20])
    run = read_run(directory.path)
    assert run.series("a")[0].tolist() == [1]
    with open(directory.events_path, "a") as file:
        file.write(line[20:])
    assert run.refresh()
    assert run.series("a")[0].tolist() == [1, 2]
    assert not run.refresh()


def test_rewinding_forgets_lines_arrays_and_snapshots(directory: RunDirectory) -> None:
    for epoch in (1, 2):
        directory.save_arrays("mine", epoch, {"values": np.zeros((2, 2))})
        directory.save_snapshot(epoch, {"w": torch.zeros(1)})
        directory.log("evaluation", epoch, epoch, {"a": float(epoch)})
        if epoch == 1:
            size = directory.log_size
    reader = read_run(directory.path)
    directory.rewind(size, 1)
    assert reader.refresh()  # a reader notices that the log became shorter
    assert reader.series("a")[0].tolist() == [1]
    assert list(reader.arrays("mine")) == [1]
    assert reader.snapshot_epochs() == [1]


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_atomically(target, fail)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_names_are_numbered_and_never_shared(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path, "run", numbered=True)
    second = RunDirectory.create(tmp_path, "run", numbered=True)
    assert (first.name, second.name) == ("run", "run_2")
    first.update_meta(name="run")
    with pytest.raises(InputError, match="expected a new run name"):
        RunDirectory.create(tmp_path, "run", numbered=False)
    with pytest.raises(InputError, match="another process"):
        RunDirectory(first.path)
    first.close()
    second.close()


def test_a_killed_writer_is_told_from_a_living_one(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from lightning_grok.runs.directory import RunDirectory\n"
        f"d = RunDirectory.create(Path({str(tmp_path)!r}), 'run', numbered=False)\n"
        "d.update_meta(state='running'); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        run = read_run(tmp_path / "run")
        assert is_alive(run.path)
        assert run.state == "running"
        writer.kill()
        writer.wait()
    assert not is_alive(run.path)
    assert run.state == "interrupted"


def test_models_come_back_from_snapshots(directory: RunDirectory) -> None:
    model = MLP(in_features=4, hidden=(3,), num_classes=2, weight_scale=2.0)
    directory.update_meta(network=model.arguments)
    directory.save_snapshot(5, model.state_dict())
    loaded = load_model(directory.path, 5)
    inputs = torch.randn(6, 4)
    assert torch.equal(loaded(inputs), model(inputs))
    assert not loaded.training
    with pytest.raises(InputError, match=r"expected an epoch of \[5\]"):
        load_model(directory.path, 6)
    directory.update_meta(network={**model.arguments, "hidden": [5000, 40_000]})  # 800 MB
    with pytest.raises(InputError, match=r"expected a network of the weights in .* of shape"):
        load_model(directory.path, 5)
    (directory.path / "snapshots" / "epoch_0000005.pt").write_bytes(b"broken")
    with pytest.raises(InputError, match="expected weights"):
        load_model(directory.path, 5)


def test_runs_are_found_two_levels_deep(directory: RunDirectory) -> None:
    root = directory.path.parent
    deep = root / "sweep" / "b"
    deep.mkdir(parents=True)
    (deep / "run.json").write_text("{}")
    assert find_runs(root) == [directory.path, deep]
    with pytest.raises(InputError, match="expected the directory of a run"):
        read_run(root)

"""The command ``forecast``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimed_runs import Truth, write_run

from lightning_grok.commands.forecast import HEAD, main
from lightning_grok.errors import InputError

HALVES = np.random.default_rng(0).permutation(np.linspace(2.6, 3.4, 6))
FEW = ("--permutations", "19", "--alarms", "0.5")
CAPACITY = "manifold_capacity/layers.5/capacity"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seeds whose capacity rises 0.4 decades early, and two permuted ones that never do."""
    root = tmp_path_factory.mktemp("runs")
    for seed, half in enumerate(HALVES):
        truth = Truth(half=half, lags=[-0.4] * 7, capacity_width=0.1)
        write_run(root, truth, seed=seed, config={"kind": "grok"})
    flat = Truth(half=9.0, growth=[0.0] * 7)
    for seed in range(2):
        write_run(root, flat, seed=seed, setup="permuted", config={"kind": "control"})
    return root


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main([*arguments, *FEW, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_alarms_against_controls(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, str(runs), "--series", CAPACITY, "--controls", "kind=control")
    assert (found["event"], found["since"]) == ("half", "memorization")
    assert (found["generalized"], found["controls"]) == (6, 2)
    alarm = found["alarms"][CAPACITY]
    assert (alarm["alarmed"], alarm["false"]) == (6, 0)
    assert 0.35 < alarm["lead"] < 0.65  # it begins to rise a little before its half
    assert found["alarms"]["epoch"]["alarmed"] == 0


def test_a_folder_of_controls_is_the_same(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_value = told(capsys, str(runs), "--series", CAPACITY, "--controls", "kind=control")
    folders = sorted(map(str, runs.glob("permuted*")))
    assert told(capsys, str(runs), "--series", CAPACITY, "--controls", *folders) == by_value


def test_the_table_has_all_that_the_runs_have_in_common(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(runs), *FEW])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("half in 6 of 6 seeds of EMNIST balanced AdamW")
    assert "0 controls (alarms at a rate of 0.5 need 1)" in lines[0]
    assert lines[2].split() == " ".join(HEAD).split()
    names = {line.split("  ")[0] for line in lines[3:]}
    assert {CAPACITY, "weight_norm/total", "test accuracy", "epoch"} <= names
    assert not any(name.startswith("train/") for name in names)


@pytest.mark.parametrize(
    ("event", "since"),
    [
        ("memorization", "start"),
        ("generalization", "memorization"),
        ("test/accuracy >= 0.3", "start"),
        ("0.5 half", "memorization"),
        ("synthetic", "start"),
    ],
)
def test_any_event(runs: Path, capsys: pytest.CaptureFixture[str], event: str, since: str) -> None:
    found = told(capsys, str(runs), "--series", CAPACITY, "--event", event)
    assert found["since"] == since
    assert found["event"] == {"generalization": "begins"}.get(event, event)
    assert found["generalized"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--event", "halff"], "received 'halff'; nor is it an event that was logged (synthetic)"),
        (["--event", "halff"], "half?"),
        (["--since", "soon"], "received 'soon'"),
        (["--series", "weight_norm/totel"], "expected a logged series, received weight_norm/totel"),
        (["--controls", "kind=other"], "expected controls among the runs, received kind=other"),
        (["--controls", "nowhere"], "expected a run or a folder with runs, received nowhere"),
        (["--alarms", "0.9"], "expected a rate of 0.001 to 0.5, received 0.9"),
        (["--controls", "kind=grok", "kind=control"], "expected runs besides controls"),
    ],
)
def test_bad_input(runs: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        main([str(runs), *arguments])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)

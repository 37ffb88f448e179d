"""The command ``verdict``."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from claimed_runs import CLAIMS, N1000, ROWS, Truth, write_run, write_runs

from lightning_grok.claims.table import Row
from lightning_grok.commands.verdict import main, verdict_lines
from lightning_grok.errors import InputError
from lightning_grok.runs.run import read_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root, Truth(), count=5)
    return root


def test_json_as_a_process(runs: Path) -> None:
    command = [sys.executable, "-m", "lightning_grok", "verdict", str(runs), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert list(found) == [*CLAIMS, "forecast", "definitions"]
    assert done.stderr == ""
    for claim in [*(found[name] for name in CLAIMS), found["C3"]["C3b"]]:
        assert claim["verdict"] in ("held", "failed", "undecided")
        assert {"estimate", "interval", "seeds", "figure", "reason"} <= set(claim)
    assert found["C2"]["verdict"] == found["C3"]["C3b"]["verdict"] == "held"
    setup = found["C2"]["setups"]["n1000"]
    assert (setup["verdict"], setup["seeds"]) == ("held", 5)
    assert [test["label"] for test in setup["tests"]] == [f"layers.{k}" for k in (2, 4, 5, 6)]
    assert found["forecast"]["setup"] == N1000
    assert found["forecast"]["seeds"] == 5
    assert "reason" in found["forecast"]


def test_the_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(runs)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["claim", "verdict", "estimate", "[interval]", "seeds", "figure"]
    assert re.fullmatch(r"version \d+, hash [0-9a-f]{12}, arm float32", lines.pop())
    rows = [line for line in lines if not line.startswith(" ")]
    assert [row.split()[0] for row in rows[1:]] == [*ROWS, "forecast"]
    second = next(k for k, line in enumerate(lines) if line.startswith("C2 "))
    assert lines[second].split()[1] == "held"
    assert lines[second + 1].startswith("  Capacity rises with generalization (estimate: layers.")
    assert lines[second + 2].startswith("  held: n1000:")


def test_columns_stand_below_their_names_whatever_claims_are_called() -> None:
    rest = ("1", "5", "", "It rises.", "held: n1000")
    rows = [Row("a_long_name_of_a_claim", "held", *rest), Row("b", "undecided", *rest)]
    lines = verdict_lines(rows)
    columns = [lines[0].index(name) for name in ("verdict", "estimate", "seeds")]
    for line, verdict in ((lines[1], "held"), (lines[4], "undecided")):
        assert [line[at:].split()[0] for at in columns] == [verdict, "1", "5"]


def test_output_that_nobody_reads_to_its_end_leaves_no_traceback(runs: Path) -> None:
    command = [sys.executable, "-m", "lightning_grok", "runs", str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + signal.SIGPIPE, "")


def test_bad_input_is_one_line(tmp_path: Path, runs: Path) -> None:
    claims = tmp_path / "claims.yaml"
    claims.write_text("claims: 1")
    table = tmp_path / "published.csv"
    table.write_text("a,b\n1,2\n")
    for arguments in (
        [str(tmp_path / "none")],
        [str(runs), str(tmp_path)],
        [str(runs), "--claims", str(claims)],
        [str(runs), "--published", str(table)],
        [str(runs), "--published", str(tmp_path / "none.csv")],
    ):
        with pytest.raises(InputError, match=r"expected .*received") as error:
            main(arguments)
        assert "\n" not in str(error.value)


def test_runs_are_found_once(runs: Path, tmp_path: Path) -> None:
    one = write_run(tmp_path, Truth(), seed=9)
    found = read_runs([runs, runs / f"{N1000}_seed0", one.path])
    assert len(found) == 6


@pytest.mark.parametrize("text", ["[1, 2]", '{"name": "a', ""])
def test_a_damaged_description_is_said(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, Truth(), seed=0)
    damaged = write_run(tmp_path, Truth(), seed=1).path / "run.json"
    damaged.write_text(text)
    main([str(tmp_path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {damaged} is no JSON object (")


def test_a_log_that_ends_too_soon_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path, Truth(), logged=10_000)
    log = run.path / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:5]))
    main([str(tmp_path)])
    assert f"warning: expected events up to epoch 10,000 in {log}" in capsys.readouterr().err


def test_a_series_of_nothing_but_nulls_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = write_runs(tmp_path, Truth(), count=5)
    for run in runs:
        log = run.path / "events.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        for row in rows:
            if "linear_probe/sound/accuracy" in row:
                row["linear_probe/sound/accuracy"] = None
        log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main([str(tmp_path)])
    assert "forecast" in capsys.readouterr().out


def test_a_run_without_any_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, Truth(), seed=0)
    (run.path / "events.jsonl").write_text("")
    main([str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {claim["verdict"] for name, claim in found.items() if name in CLAIMS} == {"undecided"}

"""``figures --paper``: what is drawn, what is said of what is missing, what is refused."""

from pathlib import Path

import pytest
from foretold_paper import write_seed

from lightning_grok.commands.main import main
from lightning_grok.errors import InputError
from lightning_grok.paper.figures.drawing import FIGURES, find_figures

GROKKING, HALF = "AdamW-10-1000-1-0.001", "AdamW-10-2000-0.5-0"


def test_numbers_choose_figures() -> None:
    assert [each.number for each in find_figures("10, 2")] == ["2", "10"]
    assert [each.number for each in find_figures("15")] == ["15a", "15b", "15c"]
    assert [each.number for each in find_figures("15b,table1")] == ["15b", "table1"]
    assert len(find_figures(None)) == len(FIGURES)
    numbers = {each.number.rstrip("abc") for each in FIGURES}
    assert numbers == {*map(str, range(1, 16)), "table1"}
    for wrong in ("16", "2,x", "1c", ","):
        with pytest.raises(InputError, match=r"expected figures .* received"):
            find_figures(wrong)


def test_only_the_figures_of_the_runs_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_seed(tmp_path / "runs", HALF, groups=("evaluation", "weight_norm"), last=100)
    out = tmp_path / "out"
    main(["figures", "--paper", str(tmp_path / "runs"), "--only", "2,5,table1", "--out", str(out)])
    said = capsys.readouterr()
    suffixes = (".png", ".pdf", ".csv", ".md")
    assert [Path(line) for line in said.out.splitlines()] == [out / f"table_1{s}" for s in suffixes]
    assert {path.name for path in out.iterdir()} == {f"table_1{suffix}" for suffix in suffixes}
    assert (out / "table_1.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "table_1.md").read_text().count("no run") == 8
    second, fifth, table = said.err.splitlines()
    assert second == (
        f"Figure 2: no run of {GROKKING}; to run: python -m lightning_grok fit "
        f"--config configs/grok.yaml --config configs/table1/{GROKKING}.yaml"
    )
    assert fifth.startswith("Figure 5: no run of AdamW-1-5000-1-0.001; to run: python -m")
    assert table.endswith("to run: python -m lightning_grok sweep sweeps/table1.yaml")


def test_a_setup_without_runs_is_an_empty_panel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_seed(tmp_path / "runs", HALF, groups=("evaluation", "linear_probe"), last=100)
    out = tmp_path / "out"
    main(["figures", str(run.path), "--paper", "--only=4", "--format=png", f"--out={out}"])
    said = capsys.readouterr()
    assert "Figure 4: no run of AdamW-10-2000-0.001-0; to run:" in said.err
    assert str(out / "figure_04.png") in said.out


def test_what_was_not_measured_says_how_to_measure_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_seed(tmp_path, "AdamW-1-5000-1-0.001", groups=("evaluation",), last=100)
    with pytest.raises(SystemExit) as stopped:
        main(["figures", str(tmp_path), "--paper", "--only", "5", "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first == (
        f"Figure 5: no manifold_capacity in {run.path}; to run: "
        f"python -m lightning_grok measure {run.path} --manifold_capacity.enabled=true"
    )
    assert last == "error: expected runs for a figure, received none"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("6", "of the three; to run: python -m lightning_grok fit --config configs/mnist/"),
        ("11", f"expected several seeds of {HALF}, received 1; to run: python -m lightning_grok"),
        ("14", "expected geometry of training and of test images, received none; to run:"),
    ],
)
def test_runs_that_are_not_enough_say_which_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str, said: str
) -> None:
    setups = {"6": "AdamW-8-1000-0.5-0-mse-200x200", "11": HALF, "14": GROKKING}
    groups = ("evaluation", "kernel_distance", "manifold_capacity")
    write_seed(tmp_path, setups[number], groups=groups, last=20)
    with pytest.raises(SystemExit):
        main(["figures", str(tmp_path), "--paper", "--only", number])
    first, _ = capsys.readouterr().err.splitlines()
    assert first.startswith(f"Figure {number}: expected")
    assert said in first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "2"], "expected --paper with --only"),
        (["--out", "x"], "expected --paper with --out"),
        (["--format", "jpg"], "expected formats of png, pdf, svg, received 'jpg'"),
        (["--width", "1"], "expected a width of 3 to 20 inches, received 1"),
        (["--paper", "--only", "99"], "expected figures of 1, 2, 3"),
        (
            ["--paper", "--published", "none.csv"],
            "expected published numbers, received none.csv: no such file",
        ),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_seed(tmp_path, HALF, groups=("evaluation",), last=10)
    with pytest.raises(SystemExit) as stopped:
        main(["figures", str(tmp_path), *arguments])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_formats_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        write_seed(tmp_path / "runs", HALF, seed, groups=("evaluation",), last=100)
    drawing = []
    for name in ("one", "other"):
        out = tmp_path / name
        chosen = ["--only=11", "--format=svg", "--width=4", "--no-captions", f"--out={out}"]
        main(["figures", str(tmp_path / "runs"), "--paper", *chosen])
        assert capsys.readouterr().out == f"{out / 'figure_11.svg'}\n"
        drawing.append((out / "figure_11.svg").read_text())
    assert drawing[0] == drawing[1]
    assert 'width="288pt"' in drawing[0]  # four inches


def test_a_path_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["figures", str(tmp_path / "nowhere"), "--paper"])
    assert "expected a run or a folder with runs, received" in capsys.readouterr().err


@pytest.mark.slow
def test_the_same_runs_give_the_same_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        write_seed(tmp_path / "runs", HALF, seed, groups=("evaluation",), last=100)
    written = []
    for name in ("one", "other"):
        out = tmp_path / name
        main(["figures", str(tmp_path / "runs"), "--paper", "--only=11", f"--out={out}"])
        written.append([path.read_bytes() for path in sorted(out.iterdir())])
    assert written[0] == written[1]
    capsys.readouterr()

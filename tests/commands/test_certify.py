"""What a recipe comes to: written down, read back, and held against new runs."""

import math
import re
from pathlib import Path

import pytest

from lightning_grok.commands.certify import (
    SeedOutcome,
    certificate,
    certificates,
    departures,
    outcome_of,
    read_certificate,
)
from lightning_grok.commands.main import main
from lightning_grok.commands.sweep import parse_seeds
from lightning_grok.errors import InputError
from lightning_grok.runs.run import read_runs

ROOT = Path(__file__).parents[2]
CERTIFICATES = sorted((ROOT / "configs").rglob("*.certificate.md"))
GROKS = SeedOutcome(0, 33, 139, 275, 423, 1.0, 0.998, True, False, 20)
NEVER = SeedOutcome(1, 33, math.inf, math.inf, math.inf, 1.0, 0.02, False, False, 20)


def test_a_certificate_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "recipe.certificate.md"
    path.write_text(certificate("recipe", [GROKS, NEVER]), encoding="utf-8")
    assert read_certificate(path) == [GROKS, NEVER]
    assert "certify recipe --seeds 0,1 --write`" in path.read_text()
    assert "1 of 2 seeds grokked, 1 of 2 ended with at least 99 %" in path.read_text()


@pytest.mark.parametrize("path", CERTIFICATES, ids=lambda path: path.stem)
def test_committed_ones_are_of_seeds_of_a_configuration(path: Path) -> None:
    outcomes = read_certificate(path)
    options = re.search(r"certify \S+(?: --seeds (\S+))? --write`", path.read_text())
    assert options is not None
    assert [each.seed for each in outcomes] == parse_seeds(options[1] or "0-4")
    config = path.with_name(path.name.replace(".certificate.md", ".yaml"))
    assert len({each.seed for each in outcomes}) == len(outcomes)
    assert len(outcomes) >= 5 or re.search(r"seeds?\s+only", config.read_text().replace("#", ""))


def test_a_configuration_names_its_certificate_or_says_that_it_has_none() -> None:
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        kept = path.with_suffix(".certificate.md")
        text = " ".join(path.read_text().replace("#", "").split())
        if "lightning_grok.tasks." in text:
            assert (kept.name in text) == kept.is_file(), path
            assert kept.is_file() or "has no certificate" in text, path


def test_a_folder_is_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "recipe.certificate.md"
    path.write_text(certificate("recipe", [GROKS, NEVER, GROKS._replace(seed=2, half=300)]))
    main(["certify", str(tmp_path)])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3
    assert rows[2] == (
        "| deep/recipe | 3 | 33 | 139 (139 to never) | 300 (275 to never) | 423 (423 to never) "
        "| 99.8 % | 2 of 3 | 2 of 3 | 0 of 3 | 20 |"
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main(["certify", str(tmp_path / "none")])
    assert stopped.value.code == 2
    assert "expected certificates, received the folder" in capsys.readouterr().err


def test_the_page_shows_all_certificates() -> None:
    page = (ROOT / "docs" / "results" / "tasks.md").read_text(encoding="utf-8")
    assert certificates(ROOT / "configs") in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"half": 275 * 1.4, "memorized": 33 / 1.4}, []),
        ({"half": 275 * 1.6}, ["expected half from 183 to 412, received 440"]),
        ({"grokked": False}, ["expected grokked, received False"]),
        ({"test": 0.9, "right": math.inf}, ["expected 99 % of the test set right, received False"]),
    ],
)  # fmt: skip
def test_what_leaves_a_certificate_is_said(change: dict, said: list[str]) -> None:
    found = departures(GROKS._replace(**change), [GROKS, GROKS._replace(seed=1)])
    assert found == [f"seed 0: {each}" for each in said]
    assert not departures(NEVER, [NEVER])
    assert len(departures(GROKS, [NEVER])) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {learning_rate: -1}", "expected model.learning_rate of above 0"),
        ("data: {class_path: no.such.Class}", "no.such.Class"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused_once(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(text)
    with pytest.raises(SystemExit) as left:
        main(["certify", "recipe.yaml", "--seeds", "0-2"])
    assert left.value.code == 2
    assert capsys.readouterr().err.count(said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; --write makes it"):
        read_certificate(tmp_path / "x.certificate.md")
    bad = tmp_path / "bad.certificate.md"
    bad.write_text("| a |\n| --- |\n| b |\n")
    with pytest.raises(InputError, match="expected a certificate, received"):
        read_certificate(bad)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["modular/quadratic", "parity"])
def test_the_quickest_recipes_come_to_their_certificates(
    recipe: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["certify", recipe, "--seeds=0", "--workers=1", "--check"]
    main(command)
    assert "1 of 1 seeds grokked" in capsys.readouterr().out
    (run,) = read_runs([tmp_path / "runs"])
    assert outcome_of(run).grokked
    monkeypatch.setattr("lightning_grok.commands.certify._WITHIN", 0.5)
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 1
    assert "seed 0: expected memorized from" in capsys.readouterr().err

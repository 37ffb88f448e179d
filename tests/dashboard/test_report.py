"""The report as a file: complete, closed, and harmless."""

import html
import json
import re
from pathlib import Path

import pytest
from claimed_runs import Truth, write_runs
from watched_runs import evaluate, write_run

from lightning_grok.commands.main import main
from lightning_grok.dashboard.report import report_page, write_report
from lightning_grok.paper.claims.page import verdict_table
from lightning_grok.paper.claims.verdict import verdict
from lightning_grok.runs.run import Run


def data_of(page: str) -> dict:
    (text,) = re.findall(r'id="report-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_a_report_of_two_runs_has_all_their_pages(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / "runs", f"r{k}", seed=k).path for k in range(2)]
    data = data_of(report_page(paths, []))
    assert [row["id"] for row in data["runs"]["runs"]] == ["r0", "r1"]
    assert data["runs"]["complete"]
    expected = {"compare/setup", "compare/run"}
    for run in ("r0", "r1"):
        expected |= {f"run/{run}", f"config/{run}", f"classes/{run}/"}
        expected |= {f"classes/{run}/layers.{k}" for k in range(5)}
        (umap,) = [view for view in data["pages"][f"run/{run}"]["views"] if view["id"] == "umap"]
        assert set(umap["frames"]) == set(data["frames"][run])
        shown = {
            key for view in data["pages"][f"run/{run}"]["views"] for *_, key in view["sources"]
        }
        logged = set(Run(tmp_path / "runs" / run).keys)
        assert shown | set(data["charts"][run]) == logged  # every key has a chart, or can have one
        assert set(data["table"][run]["final"]) == logged
    assert set(data["pages"]) == expected


@pytest.mark.slow
def test_runs_of_one_name_keep_their_figures_apart(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / folder, "r", seed=k, last=5).path for k, folder in enumerate("ab")
    ]
    report, *figures = write_report(paths, tmp_path / "report")
    assert {path.parent.relative_to(report.parent) for path in figures} == {
        Path("figures/a/r"), Path("figures/b/r"),
    }  # fmt: skip


def test_the_verdict_stands_under_the_views(tmp_path: Path) -> None:
    write_runs(tmp_path, Truth(), count=5)
    paths = sorted(path for path in tmp_path.iterdir())
    figures = [Path("figures/r/geometry.png")]
    page = report_page(paths, figures, verdict_table(paths, figures))
    (table,) = re.findall(r'<template id="report-appendix">(.*?)</template>', page, re.DOTALL)
    found = verdict([Run(path) for path in paths])
    shown = dict(re.findall(r'<th scope="row">(\w+)</th><td><span class="\w+">([^<]+)', table))
    assert {name: shown[name] for name in found} == {
        name: claim["verdict"] for name, claim in found.items()
    }
    assert shown["C3b"] == found["C3"]["C3b"]["verdict"] == "held"
    assert "forecast" in shown
    assert html.escape(found["C2"]["reason"]) in table
    link = '<a href="figures/r/geometry.png">geometry.png</a>'
    assert f"<td>2b 3a 15, {link}</td>" in table
    assert f"<td>{link}</td>" in table  # of a claim without a figure of the paper's


def test_nothing_from_a_run_ends_the_script_it_stands_in(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    path = write_run(tmp_path, last=5, dataset=evil, class_names=[evil] * 4).path
    page = report_page([path], [Path(f"figures/{'<b>'}/run.png")])
    assert "<script>alert" not in page
    assert "<b>" not in page.split("<script>")[0]
    assert data_of(page)["runs"]["runs"][0]["dataset"] == evil


@pytest.mark.slow
def test_the_command_writes_the_page_and_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_run(tmp_path / "runs", "r", last=-1)
    evaluate(directory, 1)
    path = directory.path
    main(["report", str(path), "--out", str(tmp_path / "out")])
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    *figures, report = written
    assert report == tmp_path / "out" / "report.html"
    names = {each.relative_to(tmp_path / "out").as_posix() for each in figures}
    assert {"figures/r/run.png", "figures/r/run.pdf", "figures/r/performance.png"} <= names
    assert all(each.stat().st_size > 1000 for each in written)
    page = report.read_text()
    assert 'href="figures/r/run.pdf"' in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', page)
    main(["report", str(path)])
    assert (path / "report.html").exists()


def test_what_is_no_run_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path)])
    assert stopped.value.code == 2
    assert "expected the directory of a run" in capsys.readouterr().err
    path = write_run(tmp_path, last=5).path
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(path), "--out", str(tmp_path / "file")])
    assert stopped.value.code == 2
    assert "expected a folder to write a report into" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(path), "--published", str(tmp_path / "none.csv")])
    assert stopped.value.code == 2
    assert "none.csv" in capsys.readouterr().err
    assert not (path / "figures").exists()  # said before anything is drawn


def test_a_run_that_no_claim_is_about_has_no_verdict(tmp_path: Path) -> None:
    path = write_run(tmp_path, last=5, dataset="digits").path
    assert verdict_table([path], []) == ""
    assert '<template id="report-appendix"></template>' in report_page([path], [])

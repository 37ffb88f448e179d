"""What a user chooses on the page: runs, charts, axes, notes; and what is taken along from it."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_in_browser import NEEDS_BROWSER, drag, plot, wait
from watched_runs import write_run

from lightning_grok.analysis.onset import run_events
from lightning_grok.dashboard.report import report_page
from lightning_grok.dashboard.server import DashboardServer
from lightning_grok.figures.epoch_axis import events_of
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.glossary import GLOSSARY
from lightning_grok.runs.run import Run

pytestmark = NEEDS_BROWSER
KEY = "own/roundness"
WIDER = """(which) => [...document.querySelectorAll(which)]
  .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.textContent.slice(0, 80))"""


def write_runs(root: Path) -> list[RunDirectory]:
    """Three runs with configurations of their own, and a measurement that the catalogue lacks."""
    writers = []
    for k, size in enumerate((64, 64, 128)):
        writer = write_run(root, f"r{k}", seed=k, last=1000, steps_per_epoch=4)
        config = {"data": {"train_size": size, "dataset": "digits"}, "model": {"width": 10 + k}}
        (writer.path / "config.yaml").write_text(json.dumps(config))
        for epoch in (0, 1, 10, 100, 1000):
            writer.log("own", epoch, 8 * epoch, {KEY: k + epoch / 3})
        writers.append(writer)
    return writers


def download(page: Any, chart: str, what: str) -> Path:
    """A file that the menu of a chart gives."""
    section = page.locator(f"#views section:has(#plot-{chart})")
    section.locator(".menu summary").click()
    with page.expect_download() as found:
        section.locator(".menu button", has_text=what).click()
    return found.value.path()


def test_an_own_metric_and_any_key_have_a_chart(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    run = Run(write_runs(served.folder.root)[0].path)
    page = opened(f"{served.url}#page=run&run=r0")
    assert plot(page, "own-own-roundness", "data.at(-1).customdata.at(-1)") == 1000
    assert page.locator("#plot-kernel").count() == 1
    page.locator("#chart-choice summary").click()
    page.locator("#find").fill("ROUND")
    wait(page, "() => state.drawn.size === 1")
    page.locator("#find").fill("linear_probe/sound/accuracy_sd")
    page.locator("#find").press("Enter")
    wait(page, "() => state.answer.views[0].id.startsWith('key-') && state.drawn.size > 5")
    assert page.locator("#views h3").first.inner_text() == "linear_probe/sound/accuracy_sd"
    page.reload()
    wait(page, "() => document.querySelector('#views h3')?.textContent.includes('accuracy_sd')")
    text = download(page, "own-own-roundness", "CSV").read_text()
    rows = list(csv.reader(text.splitlines()))
    epochs, values = run.series(KEY)
    assert rows[0] == ["epoch", KEY]
    assert [[float(cell) for cell in row] for row in rows[1:]] == [
        list(pair) for pair in zip(epochs.tolist(), values.tolist(), strict=True)
    ]


def test_a_reload_keeps_the_view_and_back_leaves_it(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    write_runs(served.folder.root)
    page = opened(f"{served.url}#page=run&run=r1")
    page.locator('#views section:has(#plot-capacity) button[data-group="layers.2"]').click()
    drag(page, "capacity", 0.3, 0.7)
    wait(page, "() => state.zoom !== null")
    page.evaluate("setEpoch(20)")
    page.locator("#runs li").nth(2).locator("input").check()
    page.locator("#filter").fill("data.train_size>=64")
    look = """() => [state.page, state.run, state.epoch, [...state.hidden], [...state.ticked],
                     state.filter, state.zoom.map((end) => +end.toPrecision(5))]"""
    chosen = page.evaluate(look)
    wait(page, "() => location.hash.includes('filter=') && location.hash.includes('epoch=')")
    page.reload()
    wait(page, "() => state.started && state.drawn.size > 5")
    assert page.evaluate(look) == chosen
    shown = plot(page, "capacity", "_fullLayout.xaxis.range")
    assert shown == pytest.approx(chosen[-1], rel=1e-4)
    assert plot(page, "capacity", "data.find(t => t.legendgroup === 'layers.2').visible") is False
    assert page.locator("#filter").input_value() == "data.train_size>=64"
    page.locator('nav [data-page="compare"]').click()
    wait(page, "() => state.answer.page === 'compare'")
    page.go_back()
    wait(page, "() => state.answer.page === 'run' && state.drawn.size > 5")
    assert page.evaluate(look) == chosen


def test_numbers_of_any_size_are_short_and_have_no_letters_for_powers_of_ten(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    writer = write_run(served.folder.root, groups=())
    for epoch, value in ((1, 2.6e-7), (10, 5.4e-7)):
        writer.log("log", epoch, epoch, {"small": value, "large": -1e16 * value})
    page = opened(f"{served.url}#page=run&run=run")
    for name in ("small", "large"):
        texts = page.locator(f"#plot-own-{name} .ytick text").all_text_contents()
        labels = [text.replace("\u200b", "") for text in texts]
        assert labels
        assert [label for label in labels if not re.fullmatch(r"−?[\d.]+×10−?\d+", label)] == []
    values = [0, 3, 59000, 9144.23, 0.5761, 0.00870, -9.754e-6, 123456.7, -6.96e7, None]
    shown = [
        "0",
        "3",
        "59,000",
        "9,144.23",
        "0.576",
        "0.00870",
        "-9.75e-6",
        "123,457",
        "-6.96e7",
        "–",
    ]
    assert page.evaluate("(values) => values.map(inShort)", values) == shown


def test_the_slider_goes_through_what_was_logged_within_an_epoch(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    writer = write_run(served.folder.root, groups=())
    for epoch in (0, 0.125, 0.5, 1, 2.5):
        writer.log("log", epoch, round(8 * epoch), {KEY: epoch})
    page = opened(f"{served.url}#page=run&run=run")
    assert page.locator("#epoch").inner_text() == "epoch 2.5"
    page.evaluate("setEpoch(1)")
    wait(page, "() => location.hash.includes('epoch=0.125')")
    page.reload()
    wait(page, "() => state.started && state.drawn.size")
    assert page.locator("#epoch").inner_text() == "epoch 0.125"
    assert page.locator("section .legend output").inner_text() == "0.125"
    axis = "plot._fullLayout.xaxis"
    place = f"""() => {{
      const plot = document.querySelector('.plot');
      const line = plot.querySelector('.cursor').getBoundingClientRect().left;
      const share = (Math.log10(0.125) - {axis}.range[0]) / ({axis}.range[1] - {axis}.range[0]);
      return line - plot.getBoundingClientRect().left - {axis}._offset - {axis}._length * share;
    }}"""
    assert abs(page.evaluate(place)) < 1.5


def test_the_table_is_filtered_grouped_and_sorted_by_any_key(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    write_runs(served.folder.root)
    page = opened(served.url, until="#table tbody tr")
    names = page.locator("#table tbody .link")
    assert names.all_inner_texts() == ["r0", "r1", "r2"]
    for words, expected in {
        "train_size=64": ["r0", "r1"], "data.train_size!=64": ["r2"], "-train_size=64": ["r2"],
        "own/roundness>334": ["r1", "r2"], "/^R[02]/": ["r0", "r2"], "width<12 seed=1": ["r1"],
        '"emnist balanced"': ["r0", "r1", "r2"], "absent=1": [], "-r1": ["r0", "r2"],
    }.items():  # fmt: skip
        page.locator("#filter").fill(words)
        wait(page, f"() => document.querySelectorAll('#table .link').length === {len(expected)}")
        assert names.all_inner_texts() == expected, words
    page.locator("#filter").fill("nothing like it")
    page.locator('nav [data-page="compare"]').click()
    wait(page, "() => state.answer.page === 'compare' && !document.querySelector('#empty').hidden")
    assert page.evaluate("state.answer.views.length") == 0
    page.locator("#filter").fill("")
    page.locator('nav [data-page="runs"]').click()
    page.locator("#column").fill("model.width")
    page.locator("#column").press("Enter")
    page.locator("#table thead button", has_text="model.width").click()
    page.locator("#table thead button", has_text="model.width").click()
    assert names.all_inner_texts() == ["r2", "r1", "r0"]
    page.locator("#by").select_option("key")
    page.locator("#by-key").fill("data.train_size")
    page.locator("#by-key").press("Enter")
    wait(page, "() => document.querySelectorAll('#table .group').length === 2")
    groups = page.locator("#table .group").all_inner_texts()
    assert [text.strip() for text in groups] == [
        "data.train_size = 128 (1)",
        "data.train_size = 64 (2)",
    ]
    dots = page.evaluate(
        "[...document.querySelectorAll('#table .named .dot')].map((d) => d.style.background)"
    )
    assert dots[0] != dots[1] == dots[2]


def test_the_table_of_runs_with_long_names_fits_a_laptop(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    for seed in range(2):
        name = f"QuadraticMLP.c725-ModularArithmetic.3f2d_seed{seed}"
        write_run(served.folder.root, name, seed=seed, state="finished", seconds=226.0)
    page = opened(f"{served.url}#page=runs", until="#table .actions")
    wide = "document.querySelector('#table > .scroll').scrollWidth"
    assert page.evaluate(wide) <= page.evaluate(wide.replace("scrollWidth", "clientWidth"))


def test_half_of_a_rise_that_goes_on_is_a_bound(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    for state in ("finished", "interrupted"):
        write_run(served.folder.root, state, last=2000, state=state).close()
    page = opened(f"{served.url}#page=run&run=finished")
    half = events_of(run_events(Run(served.folder.root / "finished"))).generalization
    assert half is not None
    bound = f"≥ {half:,.0f}"
    rise = "half of the rise of test accuracy: epoch"
    assert f"{rise} {bound}\n" in page.locator("#key").inner_text()
    page.locator("nav [data-page=runs]").click()
    page.wait_for_selector("#table tbody tr:nth-child(3)")
    cells = page.locator("#table tbody tr td:nth-child(6)")
    assert cells.all_inner_texts() == [bound, f"{bound} so far"]
    page.locator("#table .link", has_text="interrupted").click()
    wait(page, "() => state.answer.run === 'interrupted'")
    assert f"{rise} {bound} so far" in page.locator("#key").inner_text()


def test_a_long_path_leaves_room_for_the_size_of_a_file(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    write_run(served.folder.root, "lr0.001_wd1_betas0.9_0.999_batch_size_32" * 3)
    page = opened(f"{served.url}#page=config", until="#table .facts td")
    assert page.evaluate(WIDER, "#table .scroll") == []


def test_configurations_and_their_difference(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    writers = write_runs(served.folder.root)
    writers[0].update_meta(command="<b>fit</b>", commit="abc", host="here")
    page = opened(f"{served.url}#page=config&run=r0", until="#table .facts")
    text = page.locator("#table").inner_text()
    assert all(each in text for each in ("<b>fit</b>", "abc", "here", str(writers[0].path)))
    assert "data.train_size" in text
    for name in ("r0", "r2"):
        page.get_by_role("checkbox", name=f"Compare {name}").check()
    page.wait_for_selector("#table .difference")
    rows = page.locator("#table .difference tr")
    assert [row.split("\t") for row in rows.all_inner_texts()] == [
        ["option", "r0", "r2"], ["data.train_size", "64", "128"], ["model.width", "10", "12"],
    ]  # fmt: skip


def test_a_run_without_accuracies_has_no_events_to_explain(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    write_run(served.folder.root, "classes", last=10)
    directory = RunDirectory.create(served.folder.root, "regression", numbered=False)
    directory.update_meta(name="regression", state="finished", epoch=2)
    for epoch in range(3):
        directory.log("log", epoch, epoch, {"val_mse": 1.0})
    page = opened(f"{served.url}#page=run&run=regression")
    assert page.locator("#key li").all_inner_texts() == [
        "epoch of the slider, or under the pointer"
    ]
    page.locator("#runs button", has_text="classes").click()
    wait(page, "() => state.answer.run === 'classes'")
    assert page.locator("#key li").count() == 3


def test_a_run_that_has_just_begun_says_where_to_look(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    """Where UMAP is compiled first, a page is empty for a minute."""
    directory = RunDirectory.create(served.folder.root, "run", numbered=False)
    directory.update_meta(state="running", max_epochs=10)
    page = opened(f"{served.url}#page=run&run=run", until="#empty:not([hidden])")
    said = "Nothing has been measured in this run yet. Its terminal says what it waits for."
    assert page.locator("#empty").inner_text() == said
    directory.close()


def test_the_list_by_keyboard(served: DashboardServer, opened: Callable[..., Any]) -> None:
    write_runs(served.folder.root)
    page = opened(f"{served.url}#page=run&run=r0")
    for onward in ("Tab", "ArrowDown"):
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "filter"
        page.keyboard.press(onward)
        assert page.evaluate("document.activeElement.closest('li').dataset.id") == "r0"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait(page, "() => state.answer.run === 'r2'")
    assert page.evaluate("[...state.ticked]") == ["r1"]
    stops = (
        "document.querySelectorAll('aside :is(button, input:not([hidden])):not([tabindex=\"-1\"])')"
    )
    assert page.evaluate(f"[...{stops}].filter((each) => each.offsetParent).length") == 3
    page.evaluate("document.activeElement.blur()")
    before = page.evaluate("state.epoch")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("state.epoch") < before
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    assert page.locator("#announce").inner_text().startswith("r2. ")


def test_axes_lines_and_pictures(
    served: DashboardServer, opened: Callable[..., Any], tmp_path: Path
) -> None:
    write_runs(served.folder.root)
    page = opened(f"{served.url}#page=run&run=r0")
    page.locator("#chart-choice summary").click()
    page.locator("#unit").select_option("step")
    assert plot(page, "accuracy", "data.at(-1).x.at(-1)") == 4000
    page.locator("#linear").check()
    assert plot(page, "accuracy", "_fullLayout.xaxis.type") == "linear"
    assert plot(page, "accuracy", "data.at(-1).x[0]") == 0
    raw = plot(page, "accuracy", "data.at(-1).y.slice()")
    page.evaluate("document.getElementById('smooth').value = 0.5")
    page.locator("#smooth").dispatch_event("input")
    assert plot(page, "accuracy", "data.at(-2).y.slice()") == raw
    smooth = plot(page, "accuracy", "data.at(-1).y.slice()")
    average, weight = 0.0, 0.0
    for value, found in zip(raw[2:], smooth[2:], strict=True):
        average, weight = 0.5 * average + 0.5 * value, 0.5 * weight + 0.5
        assert found == pytest.approx(average / weight)
    legend = page.locator("#views section:has(#plot-accuracy) .legend button")
    legend.nth(1).dblclick()
    assert page.evaluate("[...state.hidden]") == ["train"]
    legend.nth(1).dblclick()
    assert page.evaluate("[...state.hidden]") == []
    box = page.locator("#plot-loss .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    wait(page, "() => document.getElementById('epoch').textContent === `epoch ${state.hover}`")
    hover = page.evaluate("state.hover")
    epochs, values = Run(served.folder.root / "r0").series("test/accuracy")
    value = values[epochs <= hover][-1]  # in the other charts too
    assert float(legend.nth(1).locator("output").inner_text()) == pytest.approx(value, abs=6e-4)
    page.mouse.down()
    page.mouse.up()
    assert abs(page.evaluate("state.epoch") - hover) < 200
    assert download(page, "accuracy", "PNG").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in download(page, "pairs", "SVG").read_bytes()[:200]
    section = page.locator("#views section:has(#plot-loss)")
    section.locator(".menu summary").click()
    section.locator(".menu button", has_text="Python").click()
    script = page.locator("#text pre").inner_text()
    import matplotlib as mpl

    mpl.use("agg")
    exec(script.replace('savefig("', f'savefig("{tmp_path}/'), {})
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".png"]


def test_a_logarithmic_axis_has_labels_whatever_it_spans(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    write_run(served.folder.root, "run", last=100)
    page = opened(f"{served.url}#page=run&run=run")
    low, high = plot(page, "loss", "_fullLayout.yaxis.range")
    shown = plot(page, "loss", "_fullLayout.yaxis.tickvals")
    assert sum(10**low <= value <= 10**high for value in shown) >= 2

    def labels(low: float, high: float) -> list[str]:
        found = page.evaluate(f"valueTicks([{low}, {high}])")
        between = [10**low <= value <= 10**high for value in found["tickvals"]]
        return [text for text, there in zip(found["ticktext"], between, strict=True) if there]

    assert labels(-2.3, -1.5) == ["0.01", "0.02"]
    assert labels(-5.1, -4.2) == ["1e−5", "2e−5", "5e−5"]
    assert labels(-9.1, 2.3)[-3:] == ["0.01", "1", "100"]
    assert labels(-9.1, 2.3)[0] == "10<sup>−8</sup>"


def test_numbers_leave_room_for_the_title_and_breaks_stand_on_their_axes(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    """Values may differ in their fifth digit; on a telephone a square plot shrinks."""
    words = {KEY: {"title": "Roundness", "unit": "of a circle"}}
    writer = write_run(served.folder.root, "run", last=100, quantities=words)
    for epoch in (0, 1, 10, 100):
        writer.log("own", epoch, 8 * epoch, {KEY: 0.0296 + epoch * 5e-7})
    page = opened(f"{served.url}#page=run&run=run")
    page.set_viewport_size({"width": 390, "height": 844})
    wait(page, "() => document.querySelectorAll('.plot .ytick').length > 20")
    overlaps = """() => [...document.querySelectorAll(".plot")].filter((plot) => {
      const title = plot.querySelector(".ytitle")?.getBoundingClientRect();
      const labels = [...plot.querySelectorAll(".ytick text")];
      return title && labels.some((each) => each.getBoundingClientRect().left < title.right - 1);
    }).map((plot) => plot.id)"""
    assert page.evaluate(overlaps) == []
    labels = page.locator("#plot-own-own-roundness .ytick").all_text_contents()
    assert max(map(len, labels)) > 6
    distances = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
      const bottom = plot.querySelector(".nsewdrag")?.getBoundingClientRect().bottom;
      const marks = plot._fullLayout.annotations ?? [];
      return marks.flatMap((mark, index) => {
        if (mark.name !== "break" || mark.xref !== "x") return [];
        const { top, height } = plot.querySelector(`.annotation[data-index="${index}"]`)
          .getBoundingClientRect();
        return [Math.abs(top + height / 2 - bottom)];
      });
    })"""
    found = page.evaluate(distances)
    assert len(found) > 5
    assert max(found) < 4


def test_long_names_are_broken_and_a_telephone_at_twice_the_size_scrolls_down_only(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    key = "a_name/without_a_place_to_break/" + "_and_still_goes_on" * 6
    write_runs(served.folder.root)[0].log("own", 1, 8, {key: 1.0})
    page = opened(f"{served.url}#page=run&run=r0")
    assert page.evaluate(WIDER, "#views section") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    page.set_viewport_size({"width": 195, "height": 422})
    for name in ("runs", "run", "compare", "config"):
        page.locator(f"nav [data-page={name}]").click()
        wait(page, f"() => state.page === '{name}'")
        ends = page.evaluate(
            "[document.documentElement, document.querySelector('footer')].map((e) => e.scrollWidth)"
        )
        assert max(ends) <= 195, name


def test_notes_are_kept_and_hidden_runs_not_compared(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    write_runs(served.folder.root)
    page = opened(f"{served.url}#page=config&run=r2", until="#table .noted")
    page.get_by_label("Shown as").fill("<i>best</i>")
    page.get_by_label("Tags").fill("good, long")
    page.get_by_role("checkbox", name="pinned").check()
    page.get_by_role("button", name="Keep").click()
    wait(page, "() => document.querySelector('#runs strong').textContent === '★ <i>best</i>'")
    page.locator("#filter").fill("tag=good")
    wait(page, "() => document.querySelectorAll('#runs li').length === 1")
    page.locator("#filter").fill("")
    page.locator('nav [data-page="runs"]').click()
    row = page.locator("#table tr", has=page.locator(".link", has_text="r0"))
    row.get_by_role("button", name="Hide").click()
    page.locator("#by").select_option("run")
    page.locator('nav [data-page="compare"]').click()
    wait(page, "() => document.querySelectorAll('#legend button').length === 2")
    kept = json.loads((served.folder.root / "page.json").read_text())
    assert kept["r2"] == {"pinned": True, "name": "<i>best</i>", "tags": ["good", "long"]}
    assert kept["r0"] == {"hidden": True}


def test_a_page_without_runs_and_one_without_its_server(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lightning_grok", "dashboard", str(tmp_path), "--port", "0"]
    with subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        page = opened(url, until="#empty code", alone=True)
        assert "lightning_grok fit" in page.locator("#empty code").inner_text()
        server.kill()
    wait(page, "() => document.getElementById('status').textContent.includes('report.html')")
    assert f"dashboard {tmp_path}" in page.locator("#status").inner_text()


def test_a_report_has_table_difference_and_charts(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    writers = write_runs(tmp_path / "runs")
    file = tmp_path / "report.html"
    file.write_text(report_page([writer.path for writer in writers], []), encoding="utf-8")
    page = opened(file.as_uri(), until="#table tbody tr", blocked=True, offline=True)
    page.locator("#filter").fill("train_size=128")
    wait(page, "() => document.querySelectorAll('#table .link').length === 1")
    page.locator("#table .link").click()
    page.wait_for_selector("#plot-accuracy .main-svg")
    page.locator("#chart-choice summary").click()
    page.locator("#find").fill("linear_probe/sound/accuracy_sd")
    page.locator("#find").press("Enter")
    wait(page, "() => state.answer.views[0].id.startsWith('key-')")
    rows = list(csv.reader(download(page, "own-own-roundness", "CSV").read_text().splitlines()))
    assert rows[0] == ["epoch", KEY]
    assert float(rows[-1][1]) == pytest.approx(2 + 1000 / 3, rel=1e-4)
    page.locator("#terms").click()
    assert page.locator("#glossary dt").first.inner_text() == next(iter(GLOSSARY))
    page.keyboard.press("Escape")
    assert not page.locator("#glossary").is_visible()

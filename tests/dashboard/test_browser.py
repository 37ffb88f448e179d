"""The page in a real browser: it follows a training run and keeps what its user chose."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from claimed_runs import ROWS
from page_in_browser import NEEDS_BROWSER, cursor, drag, plot, wait
from watched_runs import MEASURED, evaluate, measure, write_run

from benchmarks.faults.process import Fit
from lightning_grok.dashboard.report import report_page
from lightning_grok.dashboard.server import DashboardServer
from lightning_grok.paper.claims.page import verdict_table
from lightning_grok.runs.directory import RunDirectory

pytestmark = NEEDS_BROWSER


def points(page: Any) -> int:
    return plot(page, "accuracy", "data.at(-1).x.length")


def test_a_training_run_is_watched(served: DashboardServer, opened: Callable[..., Any]) -> None:
    more = ("--trainer.max_epochs=100000", "--umap.enabled=false", "--linear_probe.enabled=false")
    environment = os.environ | {"WANDB_MODE": "disabled"}
    training = Fit(served.folder.root, *more, "--run.name=watched", env=environment)
    try:
        page = opened(served.url)
        assert page.locator("#runs button").inner_text().startswith("watched")
        wait(page, "() => document.getElementById('words').textContent.includes('running')")
        before = points(page)
        wait(
            page, f"() => document.getElementById('plot-accuracy').data.at(-1).x.length > {before}"
        )
        drag(page, "accuracy", 0.3, 0.6)
        wait(page, "() => state.zoom !== null")
        zoom = plot(page, "accuracy", "_fullLayout.xaxis.range")
        before = points(page)
        wait(
            page, f"() => document.getElementById('plot-accuracy').data.at(-1).x.length > {before}"
        )
        for view in ("accuracy", "loss", "capacity"):  # all share the axis, and the zoom stays
            assert plot(page, view, "_fullLayout.xaxis.range") == pytest.approx(zoom)
    finally:
        training.kill()
    wait(page, "() => document.getElementById('words').textContent.includes('interrupted')")


def test_a_measurement_appears_soon_and_leaves_the_choices_alone(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    watched = write_run(served.folder.root, "a", last=1000, seed=1)
    other = write_run(served.folder.root, "b", last=10)
    page = opened(f"{served.url}#page=run")
    assert page.locator('#runs button[aria-current="true"]').inner_text().startswith("a\n")
    page.get_by_role("checkbox", name="Compare b").check()
    page.locator('#views section:has(#plot-capacity) button[data-group="layers.2"]').click()
    drag(page, "capacity", 0.3, 0.7)
    wait(page, "() => state.zoom !== null")
    page.evaluate("setEpoch(20)")
    chosen = page.evaluate("[state.epoch, state.zoom]")
    slider = page.locator("#slider")
    slider.focus()
    start = time.monotonic()
    measure(watched, 2000)
    evaluate(watched, 2000, 1)
    wait(
        page, "() => document.getElementById('plot-kernel').data.at(-1).customdata.at(-1) === 2000"
    )
    seconds = time.monotonic() - start
    wait(page, "() => document.getElementById('plot-accuracy').data[0].customdata.at(-1) === 2000")
    assert page.evaluate("[state.epoch, state.zoom]") == chosen
    assert plot(page, "capacity", "_fullLayout.xaxis.range") == pytest.approx(chosen[1])
    assert plot(page, "capacity", "data.find(t => t.legendgroup === 'layers.2').visible") is False
    assert plot(page, "radius", "data.find(t => t.legendgroup === 'layers.2').visible") is False
    assert page.get_by_role("checkbox", name="Compare b").is_checked()
    assert page.evaluate("document.activeElement.id") == "slider"
    page.locator("#reset").click()
    low, high = plot(page, "capacity", "_fullLayout.xaxis.range")
    assert (low, 10**high) == pytest.approx((-0.58, 1.08 * 2000), rel=1e-6)
    assert seconds < 20  # 0.7 s between polls; the rest is how busy the machine is
    other.close()


def test_the_slider_moves_every_view(served: DashboardServer, opened: Callable[..., Any]) -> None:
    writer = write_run(served.folder.root)
    page = opened(served.url)
    wait(page, "() => document.getElementById('title-umap').textContent.endsWith('10,000')")
    views = ["accuracy", "loss", "kernel", "capacity", "radius", "dimension", "pairs", "probe",
             "weights"]  # fmt: skip
    before = {view: cursor(page, view) for view in views}
    first = plot(page, "umap", "data[0].x.slice()")
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait(page, "() => document.getElementById('title-umap').textContent.endsWith('at epoch 1')")
    assert page.locator("#epoch").inner_text() == "epoch 1"
    assert page.locator("#slider").get_attribute("aria-valuetext") == "epoch 1"
    for view in views:
        assert cursor(page, view) < before[view] - 50
    assert plot(page, "umap", "data[0].x.slice()") != first
    assert "0.033" in page.locator("#readings").inner_text().replace("0.0333", "0.033")
    page.locator("#play").click()
    wait(page, "() => state.epoch > 3")
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    page.locator("#play").click()
    stopped = page.evaluate("state.epoch")
    page.wait_for_timeout(400)
    assert page.evaluate("state.epoch") == stopped
    writer.close()


def test_classes_and_comparison_by_keyboard(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    writers = [write_run(served.folder.root, f"r{k}", seed=k) for k in range(3)]
    page = opened(f"{served.url}#page=run")
    page.locator('nav [data-page="classes"]').press("Enter")
    page.wait_for_selector("#plot-class-capacity .main-svg")
    page.locator("#layer").select_option("layers.1")
    wait(
        page,
        "() => document.getElementById('title-class-capacity').textContent.includes('layers.1')",
    )
    page.locator('nav [data-page="compare"]').press("Enter")
    page.wait_for_selector("#plot-compare-test-accuracy .main-svg")
    assert "(3 seeds)" in page.locator("#legend").inner_text()
    page.locator("#by").select_option("run")
    wait(page, "() => document.querySelectorAll('#legend button').length === 3")
    page.locator("#filter").fill("r1")
    wait(page, "() => document.querySelectorAll('#legend button').length === 1")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for writer in writers:
        writer.close()


def test_text_from_a_run_is_text(served: DashboardServer, opened: Callable[..., Any]) -> None:
    evil = "<script>document.title = 'owned'</script><b>x</b>"
    path = served.folder.root / "<b>run<b>"
    path.mkdir()
    writer = RunDirectory(path)
    writer.update_meta(dataset=evil, setup=evil, class_names=[evil] * 4, layer_names=[evil])
    for epoch in (0, 1, 2, 5):
        evaluate(writer, epoch)
        writer.log("manifold_capacity", epoch, 0, {f"manifold_capacity/{evil}/capacity": 1.0})
        umap = {"coordinates": [[0.0, 1.0], [1.0, 2.0]], "labels": [0, 1]}
        writer.save_arrays("umap", epoch, umap)
        writer.log("umap", epoch, 0, {"umap/preservation": 0.1})
    page = opened(served.url)
    assert page.locator("#name").inner_text() == path.name
    assert evil in page.locator("#words").inner_text()
    for kind in ("classes", "compare", "config", "runs"):
        page.locator(f'nav [data-page="{kind}"]').click()
        wait(page, f"() => state.answer.page === '{kind}'")
    assert page.title() == "Runs – lightning_grok"
    assert page.locator("main b, aside b, .plot b, main script").count() == 0
    writer.close()


def test_the_dark_theme_follows_the_system(
    served: DashboardServer, opened: Callable[..., Any]
) -> None:
    writer = write_run(served.folder.root, last=100)
    page = opened(served.url, color_scheme="dark")
    color = "data.find(t => t.name === 'test').line.color"
    assert plot(page, "accuracy", color) == "#ff8a3d"
    page.emulate_media(color_scheme="light")
    wait(page, f"() => document.getElementById('plot-accuracy').{color} === '#d55e00'")
    writer.close()


def test_a_report_opens_from_disk_without_a_network(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    writers = [write_run(tmp_path, f"r{k}", seed=k) for k in range(2)]
    paths = [writer.path for writer in writers]
    report = tmp_path / "report.html"
    report.write_text(report_page(paths, [], verdict_table(paths, [])), encoding="utf-8")
    page = opened(f"{report.as_uri()}#page=run", blocked=True, offline=True)
    wait(page, "() => document.getElementById('title-umap').textContent.endsWith('10,000')")
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    wait(page, "() => document.getElementById('title-umap').textContent.endsWith('at epoch 0')")
    page.locator('nav [data-page="classes"]').click()
    page.wait_for_selector("#plot-class-capacity .main-svg")
    page.locator("#layer").select_option("layers.0")
    wait(
        page,
        "() => document.getElementById('title-class-capacity').textContent.includes('layers.0')",
    )
    page.locator('nav [data-page="compare"]').click()
    page.wait_for_selector("#plot-compare-test-accuracy .main-svg")
    page.locator("#runs button", has_text="r0").click()
    page.wait_for_selector("#plot-pairs .main-svg")
    assert page.locator("#name").inner_text() == "r0"
    frames = page.evaluate(
        "Object.keys(state.answer.views.find((view) => view.id === 'umap').frames)"
    )
    assert [int(each) for each in frames] == MEASURED
    rows = page.locator("#appendix tbody th")
    rows.first.scroll_into_view_if_needed()
    assert rows.all_inner_texts() == [*ROWS, "forecast"]
    assert page.locator("#appendix").inner_text().startswith("The paper's claims on 2 runs: 0 held")
    for writer in writers:
        writer.close()

"""Pages over runs in a real browser."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_in_browser import CHROMIUM, PATIENCE

from lightning_grok.dashboard.server import DashboardServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; fails where one writes an error or a warning to the console."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        url: str,
        *,
        blocked: bool = False,
        until: str = ".plot .main-svg",
        alone: bool = False,
        **options: Any,
    ) -> Any:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        if not alone:
            listen(page)
        if blocked:
            page.route(lambda address: not address.startswith("file:"), lambda route: route.abort())
        page.goto(url)
        page.wait_for_selector(until)
        page.wait_for_function("() => !state.rows.length || (state.started && state.list.complete)")
        return page

    def listen(page: Any) -> None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
        page.on("requestfailed", fail)

    def fail(request: Any) -> None:
        """What is on its way when a page is reloaded or left is aborted by the browser itself."""
        if request.failure != "net::ERR_ABORTED":
            complaints.append(f"failed: {request.url[:80]} ({request.failure})")

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def served(tmp_path: Path) -> Iterator[DashboardServer]:
    (tmp_path / "runs").mkdir()
    with DashboardServer(tmp_path / "runs", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()

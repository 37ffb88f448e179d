"""What tests of the page in a browser share."""

import shutil
from importlib.util import find_spec
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
PATIENCE = 60_000  # ms, on a machine that is busy
_LACKS = CHROMIUM is None or find_spec("playwright") is None
NEEDS_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(_LACKS, reason="no Playwright or chromium is installed"),
]


def plot(page: Any, view: str, what: str) -> Any:
    """A property of the drawn figure of a view, such as ``_fullLayout.xaxis.range``."""
    return page.evaluate(f"document.getElementById('plot-{view}').{what}")


def wait(page: Any, condition: str, *arguments: Any) -> None:
    page.wait_for_function(condition, arg=list(arguments))


def cursor(page: Any, view: str) -> list[float]:
    """Left edges of the slider's line and of the plot it stands in, in pixels."""
    script = f"document.querySelector('#plot-{view} .cursor.along-x').getBoundingClientRect().left"
    return page.evaluate(script)


def drag(page: Any, view: str, start: float, end: float) -> None:
    """Zoom into a part of the epoch axis, as a user does with the mouse."""
    page.locator(f"#plot-{view}").scroll_into_view_if_needed()
    box = page.locator(f"#plot-{view} .nsewdrag").first.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y + 2, steps=4)
    page.mouse.up()

"""Contrast of the page's colors on its dark background, by the definition of WCAG 2."""

from pathlib import Path

import pytest
from watched_runs import write_run

from lightning_grok.dashboard.colors import SERIES, dark_partners, harmless, series_style
from lightning_grok.dashboard.pages import Pages
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.figures.palette import class_color, layer_color


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("layers", [1, 5, 7])
def test_what_is_drawn_on_dark_stands_out(layers: int) -> None:
    pairs = dark_partners(layers)
    drawn = [*SERIES, *(class_color(k) for k in range(10))]
    drawn += [layer_color(k, layers) for k in range(layers)]
    for color in drawn:
        assert contrast(pairs[color], "#14181f") >= 3


def test_layers_stand_out_on_dark_however_many_a_chart_has(tmp_path: Path) -> None:
    writer = write_run(tmp_path, "run", last=10)
    writer.update_meta(layer_names=[])
    for layers in (2, 4):
        values = {f"own{layers}/net.{k}": 1.0 for k in range(layers)}
        writer.log("own", 10, 10, values)
    folder = RunFolder(tmp_path)
    folder.refresh()
    page = Pages(folder).page({"page": "run", "run": "run"})
    colors = {
        trace["line"]["color"]
        for view in page["views"]
        if "own" in view["id"]
        for trace in view["figure"]["data"]
    }
    assert len(colors) == 4  # the first and the last of both are the same
    assert all(contrast(page["dark"][color], "#14181f") >= 3 for color in colors)


def test_no_two_colors_fall_together_on_dark() -> None:
    pairs = dark_partners(7)
    for family in ([class_color(k) for k in range(10)], list(SERIES)):
        assert len({pairs[color] for color in family}) == len(family)


def test_series_repeat_only_after_every_style() -> None:
    looks = [tuple(series_style(k).values()) for k in range(28)]
    assert len(set(looks)) == 28
    assert looks[0] == tuple(series_style(28).values())


def test_text_is_made_harmless() -> None:
    assert harmless("<b>x</b>%{y}") == "&lt;b&gt;x&lt;/b&gt;% {y}"
    assert harmless("a" * 99) == "a" * 79 + "…"

"""Colors of the page beyond those of all figures, and their partners on a dark background."""

import html
from typing import Any

from lightning_grok.figures.palette import ON_DARK, SERIES, class_color, layer_color

DASHES = ("solid", "dash", "dot", "dashdot")
"""Line styles for more of them than there are colors."""

# Of the class colors those that a dark background would swallow.
_CLASSES_ON_DARK = {
    "#332288": "#8c7cf0",
    "#117733": "#2f9e57",
    "#882255": "#d6488f",
    "#aa4499": "#cf6fc0",
    "#222222": "#ffffff",
}


def series_style(index: int) -> dict[str, str]:
    """Color and dash of the run or setup number `index` in a comparison."""
    dash = DASHES[(index // len(SERIES)) % len(DASHES)]
    return {"color": SERIES[index % len(SERIES)], "dash": dash}


def faint(color: str) -> str:
    """The color of a band around a line of that color."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def dark_partners(*counts: int) -> dict[str, str]:
    """Color on light -> color on dark: of lines, bands, classes, and so many layers."""
    pairs = dict(ON_DARK) | {
        layer_color(k, count): layer_color(k, count, dark=True)
        for count in counts
        for k in range(count)
    }
    bands = {faint(light): faint(dark) for light, dark in pairs.items()}
    return pairs | bands | class_partners()


def class_partners() -> dict[str, str]:
    """The same for the colors of classes."""
    return {class_color(k): _CLASSES_ON_DARK.get(class_color(k), class_color(k)) for k in range(10)}


def harmless(text: Any, longest: int = 80) -> str:
    """Text from a run's directory for Plotly, which reads a part of HTML and its own fields."""
    plain = str(text)
    if len(plain) > longest:
        plain = plain[: longest - 1] + "…"
    return html.escape(plain.replace("%{", "% {"))

"""Colors of all figures and pages: one meaning a color, told apart by the color blind.

They are plain ``#rrggbb`` strings, which matplotlib and Plotly read alike. Figures are drawn for a
light background; a page with a dark one exchanges each color for its partner in `ON_DARK` and asks
`layer_color` for that background. The contrast of lines to their background is at least 3 : 1.
"""

TRAIN = "#0072b2"
TEST = "#d55e00"
FULL_KERNEL = "#a83c84"
TRACE_KERNEL = "#8c6d00"
SOUND_PROBE = "#00835f"
PAPER_PROBE = "#75777d"
TOTAL = "#333a45"
EVENT = "#5a6270"
CURSOR = "#101418"

COLORS = {
    "train": TRAIN,
    "test": TEST,
    "validation": SOUND_PROBE,
    "full kernel": FULL_KERNEL,
    "trace kernel": TRACE_KERNEL,
    "sound probe": SOUND_PROBE,
    "paper probe": PAPER_PROBE,
    "total": TOTAL,
}
"""What a line is of, in the words of `lightning_grok.runs.quantities` -> its color."""

SERIES = (TRAIN, TEST, SOUND_PROBE, FULL_KERNEL, TRACE_KERNEL, TOTAL, PAPER_PROBE)
"""Colors of what has none of its own: runs in a comparison, lines of a user; in this order."""

ON_DARK = {
    TRAIN: "#4db5f0",
    TEST: "#ff8a3d",
    FULL_KERNEL: "#e58fc6",
    TRACE_KERNEL: "#dfb52a",
    SOUND_PROBE: "#35c99a",
    PAPER_PROBE: "#a3a7b0",
    TOTAL: "#dfe3ea",
    EVENT: "#aab2bf",
    CURSOR: "#ffffff",
}
"""Color on a light background -> color of the same meaning on a dark one."""

HEAT = "cividis"
"""The color scale of heatmaps: even in lightness, and known to matplotlib and Plotly."""

# viridis at nine even steps; sections of it keep the contrast to a light and to a dark background.
_RAMP = (
    "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30",
    "#fde725",
)  # fmt: skip
_RAMP_ON_LIGHT = (0.0, 0.6)
_RAMP_ON_DARK = (0.42, 1.0)

# Tol's muted scheme and black: differing in lightness where hues fall together. Filled areas and
# points only: some are too light for lines.
_CLASSES = (
    "#332288", "#ddcc77", "#117733", "#cc6677", "#88ccee", "#882255", "#999933", "#aa4499",
    "#44aa99", "#222222",
)  # fmt: skip
_CLASS_MARKERS = ("o", "^", "s", "P", "X", "D", "v")


def layer_color(position: int, count: int, *, dark: bool = False) -> str:
    """Color of the layer number `position` of `count`, early layers darkest.

    Args:
        position: from 0 to ``count - 1``.
        count: layers of the network.
        dark: for a dark background.
    """
    low, high = _RAMP_ON_DARK if dark else _RAMP_ON_LIGHT
    share = low + (high - low) * (position / (count - 1) if count > 1 else 0.5)
    place = share * (len(_RAMP) - 1)
    left = min(int(place), len(_RAMP) - 2)
    pairs = zip(_rgb(_RAMP[left]), _rgb(_RAMP[left + 1]), strict=True)
    return "#" + "".join(f"{round(a + (place - left) * (b - a)):02x}" for a, b in pairs)


def class_color(index: int) -> str:
    """Color of the class `index` (its label); the eleventh has that of the first again."""
    return _CLASSES[index % len(_CLASSES)]


def class_marker(index: int) -> str:
    """Marker, in matplotlib's letters, that tells classes of one color apart: up to 70 in all."""
    return _CLASS_MARKERS[(index // len(_CLASSES)) % len(_CLASS_MARKERS)]


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))

"""How figures come onto paper: their width, whether their captions stand on them, their files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_grok.errors import InputError
from lightning_grok.runs.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Without dates and versions the same run gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
_DPI = {"png": 200, "pdf": 300, "svg": 300}  # of PDF and SVG: their heatmaps and points only
_WIDTHS = (3.0, 20.0)  # inches


class Printing(NamedTuple):
    """How figures are laid out and written.

    Attributes:
        width: in inches, 3 to 20; None: each figure's own. Text keeps its size, so a figure of many
            panels abreast stays as wide as it needs.
        captions: whether they stand above the panels.
        formats: of the files: png, pdf, svg.
    """

    width: float | None = None
    captions: bool = True
    formats: tuple[str, ...] = ("png", "pdf")


_OWN = Printing()
_PRINTING: ContextVar[Printing] = ContextVar("printing", default=_OWN)


@contextmanager
def printing(wanted: Printing) -> Iterator[None]:
    """Draw and write figures so while this lasts.

    Raises:
        InputError: there is no such format or width.
    """
    if not wanted.formats or set(wanted.formats) - set(_METADATA):
        raise InputError(
            f"expected formats of {', '.join(_METADATA)}, received {','.join(wanted.formats)!r}"
        )
    low, high = _WIDTHS
    if wanted.width is not None and not low <= wanted.width <= high:
        raise InputError(
            f"expected a width of {low:g} to {high:g} inches, received {wanted.width:g}"
        )
    before = _PRINTING.set(wanted)
    try:
        yield
    finally:
        _PRINTING.reset(before)


def page_width(own: float, least: float = 0.0) -> float:
    """The width in inches of a figure whose own is `own`, and which needs `least`."""
    return max(_PRINTING.get().width or own, least)


def captioned() -> bool:
    """Whether figures have captions."""
    return _PRINTING.get().captions


def write_figure(
    figure: "Figure", stem: Path, wrote: Callable[[Path], object] = lambda path: None
) -> list[Path]:
    """Write a figure as ``<stem>.<format>``; the same figure gives the same bytes.

    `wrote` is called with every file that is there.
    """
    paths = [stem.with_name(f"{stem.name}.{each}") for each in _PRINTING.get().formats]
    for path in paths:
        write_atomically(path, partial(_save, figure))
        wrote(path)
    return paths


def _save(figure: "Figure", path: Path) -> None:
    from lightning_grok.figures.layout import style

    kind = path.suffix[1:]
    with style():
        figure.savefig(path, dpi=_DPI[kind], metadata=_METADATA[kind])

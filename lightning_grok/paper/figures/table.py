"""Table 1 with what came of its setups: as CSV, as Markdown and drawn."""

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lightning_grok.figures.layout import PAGE
from lightning_grok.figures.palette import TOTAL
from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.figures.layout import PageColumn, datasets, paper_page
from lightning_grok.paper.figures.runs import PaperRuns
from lightning_grok.paper.figures.training import BLOCKS, columns_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = {
    "t_mem": "$t_{mem}$\nepoch",
    "plateau": "plateau\n%",
    "t_10": "$t_{10}$\nepoch",
    "t_half": "$t_{half}$\nepoch",
    "final": "final\n%",
}
_PUBLISHED = {  # in the words of the published file; half of the rise is its middle
    "t_mem": "train99",
    "plateau": "test_at_train99",
    "t_10": "test_on10",
    "t_half": "test_mid",
}
_PERCENT = ("plateau", "final")


class SetupRow(NamedTuple):
    """One setup of Table 1.

    Attributes:
        block: which of the three blocks, 1 to 3.
        setup: its name.
        number: seeds.
        grokked: of them.
        last: the last epoch.
        values: quantity -> one value a seed (n,); accuracies in percent, epochs infinite where an
            event never came.
        published: quantity -> published value of one seed (`_published`).
    """

    block: int
    setup: str
    number: int
    grokked: int
    last: int
    values: dict[str, np.ndarray]
    published: dict[str, float]


def table_rows(runs: PaperRuns) -> list[SetupRow]:
    """The nine rows of Table 1; setups without runs have no seeds."""
    rows = []
    for block, (_, setups) in enumerate(BLOCKS.values(), 1):
        for setup in setups:
            seeds = runs.seeds(setup)
            rows.append(_row(block, setup, seeds, runs))
    return rows


def _row(block: int, setup: str, seeds: Seeds | None, runs: PaperRuns) -> SetupRow:
    published = _published(runs, setup, 0 if seeds is None else seeds.epoch)
    if seeds is None:
        none = {name: np.zeros(0) for name in QUANTITIES}
        return SetupRow(block, setup, 0, 0, 0, none, published)
    rises = [each.late for each in seeds.onsets]
    values = {
        "t_mem": [each.t_mem for each in seeds.onsets],
        "plateau": [100 * each.plateau for each in seeds.onsets],
        "t_10": [each.t_10 for each in rises],
        "t_half": [each.t_half for each in rises],
        "final": [100 * each.final for each in rises],
    }
    arrays = {name: np.array(each, dtype=float) for name, each in values.items()}
    grokked = sum(each.grokked for each in seeds.onsets)
    return SetupRow(block, setup, len(rises), grokked, seeds.epoch, arrays, published)


def _published(runs: PaperRuns, setup: str, last: int) -> dict[str, float]:
    """Published values of one seed, the final accuracy at our last epoch; NaN where none is known.

    Its epochs are first crossings on the way up from the start. Where half-way lies before
    memorization, or before the first tenth, that is no rise from the plateau, and left out.
    """
    if runs.published is None:
        return dict.fromkeys(QUANTITIES, math.nan)
    found = {name: runs.published.number(setup, m) for name, m in _PUBLISHED.items()}
    if found["t_half"] < max(found["t_mem"], found["t_10"]):
        found |= {"t_10": math.nan, "t_half": math.nan}
    epochs, accuracy = runs.published.points(setup, "test/accuracy")
    return found | {"final": 100 * float(np.append(accuracy[epochs == last], math.nan)[0])}


def table_csv(rows: Sequence[SetupRow]) -> str:
    """A line a row: medians, least and greatest over seeds, and published values."""
    fields = [f"{name}{end}" for name in QUANTITIES for end in ("", "_min", "_max", "_published")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["block", "setup", "seeds", "grokked", "last_epoch", *fields])
    for row in rows:
        cells = []
        for name in QUANTITIES:
            numbers = [*_spread(row.values[name]), row.published[name]]
            cells += ["" if math.isnan(each) else f"{each:.6g}" for each in numbers]
        writer.writerow([row.block, row.setup, row.number, row.grokked, row.last, *cells])
    return file.getvalue()


def table_markdown(rows: Sequence[SetupRow]) -> str:
    """The same for readers: median (least to greatest), and published values below."""
    head = ["setup", "seeds", "grokked", "t_mem", "plateau, %", "t_10", "t_half", "final, %"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        count = f"{row.grokked} of {row.number}" if row.number else ""
        cells = [" ".join(x for x in median_and_range(row, name) if x) for name in QUANTITIES]
        lines.append([row.setup, str(row.number or "no run"), count, *cells])
        said = [published_cell(row, name) for name in QUANTITIES]
        if any(said):
            lines.append(["published, one seed", "", "", *said])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def median_and_range(row: SetupRow, name: str) -> tuple[str, str]:
    """A cell: the median, and the range where seeds differ; what never came is ``> last epoch``."""
    if not row.number:
        return "", ""
    middle, low, high = _spread(row.values[name])
    said = _said(name, middle, row.last)
    least, greatest = (_said(name, each, row.last) for each in (low, high))
    between = "–" if math.isfinite(high) else " to "  # a dash before > would be an arrow
    return said, "" if least == greatest else f"({least}{between}{greatest})"


def published_cell(row: SetupRow, name: str) -> str:
    """A cell of the line of published values."""
    value = row.published[name]
    return "" if math.isnan(value) else _said(name, value, row.last)


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    """Median, least and greatest; NaN where there is no value.

    The median is infinite where it lies between an epoch and never.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan, math.nan
    return float(np.median(known)), float(known.min()), float(known.max())


def _said(name: str, value: float, last: int) -> str:
    if math.isnan(value):
        return "none"
    if name in _PERCENT:
        return f"{value:.1f}"
    return f"{value:,.0f}" if math.isfinite(value) else f"> {last:,}"


def figure_table(runs: PaperRuns) -> "Figure":
    """Table 1, drawn."""
    rows = table_rows(runs)
    blocks = [setups for _, setups in BLOCKS.values()]
    columns: list[PageColumn] = [c for setups in blocks for c in columns_of(runs, setups)]
    title = (
        f"Table 1. Setups and what came of them ({datasets(columns)}). Epochs of memorization, of "
        "a tenth and of half of the rise of test accuracy after it; test accuracy on the plateau "
        "after memorization and at the end, over the last tenth of a decade. Median over seeds, "
        "below it least and greatest where they differ. A run grokked if half of the rise took at "
        "least five times as long as memorization, and most of what it learned came with it."
    )
    if any(map(published_line, rows)):
        title += (
            " In italics: published, one seed; test accuracy when train accuracy first reached "
            "99 % and at our last epoch, and epochs of first crossings."
        )
    height = 0.45 + sum(_height(row) for row in rows) + 0.06 * (len(blocks) - 1)
    return paper_page(title, (PAGE, height), lambda figure: _draw(figure, rows, height))


_LINE = 0.135  # inches
_PLACES = (0.05, 0.11, 0.17, 0.235, 0.29, 0.362, 0.51, 0.606, 0.754, 0.902, 0.997)


def _lines(row: SetupRow) -> list[list[str]]:
    """A row's lines of eleven cells: the median, the range over seeds, the published values."""
    _, weight, size, output, decay = row.setup.split("-")
    grokked = f"{row.grokked} of {row.number}" if row.number else "no run"
    cells = [median_and_range(row, name) for name in QUANTITIES]
    first = [f"{int(size):,}", weight, output, decay, str(row.number), grokked]
    lines = [[*first, *(cell for cell, _ in cells)]]
    if any(spread for _, spread in cells):
        lines.append([*[""] * 6, *(spread for _, spread in cells)])
    published = [published_cell(row, name) for name in QUANTITIES]
    if any(published):
        lines.append([*[""] * 6, *published])
    return lines


def _height(row: SetupRow) -> float:
    return _LINE * len(_lines(row)) + 0.04


def _draw(figure: "Figure", rows: Sequence[SetupRow], height: float) -> dict[str, object]:
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(height, 0))
    axes.set_axis_off()
    head = ["n", "weight\nscale", "output\nscale", "weight\ndecay", "seeds", "grokked"]
    y = 0.3
    for place, text in zip(_PLACES, [*head, *QUANTITIES.values()], strict=True):
        axes.text(place, y, text, ha="right", va="bottom")
    _rule(axes, 0.02, 0.9)
    _rule(axes, y + 0.05, 0.5)
    y, block = y + 0.1, 1
    for row in rows:
        if row.block != block:
            _rule(axes, y + 0.01, 0.3)
            y, block = y + 0.06, row.block
        lines = _lines(row)
        for number, line in enumerate(lines):
            published = number and number == len(lines) - 1 and published_line(row)
            for place, text in zip(_PLACES, line, strict=True):
                axes.text(
                    place, y + _LINE * number, text, ha="right", va="top",
                    color="black" if number == 0 else TOTAL,
                    style="italic" if published else "normal",
                )  # fmt: skip
        y += _height(row)
    _rule(axes, y + 0.01, 0.9)
    return {}


def published_line(row: SetupRow) -> bool:
    """Whether a row has published values."""
    return any(not math.isnan(each) for each in row.published.values())


def _rule(axes: "Axes", y: float, width: float) -> None:
    axes.plot([0, 1], [y, y], color="black", linewidth=width, clip_on=False)

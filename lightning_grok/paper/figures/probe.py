"""What the features know of unseen digits: Figure 4, by the paper's probe and by a sound one."""

from typing import TYPE_CHECKING

from lightning_grok.figures.layout import PAGE
from lightning_grok.figures.panel import draw_panel
from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.figures.layout import (
    Handles,
    PageColumn,
    column_title,
    datasets,
    no_run,
    on_one_axis,
    paper_page,
    seeds_note,
    shared_handles,
)
from lightning_grok.paper.figures.runs import PaperRuns
from lightning_grok.paper.figures.training import EMNIST_OUTPUT, columns_of
from lightning_grok.runs.panels import panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAPER, _SOUND = "linear_probe/paper/", "linear_probe/sound"
_HEIGHT = 1.55  # of a row, in inches


def figure_4(runs: PaperRuns) -> "Figure":
    """Figure 4: a row a setup; on the left as the paper measured it, on the right soundly."""
    rows = on_one_axis(columns_of(runs, EMNIST_OUTPUT))
    probed = next((c.seeds for c in rows if c.seeds is not None), None)
    digits = (probed.meta.get("transfer") or {}).get("name", "digits") if probed else "digits"
    title = (
        f"Figure 4. Linear probes of {digits} on networks trained on {datasets(rows)}. Left, as "
        "the paper measured it: 100 SGD steps on the unscaled logits, scored on the digits it was "
        "fitted to. Right, sound: converged logistic regression on the last hidden layer, scored "
        "on held-out digits, turned as the training images are or upright. Dotted level: chance."
    )
    notes = [seeds_note(rows), "Bands of one seed: one s.d. over its draws."]
    if all(c.seeds is None or len(c.seeds.runs) == 1 for c in rows):
        notes = ["One seed; bands are one s.d. over the draws of digits."]
    return paper_page(title, (PAGE, _HEIGHT * len(rows) + 0.2), lambda f: _draw(f, rows), notes)


def _draw(figure: "Figure", rows: list[PageColumn]) -> Handles:
    grid = figure.subplots(len(rows), 2, sharex="row", sharey=True, squeeze=False)
    handles: Handles = {}
    letters = iter("abcdefgh")
    sides = {"as the paper": _PAPER, "sound": _SOUND}
    for pair, column in zip(grid, rows, strict=True):
        for axes, (side, names) in zip(pair, sides.items(), strict=True):
            heading = column._replace(heading=f"{column.heading}, {side}")
            if column.seeds is None:
                no_run(axes)
            else:
                handles |= _draw_probes(axes, column.seeds, names)
                axes.axhline(0.1, color="black", linewidth=0.5, linestyle=(0, (1, 3)), zorder=1)
                axes.set_ylabel("accuracy (fraction)" if side != "sound" else "")
            axes.set_title(column_title(next(letters), heading, ", "), loc="left")
    for axes in grid[:-1].ravel():
        axes.set_xlabel("")
    return handles | shared_handles(rows)


def _draw_probes(axes: "Axes", seeds: Seeds, prefix: str) -> Handles:
    panel = panel_of(seeds, "probe")
    if panel is None:
        return {}
    lines = tuple(line for line in panel.lines if line.key.startswith(prefix))
    return draw_panel(axes, seeds, panel._replace(lines=lines))

"""Accuracy, geometry and weights while training: Figures 1, 2, 3, 5, 7, 8, 12 and 15."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_grok.figures.layout import COLUMN, PAGE
from lightning_grok.figures.overview import run_figure
from lightning_grok.paper.figures.layout import PageColumn, grid_page
from lightning_grok.paper.figures.runs import PaperRuns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROKKING = "AdamW-10-1000-1-0.001"
LARGE_OUTPUT, SMALL_OUTPUT = "AdamW-10-2000-0.5-0", "AdamW-10-2000-0.001-0"
STANDARD = "AdamW-1-5000-1-0.001"
MNIST_OUTPUT = {
    "AdamW-8-1000-0.5-0-mse-200x200": "output scale 0.5",
    "AdamW-8-1000-0.001-0-mse-200x200": "output scale 0.001",
}
MNIST_WEIGHT = {
    "AdamW-8-1000-1-0.01-mse-200x200": "weight scale 8, decay 0.01",
    "AdamW-2-1000-1-0.01-mse-200x200": "weight scale 2, decay 0.01",
}
EMNIST_OUTPUT = {LARGE_OUTPUT: "output scale 0.5", SMALL_OUTPUT: "output scale 0.001"}
ADAM = {f"Adam-{scale}-1000-1-0.001": f"weight scale {scale}" for scale in (10, 5, 1)}
BLOCKS = {
    "a": ("weight scale (n = 2,000, output scale 1, weight decay 0.001)",
          {f"AdamW-{scale}-2000-1-0.001": f"weight scale {scale}" for scale in (10, 5, 1)}),
    "b": ("train size n (weight scale 10, output scale 1, weight decay 0.001)",
          {f"AdamW-10-{n}-1-0.001": f"n = {n:,}" for n in (1000, 2000, 5000)}),
    "c": ("output scale (n = 2,000, weight scale 10, no weight decay)",
          {f"AdamW-10-2000-{scale}-0": f"output scale {scale}" for scale in (0.5, 0.1, 0.001)}),
}  # fmt: skip
"""The blocks of Table 1: what they change, and setup -> heading."""

_GEOMETRY = ("capacity", "radius", "dimension")


def columns_of(runs: PaperRuns, setups: Mapping[str, str]) -> list[PageColumn]:
    """A column a setup, in the order given."""
    return [PageColumn(heading, runs.seeds(setup)) for setup, heading in setups.items()]


def figure_2(runs: PaperRuns) -> "Figure":
    """Figure 2: one setup that groks in all views."""
    seeds = runs.seeds(GROKKING)
    assert seeds is not None
    return run_figure(seeds, "Figure 2. ")


def _grid(
    number: str, title: str, setups: Mapping[str, str], panels: Sequence[str], width: float = PAGE
) -> Callable[[PaperRuns], "Figure"]:
    """What draws a figure of a column a setup and a row a panel."""
    return lambda runs: grid_page(
        f"Figure {number}. {title}", columns_of(runs, setups), panels, width
    )


figure_1 = _grid(
    "1",
    "Output scale 0.5 beside 0.001: accuracy, and kernel distance of all pairs of measured steps "
    "(panel c of the paper is a cartoon).",
    MNIST_OUTPUT,
    ("accuracy", "pairs"),
)
figure_3 = _grid(
    "3",
    "Output scale 0.5 beside 0.001: accuracy, loss, geometry of the class manifolds (test images) "
    "and kernel distance.",
    EMNIST_OUTPUT,
    ("accuracy", "loss", *_GEOMETRY, "distance"),
)
figure_5 = _grid(
    "5",
    "Capacity of the layers with PyTorch's own initialization and many training images (the paper "
    "does not say how many).",
    {STANDARD: "weight scale 1, n = 5,000"},
    ("accuracy", *_GEOMETRY),
    COLUMN,
)
figure_7 = _grid(
    "7",
    "Weight scale 8 beside 2: accuracy, and kernel distance of all pairs of measured steps.",
    MNIST_WEIGHT,
    ("accuracy", "pairs"),
)
figure_8 = _grid(
    "8",
    "Norm of all weights and of the last layer's, biases included, beside the accuracy.",
    {
        "AdamW-8-1000-1-0.01-mse-200x200": "output scale 1, decay 0.01",
        **{setup: f"{heading}, no decay" for setup, heading in MNIST_OUTPUT.items()},
    },
    ("accuracy", "total_norm", "last_norm"),
)
figure_12 = _grid(
    "12",
    "Adam, with the weight decay as an L2 term of the loss (n = 1,000, output scale 1, decay "
    "0.001): accuracy, loss and geometry of the class manifolds (test images).",
    ADAM,
    ("accuracy", "loss", *_GEOMETRY),
)
figures_15 = {
    block: _grid(
        f"15{block}",
        "Accuracy and geometry of the class manifolds (test images) over the setups of Table 1: "
        f"{changed}.",
        setups,
        ("accuracy", *_GEOMETRY),
    )
    for block, (changed, setups) in BLOCKS.items()
}
"""By block of Table 1."""

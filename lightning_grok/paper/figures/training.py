"""Accuracy, geometry and weights while training: Figures 1, 2, 3, 5, 7, 8, 12 and 15."""

from collections.abc import Mapping
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


def figure_1(runs: PaperRuns) -> "Figure":
    """Figure 1: accuracy, and kernel distance between all measured steps. 1c is a cartoon."""
    title = (
        "Figure 1. Output scale 0.5 beside 0.001: accuracy, and kernel distance of all pairs of "
        "measured steps (panel c of the paper is a cartoon)."
    )
    return grid_page(title, columns_of(runs, MNIST_OUTPUT), ("accuracy", "pairs"))


def figure_2(runs: PaperRuns) -> "Figure":
    """Figure 2: one setup that groks in all views."""
    seeds = runs.seeds(GROKKING)
    assert seeds is not None
    return run_figure(seeds, "Figure 2. ")


def figure_3(runs: PaperRuns) -> "Figure":
    """Figure 3: output scale 0.5 beside 0.001."""
    title = (
        "Figure 3. Output scale 0.5 beside 0.001: accuracy, loss, geometry of the class "
        "manifolds (test images) and kernel distance."
    )
    panels = ("accuracy", "loss", *_GEOMETRY, "distance")
    return grid_page(title, columns_of(runs, EMNIST_OUTPUT), panels)


def figure_5(runs: PaperRuns) -> "Figure":
    """Figure 5: PyTorch's own initialization and many images."""
    title = (
        "Figure 5. Capacity of the layers with PyTorch's own initialization and many training "
        "images (the paper does not say how many)."
    )
    columns = columns_of(runs, {STANDARD: "weight scale 1, n = 5,000"})
    return grid_page(title, columns, ("accuracy", *_GEOMETRY), COLUMN)


def figure_7(runs: PaperRuns) -> "Figure":
    """Figure 7: as Figure 1, for the weight scale."""
    title = (
        "Figure 7. Weight scale 8 beside 2: accuracy, and kernel distance of all pairs of measured "
        "steps."
    )
    return grid_page(title, columns_of(runs, MNIST_WEIGHT), ("accuracy", "pairs"))


def figure_8(runs: PaperRuns) -> "Figure":
    """Figure 8: norms of the weights beside the accuracy."""
    title = (
        "Figure 8. Norm of all weights and of the last layer's, biases included, beside the "
        "accuracy."
    )
    setups = {
        "AdamW-8-1000-1-0.01-mse-200x200": "output scale 1, decay 0.01",
        **{setup: f"{heading}, no decay" for setup, heading in MNIST_OUTPUT.items()},
    }
    return grid_page(title, columns_of(runs, setups), ("accuracy", "total_norm", "last_norm"))


def figure_12(runs: PaperRuns) -> "Figure":
    """Figure 12: Adam with L2 regularization."""
    title = (
        "Figure 12. Adam, with the weight decay as an L2 term of the loss (n = 1,000, output scale "
        "1, decay 0.001): accuracy, loss and geometry of the class manifolds (test images)."
    )
    return grid_page(title, columns_of(runs, ADAM), ("accuracy", "loss", *_GEOMETRY))


def figure_15(runs: PaperRuns, block: str) -> "Figure":
    """Figure 15: one block of Table 1."""
    changed, setups = BLOCKS[block]
    title = (
        f"Figure 15{block}. Accuracy and geometry of the class manifolds (test images) over the "
        f"setups of Table 1: {changed}."
    )
    return grid_page(title, columns_of(runs, setups), ("accuracy", *_GEOMETRY), PAGE)

"""A breakdown of training doesn't set the scale of the geometry."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lightning_grok.figures import geometry_figure
from lightning_grok.figures.breakdown import broken_places
from lightning_grok.figures.seeds import Seeds
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run

EPOCHS = np.unique(np.geomspace(1, 10_000, 60).round().astype(int))
BROKEN = EPOCHS[(EPOCHS > 1500) & (EPOCHS < 2000)]


def write_run(root: Path, seed: int, broken: float, capacity: float) -> Run:
    """Memorized at epoch 30; from 1,500 to 2,000 with the train accuracy `broken`."""
    directory = RunDirectory.create(root, f"r{seed}", numbered=False)
    directory.update_meta(dataset="digits", setup="s", seed=seed, state="finished", epoch=10_000)
    for epoch in [0, *EPOCHS.tolist()]:
        off = epoch in BROKEN
        train = broken if off else min(1.0, epoch / 30)
        test = 0.1 if epoch < 1500 else 0.5
        directory.log("evaluation", epoch, epoch, {"train/accuracy": train, "test/accuracy": test})
        values = {"manifold_capacity/layers.0/capacity": capacity if off else 0.04 + 0.1 * test}
        directory.log("manifold_capacity", epoch, epoch, values)
    directory.close()
    return Run(directory.path)


def top_and_notes(figure: Figure) -> tuple[float, list[str]]:
    (axes,) = figure.axes
    return axes.get_ylim()[1], [t.get_text() for t in axes.texts if t.get_gid() == "off scale"]


def test_what_is_far_off_is_written_at_the_edge(tmp_path: Path) -> None:
    run = write_run(tmp_path, 0, broken=0.1, capacity=0.49)
    assert broken_places(run).tolist() == BROKEN.tolist()
    top, notes = top_and_notes(geometry_figure(run))
    assert top == pytest.approx(0.09, rel=0.1)
    assert notes == ["↑ 0.49, training breaks down"]


@pytest.mark.parametrize(("broken", "capacity"), [(0.95, 0.49), (0.1, 0.09)])
def test_all_else_stays_on_the_scale(tmp_path: Path, broken: float, capacity: float) -> None:
    top, notes = top_and_notes(geometry_figure(write_run(tmp_path, 0, broken, capacity)))
    assert top > capacity
    assert notes == []


def test_one_of_several_seeds_is_enough(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, k, 0.1 if k else 0.99, 0.49 if k else 0.05) for k in range(2)]
    seeds = Seeds(runs)
    assert broken_places(seeds).tolist() == BROKEN.tolist()
    top, notes = top_and_notes(geometry_figure(seeds))
    assert top == pytest.approx(0.09, rel=0.1)
    assert len(notes) == 1

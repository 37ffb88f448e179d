"""The probes' figure, on a run written by hand."""

from pathlib import Path

import numpy as np
import pytest

from lightning_grok.errors import InputError
from lightning_grok.figures import linear_probe_figure
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run

EPOCHS = [0, 1, 10, 100]


def probed(root: Path, *, same: bool, names: tuple[str, ...]) -> Run:
    directory = RunDirectory.create(root, "run", numbered=True)
    digits = "embedded digits" if same else "MNIST"
    directory.update_meta(
        dataset="EMNIST balanced", setup="AdamW-10-1000-1-0.001", seed=3, max_epochs=100,
        transfer={"name": digits, "same_distribution": same},
    )  # fmt: skip
    for epoch in EPOCHS:
        values = {}
        for place, name in enumerate(names):
            values[f"linear_probe/{name}/accuracy"] = 0.1 * (place + 1) + 0.001 * epoch
            values[f"linear_probe/{name}/accuracy_sd"] = 0.02
        directory.log("linear_probe", epoch, epoch, values)
    directory.close()
    return Run(directory.path)


def test_lines_are_what_was_logged(tmp_path: Path) -> None:
    figure = linear_probe_figure(probed(tmp_path, same=False, names=("sound", "paper", "direct")))
    (axes,) = figure.axes
    lines = {line.get_gid(): line for line in axes.lines if line.get_gid()}
    paper = lines["linear_probe/paper/accuracy"]
    assert np.array_equal(paper.get_xdata(), [1, 10, 100])
    assert paper.get_ydata() == pytest.approx([0.201, 0.21, 0.3])
    assert lines["linear_probe/paper/accuracy/0"].get_ydata() == pytest.approx([0.2])
    (band,) = [c for c in axes.collections if c.get_gid() == "linear_probe/paper/accuracy_sd"]
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(0.181)
    assert heights.max() == pytest.approx(0.32)


def test_the_title_says_which_digits(tmp_path: Path) -> None:
    names = ("sound", "sound_stored")
    other = linear_probe_figure(probed(tmp_path, same=False, names=names))
    same = linear_probe_figure(probed(tmp_path, same=True, names=names))
    assert "Linear probes of MNIST" in other.get_suptitle()
    assert "same distribution" not in other.get_suptitle()
    assert "embedded digits (same distribution)" in same.get_suptitle()
    gids = {line.get_gid() for line in same.axes[0].lines}
    assert "linear_probe/sound/accuracy" in gids
    assert "linear_probe/sound_stored/accuracy" not in gids  # the same digits


def test_without_probes_there_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="linear probes"):
        linear_probe_figure(probed(tmp_path, same=False, names=()))

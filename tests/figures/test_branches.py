"""A trunk and its branches in one figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimed_runs import N1000, Truth, write_run

from lightning_grok.commands.main import main
from lightning_grok.errors import InputError
from lightning_grok.figures import branches_figure
from lightning_grok.figures.branches import branches_of, change_in_words, drawn_together
from lightning_grok.runs.compact import write_compact
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run


def write_branch(
    root: Path, name: str, truth: Truth, leave_out: tuple[str, ...] = (), **given: Any
) -> Run:
    branches = {"run": f"/elsewhere/{N1000}_seed0", "epoch": 1000, "changed": {}, "set": {}}
    return write_run(root, truth, name=name, leave_out=leave_out, branches=branches | given)


@pytest.fixture
def trunk(tmp_path: Path) -> Run:
    trunk = write_run(tmp_path, Truth(unstable=3.2))
    changed = {"model.eps": [1e-8, 1e-6], "trainer.max_epochs": [10_000, 5000]}
    write_branch(tmp_path, "eps", Truth(half=5.0, last=5000, unstable=3.4), changed=changed)
    write_branch(tmp_path, "moment", Truth(half=3.1, unstable=3.1), set={"second_moment": 1e-4})
    write_run(tmp_path, Truth(), seed=1)  # branches from nothing
    write_branch(tmp_path, "other", Truth(), run="another_seed0")
    return trunk


def test_each_branch_is_a_line_named_by_what_it_changed(trunk: Run) -> None:
    figure = branches_figure(trunk)
    labels = {text.get_text() for legend in _legends(figure) for text in legend.get_texts()}
    assert labels == {"trunk", "model.eps 1e-06", "second_moment × 0.0001"}
    lines = {str(line.get_gid()): line for line in figure.findobj(match=_is_curve)}
    shown = {gid.partition("/")[2] for gid in lines}
    assert {"test/accuracy", "train/loss", "kernel_distance/full/own"} <= shown
    assert "manifold_capacity/layers.6/capacity" in shown
    for run in (trunk, Run(trunk.path.parent / "eps")):
        epochs, values = run.series("test/accuracy")
        x, y = lines[f"{run.name}/test/accuracy"].get_data()
        axes = lines[f"{run.name}/test/accuracy"].axes
        assert axes is not None
        low, high = axes.get_xlim()
        assert (low, high) == (1000 - 0.15 * 9000, 10_000)
        np.testing.assert_array_equal(x, epochs)
        np.testing.assert_array_equal(y, values)


def test_only_what_the_axis_shows_sets_its_scale(tmp_path: Path) -> None:
    trunk = write_run(tmp_path, Truth())
    write_branch(tmp_path, "copy", Truth(), epoch=9000)
    figure = branches_figure(trunk)
    line = next(line for line in figure.findobj(match=_is_curve) if "test/acc" in line.get_gid())
    assert min(line.get_xdata()) >= 9000 - 0.15 * 1000
    assert line.axes.get_ylim()[0] > 0.3  # not the 14 percent of the plateau
    assert change_in_words(branches_of(trunk)[0]) == ""


def test_one_change_at_two_epochs_is_two_lines(trunk: Run) -> None:
    changed = {"model.eps": [1e-8, 1e-6]}
    write_branch(trunk.path.parent, "later", Truth(), changed=changed, epoch=2000)
    write_branch(trunk.path.parent, "short", Truth(last=1000), changed=changed, epoch=1000)
    figure = branches_figure(trunk)
    labels = {text.get_text() for legend in _legends(figure) for text in legend.get_texts()}
    assert {"model.eps 1e-06, from 1,000", "model.eps 1e-06, from 2,000"} <= labels
    drawn = {str(line.get_gid()).partition("/")[0] for line in figure.findobj(match=_is_curve)}
    assert {"later", "eps"} <= drawn
    assert "short" not in drawn  # the same as eps, which went on


def test_many_branches_of_several_epochs_are_a_figure_an_epoch_with_legends_that_fit(
    tmp_path: Path,
) -> None:
    trunk = write_run(tmp_path, Truth())
    for epoch in (1000, 2000):
        for k in range(6):
            given = {f"model.an_option_of_a_long_name_{k}": [0, "a value of many letters"]}
            write_branch(tmp_path, f"{epoch}_{k}", Truth(), changed=given, epoch=epoch)
    branches = branches_of(trunk)
    few = [run for run in branches if run.name.endswith(("0", "1"))]
    assert list(drawn_together(few)) == ["branches"]
    together = drawn_together(branches)
    assert list(together) == ["branches_from_1000", "branches_from_2000"]
    figure = branches_figure(trunk, together["branches_from_2000"])
    figure.canvas.draw()
    (legend,) = _legends(figure)
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == 7
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in legend.get_texts())


def test_runs_that_log_other_things_and_a_branch_that_has_just_begun(tmp_path: Path) -> None:
    known = ("test/", "train/", "kernel_distance/full/own", "manifold_capacity/")
    trunk = write_run(tmp_path, Truth(), leave_out=known)
    write_branch(tmp_path, "new", Truth(last=1000), leave_out=known)
    shown = {
        str(line.get_gid()).partition("/")[2]
        for line in branches_figure(trunk).findobj(match=_is_curve)
    }
    assert "linear_probe/sound/accuracy" in shown
    assert not any(key.startswith(known) for key in shown)


def test_a_compact_copy_keeps_them_together(trunk: Run) -> None:
    archive = trunk.path.parent / "all.zip"
    write_compact([Run(path) for path in find_runs(trunk.path.parent)], archive)
    copies = branches_of(Run(archive / trunk.name))
    assert [run.name for run in copies] == ["eps", "moment"]
    assert copies[0].meta["branches"]["run"] == trunk.name  # without the folder


@pytest.mark.slow
def test_the_command_draws_it_and_leaves_other_runs_alone(trunk: Run) -> None:
    main(["figures", str(trunk.path), str(trunk.path.parent / "eps"), "--format=png"])
    assert (trunk.path / "figures/branches.png").stat().st_size > 10_000
    assert not (trunk.path.parent / "eps/figures/branches.png").exists()
    with pytest.raises(InputError, match="expected a run with branches beside it"):
        branches_figure(Run(trunk.path.parent / "eps"))


def _is_curve(artist: Any) -> bool:
    return "/" in str(getattr(artist, "get_gid", lambda: "")() or "") and hasattr(
        artist, "get_data"
    )


def _legends(figure: Any) -> list[Any]:
    from matplotlib.legend import Legend

    return figure.findobj(Legend)

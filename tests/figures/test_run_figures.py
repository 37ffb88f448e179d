import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from drawn import misplaced, of_gid, texts
from matplotlib.figure import Figure
from matplotlib.text import Text
from watched_runs import (
    CLASSES,
    FLOOR_SD,
    FLOORS,
    HALF,
    IN_FIGURES,
    LAYERS,
    MEASURED,
    MEMORIZED,
    distances,
    umap_points,
)

from lightning_grok.errors import InputError
from lightning_grok.figures import (
    geometry_figure,
    kernel_distance_figure,
    performance_figure,
    run_figure,
    umap_figure,
    write_run_figures,
)
from lightning_grok.figures.curves import further_figures
from lightning_grok.figures.epoch_axis import INITIALIZATION
from lightning_grok.figures.layout import COLUMN, PAGE, setup_in_words
from lightning_grok.figures.palette import TEST, TRAIN, class_color, layer_color
from lightning_grok.figures.umap import frame_epochs
from lightning_grok.runs.run import Run

Writer = Callable[..., Run]


@pytest.fixture(scope="module")
def whole_figure(whole_run: Run) -> Figure:
    return run_figure(whole_run)


def test_misplaced_texts_are_found() -> None:
    figure = Figure(figsize=(2, 2))
    for x, text in ((0.1, "one"), (0.15, "other"), (0.9, "far out of the figure")):
        figure.text(x, 0.5, text)
    assert misplaced(figure) == [
        "'far out of the figure' outside of the figure",
        "'one' on 'other'",
    ]


@pytest.mark.parametrize(
    "key",
    [
        "train/accuracy", "test/accuracy", "train/loss", "test/loss",
        "manifold_capacity/layers.0/capacity", "manifold_capacity/layers.3/radius",
        "manifold_capacity/layers.4/dimension", "kernel_distance/full/own",
        "kernel_distance/trace/own",
    ],
)  # fmt: skip
def test_lines_are_what_was_logged(whole_run: Run, whole_figure: Figure, key: str) -> None:
    (line,) = of_gid(whole_figure, key)
    (start,) = of_gid(whole_figure, f"{key}/0")
    epochs, values = whole_run.series(key)
    np.testing.assert_array_equal(line.get_xydata(), np.stack([epochs, values], axis=1)[1:])
    np.testing.assert_array_equal(start.get_xydata(), [[INITIALIZATION, values[0]]])


def test_colors_are_those_of_the_meaning(whole_figure: Figure) -> None:
    for part, color in (("train", TRAIN), ("test", TEST)):
        for quantity in ("accuracy", "loss"):
            assert of_gid(whole_figure, f"{part}/{quantity}")[0].get_color() == color
    for k, layer in enumerate(LAYERS):
        for quantity in ("capacity", "radius", "dimension"):
            (line,) = of_gid(whole_figure, f"manifold_capacity/{layer}/{quantity}")
            assert line.get_color() == layer_color(k, len(LAYERS))


def rewritten(run: Run, events: list[dict]) -> Run:
    """The run with another event log."""
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (run.path / "events.jsonl").write_text(lines)
    return Run(run.path)


def test_a_layer_keeps_its_color_where_it_is_measured_alone(written: Writer) -> None:
    run = written("evaluation", layer_names=["other", *LAYERS])
    alone = {"manifold_capacity/layers.3/capacity": 0.1}  # as if the callback had that layer only
    changed = rewritten(run, [event | alone for event in run.events])
    (line,) = of_gid(geometry_figure(changed), "manifold_capacity/layers.3/capacity")
    assert line.get_color() == layer_color(4, 6)


def test_legends_of_long_names_stay_in_their_column(written: Writer) -> None:
    layers = [f"network.encoder.layers.encoder_layer_{k}.mlp.{k}" for k in range(4)]
    run = written("evaluation", layer_names=layers)
    geometry = {f"manifold_capacity/{layer}/capacity": 0.1 for layer in layers}
    unbroken = "val/" + "a_name_without_a_place_to_break_" * 4
    changed = rewritten(run, [event | geometry | {unbroken: 1.0} for event in run.events])
    figures = [run_figure(changed), geometry_figure(changed), *further_figures(changed)]
    assert [misplaced(figure) for figure in figures] == [[]] * 3


def test_events_are_lines_in_every_panel_and_named_once(whole_figure: Figure) -> None:
    panels = 2 + 3 + 1
    for name, epoch, dash in (("memorization", MEMORIZED, "--"), ("generalization", HALF, "-")):
        lines = of_gid(whole_figure, name)
        assert len(lines) == panels + 2  # both ways in the heatmap
        for line in lines:
            places = {*line.get_xdata(), *line.get_ydata()} - {0, 1}
            assert list(places) == pytest.approx([epoch], rel=0.03)
            assert line.get_linestyle() == dash
        assert sum(text.startswith(name) for text in texts(whole_figure)) == 1
    assert f"memorization: train accuracy ≥ 99 %, epoch {MEMORIZED}" in texts(whole_figure)


def test_cells_of_the_heatmap_are_the_distances(whole_figure: Figure) -> None:
    (mesh,) = of_gid(whole_figure, "kernel_distance/pairwise")
    edges = mesh.get_coordinates()[0, :, 0]
    values = mesh.get_array()
    places = np.where(np.array(MEASURED) == 0, INITIALIZATION, MEASURED)
    cell = np.searchsorted(edges, places) - 1
    assert len(set(cell)) == len(MEASURED)  # each epoch lies in a cell of its own
    np.testing.assert_array_equal(values[np.ix_(cell, cell)], distances(MEASURED))
    break_cell = np.searchsorted(edges, 10**-0.2) - 1
    assert values.mask[break_cell].all()
    assert values.mask[:, break_cell].all()
    assert values.mask.sum() == 2 * len(values) - 1


def test_the_floor_is_a_band(whole_figure: Figure) -> None:
    for kind, floor in FLOORS.items():
        (line,) = of_gid(whole_figure, f"kernel_distance/{kind}/floor")
        assert line.get_ydata() == [floor] * 2
        (band,) = of_gid(whole_figure, f"kernel_distance/{kind}/floor_sd")
        assert band.get_y() == pytest.approx(floor - FLOOR_SD)
        assert band.get_height() == pytest.approx(2 * FLOOR_SD)


def test_frames_show_the_points_on_the_same_axes(whole_figure: Figure) -> None:
    frames = [axes for axes in whole_figure.axes if axes.get_title().startswith("epoch")]
    epochs = [int(axes.get_title()[6:].replace(",", "")) for axes in frames]
    assert epochs[0] == 0
    assert epochs[-1] == 10_000
    assert len(epochs) <= 8
    for axes, epoch in zip(frames, epochs, strict=True):
        (points,) = axes.collections
        drawn = {
            tuple(place): mpl.colors.to_hex(color)
            for place, color in zip(
                points.get_offsets().tolist(), points.get_facecolor(), strict=True
            )
        }
        where = [tuple(place) for place in umap_points(epoch).tolist()]
        assert drawn == {place: class_color(k % 4) for k, place in enumerate(where)}
        assert list(drawn) != where  # no class lies on top
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in frames}) == 1
    low, high = frames[0].get_xlim()
    everywhere = np.concatenate([umap_points(epoch) for epoch in MEASURED])
    assert low < everywhere[:, 0].min()
    assert everywhere[:, 0].max() < high
    assert high - low == pytest.approx(np.ptp(frames[0].get_ylim()))  # one unit, one length
    assert set(CLASSES) <= set(texts(whole_figure))


@pytest.mark.parametrize("last", [3, 300, 10_000, 50_000])
def test_frames_run_from_the_first_to_the_last(last: int) -> None:
    measured = [0, *range(1, 6), *range(10, 60, 10), *range(100, last, 100), last]
    shown = frame_epochs(sorted({epoch for epoch in measured if epoch <= last}))
    assert shown == sorted(set(shown))
    assert shown[0] == 0
    assert shown[-1] == last
    assert len(shown) <= 8
    assert last == 3 or len(shown) >= 6


@pytest.mark.parametrize(
    "left_out",
    [pytest.param(group, marks=[pytest.mark.slow] * (group != "pairwise")) for group in IN_FIGURES],
)
def test_what_was_not_measured_is_left_out(written: Writer, left_out: str) -> None:
    figure = run_figure(written(*(group for group in IN_FIGURES if group != left_out)))
    headings = {
        "evaluation": "Accuracy and loss",
        "manifold_capacity": "Geometry of the class manifolds",
        "kernel_distance": "Kernel distance to the initialization",
        "pairwise": "Kernel distance between epochs",
        "umap": "UMAP of the representations",
    }
    for group, heading in headings.items():
        assert any(heading in text for text in texts(figure)) == (group != left_out)
    assert misplaced(figure) == []


def test_accuracy_alone_is_enough(written: Writer) -> None:
    run = written("evaluation")
    kept = [{k: v for k, v in event.items() if "loss" not in k} for event in run.events]
    figure = run_figure(rewritten(run, kept))
    assert len(figure.axes) == 1
    assert len(of_gid(figure, "train/accuracy")) == 1


def test_a_running_run_shows_the_estimate_as_one(written: Writer) -> None:
    figure = run_figure(written("evaluation", "kernel_distance", "estimate", last=100))
    assert any("(estimate, s.e. ≤ 0.004)" in text for text in texts(figure))
    assert any("up to epoch 100 of 10,000" in spaced(text) for text in texts(figure))
    (mesh,) = of_gid(figure, "kernel_distance/pairwise")
    assert mesh.get_array().count() == 7**2
    assert misplaced(figure) == []


def test_the_exact_distances_go_before_the_estimate(written: Writer) -> None:
    figure = kernel_distance_figure(written("pairwise", "estimate"))
    assert not any("estimate" in text for text in texts(figure))


def test_a_run_at_its_start_is_drawn(written: Writer) -> None:
    run = written("evaluation", "manifold_capacity", "kernel_distance", "estimate", last=0)
    assert misplaced(run_figure(run)) == []


def test_the_title_says_what_is_shown(written: Writer, whole_figure: Figure) -> None:
    expected = (
        "EMNIST balanced, 1,000 training images, AdamW, weight scale 10, output scale 1, "
        "weight decay 0.001, seed 0"
    )
    assert expected in [spaced(text) for text in texts(whole_figure)]
    stand_in = performance_figure(written("evaluation", dataset="embedded digits"))
    assert any("embedded digits" in spaced(text) for text in texts(stand_in))


def spaced(text: str) -> str:
    return text.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")


def test_setups_in_words() -> None:
    assert setup_in_words("Adam-2.5-500-0.001-1e-05-mse-200x200-permuted0.5") == [
        "500 training images", "Adam", "weight scale 2.5", "output scale 0.001",
        "weight decay 1e-05", "mean squared error", "hidden widths 200, 200",
        "0.5 of labels permuted",
    ]  # fmt: skip
    assert setup_in_words("my own setup") == ["my own setup"]
    assert setup_in_words("") == []


def test_whole_figures_have_every_text_in_its_place(whole_run: Run, whole_figure: Figure) -> None:
    assert misplaced(whole_figure) == []
    assert whole_figure.get_figwidth() == PAGE
    singles = [
        performance_figure(whole_run),
        geometry_figure(whole_run),
        kernel_distance_figure(whole_run),
        umap_figure(whole_run, 500),
    ]
    for figure in singles:
        assert misplaced(figure) == []
        assert figure.get_figwidth() == COLUMN
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 4.9


def test_many_classes_with_long_names_have_room(written: Writer) -> None:
    names = [f"a class of {k}" for k in range(4)]
    run = written("umap", class_names=names)
    assert misplaced(umap_figure(run, 10)) == []
    assert misplaced(run_figure(run)) == []


def test_views_of_nothing_are_refused(written: Writer) -> None:
    run = written()
    for draw in (run_figure, performance_figure, geometry_figure, kernel_distance_figure):
        with pytest.raises(InputError, match=r"expected .* received none"):
            draw(run)
    with pytest.raises(InputError, match=r"expected an epoch of \[\] .* received 3"):
        umap_figure(run, 3)
    assert write_run_figures(run.path) == []


@pytest.mark.slow
def test_files_are_written_and_written_alike(written: Writer) -> None:
    run = written("evaluation", "estimate", "umap", last=500)
    paths = write_run_figures(run.path)
    stems = ("run", "performance", "kernel_distance", "umap", "further")
    names = {f"{stem}{suffix}" for stem in stems for suffix in (".png", ".pdf")}
    assert {path.name for path in paths} == names
    assert {path.name for path in (run.path / "figures").iterdir()} == names
    before = {path: path.read_bytes() for path in paths}
    for path, content in before.items():
        assert content.startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}[path.suffix])
        assert b"CreationDate" not in content
    assert {path: path.read_bytes() for path in write_run_figures(run.path)} == before


@pytest.mark.parametrize(
    "draw",
    [
        performance_figure,
        *(
            pytest.param(f, marks=pytest.mark.slow)
            for f in (geometry_figure, kernel_distance_figure)
        ),
    ],
)
def test_settings_of_the_reader_have_no_effect_and_stay(
    whole_run: Run, tmp_path: Path, draw: Callable[[Run], Figure]
) -> None:
    plain, styled = tmp_path / "plain.png", tmp_path / "styled.png"
    draw(whole_run).savefig(plain)
    own = {"font.size": 19.0, "xtick.labelsize": 17.0, "ytick.labelsize": 17.0,
           "axes.labelsize": 15.0, "xtick.color": "red", "axes.facecolor": "black"}  # fmt: skip
    with mpl.rc_context(own):
        draw(whole_run).savefig(styled)
        assert {key: mpl.rcParams[key] for key in own} == own
    assert styled.read_bytes() == plain.read_bytes()


def test_drawing_needs_no_trainer_and_no_window(written: Writer) -> None:
    run = written("evaluation", last=100)
    code = (
        "import sys; from lightning_grok.figures import run_figure\n"
        "from lightning_grok.runs.run import read_run\n"
        "heavy = {'lightning', 'wandb', 'torch', 'matplotlib', 'umap'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        f"run_figure(read_run({str(run.path)!r}))\n"
        "never = {'lightning', 'wandb', 'torch', 'matplotlib.pyplot'}\n"
        "assert not never & set(sys.modules), never & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

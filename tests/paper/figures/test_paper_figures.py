"""The paper's figures, drawn from runs of all setups that were written by hand."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from drawn import meeting, misplaced, of_gid, texts
from foretold_paper import (
    FLOOR,
    accuracy,
    delay,
    distances,
    foreign_distance,
    geometry,
    own_distance,
    write_seed,
)
from matplotlib.figure import Figure

from lightning_grok.figures.epoch_axis import INITIALIZATION
from lightning_grok.figures.palette import PAPER_PROBE, TEST, layer_color
from lightning_grok.figures.printing import Printing, printing
from lightning_grok.paper.figures.correlation import association
from lightning_grok.paper.figures.distance import outside_band, outside_note
from lightning_grok.paper.figures.drawing import FIGURES
from lightning_grok.paper.figures.runs import PaperRuns
from lightning_grok.paper.figures.table import table_csv, table_markdown, table_rows
from lightning_grok.paper.figures.training import STANDARD
from lightning_grok.paper.published import Published

GROKKING, HALF = "AdamW-10-1000-1-0.001", "AdamW-10-2000-0.5-0"
MNIST = "AdamW-8-1000-0.5-0-mse-200x200"
OWN, FOREIGN = "kernel_distance/full/own", "kernel_distance/full/foreign"
LAST = 5000
SEEDS = {HALF: 3, MNIST: 2}

Drawn = Callable[[str], Figure]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> PaperRuns:
    """A run or more of every setup, and published numbers of three."""
    root = tmp_path_factory.mktemp("paper")
    for setup in dict.fromkeys(setup for figure in FIGURES for setup in figure.setups):
        for seed in range(SEEDS.get(setup, 1)):
            write_seed(root, setup, seed, last=LAST)
    some = ("evaluation", "manifold_capacity")
    write_seed(root, GROKKING, 0, last=LAST, splits=("test", "train"), groups=some)
    for images in (("train", 512), ("test", 256)):
        kernel = ("evaluation", "kernel_distance")
        write_seed(root, MNIST, 0, last=LAST, images=images, groups=kernel)
    file = root / "numbers.csv"
    file.write_text(
        "dataset,run,metric,layer,epoch,value\n"
        f"EMNIST,{HALF},test_acc,,20000,55\n"
        f"EMNIST,{HALF},avg_capacity,6,20000,0.1\n"
        f"EMNIST,{HALF},train99,,,64\n"
        f"EMNIST,{GROKKING},K_dist_to_model0,,10,0.77\n"
        "MNIST,alpha_0.5,K_dist_to_model0_train,,1,0.5\n"
        "MNIST,alpha_0.5,K_dist_to_model0_train,,10000,0.6\n"
        "MNIST,alpha_0.5,K_dist_to_model0_test,,10000,0.61\n"
        "MNIST-probe,ood_accs_p5,acc_mean,,50,0.33\n"
    )
    return PaperRuns([root], Published(file))


@pytest.fixture(scope="module")
def drawn(runs: PaperRuns) -> Drawn:
    """A figure by its number, drawn once."""
    known: dict[str, Figure] = {}

    def draw(number: str) -> Figure:
        if number not in known:
            (figure,) = [each for each in FIGURES if each.number == number]
            known[number] = figure.draw(runs)
        return known[number]

    return draw


_SLOW = {"2", "7", "12", "13", "15a", "15b", "15c"}
"""Large ones, which take up to ten seconds, and those like a smaller one."""


def numbers(*some: str) -> list[Any]:
    return [pytest.param(each, marks=[pytest.mark.slow] * (each in _SLOW)) for each in some]


NUMBERS = numbers(*(figure.number for figure in FIGURES))


def data_of(artist: Any) -> list[list[float]]:
    return np.asarray(artist.get_xydata()).tolist()


@pytest.mark.parametrize("number", NUMBERS)
def test_every_text_is_in_its_place(drawn: Drawn, number: str) -> None:
    figure = drawn(number)
    assert misplaced(figure) == []
    assert figure.get_figwidth() in (3.4, 7.0)


@pytest.mark.parametrize("number", NUMBERS)
def test_tick_labels_of_neighbors_do_not_meet(drawn: Drawn, number: str) -> None:
    assert meeting(drawn(number)) == []


@pytest.mark.parametrize(
    ("number", "width"),
    [
        ("1", 3.5),
        pytest.param("2", 3.5, marks=pytest.mark.slow),
        pytest.param("15b", 5.25, marks=pytest.mark.slow),
    ],
)
def test_a_narrow_page_without_captions(runs: PaperRuns, number: str, width: float) -> None:
    (figure,) = [each for each in FIGURES if each.number == number]
    with printing(Printing(3.5, captions=False)):
        narrow = figure.draw(runs)
    assert narrow.get_figwidth() == width
    assert misplaced(narrow) == []
    assert narrow.get_suptitle() == ""


@pytest.mark.parametrize("number", ["3", "9", "11"])
def test_published_circles_are_whole(drawn: Drawn, number: str) -> None:
    figure = drawn(number)
    marks = [
        line for axes in figure.axes for line in axes.lines
        if str(line.get_gid()).startswith("published/")
    ]  # fmt: skip
    assert marks
    for line in marks:
        assert not line.get_clip_on()
        shown = line.get_xydata()[np.array(line.get_markevery())]
        (left, right), (low, high) = line.axes.get_xlim(), line.axes.get_ylim()
        assert np.all((shown >= (left, low)) & (shown <= (right, high)))


def test_published_distances_outside_of_the_band_are_counted(tmp_path: Path) -> None:
    for seed in range(3):
        write_seed(tmp_path, MNIST, seed, last=LAST, groups=("evaluation", "kernel_distance"))
    seeds = PaperRuns([tmp_path]).seeds(MNIST)
    assert seeds is not None
    places, low, high = seeds.band(FOREIGN)
    k = np.flatnonzero(places > 0)[[2, 5, 8]]
    values = np.array([low[k[0]] - 1e-6, (low[k[1]] + high[k[1]]) / 2, high[k[2]] + 1e-6])
    beyond = 10.0 * places[-1]  # nothing of ours is there
    seeds.published = {FOREIGN: (np.append(places[k], beyond), np.append(values, 5.0))}
    assert outside_band(seeds, FOREIGN) == (2, 3)
    assert outside_note({"these": (seeds, "kernel_distance")}).endswith("band: these: 2 of 3.")
    seeds.published = {}
    assert outside_note({"these": (seeds, "kernel_distance")}) == ""


def test_a_radius_of_many_sizes_is_read_on_a_logarithmic_axis(drawn: Drawn, tmp_path: Path) -> None:
    def axis(figure: Figure) -> str:
        return str(of_gid(figure, "manifold_capacity/layers.6/radius")[0].axes.get_yscale())

    assert axis(drawn("5")) == "linear"
    run = write_seed(tmp_path, STANDARD, 0, last=100)
    log = run.path / "events.jsonl"
    wide = {"event": "scalars", "epoch": 101, "manifold_capacity/layers.6/radius": 30.0}
    log.write_text(log.read_text() + json.dumps(wide) + "\n")
    (figure,) = [each for each in FIGURES if each.number == "5"]
    assert axis(figure.draw(PaperRuns([tmp_path]))) == "log"


@pytest.mark.parametrize(
    "number", numbers("1", "2", "3", "4", "5", "7", "8", "9", "11", "12", "13")
)
def test_events_are_marked_in_every_panel_over_epochs(drawn: Drawn, number: str) -> None:
    figure = drawn(number)
    panels = [
        axes for axes in figure.findobj(lambda a: hasattr(a, "get_xscale")) if _over_epochs(axes)
    ]
    assert panels
    for axes in panels:
        found = {line.get_gid() for line in axes.lines}
        assert {"memorization", "onset", "generalization"} <= found


def _over_epochs(axes: Any) -> bool:
    return axes.get_xscale() == "log" and bool(axes.lines)


def test_lines_are_medians_and_bands_quantiles(drawn: Drawn, runs: PaperRuns) -> None:
    line = of_gid(drawn("3"), "test/accuracy")[0]
    epochs = runs.every(HALF)[0].series("test/accuracy")[0][1:]
    each = np.array([[accuracy("test", epoch, k) for epoch in epochs] for k in range(3)])
    np.testing.assert_allclose(data_of(line), np.stack([epochs, each[1]], axis=1))
    assert line.get_color() == TEST
    (band,) = of_gid(drawn("3"), "test/accuracy/seeds")  # the other setup has one seed
    corners = band.get_paths()[0].vertices
    low, high = np.quantile(each, [0.1, 0.9], axis=0)
    for k in range(0, len(epochs), 7):
        heights = corners[corners[:, 0] == epochs[k], 1]
        assert heights.min() == pytest.approx(low[k])
        assert heights.max() == pytest.approx(high[k])


def test_geometry_is_that_of_each_layer(drawn: Drawn) -> None:
    for k, quantity in ((0, "radius"), (3, "dimension"), (6, "capacity")):
        line = of_gid(drawn("5"), f"manifold_capacity/layers.{k}/{quantity}")[0]
        for epoch, value in data_of(line):
            assert value == pytest.approx(geometry(k, quantity, int(epoch), 0))
        assert line.get_color() == layer_color(k, 7)


@pytest.mark.parametrize(
    ("number", "key", "points"),
    [
        ("3", "test/accuracy", [[20_000, 0.55]]),
        ("3", "manifold_capacity/layers.6/capacity", [[20_000, 0.1]]),
        ("11", "test/accuracy", [[20_000, 0.55]]),
        pytest.param("2", FOREIGN, [[10, 0.77]], marks=pytest.mark.slow),
        ("4", "linear_probe/paper/accuracy", [[50, 0.33]]),
        ("9", FOREIGN, [[10_000, 0.6]]),  # step 1 is left out
        ("10", "manifold_capacity/layers.6/capacity~test/accuracy", [[0.1, 0.55]]),
    ],
)  # fmt: skip
def test_published_points_stand_where_the_file_says(
    drawn: Drawn, number: str, key: str, points: list[list[float]]
) -> None:
    (marks,) = of_gid(drawn(number), f"published/{key}")
    assert data_of(marks) == points
    assert marks.get_markerfacecolor() == "none"
    assert "published, one seed" in texts(drawn(number))
    assert "published, one seed" not in texts(drawn("5"))  # of none of its setups


def test_mnist_is_drawn_against_steps(drawn: Drawn) -> None:
    for number in ("1", "8", "9"):
        figure = drawn(number)
        assert "epoch" not in texts(figure)
        assert "step" in texts(figure)
        said = " ".join(texts(figure)).replace("\n", " ")
        assert "5 steps an epoch; the paper's step 1 lies within an epoch and is left out" in said
    line = of_gid(drawn("8"), "weight_norm/total")[0]
    assert line.get_xdata()[0] == 5
    assert line.get_xdata()[-1] == 5 * LAST
    (start,) = of_gid(drawn("1"), "test/accuracy/0")[:1]
    assert start.get_xdata() == [5 * INITIALIZATION]
    mesh = of_gid(drawn("1"), "kernel_distance/pairwise")[0]
    epochs = sorted({0, *(line.get_xdata() / 5).astype(int).tolist()})
    each = np.median([distances(epochs, k) for k in range(2)], axis=0)
    assert np.ma.max(mesh.get_array()) == pytest.approx(each.max())


def test_the_paper_on_the_left_and_soundly_on_the_right(drawn: Drawn) -> None:
    figure = drawn("9")
    left, right = of_gid(figure, FOREIGN)[0].axes, of_gid(figure, OWN)[0].axes
    assert left.get_position().x1 < right.get_position().x0
    for epoch, value in data_of(of_gid(figure, FOREIGN)[2]):  # a setup of one seed
        assert value == pytest.approx(foreign_distance(int(epoch) // 5, 0))
    for epoch, value in data_of(of_gid(figure, OWN)[2]):
        assert value == pytest.approx(own_distance(int(epoch) // 5, 0))
    floors = of_gid(figure, "kernel_distance/full/floor_sd")
    assert len(floors) == 4
    assert all(floor.axes.get_position().x0 > left.get_position().x1 for floor in floors)
    assert floors[0].get_y() == pytest.approx(FLOOR - 0.02)


def test_both_probes_stand_side_by_side(drawn: Drawn) -> None:
    figure = drawn("4")
    paper, sound, upright = (
        of_gid(figure, f"linear_probe/{name}/accuracy")[0]
        for name in ("paper", "sound", "sound_stored")
    )
    assert paper.axes.get_position().x1 < sound.axes.get_position().x0
    assert upright.axes is sound.axes
    assert paper.get_color() == PAPER_PROBE
    assert of_gid(figure, "linear_probe/paper/accuracy_sd")  # over draws, where one seed is
    assert of_gid(figure, "linear_probe/paper/accuracy/seeds")


def test_the_same_seeds_are_compared_over_other_images(drawn: Drawn) -> None:
    figure = drawn("6")
    assert len(of_gid(figure, OWN)) == 3
    first, *others = (data_of(line) for line in of_gid(figure, OWN))
    assert all(other == first for other in others)  # foretold to be alike, but for seed 1
    assert {"512 train images (Δ ≤ 0.000)", "256 test images (Δ ≤ 0.000)"} <= set(texts(figure))
    marks = of_gid(figure, f"published/{FOREIGN}")
    assert [data_of(each) for each in marks] == [[[10_000, 0.6]], [[10_000, 0.61]]]
    assert [each.get_marker() for each in marks] == ["o", "^"]


def test_correlations_are_one_a_seed(drawn: Drawn, runs: PaperRuns) -> None:
    seeds = runs.seeds(HALF)
    assert seeds is not None
    for predictor in ("manifold_capacity/layers.4/capacity", OWN):
        epochs, x = (each[1:] for each in seeds.runs[1].series(predictor))
        y = np.array([accuracy("test", epoch, 1) for epoch in epochs])
        steps = np.diff(np.log10(epochs))
        changes = np.corrcoef(np.diff(x) / steps, np.diff(y) / steps)[0, 1]
        found = association(seeds, predictor, "test/accuracy")
        assert found.levels[1] == pytest.approx(np.corrcoef(x, y)[0, 1])
        assert found.changes[1] == pytest.approx(changes)
        gid = f"{predictor}~test/accuracy"
        for kind, each in (("levels", found.levels), ("changes", found.changes)):
            ticks, _ = of_gid(drawn("10"), f"{gid}/{kind}")  # the second setup has one seed
            np.testing.assert_array_equal(ticks.get_xdata(), each)
            mean, _ = of_gid(drawn("10"), f"{gid}/{kind}/mean")
            assert mean.get_xdata() == pytest.approx([each.mean()])
            three, one = of_gid(drawn("10"), f"{gid}/{kind}/ci")
            low, high = three.get_xdata()
            reach = scipy.stats.t.isf(0.025, len(each) - 1) * scipy.stats.sem(each)
            assert -1 <= low <= max(each.mean() - reach, -1) + 1e-9
            assert min(each.mean() + reach, 1) - 1e-9 <= high <= 1
            assert np.isnan(one.get_xdata()).all()


def test_every_seed_has_its_line_and_its_times(drawn: Drawn) -> None:
    figure = drawn("11")
    for seed in range(3):
        (line,) = of_gid(figure, f"test/accuracy/seed {seed}")
        for epoch, value in data_of(line):
            assert value == accuracy("test", int(epoch), seed)
        (mark,) = of_gid(figure, f"generalization/seed {seed}")
        assert mark.get_xdata()[0] == pytest.approx(delay(seed), rel=0.05)
        assert mark.get_ydata() == [seed]
    assert "3 of 3 grokked" in figure.get_suptitle().replace("\n", " ")


def test_training_stands_against_test(drawn: Drawn) -> None:
    figure = drawn("14")
    for k in (0, 6):
        (points,) = of_gid(figure, f"layers.{k}/radius")
        test, train = np.array(data_of(points)).T
        np.testing.assert_allclose(train, 1.05 * test)
    (radius,) = [text for text in texts(figure) if "R_M" in text]
    assert "r = 1.00, ρ = 0." in radius  # parallel to the diagonal, not on it
    assert "at most 20 images" in figure.get_suptitle().replace("\n", " ")


@pytest.mark.slow
def test_the_geometry_of_training_has_its_lines(drawn: Drawn) -> None:
    assert len(of_gid(drawn("13"), "manifold_capacity/train/layers.2/capacity")) == 1


def test_the_table_says_what_came_of_each_setup(runs: PaperRuns) -> None:
    rows = table_rows(runs)
    assert [row.block for row in rows] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    (half,) = [row for row in rows if row.setup == HALF]
    assert (half.number, half.grokked) == (3, 3)
    read = {row["setup"]: row for row in csv.DictReader(io.StringIO(table_csv(rows)))}
    assert float(read[HALF]["t_half"]) == pytest.approx(delay(1), rel=0.05)
    assert float(read[HALF]["t_half_max"]) == pytest.approx(delay(2), rel=0.05)
    assert read[HALF]["t_mem"] == "30"
    assert read[HALF]["t_mem_published"] == "64"
    assert read[GROKKING]["t_mem_published"] == ""
    lines = table_markdown(rows).splitlines()
    (place,) = [k for k, line in enumerate(lines) if f"| {HALF} | 3 | 3 of 3 | 30 |" in line]
    assert lines[place + 1].startswith("| published, one seed |  |  | 64 |")


def test_a_rise_that_never_came_is_censored(tmp_path: Path) -> None:
    write_seed(tmp_path, HALF, 9, last=200, groups=("evaluation",))
    (row,) = [row for row in table_rows(PaperRuns([tmp_path])) if row.number]
    assert row.grokked == 0
    assert " | > 200 | 13.0 |" in table_markdown([row])  # half of the rise

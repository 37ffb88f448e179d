"""Runs over seeds read as one, on runs written by hand."""

from pathlib import Path

import numpy as np
import pytest
from foretold_paper import accuracy, delay, distances, own_distance, write_seed

from lightning_grok.errors import InputError
from lightning_grok.figures.epoch_axis import find_events, limits
from lightning_grok.figures.seeds import Seeds
from lightning_grok.paper.figures.runs import PaperRuns, command_for, comparable_runs

SETUP = "AdamW-10-2000-0.5-0"
MNIST = "AdamW-8-1000-0.5-0-mse-200x200"


def seeds_of(root: Path, count: int, **options: object) -> Seeds:
    return Seeds([write_seed(root, SETUP, k, **options) for k in range(count)])  # type: ignore[arg-type]


def test_values_are_medians_and_bands_quantiles_at_shared_epochs(tmp_path: Path) -> None:
    seeds = seeds_of(tmp_path, 5, groups=("evaluation",))
    epochs, values = seeds.series("test/accuracy")
    each = np.array([[accuracy("test", epoch, k) for epoch in epochs] for k in range(5)])
    np.testing.assert_allclose(values, np.median(each, axis=0))
    places, low, high = seeds.band("test/accuracy")
    np.testing.assert_array_equal(places, epochs)
    np.testing.assert_allclose(low, np.quantile(each, 0.1, axis=0))
    np.testing.assert_allclose(high, np.quantile(each, 0.9, axis=0))
    assert np.any(high > low + 0.1)


def test_epochs_that_a_run_lacks_are_left_out(tmp_path: Path) -> None:
    long = write_seed(tmp_path, SETUP, 0, groups=("evaluation",), last=10_000)
    short = write_seed(tmp_path, SETUP, 1, groups=("evaluation",), last=9_500)
    seeds = Seeds([long, short])
    shared = set(long.series("test/loss")[0]) & set(short.series("test/loss")[0])
    assert set(seeds.series("test/loss")[0]) == shared
    assert seeds.epoch == 9_500


def test_one_run_has_no_band(tmp_path: Path) -> None:
    seeds = seeds_of(tmp_path, 1, groups=("evaluation",))
    assert [len(part) for part in seeds.band("test/accuracy")] == [0, 0, 0]
    assert (seeds.seed, seeds.in_words) == (0, "seed 0")


def test_a_key_of_some_runs_is_that_of_these(tmp_path: Path) -> None:
    one = write_seed(tmp_path, SETUP, 0, groups=("evaluation", "kernel_distance"))
    seeds = Seeds([one, write_seed(tmp_path, SETUP, 3, groups=("evaluation",))])
    epochs, values = seeds.series("kernel_distance/full/own")
    np.testing.assert_allclose(values, [own_distance(epoch, 0) for epoch in epochs])
    assert len(seeds.series("nothing")[0]) == 0
    assert len(seeds.series("nothing")[1]) == 0


def test_pairs_are_medians_too(tmp_path: Path) -> None:
    seeds = seeds_of(tmp_path, 3, groups=("kernel_distance",), last=100)
    found = seeds.array("kernel_distance", "pairwise")
    each = [distances(found["epochs"].tolist(), k) for k in range(3)]
    np.testing.assert_allclose(found["distance"], np.median(each, axis=0))


def test_events_are_medians_and_none_where_most_runs_have_none(tmp_path: Path) -> None:
    seeds = seeds_of(tmp_path, 3, groups=("evaluation",))
    events = find_events(seeds)
    assert events.memorization == 30
    assert events.generalization == pytest.approx(delay(1), rel=0.05)
    assert events.onset is not None
    assert events.onset < events.generalization
    early = [write_seed(tmp_path, SETUP, k, groups=("evaluation",), last=100) for k in (7, 8)]
    none = find_events(Seeds([*early, seeds.runs[0]]))
    assert none.generalization is None


def test_steps_are_counted_where_the_paper_counts_them(tmp_path: Path) -> None:
    run = write_seed(tmp_path, MNIST, 0, groups=("evaluation", "kernel_distance"), last=1000)
    seeds = PaperRuns([tmp_path]).seeds(MNIST)
    assert seeds is not None
    np.testing.assert_array_equal(seeds.series("test/loss")[0], 5 * run.series("test/loss")[0])
    assert seeds.epoch == 5000
    assert seeds.array("kernel_distance", "pairwise")["epochs"][-1] == 5000
    assert find_events(seeds).memorization == 150
    low, high = limits(seeds)
    assert 0 < low < 5  # of which the first epoch's steps are behind the break
    assert 5000 < high < 6000


def test_one_run_a_seed_and_short_runs_are_named(tmp_path: Path) -> None:
    groups = ("evaluation",)
    whole = write_seed(tmp_path, SETUP, 0, groups=groups, last=1000)
    again = write_seed(tmp_path, SETUP, 0, groups=groups, last=1000)
    other = write_seed(tmp_path, SETUP, 0, groups=groups, last=1000, images=("test", 256))
    short = write_seed(tmp_path, SETUP, 1, groups=groups, last=300)
    kept, left_out = comparable_runs([other, again, whole, short])
    assert [run.path for run in kept] == [whole.path]
    assert len(left_out) == 2  # the other images are no mistake: a figure shows them
    assert f"left out {short.path}: ends at epoch 300 of 1,000" in left_out
    assert f"left out {again.path}: of the seed of {whole.path}" in left_out


def test_the_papers_data_go_before_a_stand_in(tmp_path: Path) -> None:
    write_seed(tmp_path, SETUP, 0, groups=("evaluation",), dataset="embedded digits")
    alone = PaperRuns([tmp_path]).seeds(SETUP)
    assert alone is not None
    assert alone.dataset == "embedded digits"
    own = write_seed(tmp_path, SETUP, 0, groups=("evaluation",))
    both = PaperRuns([tmp_path, own.path]).seeds(SETUP)  # named twice, read once
    assert both is not None
    assert [run.path for run in both.runs] == [own.path]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a run or a folder with runs, received"):
        PaperRuns([tmp_path])


def test_commands_name_files_that_there_are() -> None:
    root = Path(__file__).parents[3]
    for setup in (SETUP, MNIST, "Adam-5-1000-1-0.001", "AdamW-2-1000-1-0.01-mse-200x200"):
        files = command_for(setup).split(" --config ")[1:]
        assert files
        assert all((root / file).is_file() for file in files)

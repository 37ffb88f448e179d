"""Events of the cause, on series made for it and on the committed runs."""

import math
from pathlib import Path

import numpy as np
import pytest

from lightning_grok.analysis.instability import (
    Instability,
    collapse_epoch,
    find_instabilities,
    onset_in_words,
    onset_sentence,
    run_instabilities,
    ungrokking_epoch,
)
from lightning_grok.analysis.onset import run_events
from lightning_grok.runs.run import Run, read_runs

RUNS = Path(__file__).parents[2] / "docs" / "results" / "runs.zip"


@pytest.fixture(scope="module")
def committed() -> dict[str, list[Run]]:
    """The committed runs, by setup."""
    found: dict[str, list[Run]] = {}
    for run in read_runs([RUNS]):
        found.setdefault(run.setup, []).append(run)
    return found


@pytest.mark.parametrize(
    ("setup", "seeds", "first", "last"),
    [
        # All memorize early, their loss ends, and they break (but for the seed that broke at 422,
        # before its loss had ended, and of whose later jumps only one is of this kind).
        ("AdamW-10-1000-1-0.001", 9, 3162, 3831),
        ("AdamW-10-1000-1-0.001-permuted1", 1, 3500, 3831),
        ("AdamW-10-2000-1-0.001", 1, 1616, 1778),
        ("AdamW-10-2000-0.5-0", 4, 1778, 7499),
        ("AdamW-10-2000-0.1-0", 3, 1616, 1778),
        ("AdamW-10-2000-0.001-0", 3, 2610, 21544),
        ("AdamW-5-2000-1-0.001", 5, 1334, 1500),
        ("AdamW-1-2000-1-0.001", 6, 1101, 1334),
        ("AdamW-1-5000-1-0.001", 1, 511, 562),
    ],
)
def test_the_jumps_of_adamw_are_found(
    setup: str, seeds: int, first: int, last: int, committed: dict[str, list[Run]]
) -> None:
    found = [
        instabilities[0] for run in committed[setup] if (instabilities := run_instabilities(run))
    ]
    early = [each for each in found if first <= each.before < each.epoch <= last]
    assert len(early) == seeds
    assert all(each.high >= 1000 * each.low for each in early)


def test_with_the_squared_error_and_with_l2_there_is_none(committed: dict[str, list[Run]]) -> None:
    others = [runs for setup, runs in committed.items() if "mse" in setup or setup[:5] == "Adam-"]
    assert sum(len(runs) for runs in others) > 20
    assert [run.name for runs in others for run in runs if run_instabilities(run)] == []


def test_an_onset_inside_one_is_said_in_words(committed: dict[str, list[Run]]) -> None:
    said = [onset_in_words(run, run_events(run)) for run in committed["AdamW-10-1000-1-0.001"]]
    none = "no instability of the optimizer is seen at its onset"
    assert [words == none for words in said].count(True) == 1
    assert all("lies inside an instability" in words for words in said if words != none)
    assert said[1].endswith(
        "lies inside an instability of the optimizer: from epoch 3,481 to 3,831 the training loss "
        "rose from 1.0e-08 to 1.6e+00"
    )
    (delayless,) = committed["Adam-1-1000-1-0.001"]
    assert onset_in_words(delayless, run_events(delayless)) == ""  # it does not grok
    endless = [Instability(1000, 1100, 50_000, 1e-8, 1.0)]
    assert onset_sentence(1380, endless)
    assert onset_sentence(1390, endless) == ""
    assert onset_sentence(math.inf, endless) == ""


def test_an_instability_begins_at_its_jump_and_ends_with_half_of_it() -> None:
    epochs = np.array([0, 10, 100, 110, 120, 130, 140, 150])
    loss = np.array([4, 1e-6, 1e-6, 2e-6, 1e-2, 2e-2, 1e-3, 1e-4])
    assert find_instabilities(epochs, loss, 10) == [(110, 120, 150, 2e-6, 2e-2)]
    assert find_instabilities(epochs, loss, 130) == []
    assert find_instabilities(epochs, loss, math.inf) == []
    dense = np.arange(100, 110)  # a rise over several evaluations, all within 12 %
    loss = 1e-7 * 3.0 ** np.minimum(np.arange(10), 8)
    assert find_instabilities(dense, loss, 1)[0][:2] == (100, 107)
    slow = np.geomspace(100, 1000, 10)  # the same over a decade
    assert find_instabilities(slow, loss, 1) == []
    below = np.array([1e-9, 0.0, 9e-7, np.nan, 2e-6])  # what is below 1e-9 counts as that
    assert [each.epoch for each in find_instabilities(np.arange(100, 105), below, 1)] == [104]
    endless = np.array([1e-6, np.inf, np.inf, 1e-6])
    assert [each[:3] for each in find_instabilities(np.arange(100, 104), endless, 1)] == (
        [(100, 101, 103)]
    )


def test_what_is_known_does_not_change_when_the_series_goes_on(
    committed: dict[str, list[Run]],
) -> None:
    run = committed["AdamW-10-2000-0.5-0"][0]
    epochs, loss = run.series("train/loss")
    whole = find_instabilities(epochs, loss, 29)
    for end in range(len(epochs)):
        known = find_instabilities(epochs[:end], loss[:end], 29)
        assert [e[:2] for e in known] == [e[:2] for e in whole[: len(known)]]


def test_a_collapse_is_half_of_the_samples() -> None:
    epochs = np.array([0, 1, 2, 3])
    assert collapse_epoch(epochs, np.array([0, 0.49, np.nan, 0.5])) == 3
    assert collapse_epoch(epochs, np.zeros(4)) == math.inf


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([1, 1, 1, 1, 1], [0.1, 0.8, 0.3, 0.3, 0.3], 20),
        ([1, 1, 1, 1, 1], [0.1, 0.8, 0.3, 0.3, 0.41], math.inf),  # it comes back
        ([1, 1, 1, 1, 0.5], [0.1, 0.8, 0.3, 0.3, 0.3], math.inf),  # the training set goes too
        ([1, 1, 1, 1, 1], [0.0, 0.08, 0.0, 0.0, 0.0], math.inf),  # less than ten points
        ([1, 1, 1, 1], [0.1, 0.8, 0.3, 0.3], math.inf),  # not for long enough yet
    ],
)
def test_ungrokking_is_for_good(train: list, test: list, expected: float) -> None:
    epochs = np.array([5, 10, 20, 30, 40])[: len(train)]
    assert ungrokking_epoch(epochs, np.array(train), np.array(test)) == expected

"""What is said of runs, word for word."""

import numpy as np
import pytest
from curves import LOG, accuracies, ramp

from lightning_grok.analysis.accuracy import Counted
from lightning_grok.analysis.onset import GrokkingEvents, grokking_events
from lightning_grok.analysis.outcome import event_record, event_words, outcome

OF = Counted(1000, 0.1)


def events_of(**change: float) -> GrokkingEvents:
    return grokking_events(LOG, *accuracies(LOG, **change), OF)


SAID = [
    (
        {},
        "Memorized at 32; generalization begins at 1,169, half at 2,000 (from 10 % to 50 %): "
        "grokked",
    ),
    (
        {"begin": 316, "end": 30_000, "high": 0.9},
        "Memorized at 32; generalization begins at 408, half at 1,694 or later: grokked; test "
        "accuracy still rising (70.7 %)",
    ),
    (
        {"begin": 5000, "end": 30_000, "high": 0.9},
        "Memorized at 32; generalization begins at 5,530; test accuracy still rising (40.9 %)",
    ),
    ({"high": 0.1}, "Memorized at 32; no generalization (test accuracy 10 %, chance 10 %)"),
    (
        {"t_mem": 3000},
        "Memorized at 3,162; generalized without delay, half at 2,000 (test accuracy 50 %)",
    ),
    (
        {"t_mem": 99_999},
        "Not memorized (train accuracy 50 %); generalized, half at 2,000 (test accuracy 50 %)",
    ),
]


@pytest.mark.parametrize(("change", "said"), SAID)
def test_one_sentence_says_what_is_to_be_seen(change: dict[str, float], said: str) -> None:
    assert outcome(events_of(**change)) == said


@pytest.mark.parametrize(("change", "said"), SAID)
def test_of_a_run_that_goes_on_it_is_so_far(change: dict[str, float], said: str) -> None:
    live = outcome(events_of(**change), so_far=True)
    assert "so far" in live
    assert "still" not in live


def test_what_was_lost_and_what_was_not_evaluated_is_said() -> None:
    train, test = accuracies(LOG, begin=300, end=600, high=0.8)
    test[-20:] = 0.1
    lost = outcome(grokking_events(LOG, train, test, OF))
    assert lost.endswith("and was lost again (test accuracy 10 %, 80 % at best)")
    assert "generalization begins at 3" in lost
    early = ramp(LOG, 2, 10, 0.1, 0.8)
    early[-20:] = 0.1
    assert "; it generalized and was lost again" in outcome(grokking_events(LOG, train, early, OF))
    flat = outcome(grokking_events(LOG, *accuracies(LOG, high=0.1), Counted(1000, None)))
    assert flat == "Memorized at 32; no rise of test accuracy that counts (10 %)"
    none = grokking_events(LOG[:0], train[:0], test[:0], OF)  # of a regression, say
    assert outcome(none) == "No accuracies of training and held-out data"
    assert outcome(none, so_far=True) == "No accuracies of training and held-out data yet"


def test_numbers_have_the_rounding_of_the_sentence() -> None:
    record = event_record(events_of())
    assert record == {
        "memorization": 32, "begins": 1169, "half": 2000, "final_level": 0.5, "grokked": True,
        "outcome": SAID[0][1],
    }  # fmt: skip
    assert event_words(events_of()) == ["memorized 32", "begins 1,169", "half 2,000"]


def test_a_level_that_is_still_rising_is_no_final_one() -> None:
    events = events_of(begin=316, end=30_000, high=0.9)
    record = event_record(events, so_far=True)
    assert (record["final_level"], record["half"]) == (None, round(events.test.t_half))
    assert event_words(events, so_far=True)[-1] == f"half ≥ {record['half']:,} so far"


def test_what_never_came_has_no_number() -> None:
    nothing = event_record(grokking_events(LOG, np.full(len(LOG), 0.5), np.full(len(LOG), 0.1), OF))
    del nothing["outcome"], nothing["grokked"]
    assert set(nothing.values()) == {None}

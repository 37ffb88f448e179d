"""Events as they are told while a network trains."""

import json
import math

import numpy as np
import pytest
from curves import LOG, accuracies, between
from hypothesis import given, strategies as st

from lightning_grok.analysis.accuracy import Counted
from lightning_grok.analysis.detector import OnsetDetector
from lightning_grok.analysis.onset import grokking_events


def feed(detector, epochs, train, test):
    found = []
    for row in zip(epochs.tolist(), train.tolist(), test.tolist(), strict=True):
        found += detector.update(*row)
    return found


def test_live_events_and_when_they_are_known():
    train, test = accuracies(LOG)
    memorization, generalization = feed(OnsetDetector(), LOG, train, test)
    assert memorization.name == "memorization"
    assert memorization.epoch == grokking_events(LOG, train, test).t_mem
    index = LOG.tolist().index(memorization.epoch)
    assert memorization.known_at == LOG[index + 2]
    assert generalization.name == "generalization"
    begun, held = (int(np.argmax((test >= level) & (LOG > 60))) for level in (0.15, 0.2))
    assert LOG[begun - 1] < generalization.epoch <= LOG[begun]
    assert generalization.epoch == pytest.approx(between(1000, 4000, 0.05 / 0.4), rel=0.002)
    assert generalization.known_at == LOG[held + 2]


def test_live_state_goes_through_json_at_any_moment():
    train, test = accuracies(LOG)
    whole = feed(OnsetDetector(), LOG, train, test)
    for cut in range(len(LOG)):
        detector = OnsetDetector()
        found = feed(detector, LOG[:cut], train[:cut], test[:cut])
        resumed = OnsetDetector()
        resumed.load_state_dict(json.loads(json.dumps(detector.state_dict())))
        assert found + feed(resumed, LOG[cut:], train[cut:], test[cut:]) == whole


def test_live_ignores_nan_the_start_and_what_is_not_held():
    detector = OnsetDetector()
    assert detector.update(0, 1.0, 0.9) == []
    rows = [(1, 1, 0.1), (2, math.nan, 0.1), (3, 1, 0.1), (4, 1, math.nan), (5, 1, 0.1)]
    found = [event for row in rows for event in detector.update(*row)]
    assert [(event.name, event.epoch) for event in found] == [("memorization", 3)]
    assert detector.level == pytest.approx(0.2)
    later = [(7, 1, 0.4), (8, 1, 0.4), (9, 1, 0.1), (10, 1, 0.4), (11, 1, 0.4), (12, 1, 0.4)]
    found = [event for row in later for event in detector.update(*row)]
    assert [(event.name, event.epoch, event.known_at) for event in found] == [
        ("generalization", 9, 12)
    ]
    assert detector.update(13, 1, 0.4) == []


@given(
    t_mem=st.integers(1, 100),
    delay=st.floats(3, 30),
    width=st.floats(1.05, 4),
    low=st.floats(0.1, 0.4),
    high=st.floats(0.1, 1.0),
)
def test_a_run_that_groks_has_begun_before_it_is_half_way(t_mem, delay, width, low, high):
    begin = t_mem * delay
    train, test = accuracies(LOG, t_mem=t_mem, begin=begin, end=begin * width, low=low, high=high)
    events = grokking_events(LOG, train, test, Counted(1000, 0.1))
    live = {
        event.name: event for event in feed(OnsetDetector(Counted(1000, 0.1)), LOG, train, test)
    }
    assert live["memorization"].epoch == events.t_mem
    begins = live["generalization"].epoch if "generalization" in live else math.inf
    assert begins == events.begins
    if events.grokked:
        assert begins <= max(events.test.t_half + 1, 2 * events.t_mem + 1)


def test_an_event_does_not_move_when_the_run_goes_on():
    train, test = accuracies(LOG)
    whole = grokking_events(LOG, train, test, Counted(1000, 0.1))
    for end in range(3, len(LOG)):
        found = grokking_events(LOG[:end], train[:end], test[:end], Counted(1000, 0.1))
        assert found.t_mem in (math.inf, whole.t_mem)
        assert found.begins in (math.inf, whole.begins)

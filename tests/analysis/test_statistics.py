"""Statistics and moments of claims on series written by hand, whose numbers are known."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from lightning_grok.analysis.moment import epoch_of
from lightning_grok.analysis.onset import grokking_events
from lightning_grok.analysis.reading import NotMeasuredError
from lightning_grok.analysis.statistics import (
    AllChange,
    Change,
    Correlation,
    Excursion,
    Growth,
    Happens,
    Order,
    Quantity,
    Ratio,
    Slope,
    Value,
)
from lightning_grok.analysis.timing import (
    Lag,
    LagDifference,
    SpeedRatio,
    TimeBetween,
    Timed,
    Width,
)

EPOCHS = np.array([1, 2, 4, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000])
LATE = EPOCHS >= 500
THRESHOLDS: dict[str, Any] = {"test": "above", "held": 0.0}


@dataclass
class Written:
    """A run: trained to 1 from epoch 10 on, tested right from 500 on."""

    changed: dict[str, np.ndarray] = field(default_factory=dict)
    last: int = 10_000
    breakdown: np.ndarray = field(default_factory=lambda: np.array([], dtype=np.int64))

    def __post_init__(self) -> None:
        self.values = {
            "train/accuracy": np.where(EPOCHS >= 10, 1.0, 0.2),
            "test/accuracy": np.where(LATE, 0.9, 0.1),
            "train/loss": 1.0 / EPOCHS,
            "stability/zero_loss_share": np.where(EPOCHS >= 2000, 0.6, 0.4),
            "line": 3 * np.log10(EPOCHS) + 1,
            "fall": 7 - 2 * np.log10(EPOCHS),
            "x": np.ones(len(EPOCHS)),
            "wave": np.sin(5 * np.log10(EPOCHS)),
        } | self.changed
        accuracies = (self.values[f"{part}/accuracy"] for part in ("train", "test"))
        self.events = grokking_events(EPOCHS, *accuracies)

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.values:
            raise NotMeasuredError(key)
        return EPOCHS, self.values[key]

    def whole(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        return EPOCHS, self.values.get(key, EPOCHS * np.nan)


def test_value_between_two_measurements_and_beyond_them() -> None:
    level = Value(of="line", at=30, **THRESHOLDS).read(Written()).value
    assert level == pytest.approx(3 * math.log10(30) + 1)  # straight in log(epoch)
    assert Value(of="line", at="2 memorization", **THRESHOLDS).read(Written()).value == (
        pytest.approx(3 * math.log10(20) + 1)
    )
    beyond = Value(of="line", at=20_000, **THRESHOLDS).read(Written())
    assert math.isnan(beyond.value)
    assert beyond.reason == "line was not measured there"
    with pytest.raises(NotMeasuredError):
        Value(of="nothing", at=30, **THRESHOLDS).read(Written())


def test_correlation_of_levels_and_of_changes() -> None:
    def read(of: str, other: str, changes: bool = False) -> float:
        options: dict[str, Any] = {"of": of, "beside": other, "changes": changes}
        return Correlation(**options, **THRESHOLDS).read(Written()).value

    assert read("line", "line") == pytest.approx(1)
    assert read("line", "fall") == pytest.approx(-1)
    expected = np.corrcoef(np.log10(EPOCHS), np.sin(5 * np.log10(EPOCHS)))[0, 1]
    assert read("line", "wave") == pytest.approx(expected)
    assert math.isnan(read("line", "fall", changes=True))  # both rates are constant
    assert read("wave", "wave", changes=True) == pytest.approx(1)


@pytest.mark.parametrize(
    ("event", "before", "expected"),
    [
        ("memorization", None, 1),
        ("onset", None, 1),
        ("ungrokking", None, 0),
        ("onset", "memorization", 0),
        ("memorization", "onset", 1),
        ("collapse", 3000, 1),
        ("collapse", 1000, 0),
        ("test/accuracy >= 0.95", None, 0),
        ("test/accuracy >= 0.9", "collapse", 1),
    ],
)
def test_happens(event: str, before: str | int | None, expected: int) -> None:
    assert Happens(event=event, before=before, **THRESHOLDS).read(Written()).value == expected


def test_time_between_moments() -> None:
    def read(start: Any, end: Any) -> tuple[float, bool]:
        found = TimeBetween(start=start, end=end, **THRESHOLDS).read(Written())
        return found.value, found.at_least

    assert read("memorization", "collapse") == (pytest.approx(math.log10(2000 / 10)), False)
    assert read("collapse", 20) == (pytest.approx(-2), False)
    assert read(100, "test/accuracy >= 0.95") == (pytest.approx(2), True)  # the run's end at least
    assert math.isnan(read("ungrokking", "end")[0])


@pytest.mark.parametrize(
    ("when", "epoch"),
    [
        ("memorization", 10),
        ("0.5 memorization", 5),
        ("train/loss <= 0.01", 100),
        ("test/accuracy >= 0.9", 500),
        ("fall <= 1.1", 1000),
        ("x >= 1", 1),
        ("500", 500),
        ("fall >= 6.9", math.inf),  # at one measurement only, not at three in a row
        ("collapse", 2000),
        ("instability", math.inf),
        ("ungrokking", math.inf),
        ("end", 10_000),
    ],
)
def test_moments(when: str, epoch: float) -> None:
    assert epoch_of(Written(), when) == pytest.approx(epoch)


def test_instability_and_ungrokking_where_they_are() -> None:
    loss = np.where(EPOCHS == 1000, 1.0, 1e-6)
    lost = np.where(EPOCHS >= 2000, 0.1, np.where(LATE, 0.9, 0.1))
    run = Written({"train/loss": loss, "test/accuracy": lost})
    assert epoch_of(run, "instability") == 1000
    assert epoch_of(run, "ungrokking") == 2000
    # A loss of the training set as well is no ungrokking.
    both = Written({"test/accuracy": lost, "train/accuracy": np.where(EPOCHS >= 2000, 0.1, 1.0)})
    assert epoch_of(both, "ungrokking") == math.inf


NEVER = Written({"test/accuracy": np.full(len(EPOCHS), 0.1)})
UNTOLD = Written({"train/accuracy": EPOCHS * np.nan, "test/accuracy": EPOCHS * np.nan})


@pytest.mark.parametrize(
    "quantity",
    [
        Value(of="line", at="half", **THRESHOLDS),
        Ratio(of="line", at="half", to_at="start", **THRESHOLDS),
        Ratio(of="line", at="largest", to_at="half", **THRESHOLDS),
        Change(of="line", start="start", end="half", **THRESHOLDS),
        Slope(of="line", start="start", end="half", **THRESHOLDS),
        Excursion(of="line", until="half", **THRESHOLDS),
        Growth(of="line", start="half", **THRESHOLDS),
        Width(of="line", until="half", **THRESHOLDS),
        SpeedRatio(of="line", at="half", **THRESHOLDS),
        Lag(of="line", behind=Timed(key="wave", start="half"), **THRESHOLDS),
        TimeBetween(start="half", end="end", **THRESHOLDS),
    ],
)
def test_nothing_is_read_at_a_moment_that_never_came(quantity: Quantity) -> None:
    found = quantity.read(NEVER)
    assert math.isnan(found.value)
    assert found.reason == "half never came"
    with pytest.raises(NotMeasuredError):  # no accuracies don't say that it didn't
        quantity.read(UNTOLD)


def test_without_accuracies_nobody_knows_what_happened() -> None:
    for event in ("memorization", "begins", "onset", "half", "grokked", "instability"):
        with pytest.raises(NotMeasuredError):
            Happens(event=event, test="share", held=0.5).read(UNTOLD)


def test_the_initialization_is_a_measurement() -> None:
    run = Written({"line": np.arange(len(EPOCHS)) + 5.0})
    begun = EPOCHS * (EPOCHS > 1)  # 0, 2, 4, ...
    run.series = lambda key: (begun, run.values[key])  # type: ignore[method-assign]
    assert Value(of="line", at=0, **THRESHOLDS).read(run).value == 5
    assert Change(of="line", start=0, end="end", **THRESHOLDS).read(run).value == len(EPOCHS) - 1
    assert math.isnan(Value(of="line", at=1, **THRESHOLDS).read(run).value)
    assert Growth(of="line", start=0, **THRESHOLDS).read(run).value == pytest.approx(16 / 6 - 1)
    assert math.isnan(TimeBetween(start=0, end="end", **THRESHOLDS).read(run).value)
    assert math.isnan(SpeedRatio(of="line", at=0, **THRESHOLDS).read(run).value)


def test_changes_from_zero_and_from_below() -> None:
    rise = np.where(LATE, 1.0, 0.0)
    run = Written({"zero": rise, "negative": -1 - rise, "debt": rise - 3})
    found = Growth(of="zero", **THRESHOLDS).read(run)
    assert (math.isnan(found.value), found.reason) == (True, "zero begins at 0")
    assert Growth(of="negative", **THRESHOLDS).read(run).value == -1  # it falls
    assert Growth(of="debt", **THRESHOLDS).read(run).value == pytest.approx(1 / 3)
    share: dict[str, Any] = {"each": ["x"], "test": "share", "held": 0.5}
    assert AllChange(of=["zero", "debt"], direction="rise", **share).read(run).value == 1
    assert AllChange(of=["negative"], direction="rise", **share).read(run).value == 0
    order = Order(of="{each}", each=["zero", "line", "negative"], **THRESHOLDS).read(run)
    assert math.isnan(order.value)


def test_what_has_no_logarithm_and_what_is_no_share() -> None:
    logs: dict[str, Any] = {"test": "above", "held": 1, "scale": "log"}
    assert Value(of="line", at=10, **logs).read(Written()).value == pytest.approx(4)
    falling = Value(of="fall", at=10_000, **logs).read(Written())
    assert (math.isnan(falling.value), falling.reason) == (
        True, "it is not above 0 and has no logarithm",
    )  # fmt: skip
    share = Value(of="line", at=10, test="share", held=0.5).read(Written())
    assert (math.isnan(share.value), "neither 0 nor 1" in share.reason) == (True, True)
    assert Value(of="train/accuracy", at=10, test="share", held=0.5).read(Written()).value == 1


def test_too_little_in_common_is_not_called_constant() -> None:
    run = Written()
    of = {"first": (EPOCHS, EPOCHS * 1.0), "begun": (np.array([0]), np.array([1.0])),
          "late": (EPOCHS[-2:], np.array([1.0, 2.0]))}  # fmt: skip
    run.series = lambda key: of[key]  # type: ignore[method-assign]
    for other in ("begun", "late"):
        for changes in (False, True):
            found = Correlation(of="first", beside=other, changes=changes, **THRESHOLDS).read(run)
            assert (math.isnan(found.value), found.reason) == (True, "too few common epochs")


def test_what_is_wanting_in_a_difference_of_lags_is_said() -> None:
    rise = np.where(EPOCHS >= 100, 1.0, 0.0)
    run = Written({"early": rise, "flat": np.zeros(len(EPOCHS))})
    found = LagDifference(of="early", than="flat", behind="early", **THRESHOLDS).read(run)
    assert (math.isnan(found.value), found.reason) == (True, "flat was not there by the end")


@pytest.mark.parametrize("name", ["largest", "smallest"])
def test_an_extreme_is_a_moment_of_a_ratio_only(name: str) -> None:
    assert Ratio(of="line", at=name, to_at="start", **THRESHOLDS).read(Written()).value > 0
    with pytest.raises(ValueError, match="expected an epoch, an event of"):
        Value(of="line", at=name, **THRESHOLDS)

"""From numbers over seeds to held, failed or undecided, by thresholds that were fixed before.

A statement is held where every quantity with a threshold ``held`` lies beyond it, and failed where
any quantity lies on the wrong side of its threshold ``failed``; between them it is undecided, which
is a verdict like the others: so many seeds can't tell. Each one-sided test is made at half of what
the interval leaves out, so that with one layer the verdict is what the interval shows. Several
layers are tested together by Holm's method, for and against.

A value that is only a lower bound counts, for a statement that wants it small, as the largest that
it can be, which may be infinite; it never speaks against one that wants it large. The interval goes
then from the low end of the mean of the smallest to the high end of that of the largest values that
are possible, so that it is of what is tested, and the estimate is a lower bound of the mean.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from lightning_grok.analysis.interval import (
    Interval,
    equivalence_p_value,
    holm,
    mean_interval,
    mean_p_value,
    wilson_interval,
)
from lightning_grok.analysis.reading import Reading
from lightning_grok.analysis.rule import Rule

Outcome = Literal["held", "failed", "undecided"]


class SeedTest(NamedTuple):
    """One quantity of one layer over seeds.

    Attributes:
        quantity, label: what it is; the label is a layer or empty.
        interval: mean (of logarithms: geometric mean) with its interval; with lower bounds the
            least that it can be, and an interval about all that it can be.
        p_held, p_failed: for and against the statement, adjusted by Holm's method where layers are
            tested together; NaN where the quantity can't speak that way.
        lower_bounds: seeds whose value is a lower bound.
        without: seeds that have no value.
        why: what most of these lack.
    """

    quantity: str
    label: str
    interval: Interval
    p_held: float
    p_failed: float
    lower_bounds: int
    without: int = 0
    why: str = ""

    def record(self) -> dict[str, Any]:
        """As plain values; what is not finite becomes None."""
        values = {
            "quantity": self.quantity,
            "label": self.label,
            "estimate": self.interval.estimate,
            "interval": bounds(self.interval),
            "seeds": self.interval.seeds,
            "lower_bounds": self.lower_bounds,
            "without": self.without,
            "p_held": self.p_held,
            "p_failed": self.p_failed,
        }
        return {key: finite(value) for key, value in values.items()}


def run_tests(
    readings: Mapping[tuple[str, str], Sequence[Reading]],
    rules: Mapping[str, Rule],
    level: float,
    *,
    together: bool = False,
) -> list[SeedTest]:
    """Test every quantity and layer over seeds.

    Args:
        readings: by quantity and label, one a seed; those without a value are left out. Fewer than
            two values give no p-value.
        rules: thresholds by quantity.
        level: of the intervals; one-sided tests are at (1 − level) / 2.
        together: adjust the p-values by Holm's method.
    """
    tests = []
    for (quantity, label), each in readings.items():
        known = [r for r in each if math.isfinite(r.value)]
        test = _test(quantity, label, known, rules[quantity], level)
        without, why = lacking(each)
        tests.append(test._replace(without=without, why=why))
    return adjusted(tests) if together else tests


def lacking(readings: Sequence[Reading]) -> tuple[int, str]:
    """How many seeds have no value, and what most of them lack."""
    reasons = Counter(r.reason for r in readings if not math.isfinite(r.value))
    ((why, _),) = reasons.most_common(1) or [("", 0)]
    mostly = "mostly " if len(reasons) > 1 else ""
    return reasons.total(), mostly + (why or "undefined") if reasons else ""


def adjusted(tests: Sequence[SeedTest]) -> list[SeedTest]:
    """The tests with p-values adjusted by Holm's method, for and against."""
    p_held, p_failed = ([getattr(t, name) for t in tests] for name in ("p_held", "p_failed"))
    pairs = zip(tests, _adjusted(p_held), _adjusted(p_failed), strict=True)
    return [test._replace(p_held=held, p_failed=failed) for test, held, failed in pairs]


def decide(
    tests: Sequence[SeedTest], rules: Mapping[str, Rule], level: float
) -> tuple[Outcome, SeedTest]:
    """The outcome, and the test it hangs on: the clearest against, or the weakest for."""
    alpha = (1 - level) / 2
    against = [test for test in tests if test.p_failed < alpha]
    weakest = max(tests, key=lambda test: np.nan_to_num(test.p_held, nan=-1.0))
    if against:
        return "failed", min(against, key=lambda test: test.p_failed)
    deciding = [test for test in tests if rules[test.quantity].held is not None]
    if deciding and all(test.p_held < alpha for test in deciding):  # never so where it is NaN
        return "held", weakest
    return "undecided", weakest


def bounds(interval: Interval) -> list[float | None] | None:
    """The ends of an interval, or None where it has none."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return None
    return [finite(interval.low), finite(interval.high)]


def finite(value: Any) -> Any:
    """`value`, or None for a number that JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _test(quantity: str, label: str, readings: list[Reading], rule: Rule, level: float) -> SeedTest:
    values = np.array([reading.value for reading in readings])
    most = np.array([r.at_most if r.at_least else r.value for r in readings])
    lower_bounds = sum(reading.at_least for reading in readings)
    log = rule.scale == "log"
    if log:
        values, most = np.log(values), np.log(most)
    held, failed = (
        math.log(each) if log and each is not None else each for each in (rule.held, rule.failed)
    )
    values, most = values - rule.around, most - rule.around
    if rule.test == "share":
        interval = wilson_interval(int(values.sum()), len(values), level=level)
    else:
        interval = mean_interval(values, level=level)
    if lower_bounds:
        open_ended = not np.isfinite(most).all()
        interval = interval._replace(
            high=math.inf if open_ended else mean_interval(most, level=level).high
        )
    if log:
        estimate, low, high = (math.exp(each) for each in interval[:3])
        interval = Interval(estimate, low, high, level, interval.seeds)
    elif rule.around:
        estimate, low, high = (each + rule.around for each in interval[:3])
        interval = Interval(estimate, low, high, level, interval.seeds)
    if len(values) < 2:
        return SeedTest(quantity, label, interval, math.nan, math.nan, lower_bounds)
    p_held, p_failed = _p_values(rule.test, values, held, failed)
    if lower_bounds and rule.test in ("below", "within") and held is not None:
        worst = mean_p_value(most, held, "below") if np.isfinite(most).all() else 1.0
        p_held = max(p_held, worst)
    if lower_bounds and rule.test == "above":
        p_failed = 1.0
    if lower_bounds and rule.test == "within" and failed is not None:
        p_failed = mean_p_value(values, failed, "above")
    return SeedTest(quantity, label, interval, p_held, p_failed, lower_bounds)


def _p_values(
    test: str, values: np.ndarray, held: float | None, failed: float | None
) -> tuple[float, float]:
    """p-values for and against, before Holm; 0 or 1 where the rule is no test of a mean."""
    p_held = p_failed = math.nan
    if test == "share":
        p_held = 0.0 if values.mean() >= held else 1.0
        if failed is not None:
            p_failed = 0.0 if values.mean() < failed else 1.0
    elif test == "within":
        if held is not None:
            p_held = equivalence_p_value(values, held)
        if failed is not None:
            p_failed = min(
                mean_p_value(values, failed, "above"),
                mean_p_value(values, -failed, "below"),
            )
    else:
        side, other = ("above", "below") if test == "above" else ("below", "above")
        if held is not None:
            p_held = mean_p_value(values, held, side)  # type: ignore[arg-type]
        if failed is not None:
            p_failed = mean_p_value(values, failed, other)  # type: ignore[arg-type]
    return p_held, p_failed


def _adjusted(p_values: list[float]) -> list[float]:
    known = [p for p in p_values if not math.isnan(p)]
    corrected = iter(holm(known))
    return [math.nan if math.isnan(p) else float(next(corrected)) for p in p_values]

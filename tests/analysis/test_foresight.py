"""Forecasts of made series: one that foresees by a known lead, and others that don't."""

from collections.abc import Sequence

import numpy as np
import pytest

from lightning_grok.analysis.foresight import (
    EPOCH,
    Forecaster,
    Watched,
    alarms,
    c_indices,
    least_controls,
    order,
    resampled,
)

X = np.linspace(1, 3.5, 26)
EVENTS = np.random.default_rng(0).permutation(np.linspace(2.6, 3.2, 8))
LEAD = 0.45


def run(event: float | None, warns: float = LEAD, seed: int = 0) -> Watched:
    """`warning` jumps `warns` decades before the event; `noise` knows nothing, `reverse` falls."""
    end = X[-1] if event is None else event
    warning = np.zeros(len(X)) if event is None else (event - warns + 1e-9 <= X).astype(float)
    noise = np.random.default_rng(seed).normal(size=len(X))
    levels = {"warning": warning, "reverse": -warning, "noise": noise}
    return Watched(X, levels, float(end), event is not None)


SEEDS = [run(event, seed=k) for k, event in enumerate(EVENTS)]
QUIET = [run(None, seed=100 + k) for k in range(9)]


@pytest.mark.parametrize("name", ["warning", "reverse"])
def test_an_alarm_comes_as_long_before_as_the_series_foresees(name: str) -> None:
    found = alarms(SEEDS, QUIET, name, 0.1)
    # Measured every 0.1 decades, the jump is seen up to that much later.
    assert found.lead == pytest.approx(LEAD, abs=0.1)
    assert found.lead <= LEAD
    assert found.interval[0] < found.lead < found.interval[1]
    assert (found.alarmed, found.false) == (8, 0)
    assert found.side == (1 if name == "warning" else -1)
    leads = [event - X[event - LEAD + 1e-9 <= X][0] for event in EVENTS]
    ahead = [10**event - 10 ** (event - lead) for event, lead in zip(EVENTS, leads, strict=True)]
    assert found.epochs == pytest.approx(np.median(ahead))


def test_a_series_that_knows_nothing_and_time_itself_raise_no_alarm() -> None:
    noise, epoch = (alarms(SEEDS, QUIET, name, 0.1) for name in ("noise", EPOCH))
    assert noise.alarmed <= len(SEEDS) / 2
    assert noise.interval[0] < 0  # no lead that is told from none
    assert (epoch.lead, epoch.alarmed, epoch.false) == (0.0, 0, 0)


def test_a_control_with_a_false_alarm_is_counted() -> None:
    """Allowed among ten at a rate of 0.2; at 0.1 it lifts the threshold above all alarms."""
    false = run(3.4)._replace(event=float(X[-1]), observed=False)
    lenient = alarms(SEEDS, [*QUIET, false], "warning", 0.2)
    assert (lenient.false, lenient.alarmed) == (1, 8)
    strict = alarms(SEEDS, [*QUIET, false], "warning", 0.1)
    assert (strict.false, strict.alarmed, strict.lead) == (0, 0, 0.0)


@pytest.mark.parametrize(("rate", "least"), [(0.1, 9), (0.2, 4), (0.05, 19), (0.5, 1)])
def test_too_few_controls_have_no_threshold(rate: float, least: int) -> None:
    assert least_controls(rate) == least
    quiet = (QUIET * 3)[:least]
    assert np.isfinite(alarms(SEEDS, quiet, "warning", rate).threshold)
    found = alarms(SEEDS, quiet[:-1], "warning", rate)
    assert np.isnan(found.threshold)
    assert found.alarmed == 0


def test_another_control_raises_an_alarm_as_rarely_as_stated() -> None:
    random = np.random.default_rng(1)
    rounds, count, rate = 400, 9, 0.2
    false = 0
    for _ in range(rounds):
        controls = [QUIET[0]._replace(levels={"s": random.normal(size=26)}) for _ in range(10)]
        rising = [each._replace(levels={"s": X}) for each in SEEDS[:2]]
        threshold = alarms(rising, controls[:count], "s", rate).threshold
        false += bool((controls[-1].levels["s"] > threshold).any())
    # Exactly (count + 1 - k) / (count + 1), k the place of the threshold among the extremes.
    assert abs(false / rounds - 0.2) < 4 * np.sqrt(0.2 * 0.8 / rounds)


def knowing(events: Sequence[float], known: Sequence[float], seed: int) -> list[Watched]:
    """Runs with a level that says `known` of the event, and two that say nothing."""
    random = np.random.default_rng(seed)
    return [
        Watched(
            X[::3],
            {
                "level": np.full(9, each) + random.normal(scale=0.02, size=9),
                "first": random.normal(size=9),
                "second": np.full(9, random.normal()),
            },
            event,
            True,
        )
        for event, each in zip(events, known, strict=True)
    ]


def test_the_c_index_of_a_level_that_knows() -> None:
    found = Forecaster(
        knowing(list(EVENTS), list(EVENTS), 0), ["level", "first", "second"], permutations=40
    )
    rows = found.at_lead(0.0)
    assert rows["level"].c_index > 0.97 > rows[EPOCH].c_index
    assert rows["level"].gain_over_epoch[0] > 0
    assert rows["level"].p_permuted == pytest.approx(1 / 41)
    assert rows["first"].gain_over_epoch[0] < 0
    assert rows["second"].p_permuted > 0.05


def test_p_is_uniform_where_nothing_is_known() -> None:
    """Of the largest of three series, in 60 worlds in which events come at random."""
    p = []
    for world in range(60):
        random = np.random.default_rng(world)
        events, other = random.uniform(2.4, 3.3, size=(2, 6))
        runs = knowing(list(events), list(other), 1000 + world)
        rows = Forecaster(runs, ["level", "first", "second"], permutations=11, seed=world)
        found = rows.at_lead(0.0)
        p.append(min(found[name].p_permuted for name in ("level", "first", "second")))
    for alpha in (0.25, 0.5, 0.75):
        assert abs(np.mean(np.array(p) <= alpha) - alpha) < 4 * np.sqrt(alpha * (1 - alpha) / 60)


def test_c_index_by_hand() -> None:
    r = np.array([0.5, 0.2, 0.4, 0.1])
    owner = np.array([0, 0, 1, 1])
    guess = np.array([0.3, 0.3, 0.35, 0.1])
    # Pairs of two seeds, sooner first: (.4, .5) is wrong, the other three are right.
    fitted = order(r, owner, np.ones(4, dtype=bool), {"p": guess}, seeds=2)
    assert c_indices(fitted, 0.0)["p"] == pytest.approx(3 / 4)
    assert c_indices(fitted, 0.3)["p"] == 0  # only (.4, .5) is left
    weights = np.array([[1.0, 1.0], [2.0, 1.0], [2.0, 0.0]])
    found = resampled(fitted, "p", 0.0, weights)
    assert found[:2] == pytest.approx([3 / 4, 3 / 4])
    assert np.isnan(found[2])

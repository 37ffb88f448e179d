"""A run in a few numbers, for tables of runs: event times, lags and final values."""

import math
from typing import Any

from lightning_grok.analysis.instability import onset_in_words
from lightning_grok.analysis.lag import Level, lag
from lightning_grok.analysis.onset import GrokkingEvents, run_events
from lightning_grok.analysis.outcome import event_record
from lightning_grok.errors import first_line
from lightning_grok.runs.panels import headlines, panels_of
from lightning_grok.runs.quantities import PERFORMANCE
from lightning_grok.runs.run import Run

_FROM_ZERO = Level(plateau=0.0)  # a distance to the own start moves from the first epoch on


def run_outcome(run: Run) -> str:
    """`outcome` of a run: one sentence."""
    return str(run_record(run)["outcome"])


def run_record(
    run: Run, *, so_far: bool | None = None, events: GrokkingEvents | None = None
) -> dict[str, Any]:
    """`event_record` of a run: what run.json, the list of runs and the page say of it.

    Args:
        run: any run.
        so_far: whether it has not come to its end; None asks it.
        events: `run_events` of it, where they are known.
    """
    so_far = run.state != "finished" if so_far is None else so_far
    try:
        events = events or run_events(run)
        found = event_record(events, so_far=so_far)
        words = [str(found["outcome"]), onset_in_words(run, events)]
        return found | {"outcome": "; ".join(filter(None, words))}
    except ValueError as error:  # logged in percent, perhaps
        return {"grokked": False, "outcome": first_line(error)}


def run_summary(run: Run) -> dict[str, float]:
    """Event times, lags and final values of a run; what never happened is left out.

    Returns:
        ``memorization``, ``begins``, ``half``, ``final_level`` and ``grokked`` (1 or 0) as in
        `event_record`; ``lag_decades``, the decades from memorization to half;
        ``plateau/test_accuracy``; ``final/...``, the last accuracies and losses; ``lag/<key>``, the
        decades by which half of the change of a kernel distance to the own start, of capacity,
        radius or dimension of the last layer, or of a measurement that the catalogue doesn't know,
        comes after half the rise of test accuracy (below 0: before it). Empty for a run without an
        evaluation.
    """
    if not run.series("test/accuracy")[0].size:
        return {}
    events = run_events(run)
    test = events.test
    record = event_record(events)
    del record["outcome"]
    found = {key: float(value) for key, value in record.items() if value is not None}
    found["lag_decades"] = _decades(events.t_mem, test.t_half)
    found["plateau/test_accuracy"] = test.plateau
    panels = panels_of(run)
    for panel in panels:
        for line in panel.lines if panel.id in PERFORMANCE else ():
            found[f"final/{line.key.replace('/', '_')}"] = float(run.series(line.key)[1][-1])
    generalized = Level(start=events.t_mem)
    starts = {"zero": _FROM_ZERO, "plateau": generalized}
    levels = {line.key: starts[line.lag] for _, line in headlines(panels, "lag")}
    for key, level in levels.items():
        found_lag = lag(run.series(key), run.series("test/accuracy"), level, generalized)
        if not found_lag.at_least:
            found[f"lag/{key}"] = found_lag.decades
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _decades(first: float, second: float) -> float:
    """log10(second / first); NaN where either never came."""
    return math.log10(second / first) if math.isfinite(first + second) else math.nan

"""Could any measurement have told that an event was coming, and how long before?

The mathematics is that of `lightning_grok.analysis.foresight`; here it is said of which runs, which
of their series, and from when on. A measurement counts as having told L decades before if, among
epochs at least L before the event, its C-index exceeds that of the epoch alone (bootstrap interval
over seeds above 0) and is larger than the largest one by chance (p < 0.05). L is raised as long as
that holds; the first failure ends it, so the level holds for the whole sequence. Where it fails at
L = 0 the answer is "not at all" only if the interval of the gain over the epoch ends below 0.02;
else so few seeds can't tell.

What was newest at an epoch is what was known there; epochs are those at which at least half of the
series were measured. A series that is positive and spans more than a factor of 100 is taken by its
logarithm.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lightning_grok.analysis.foresight import (
    EPOCH,
    Alarms,
    Forecaster,
    Foresight,
    Watched,
    alarms,
    least_controls,
)
from lightning_grok.analysis.moment import EVENTS, check_moment, epoch_of
from lightning_grok.analysis.reading import NotMeasuredError
from lightning_grok.claims.cohort import SeedRun, cohort
from lightning_grok.claims.content import Setup
from lightning_grok.claims.reasons import count_seeds
from lightning_grok.errors import InputError, hint
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.quantities import CATALOGUE, PERFORMANCE
from lightning_grok.runs.run import EVENT_KEYS, Run

LEADS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Decades before the event at which it is asked."""

LEAST_SEEDS = 5
_LEAST_EPOCHS = 3  # measured between memorization and generalization, in the median seed
_SURE = 0.05
_NO_GAIN = 0.02  # of C-index over the epoch: less than this is none
_SPAN = 100.0  # largest over smallest, beyond which a logarithm is taken

_REFERENCES = {
    line.name: line.key
    for panel in CATALOGUE
    for line in panel.lines
    if line.predicts and panel.id in PERFORMANCE
}
_FROM_THE_START = {"memorization", "start", "end"}

Forecast = dict[str, Any]


def forecast(
    runs: Sequence[SeedRun],
    *,
    series: Mapping[str, str] | None = None,
    event: str = "half",
    since: str | None = None,
    controls: Sequence[SeedRun] = (),
    rate: float | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> Forecast:
    """How long before an event a series had told, for the seeds of one setup.

    Args:
        runs: one a seed; those in which `since` never came, or that can't tell whether the event
            did, are left out.
        series: name -> key of what may have told; None takes `telling_series`.
        event: a moment (`lightning_grok.analysis.moment`) or the name of a logged event.
        since: the moment from which on runs are watched; None: memorization, or the start where the
            event does not come after it.
        controls: further runs, of any setup. They and those of `runs` in which the event never came
            are what alarms are false in.
        rate: of false alarms, in (0, 1); None looks for no alarms.
        permutations: of seeds.
        seed: of permutations and bootstrap.

    Returns:
        Plain values: ``lead`` (decades; None for none: ``reason`` says whether not at all or
        undecided), ``predictor``, ``c_index`` and ``interval`` at that lead (at lead 0 if there is
        none), ``gain_over_epoch``, ``p_permuted``, ``epoch_c_index``, ``performance_c_index`` (the
        better of test accuracy and test loss; None without), ``seeds``, ``generalized`` (those with
        the event), ``controls``, ``reason``, ``left_out`` (series, and why), ``leads`` with all of
        them, and ``alarms`` by series.
    """
    since = since or _since(event)
    known = [run for run in runs if not math.isnan(_epoch(run, event))]
    seeds = [run for run in known if math.isfinite(_epoch(run, since))]
    quiet = [run for run in controls if _epoch(run, event) == math.inf]
    wanted = telling_series(seeds) if series is None else series
    chosen = {n: key for n, key in wanted.items() if all(r.measured(key) for r in (*seeds, *quiet))}
    left_out = {name: "not measured in all runs" for name in wanted if name not in chosen}
    references = {
        n: key for n, key in _REFERENCES.items() if all(r.measured(key) for r in (*seeds, *quiet))
    }
    watched, sparse = _watched([*seeds, *quiet], chosen, references, event, since)
    chosen = {name: key for name, key in chosen.items() if name not in sparse}
    own, further = watched[: len(seeds)], watched[len(seeds) :]
    further = [*further, *(each for each in own if not each.observed)]
    happened = [each for each in own if each.observed]
    found: Forecast = {
        "event": event, "since": since, "seeds": len(own), "generalized": len(happened),
        "controls": len(further), "lead": None, "left_out": left_out | sparse,
    }  # fmt: skip
    lack = "" if known else _untold(runs, event)
    lack = lack or _lacking(chosen, own)
    if lack:
        return found | {"reason": f"undecided: {lack}"}
    forecaster = Forecaster(
        own, list(chosen), list(references), permutations=permutations, seed=seed
    )
    rows: list[Forecast] = []
    for lead in LEADS:
        row = _at_lead(lead, forecaster.at_lead(lead), list(chosen), list(references))
        rows += [row] if row else []
        if not row or not row["told"]:
            break
    found |= _told(rows, "t_half" if event == "half" else event) | {"leads": rows}
    if rate is not None:
        found |= {"rate": rate, "least_controls": least_controls(rate)}
        names = [*chosen, *references, EPOCH]
        found["alarms"] = {n: _plain(alarms(happened, further, n, rate)) for n in names}
    return found


def forecast_runs(
    runs: Sequence[Run],
    layers: Sequence[str] | None = None,
    *,
    series: Sequence[str] | None = None,
    event: str = "half",
    since: str | None = None,
    controls: Sequence[Run] = (),
    **options: Any,
) -> Forecast:
    """`forecast` of the setup with most seeds that had the event, with its ``dataset``, ``setup``.

    Setups are not pooled: from one to another the event comes at other times for reasons that no
    measurement is needed to see. Of equals the first by name.

    Args:
        runs: of any setups.
        layers: whose geometry may have told; None takes all that were measured.
        series: keys that may have told; None takes those of `telling_series`, and an empty list all
            that the runs have in common.
        event, since, controls, options: as for `forecast`.

    Raises:
        InputError: there is no such event or series.
    """
    event = EVENT_KEYS.get(event, event) if event not in EVENTS else event
    seeds, others = ([SeedRun(run) for run in given] for given in (runs, controls))
    if not seeds:
        raise InputError("expected runs besides controls, received none")
    check_event(event, seeds)
    if since is not None:
        check_event(since, seeds)
    for key in series or ():
        if not any(run.measured(key) for run in seeds):
            known = sorted({each for run in seeds for each in run.keys})
            raise InputError(f"expected a logged series, received {key}{hint(key, known)}")
    cohorts = _cohorts(seeds)
    happened = {n: sum(math.isfinite(_epoch(r, event)) for r in c) for n, c in cohorts.items()}
    best = max(cohorts, key=lambda name: happened[name])
    quiet = [run for each in _cohorts(others).values() for run in each]
    if series is None:
        chosen = telling_series(cohorts[best], layers)
    else:
        standing = {key: name for name, key in _REFERENCES.items()}  # in every table
        chosen = {standing.get(key, key): key for key in series}
        chosen = chosen or common_series([*cohorts[best], *quiet])
    options |= {"series": chosen, "event": event, "since": since, "controls": quiet}
    found = forecast(cohorts[best], **options)
    return {"dataset": best[0], "setup": best[1], **found}


def telling_series(runs: Iterable[SeedRun], layers: Sequence[str] | None = None) -> dict[str, str]:
    """Name -> key of what may foretell generalization: the catalogue's, and a user's own."""
    found: dict[str, str] = {}
    for run in runs:
        for panel in panels_of(run.run):
            for line in panel.lines if panel.id not in PERFORMANCE else ():
                if not panel.known and not line.floor:
                    found[line.key] = line.key
                elif line.predicts and (not line.layer or layers is None or line.layer in layers):
                    name = f"{line.name} {line.layer}".strip()
                    twice = found.get(name, line.key) != line.key  # measured in two ways
                    found[line.key if twice else name] = line.key
    return found


def common_series(runs: Sequence[SeedRun]) -> dict[str, str]:
    """All that the runs have in common and have a panel for, but accuracies and losses."""
    keys = [
        {
            line.key
            for panel in panels_of(run.run)
            for line in panel.lines
            if panel.id.partition("-")[0] not in PERFORMANCE and not line.floor
        }
        for run in runs
    ]
    return {key: key for key in sorted(set.intersection(*keys))} if keys else {}


def check_event(event: str, runs: Sequence[SeedRun]) -> None:
    """Refuse what is no moment and no event that one of the runs logged.

    Raises:
        InputError: in one line.
    """
    try:
        check_moment(event)
    except ValueError as error:
        logged = sorted({name for run in runs for name in run.run.event_names})
        if event not in logged:
            raise InputError(
                f"{error}; nor is it an event that was logged ({', '.join(logged)})"
                f"{hint(event, (*EVENTS, *logged))}"
            ) from None


def _cohorts(runs: Sequence[SeedRun]) -> dict[tuple[str, str], list[SeedRun]]:
    names = sorted({(run.run.dataset, run.run.setup) for run in runs})
    return {
        name: cohort(runs, Setup(where=dict(zip(("dataset", "setup"), name, strict=True)))).runs
        for name in names
    }


def _since(event: str) -> str:
    """Memorization, where the event is one of those that come after it."""
    name = event.split()[-1]
    return "memorization" if name in EVENTS and name not in _FROM_THE_START else "start"


def _epoch(run: SeedRun, event: str) -> float:
    """When it came; infinite for never, NaN where the run can't tell."""
    try:
        check_moment(event)
    except ValueError:
        logged = run.run.epochs_of(event)
        return float(logged[0]) if len(logged) else math.inf
    try:
        return epoch_of(run, event)
    except NotMeasuredError:
        return math.nan


def _watched(
    runs: Sequence[SeedRun],
    keys: Mapping[str, str],
    references: Mapping[str, str],
    event: str,
    since: str,
) -> tuple[list[Watched], dict[str, str]]:
    """The runs from `since` on, and the series that were measured too rarely."""
    found, sparse = [], {}
    for run in runs:
        measured = [run.series(key)[0] for key in keys.values()]
        epochs, counts = np.unique(np.concatenate([[], *measured]), return_counts=True)
        begin = _epoch(run, since)
        begin = begin if math.isfinite(begin) else 1.0
        grid = epochs[(2 * counts >= len(measured)) & (epochs > 0) & (epochs >= begin)]
        levels = {}
        for name, key in {**keys, **references}.items():
            levels[name] = _known(run, key, grid)
            if name in keys and not np.isfinite(levels[name]).all():
                sparse[name] = f"measured from epoch {run.series(key)[0][0]:g} on only"
        when = _epoch(run, event)
        end = when if math.isfinite(when) else run.last
        found.append(Watched(np.log10(grid), levels, math.log10(max(end, 1)), end == when))
    for name in {**keys, **references}:
        values = np.concatenate([[], *(each.levels[name] for each in found)])
        if len(values) and values.min() > 0 and values.max() > _SPAN * values.min():
            for each in found:
                each.levels[name] = np.log10(each.levels[name])
    return found, sparse


def _known(run: SeedRun, key: str, grid: np.ndarray) -> np.ndarray:
    """The newest value at each epoch; NaN before the first."""
    epochs, values = run.series(key)
    place = np.searchsorted(epochs, grid, side="right") - 1
    return np.where(place >= 0, values[place], np.nan)


def _untold(runs: Sequence[SeedRun], event: str) -> str:
    """What runs lack that would tell of the event."""
    for run in runs:
        try:
            epoch_of(run, event)
        except NotMeasuredError as error:
            return f"{error} was not measured, which tells of it"
    return ""


def _lacking(names: Mapping[str, str], runs: Sequence[Watched]) -> str:
    happened = [each for each in runs if each.observed]
    if not names:
        return "no measurement that all runs have"
    if len(happened) < LEAST_SEEDS:
        return f"the event in {count_seeds(len(happened))}, at least {LEAST_SEEDS} needed"
    if np.median([np.sum(each.x < each.event) for each in runs]) < _LEAST_EPOCHS:
        return "too few measurements before the event"
    return ""


def _at_lead(
    lead: float, found: Mapping[str, Foresight], names: Sequence[str], references: Sequence[str]
) -> Forecast:
    """The best measurement at one lead, beside the epoch and chance; empty without a pair."""
    if not found:
        return {}
    best = max(names, key=lambda name: found[name].c_index)
    return {
        "lead": lead,
        "predictor": best,
        **_plain(found[best]),
        "epoch_c_index": found[EPOCH].c_index,
        "performance_c_index": max((found[name].c_index for name in references), default=None),
        "told": _beyond_the_epoch(found[best]),
        "series": {name: _plain(each) for name, each in found.items()},
    }


def _beyond_the_epoch(found: Foresight) -> bool:
    return found.p_permuted < _SURE and found.gain_over_epoch[0] > 0


def _plain(found: Foresight | Alarms) -> Forecast:
    """For JSON, which has no NaN."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in found._asdict().items()}
    return {k: None if v != v else v for k, v in plain.items()}


def _told(rows: Sequence[Forecast], event: str) -> Forecast:
    """The row of the longest lead that holds, and what it says in words."""
    told = []
    for row in rows:
        if not row["told"]:
            break
        told.append(row)
    if not rows:
        return {"reason": "undecided: no two seeds can be compared"}
    row = told[-1] if told else rows[0]
    shown = {k: row[k] for k in row if k not in ("lead", "told", "series")}
    if not told:
        low, high = row["gain_over_epoch"]
        gain = f"the gain of {row['predictor']}, the best, is [{low:.3f}, {high:.3f}]"
        if high < _NO_GAIN:
            reason = "not at all: no measurement orders the time left better than the epoch alone"
        else:
            reason = "undecided: whether one orders the time left better than the epoch alone"
        return shown | {"reason": f"{reason}; {gain}"}
    lead = row["lead"]
    when = f"{lead:g} decades before {event}" if lead else f"less than 0.1 decades before {event}"
    return shown | {"lead": lead, "reason": f"{row['predictor']} told {when}"}

"""One claim on the runs of one setup: held, failed or undecided, and why."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from lightning_grok.analysis.interval import (
    Interval,
    median_difference,
    median_difference_p_value,
)
from lightning_grok.paper.claims.cohort import Cohort, NotMeasuredError, SeedRun, Setup, cohort
from lightning_grok.paper.claims.decision import (
    Outcome,
    SeedTest,
    adjusted,
    bounds,
    decide,
    finite,
    lacking,
    run_tests,
)
from lightning_grok.paper.claims.published import Curves, deviations
from lightning_grok.paper.claims.reasons import (
    count_runs,
    count_seeds,
    fixed_images,
    induction,
    lacking_values,
    left_out,
    measure_command,
    too_sparse,
    unmeasured,
    why_decided,
)
from lightning_grok.paper.claims.statistics import STATISTICS, Reading, Readings

Claim = Mapping[str, Any]

_NOTHING = Interval(math.nan, math.nan, math.nan, 0.95, 0)


class SetupVerdict(NamedTuple):
    """What the seeds of one setup say of a claim.

    Attributes:
        outcome: held, failed or undecided.
        tested: whether there were enough seeds, long enough and measured, to test it.
        what: the quantity, and layer, that the outcome hangs on.
        interval: its estimate, interval and number of seeds.
        reason: in words.
        command: that would help where it was not tested; empty where none does.
        cohort: the runs of the setup.
        details: every test, or every published value, as plain values.
    """

    outcome: Outcome
    tested: bool
    what: str
    interval: Interval
    reason: str
    command: str
    cohort: Cohort
    details: list[dict[str, Any]]

    def record(self) -> dict[str, Any]:
        """As plain values for JSON."""
        runs, share = self.cohort, self.cohort.induction
        grokked = len(runs.grokked)
        return {
            "verdict": self.outcome,
            "tested": self.tested,
            "quantity": self.what,
            "estimate": finite(self.interval.estimate),
            "interval": bounds(self.interval),
            "seeds": self.interval.seeds,
            "reason": self.reason,
            "command": self.command or None,
            "induction": {
                "grokked": grokked,
                "runs": len(runs.runs),
                "interval": bounds(share) if runs.runs else None,
            },
            "unfinished": runs.unfinished,
            "repeated": runs.repeated,
            "fixed_images": runs.fixed,
            "tests": self.details,
        }


def setup_verdict(
    claim: Claim, setup: Setup, runs: Sequence[SeedRun], *, least: int, controls: Sequence[Setup]
) -> SetupVerdict:
    """Test a claim that has a statistic on the runs of one setup.

    Args:
        claim: from claims.yaml.
        setup: one of its setups.
        runs: of any setup.
        least: seeds, at least.
        controls: setups that a difference is taken from; empty for claims without.
    """
    found = cohort(runs, setup, _keys(claim))
    seeds, lack, command = _usable(claim, setup, found, least)
    readings, missing = _readings(claim, seeds)
    if missing and len(seeds) - missing[1] < least:
        lack = f"{missing[0]} was not measured"
        lack += f" in {missing[1]} of {len(seeds)} runs" if missing[1] < len(seeds) else ""
        command = measure_command(claim)
    if "controls" in claim:
        tests, short = _against_controls(claim, seeds, controls, runs, least)
        if not lack and short is not None:
            lack, command = short
    else:
        tests = run_tests(readings, claim)
    if not tests:
        nothing = _NOTHING._replace(seeds=len(seeds))
        return SetupVerdict("undecided", False, "", nothing, lack, command, found, [])
    lack = lack or lacking_values(readings, least) or too_sparse(readings, claim)
    outcome, test = decide(tests, claim)
    what = " ".join(part for part in (test.label, test.quantity) if part)
    rest = found, [each.record() for each in tests]
    if lack:
        return SetupVerdict("undecided", False, what, test.interval, lack, command, *rest)
    reason = why_decided(outcome, test, what, claim) + left_out(tests) + unmeasured(missing)
    reason += induction(claim, found) + fixed_images(found)
    return SetupVerdict(outcome, True, what, test.interval, reason, "", *rest)


def published_verdict(
    claim: Claim,
    setup: Setup,
    runs: Sequence[SeedRun],
    published: Curves | None,
    *,
    least: int,
) -> SetupVerdict:
    """Compare the seeds of one setup with published curves (`published.deviations`)."""
    from scipy.stats import t as student

    found = cohort(runs, setup)
    _, lack, command = _usable(claim, setup, found, least)
    rows: list[dict[str, Any]] = []
    if published is None:
        lack, command = "no published values: add --published FILE", ""
    elif not lack:
        try:
            rows = deviations(found.runs, published, claim)
        except NotMeasuredError as error:
            lack, command = f"{error} was not measured", measure_command(claim)
        if not rows:
            lack = lack or "nothing is published of this setup at epochs that every run reached"
    if lack:
        interval = _NOTHING._replace(seeds=len(found.runs))
        return SetupVerdict("undecided", False, "", interval, lack, command, found, [])
    limit = float(student.isf((1 - claim["level"]) / 2, len(found.runs) - 1))
    near = sum(abs(row["z"]) < limit for row in rows)
    share = near / len(rows)
    outcome: Outcome = "held" if share >= claim["held"] else "undecided"
    if share < claim["failed"]:
        outcome = "failed"
    # The epochs of one curve are no independent draws: the share has no interval.
    interval = Interval(share, math.nan, math.nan, 0.95, len(found.runs))
    where = f"within what {claim['level']:.0%} of further seeds would be"
    reason = f"{near} of {len(rows)} published values lie {where}"
    details = [row | {"z": row["z"] if math.isfinite(row["z"]) else None} for row in rows]
    return SetupVerdict(outcome, True, "share", interval, reason, "", found, details)


def _usable(
    claim: Claim, setup: Setup, found: Cohort, least: int
) -> tuple[list[SeedRun], str, str]:
    """The seeds that a claim may use, what is wanting if anything is, and a command against it."""
    command = setup.command()
    if not found.runs:
        waiting = f"; {found.unfinished} not finished" if found.unfinished else ""
        return [], f"no runs of this setup{waiting}", command
    seeds = found.grokked if claim.get("grokked") else found.runs
    if len(found.runs) < least:
        return seeds, f"{count_seeds(len(found.runs))}, at least {least} needed", command
    if len(seeds) < least:
        share = f"{len(seeds)} of {len(found.runs)} runs grokked, at least {least} needed"
        return seeds, share, command
    needs = claim.get("needs", 0)
    long = [run for run in seeds if run.last >= needs]
    if len(long) < least:
        reach = f" ({len(long)} of {len(seeds)} runs reach it)" if long else ""
        longer = setup.command(f"--trainer.max_epochs={needs}")
        return long, f"too short, needs epoch {needs:,}{reach}", longer
    return long, "", command


def _readings(
    claim: Claim, runs: Sequence[SeedRun]
) -> tuple[dict[tuple[str, str], list[Reading]], tuple[str, int] | None]:
    """The statistic of every run; and which key is missing, in how many runs."""
    found: list[Readings] = []
    missing: list[str] = []
    for run in runs:
        try:
            found.append(STATISTICS[claim["statistic"]](run, claim))
        except NotMeasuredError as error:
            missing.append(str(error))
    keys = found[0] if found else {}
    readings = {key: [each[key] for each in found] for key in keys}
    return readings, (missing[0], len(missing)) if missing else None


def _against_controls(
    claim: Claim,
    seeds: Sequence[SeedRun],
    controls: Sequence[Setup],
    runs: Sequence[SeedRun],
    least: int,
) -> tuple[list[SeedTest], tuple[str, str] | None]:
    """Differences of medians from the seeds of all controls that did not grok.

    Both sides are looked at up to the last epoch that all of them reached. The second part says
    what is wanting, if anything is, and what makes it.
    """
    groups = {
        control: [r for r in cohort(runs, control, _keys(claim)).runs if not r.events.grokked]
        for control in controls
    }
    until = min((run.last for run in (*seeds, *chain(*groups.values()))), default=0)
    common = {**claim, "until": until}
    theirs: dict[tuple[str, str], list[Reading]] = {}
    short: list[tuple[str, str]] = []
    for control, own in groups.items():
        readings, missing = _readings(common, own)
        for key, each in readings.items():
            theirs.setdefault(key, []).extend(each)
        name = f"the control {control.name}"
        if len(own) < least:
            few = f"{count_seeds(len(own))} of {name}, at least {least} needed"
            short.append((few, control.command()))
        elif missing is not None and len(own) - missing[1] < least:
            lack = (
                f"{missing[0]} was not measured in {missing[1]} of {count_runs(len(own))} of {name}"
            )
            short.append((lack, measure_command(claim)))
        elif lack := lacking_values(readings, least):
            short.append((f"{name}: {lack}", ""))
    ours = _readings(common, seeds)[0]
    tests = [_group_test(key, each, theirs.get(key, ()), claim) for key, each in ours.items()]
    return adjusted(tests), short[0] if short else None


def _group_test(
    key: tuple[str, str], ours: Sequence[Reading], theirs: Sequence[Reading], claim: Claim
) -> SeedTest:
    """The difference of the medians, for the statement that it is below 0.

    A lower bound counts as infinite where a large value is the more careful one to assume.
    """
    level = claim["level"]
    known, others = ([r for r in each if math.isfinite(r.value)] for each in (ours, theirs))
    seen, open_ended = _bounded(known), _open_ended(known)
    largest = median_difference(open_ended, _bounded(others), level=level)
    smallest = median_difference(seen, _open_ended(others), level=level)
    p_held = p_failed = math.nan
    if min(len(known), len(others)) > 1:
        p_held = median_difference_p_value(open_ended, _bounded(others), "below")
        p_failed = median_difference_p_value(seen, _open_ended(others), "above")
    interval = largest._replace(low=smallest.low, seeds=len(known))
    without, why = lacking(ours)
    return SeedTest(*key, interval, p_held, p_failed, sum(r.at_least for r in known), without, why)


def _bounded(readings: Sequence[Reading]) -> list[float]:
    return [r.value for r in readings]


def _open_ended(readings: Sequence[Reading]) -> list[float]:
    return [math.inf if r.at_least else r.value for r in readings]


def _keys(claim: Claim) -> list[str]:
    """A key by which a run that can test the claim is told from another of the same seed."""
    if "train" not in claim:
        return []
    return [claim["train"].format(layer=f"layers.{claim['layers'][-1]}", quantity="capacity")]

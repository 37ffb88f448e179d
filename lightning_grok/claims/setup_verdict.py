"""One claim on the runs of one setup: held, failed or undecided, and why."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

from lightning_grok.analysis.decision import (
    Outcome,
    SeedTest,
    adjusted,
    bounds,
    decide,
    finite,
    lacking,
    run_tests,
)
from lightning_grok.analysis.interval import (
    Interval,
    median_difference,
    median_difference_p_value,
)
from lightning_grok.analysis.reading import NotMeasuredError, Reading, Subject
from lightning_grok.analysis.rule import Rule
from lightning_grok.analysis.statistics import Quantity
from lightning_grok.claims.cohort import Cohort, SeedRun, Shortened, cohort
from lightning_grok.claims.content import Claim, Claims, Setup
from lightning_grok.claims.published import Curves, deviations
from lightning_grok.claims.reasons import (
    by_layer,
    count_runs,
    count_seeds,
    fixed_samples,
    induction,
    lacking_values,
    left_out,
    measure_command,
    no_runs,
    not_measured,
    too_sparse,
    unmeasured,
    why_decided,
)

Readings = dict[tuple[str, str], list[Reading]]
Tested = list[tuple[str, str, Quantity]]

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
    claim: Claim, setup: Setup, runs: Sequence[SeedRun], content: Claims
) -> SetupVerdict:
    """Test a claim that has quantities on the runs of one setup.

    Args:
        claim: of `content`.
        setup: one of its setups.
        runs: of any setup.
        content: the claims file.
    """
    least, quantities = content.min_seeds, claim.read_quantities()
    rules: dict[str, Rule] = {name: quantity for name, _, quantity in quantities}
    found = _cohort(runs, setup, quantities, content)
    seeds, lack, command = _usable(claim, setup, found, runs, least)
    controls = _controls(claim, quantities, runs, content)
    until = min((run.last for run in chain(seeds, *controls.values())), default=0)
    looked_at = [Shortened(run, until) for run in seeds] if controls else seeds
    readings, missing = _readings(quantities, looked_at)
    if missing and len(seeds) - missing[1] < least:
        lack = not_measured(*missing, seeds, claim)
        command = measure_command(claim)
    if controls:
        cut = {n: [Shortened(run, until) for run in each] for n, each in controls.items()}
        tests, short = _against_controls(claim, quantities, readings, cut, content)
        if not lack and short is not None:
            lack, command = short
    else:
        if claim.paired_with:
            readings = _paired(claim, quantities, seeds, runs, content)
            command = command or content.setups[claim.paired_with].command()
        together = bool(claim.layers) or claim.holm
        tests = run_tests(readings, rules, claim.level, together=together)
    if not tests:
        nothing = _NOTHING._replace(seeds=len(seeds))
        return SetupVerdict("undecided", False, "", nothing, lack, command, found, [])
    lack = lack or lacking_values(readings, least) or too_sparse(readings, claim)
    outcome, test = decide(tests, rules, claim.level)
    what = " ".join(part for part in (test.label, test.quantity) if part)
    alone = {id(each): decide([each], rules, claim.level)[0] for each in tests}
    rest = found, [each.record() | {"verdict": alone[id(each)]} for each in tests]
    if lack:
        return SetupVerdict("undecided", False, what, test.interval, lack, command, *rest)
    reason = why_decided(outcome, test, what, claim, rules) + by_layer(outcome, rest[1])
    reason += left_out(tests) + unmeasured(missing)
    reason += induction(claim, found) + fixed_samples(found)
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

    of = claim.published
    assert of is not None
    found = cohort(runs, setup)
    _, lack, command = _usable(claim, setup, found, runs, least)
    rows: list[dict[str, Any]] = []
    if published is None:
        lack, command = "no published values: add --published FILE", ""
    elif not lack:
        try:
            rows = deviations(found.runs, published, of)
        except NotMeasuredError as error:
            lack, command = f"{error} was not measured", measure_command(claim)
        if not rows:
            lack = lack or "nothing is published of this setup at epochs that every run reached"
    if lack:
        interval = _NOTHING._replace(seeds=len(found.runs))
        return SetupVerdict("undecided", False, "", interval, lack, command, found, [])
    limit = float(student.isf((1 - claim.level) / 2, len(found.runs) - 1))
    near = sum(abs(row["z"]) < limit for row in rows)
    share = near / len(rows)
    outcome: Outcome = "held" if share >= of.held else "undecided"
    if share < of.failed:
        outcome = "failed"
    # The epochs of one curve are no independent draws: the share has no interval.
    interval = Interval(share, math.nan, math.nan, 0.95, len(found.runs))
    where = f"within what {claim.level:.0%} of further seeds would be"
    reason = f"{near} of {len(rows)} published values lie {where}"
    details = [row | {"z": row["z"] if math.isfinite(row["z"]) else None} for row in rows]
    return SetupVerdict(outcome, True, "share", interval, reason, "", found, details)


def _usable(
    claim: Claim, setup: Setup, found: Cohort, runs: Sequence[SeedRun], least: int
) -> tuple[list[SeedRun], str, str]:
    """The seeds that a claim may use, what is wanting if anything is, and a command against it."""
    command = setup.command()
    if not found.runs:
        return [], no_runs(setup, runs, found.unfinished), command
    seeds = found.grokked if claim.grokked else found.runs
    if len(found.runs) < least:
        return seeds, f"{count_seeds(len(found.runs))}, at least {least} needed", command
    if len(seeds) < least:
        share = f"{len(seeds)} of {len(found.runs)} runs grokked, at least {least} needed"
        return seeds, share, command
    needs = claim.needs
    long = [run for run in seeds if run.last >= needs]
    if len(long) < least:
        reach = f" ({len(long)} of {len(seeds)} runs reach it)" if long else ""
        longer = setup.command(f"--trainer.max_epochs={needs}")
        return long, f"too short, needs epoch {needs:,}{reach}", longer
    return long, "", command


def _cohort(runs: Sequence[SeedRun], setup: Setup, quantities: Tested, content: Claims) -> Cohort:
    keys = [key for _, _, each in quantities for key in each.keys if key not in content.series]
    return cohort(runs, setup, keys, content.prefer)


def _readings(
    quantities: Tested, runs: Sequence[Subject]
) -> tuple[Readings, tuple[str, int] | None]:
    """What every quantity is in every run; and which key is missing, in how many runs."""
    found: list[dict[tuple[str, str], Reading]] = []
    missing: list[str] = []
    for run in runs:
        try:
            found.append({(name, label): each.read(run) for name, label, each in quantities})
        except NotMeasuredError as error:
            missing.append(str(error))
    keys = found[0] if found else {}
    readings = {key: [each[key] for each in found] for key in keys}
    return readings, (missing[0], len(missing)) if missing else None


def _paired(
    claim: Claim,
    quantities: Tested,
    seeds: Sequence[SeedRun],
    runs: Sequence[SeedRun],
    content: Claims,
) -> Readings:
    """The quantities of every seed less those of the same seed of the other setup."""
    other = _cohort(runs, content.setups[claim.paired_with], quantities, content)
    by_seed = {run.seed: run for run in other.runs if run.seed is not None}
    found: Readings = {(name, label): [] for name, label, _ in quantities}
    for run in seeds:
        mine, _ = _readings(quantities, [run])
        theirs, lacks = _readings(quantities, [by_seed[run.seed]] if run.seed in by_seed else [])
        for key, each in found.items():
            pair = (*mine.get(key, ()), *theirs.get(key, ()))
            if len(pair) < 2:
                missing = f"{lacks[0]} was not measured in" if lacks else "no"
                same = f"{missing} {claim.paired_with} of the same seed"
                each.append(Reading(math.nan, reason=same))
            elif pair[1].at_least:
                each.append(Reading(math.nan, reason="the other is known from one side only"))
            else:
                first, second = pair
                difference = first.value - second.value
                most = first.at_most - second.value
                reason = first.reason if math.isnan(first.value) else second.reason
                each.append(first._replace(value=difference, at_most=most, reason=reason))
    return found


def _controls(
    claim: Claim, quantities: Tested, runs: Sequence[SeedRun], content: Claims
) -> dict[str, list[SeedRun]]:
    """The seeds of every control that did not grok."""
    found = {n: _cohort(runs, content.setups[n], quantities, content) for n in claim.controls}
    return {n: [run for run in c.runs if not run.events.grokked] for n, c in found.items()}


def _against_controls(
    claim: Claim,
    quantities: Tested,
    ours: Readings,
    controls: Mapping[str, Sequence[Subject]],
    content: Claims,
) -> tuple[list[SeedTest], tuple[str, str] | None]:
    """Differences of medians from the seeds of all controls.

    Both sides are looked at up to the last epoch that all of them reached. The second part says
    what is wanting, if anything is, and what makes it.
    """
    theirs: Readings = {}
    short: list[tuple[str, str]] = []
    for name, own in controls.items():
        readings, missing = _readings(quantities, own)
        for key, each in readings.items():
            theirs.setdefault(key, []).extend(each)
        lack = _lack_of_control(readings, missing, len(own), f"the control {name}", content)
        if lack:
            remedy = content.setups[name].command() if len(own) < content.min_seeds else ""
            measure = measure_command(claim) if missing is not None else ""
            short.append((lack, remedy or measure))
    rules: dict[str, Rule] = {name: quantity for name, _, quantity in quantities}
    tests = [
        _group_test(key, each, theirs.get(key, ()), rules[key[0]], claim.level)
        for key, each in ours.items()
    ]
    return adjusted(tests), short[0] if short else None


def _lack_of_control(
    readings: Readings, missing: tuple[str, int] | None, count: int, name: str, content: Claims
) -> str:
    """What a control lacks; empty where it is complete."""
    least = content.min_seeds
    if count < least:
        return f"{count_seeds(count)} of {name}, at least {least} needed"
    if missing is not None and count - missing[1] < least:
        return f"{missing[0]} was not measured in {missing[1]} of {count_runs(count)} of {name}"
    lack = lacking_values(readings, least)
    return f"{name}: {lack}" if lack else ""


def _group_test(
    key: tuple[str, str],
    ours: Sequence[Reading],
    theirs: Sequence[Reading],
    rule: Rule,
    level: float,
) -> SeedTest:
    """The difference of the medians, beside the thresholds of ``above`` or ``below``.

    A lower bound counts as infinite where a large value is the more careful one to assume.
    """
    known, others = ([r for r in each if math.isfinite(r.value)] for each in (ours, theirs))
    largest, smallest = (
        (_open_ended(known), _bounded(others)),
        (_bounded(known), _open_ended(others)),
    )
    high, low = (median_difference(*each, level=level) for each in (largest, smallest))
    careful = {"below": largest, "above": smallest}

    def p_value(side: Literal["above", "below"], threshold: float | None) -> float:
        if threshold is None or min(len(known), len(others)) < 2:
            return math.nan
        first, second = careful[side]
        return median_difference_p_value([v - threshold for v in first], second, side)

    sides: tuple[Literal["above", "below"], ...] = ("above", "below")
    held, failed = sides if rule.test == "above" else sides[::-1]
    return SeedTest(
        *key,
        high._replace(low=low.low, seeds=len(known)),
        p_value(held, rule.held),
        p_value(failed, rule.failed),
        sum(r.at_least for r in known),
        *lacking(ours),
    )


def _bounded(readings: Sequence[Reading]) -> list[float]:
    return [r.value for r in readings]


def _open_ended(readings: Sequence[Reading]) -> list[float]:
    return [math.inf if r.at_least else r.value for r in readings]

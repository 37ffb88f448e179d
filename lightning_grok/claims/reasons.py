"""Why a claim is held, failed or undecided on the runs of a setup: in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightning_grok.analysis.decision import Outcome, SeedTest, lacking
from lightning_grok.analysis.interval import wilson_interval
from lightning_grok.analysis.reading import Reading
from lightning_grok.analysis.rule import Rule
from lightning_grok.claims.cohort import Cohort, SeedRun
from lightning_grok.claims.content import Claim, Setup
from lightning_grok.errors import hint


def no_runs(setup: Setup, runs: Sequence[SeedRun], unfinished: int) -> str:
    """That there are none of a setup; where nothing makes one, which option no run has at all."""
    waiting = f"; {unfinished} not finished" if unfinished else ""
    known = {option for run in runs for option in run.options}
    for key, wanted in setup.where.items():
        if (
            runs
            and not setup.configs
            and key not in known
            and None not in (wanted, *_listed(wanted))
        ):
            return f"no runs of this setup: none has an option {key}{hint(key, known)}"
    return f"no runs of this setup{waiting}"


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else []


def not_measured(key: str, missing: int, runs: Sequence[SeedRun], claim: Claim) -> str:
    """That a series is missing, and which it may be called where the claim doesn't measure it."""
    if missing < len(runs):
        return f"{key} was not measured in {missing} of {len(runs)} runs"
    logged = {each for run in runs for each in run.keys}
    return f"{key} was not measured{'' if claim.measure else hint(key, logged)}"


def lacking_values(readings: Mapping[tuple[str, str], Sequence[Reading]], least: int) -> str:
    """Why some quantity has a value in too few seeds; empty if none has."""
    counts = {
        key: sum(math.isfinite(r.value) for r in each) for key, each in readings.items()
    }  # fmt: skip
    key = min(counts, key=lambda k: counts[k])
    if counts[key] >= least:
        return ""
    count, reason = lacking(readings[key])
    why = f": {reason} in {count_seeds(count)}" if count else ""
    return f"{count_seeds(counts[key])} with a value, at least {least} needed{why}"


def too_sparse(readings: Mapping[tuple[str, str], Sequence[Reading]], claim: Claim) -> str:
    """Whether the measurements stand too far apart to time what the claim times."""
    if claim.spacing is None:
        return ""
    widest = 0.0
    for each in readings.values():
        known = [r.spacing for r in each if math.isfinite(r.value) and not r.at_least]
        widest = max(widest, float(np.median(known)) if known else 0.0)
    if widest <= claim.spacing:
        return ""
    return f"measured too sparsely: {widest:.2f} decades apart, at most {claim.spacing} allowed"


def why_decided(
    outcome: Outcome, test: SeedTest, what: str, claim: Claim, rules: Mapping[str, Rule]
) -> str:
    """Where the decisive quantity `what` lies of its thresholds."""
    if outcome == "failed":
        return f"{what} is {_bounds(rules[test.quantity])[-1]}"
    if test.lower_bounds and outcome == "undecided":
        return f"{what} is known from one side only in {count_seeds(test.lower_bounds)}"
    if outcome == "undecided":
        return f"{what} is not shown to be {_thresholds(rules[test.quantity])}"
    several = len(claim.layers) > 1 or len(claim.quantities) > 1
    held = f"{what} is {_bounds(rules[test.quantity])[0]}"
    return f"in every quantity; closest: {held}" if several else held


def by_layer(outcome: Outcome, tests: Sequence[Mapping[str, Any]]) -> str:
    """The layers of which another thing can be said than of all together; empty for none."""
    layers = list(dict.fromkeys(test["label"] for test in tests if test["label"]))
    alone: dict[str, list[str]] = {}
    for layer in layers:
        each = {test["verdict"] for test in tests if test["label"] == layer}
        word = next((w for w in ("failed", "undecided") if w in each), "held")
        alone.setdefault(word, []).append(layer)
    if set(alone) <= {outcome}:
        return ""
    return "; by layer " + ", ".join(f"{word} in {', '.join(n)}" for word, n in alone.items())


def _thresholds(rule: Rule) -> str:
    """What a quantity would have to be for its statement to be held or, if it can be, failed."""
    could = "" if rule.failed is not None else ", and could not refute"
    return ", nor ".join(_bounds(rule)) + could


def _bounds(rule: Rule) -> list[str]:
    """Where a quantity lies that is held, and where one that failed; without a threshold, none."""
    words = {
        "above": ("above ", "below "),
        "below": ("below ", "above "),
        "within": ("within ±", "outside ±"),
        "share": ("at least ", "below "),
    }[rule.test]
    about = f" about {rule.around:g}" if rule.around else ""
    ends = zip(words, (rule.held, rule.failed), strict=True)
    return [f"{word}{value:g}{about}" for word, value in ends if value is not None]


def left_out(tests: Sequence[SeedTest]) -> str:
    """How many seeds have no value, in the quantity that most have none of."""
    worst = max(tests, key=lambda test: test.without)
    if not worst.without:
        return ""
    what = " ".join(part for part in (worst.label, worst.quantity) if part)
    return f"; {count_seeds(worst.without)} without {what}: {worst.why}"


def unmeasured(missing: tuple[str, int] | None) -> str:
    """How many runs lack a series that the statistic needs."""
    return "" if missing is None else f"; {count_runs(missing[1])} without {missing[0]}"


def fixed_samples(found: Cohort) -> str:
    """Whether the seeds share their training samples, and what was left out so that they don't."""
    if found.fixed:
        return "; all seeds train on the same samples"
    return f"; {count_runs(found.other)} of fixed training samples left out" if found.other else ""


def induction(claim: Claim, found: Cohort) -> str:
    """How many runs grokked, where only these count."""
    if not claim.grokked:
        return ""
    count, total = len(found.grokked), len(found.runs)
    share = wilson_interval(count, total)
    lost = sum(bool(run.breakdown.size) for run in found.grokked)
    words = f", {lost} of them after losing the training set again" if lost else ""
    return f"; {count} of {total} runs grokked [{share.low:.2f}, {share.high:.2f}]{words}"


def measure_command(claim: Claim) -> str:
    """What takes the claim's measurements of a run afterwards; empty where it doesn't say."""
    return f"python -m lightning_grok measure RUN {claim.measure}" if claim.measure else ""


def count_seeds(count: int) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def count_runs(count: int) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} run" if count == 1 else f"{count} runs"

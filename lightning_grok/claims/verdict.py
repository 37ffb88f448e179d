"""Claims on runs: held, failed or undecided, each with an interval over seeds.

A claim is tested on every setup it is made for. It held where it held in every setup that could be
tested, failed if it failed in any, and is undecided otherwise; the reason names the setups that
could not be tested, and what would have to be run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lightning_grok.claims.cohort import SeedRun
from lightning_grok.claims.content import Claim, Claims
from lightning_grok.claims.published import Curves
from lightning_grok.claims.setup_verdict import SetupVerdict, published_verdict, setup_verdict
from lightning_grok.runs.run import Run

Verdict = dict[str, Any]


def judge(
    content: Claims, runs: Sequence[Run], *, curves: Curves | None = None, arm: str = ""
) -> dict[str, Verdict]:
    """Every claim with its verdict.

    Args:
        content: of a claims file.
        runs: of any setups; other runs are passed over.
        curves: published values, for claims that are compared with them.
        arm: which of the runs count, as in `Claims.of_arm`.

    Returns:
        By claim (parts stand inside it) plain values for JSON: ``statement``, ``verdict``,
        ``estimate``, ``interval`` (two numbers or None), ``quantity`` that they are of, ``seeds``,
        ``figure``, ``reason`` and ``setups`` with the same of every setup, its induction rate and
        every test.

    Raises:
        InputError: there is no such arm.
    """
    content = content.of_arm(arm)
    seeds = [SeedRun(each, content) for each in runs]
    return {n: _verdict(claim, content, seeds, curves) for n, claim in content.claims.items()}


def concerned(runs: Sequence[Run], content: Claims) -> list[Run]:
    """Those of `runs` that a claim is about: of a setup that the file names."""
    wheres = [setup.where for setup in content.setups.values()]
    return [run for run in runs if any(map(SeedRun(run).matches, wheres))]


def _verdict(
    claim: Claim, content: Claims, runs: Sequence[SeedRun], curves: Curves | None
) -> Verdict:
    if claim.repeats:
        return _repeated(claim, content, runs)
    setups = {name: content.setups[name] for name in claim.setups}
    if claim.published is not None:
        least = content.min_seeds
        found = {
            n: published_verdict(claim, s, runs, curves, least=least) for n, s in setups.items()
        }
    else:
        found = {n: setup_verdict(claim, s, runs, content) for n, s in setups.items()}
    outcome, name = _combined(found)
    decisive = found[name].record()
    return {
        "statement": claim.statement,
        "verdict": outcome,
        **{key: decisive[key] for key in ("quantity", "estimate", "interval", "seeds")},
        "setup": name,
        "figure": claim.figure,
        "reason": _reason(outcome, name, found),
        "setups": {each: single.record() for each, single in found.items()},
        **{part: _verdict(each, content, runs, curves) for part, each in claim.parts.items()},
    }


def _combined(found: Mapping[str, SetupVerdict]) -> tuple[str, str]:
    """The outcome over setups, and the setup that it hangs on."""
    tested = {name: each for name, each in found.items() if each.tested}
    if not tested:
        shown = [name for name, each in found.items() if each.interval.seeds]
        return "undecided", (shown or list(found))[0]
    for outcome in ("failed", "undecided"):
        names = [name for name, each in tested.items() if each.outcome == outcome]
        if names:
            return outcome, names[0]
    return "held", min(tested, key=lambda name: tested[name].interval.seeds)


def _reason(outcome: str, decisive: str, found: Mapping[str, SetupVerdict]) -> str:
    """Why, with the setups that say so and those that could not be tested."""
    saying: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for name, each in found.items():
        if not each.tested:
            lacking.setdefault(each.reason, []).append(name)
        elif each.outcome == outcome:
            saying.setdefault(each.reason, []).append(name)
    others = [
        f"{each.outcome} in {name}"
        for name, each in found.items()
        if each.tested and each.outcome != outcome
    ]
    parts = [f"{', '.join(names)}: {reason}" for reason, names in saying.items()]
    parts += others
    untested = [f"{', '.join(names)}: {reason}" for reason, names in lacking.items()]
    if saying and untested:
        untested[0] = f"not tested: {untested[0]}"
    command = "" if saying else found[decisive].command
    text = f"{outcome}: {'; '.join([*parts, *untested])}"
    return f"{text}. To test {decisive}: {command}" if command else text


def _moved(claim: Claim, setups: list[str]) -> Claim:
    """A claim and its parts, made for other setups."""
    parts = {name: _moved(part, setups) for name, part in claim.parts.items()}
    return msgspec.structs.replace(claim, setups=setups, parts=parts)


def _repeated(claim: Claim, content: Claims, runs: Sequence[SeedRun]) -> Verdict:
    """Other claims on this claim's setups: held where all of them held, failed if any failed."""
    single = {
        name: _verdict(_moved(content.claims[name], claim.setups), content, runs, None)
        for name in claim.repeats
    }
    outcomes = {name: each["verdict"] for name, each in single.items()}
    outcome = "undecided"
    if "failed" in outcomes.values():
        outcome = "failed"
    elif set(outcomes.values()) == {"held"}:
        outcome = "held"
    decisive = next(name for name, each in outcomes.items() if each == outcome)
    words = ", ".join(f"{name} {each}" for name, each in outcomes.items())
    why = single[decisive]["reason"].removeprefix(f"{outcome}: ")
    return {
        "statement": claim.statement,
        "verdict": outcome,
        **{key: single[decisive][key] for key in ("quantity", "estimate", "interval", "seeds")},
        "setup": single[decisive]["setup"],
        "figure": claim.figure,
        "reason": "; ".join(filter(None, (f"{outcome}: {words}; {decisive}: {why}", claim.beyond))),
        "claims": single,
    }

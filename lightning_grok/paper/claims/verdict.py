"""The paper's claims on our runs: held, failed or undecided, each with an interval over seeds.

The statements, statistics and thresholds stand in claims.yaml, fixed before the runs over seeds. A
claim is tested on every setup it is made for. It held where it held in every setup that could be
tested, failed if it failed in any, and is undecided otherwise; the reason names the setups that
could not be tested, and what would have to be run.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lightning_grok.errors import InputError
from lightning_grok.paper.claims.cohort import SeedRun, Setup, read_setups
from lightning_grok.paper.claims.published import Curves
from lightning_grok.paper.claims.setup_verdict import SetupVerdict, published_verdict, setup_verdict
from lightning_grok.paper.claims.statistics import STATISTICS
from lightning_grok.runs.run import Run
from lightning_grok.runs.yaml_file import read_yaml

Claim = Mapping[str, Any]
Verdict = dict[str, Any]

_PARAMETERS = {
    "second_jump": ("window",),
    "probe_step": ("window",),
    "late_slopes": ("layer", "from", "needs"),
    "probe_change": ("from", "needs"),
    "split_concordance": ("train", "test", "layers"),
    "sample_difference": ("images", "others"),
    "depth_order": ("over",),
    **dict.fromkeys(
        ("capacity_lag", "clock_difference", "early_excursion", "capacity_width"), ("layers",)
    ),
    "geometry_change": ("layers",),
    "correlation_difference": ("layers",),
}

_TESTS = ("above", "below", "within", "share")

_QUANTITIES = {
    "early_movement": ("moved", "over_floor"),
    "capacity_lag": ("lag",),
    "clock_difference": ("difference",),
    "second_jump": ("ratio",),
    "early_excursion": ("excursion",),
    "capacity_width": ("width",),
    "geometry_change": ("radius", "dimension", "all_fall"),
    "depth_order": ("rho",),
    "late_slopes": ("capacity", "accuracy"),
    "probe_change": ("change",),
    "probe_step": ("step",),
    "correlation_difference": ("levels", "rates"),
    "split_concordance": ("capacity", "radius", "dimension"),
    "norm_lag": ("total", "last"),
    "sample_difference": ("difference",),
}
"""What each statistic gives, which a claim has thresholds for."""


def verdict(
    runs: Sequence[Run], *, claims: Path | None = None, published: Path | None = None
) -> dict[str, Verdict]:
    """Every claim with its verdict.

    Args:
        runs: of any setups; other runs are passed over.
        claims: a file like claims.yaml; None takes the package's.
        published: CSV of published values (`lightning_grok.paper.published`).

    Returns:
        By claim (C1 to C16; C3b stands inside C3) plain values for JSON: ``statement``,
        ``verdict``, ``estimate``, ``interval`` (two numbers or None), ``quantity`` that they are
        of, ``seeds``, ``figure``, ``reason`` and ``setups`` with the same of every setup, its
        induction rate and every test.

    Raises:
        InputError: a file can't be read or lacks something.
    """
    from lightning_grok.paper.published import Published

    content = read_claims(claims)
    curves = None if published is None else Published(published)
    seeds = [SeedRun(run) for run in runs]
    return {
        name: _verdict(claim, content, seeds, curves) for name, claim in content["claims"].items()
    }


def concerned(runs: Sequence[Run], *, claims: Path | None = None) -> list[Run]:
    """Those of `runs` that a claim of the file is about: of the data and setup of one it names."""
    setups = read_claims(claims)["setups"].values()
    named = {(setup.dataset, setup.setup) for setup in setups}
    return [run for run in runs if (run.dataset, run.setup) in named]


def read_claims(path: Path | None = None) -> dict[str, Any]:
    """The content of a claims file, checked; its setups are `Setup`.

    Raises:
        InputError: it can't be read, or a claim lacks something or names what there isn't.
    """
    source = files("lightning_grok.paper.claims") / "claims.yaml" if path is None else path
    content = read_yaml(Path(str(source)), "a claims file")
    try:
        setups = read_setups(content["setups"])
        claims = dict(content["claims"])
        least = int(content["min_seeds"])
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"expected a claims file with setups, claims and min_seeds, received {source}: {reason}"
        ) from None
    if least < 2:
        raise InputError(f"expected min_seeds of at least 2 in {source}, received {least}")
    for name, claim in claims.items():
        for each in (claim, *_parts(claim).values()):
            problem = _problem(each, claims, setups)
            if problem:
                raise InputError(f"claim {name} in {source}: {problem}")
    return {"setups": setups, "claims": claims, "min_seeds": least}


def _problem(claim: Any, claims: Mapping[str, Any], setups: Mapping[str, Setup]) -> str:
    """What is wrong with a claim; empty if nothing is."""
    if not isinstance(claim, dict):
        return f"expected a mapping, received {claim!r}"
    wanted = ["statement", "figure", "setups"]
    if "repeats" not in claim and "published" not in claim:
        statistic = claim.get("statistic")
        if statistic not in STATISTICS:
            known = ", ".join(STATISTICS)
            return f"expected a statistic of {known}; received {statistic!r}"
        wanted += ["level", "quantities", *_PARAMETERS.get(statistic, ())]
    missing = [key for key in wanted if key not in claim]
    if missing:
        return f"expected {', '.join(wanted)}; received none of {', '.join(missing)}"
    if not claim["setups"] or not isinstance(claim["setups"], list):
        return f"expected a list of setups, received {claim['setups']!r}"
    unknown = [s for s in (*claim["setups"], *claim.get("controls", ())) if s not in setups]
    unknown += [c for c in claim.get("repeats", ()) if c not in claims]
    if unknown:
        return f"expected names that are defined, received {', '.join(unknown)}"
    return _problem_of_rules(claim) if "quantities" in wanted else ""


def _problem_of_rules(claim: Claim) -> str:
    """What is wrong with the thresholds of a claim's quantities; empty if nothing is."""
    names, rules = _QUANTITIES[claim["statistic"]], claim["quantities"]
    if not isinstance(rules, dict) or set(rules) != set(names):
        return f"expected the quantities {', '.join(names)}, received {rules!r}"
    for name, rule in rules.items():
        kind = rule.get("test") if isinstance(rule, dict) else None
        if kind not in _TESTS:
            return f"expected a test of {', '.join(_TESTS)} for {name}, received {rule!r}"
        bounds = [rule[end] for end in ("held", "failed") if end in rule]
        if not bounds or not all(isinstance(each, int | float) for each in bounds):
            return f"expected numbers as held or failed for {name}, received {rule!r}"
        if kind == "share" and "held" not in rule:
            return f"expected held for the share {name}, received {rule!r}"
    level = claim["level"]
    if not isinstance(level, int | float) or not 0 < level < 1:
        return f"expected a level in (0, 1), received {level!r}"
    return ""


def _parts(claim: Any) -> dict[str, Any]:
    return dict(claim.get("parts", {})) if isinstance(claim, dict) else {}


def _verdict(
    claim: Claim, content: Mapping[str, Any], runs: Sequence[SeedRun], curves: Curves | None
) -> Verdict:
    if "repeats" in claim:
        return _repeated(claim, content, runs)
    options: dict[str, Any] = {"least": content["min_seeds"]}
    setups = {name: content["setups"][name] for name in claim["setups"]}
    if "published" in claim:
        found = {n: published_verdict(claim, s, runs, curves, **options) for n, s in setups.items()}
    else:
        options["controls"] = [content["setups"][name] for name in claim.get("controls", ())]
        found = {n: setup_verdict(claim, s, runs, **options) for n, s in setups.items()}
    outcome, name = _combined(found)
    decisive = found[name].record()
    return {
        "statement": claim["statement"],
        "verdict": outcome,
        **{key: decisive[key] for key in ("quantity", "estimate", "interval", "seeds")},
        "setup": name,
        "figure": claim["figure"],
        "reason": _reason(outcome, name, found),
        "setups": {each: single.record() for each, single in found.items()},
        **{part: _verdict(each, content, runs, curves) for part, each in _parts(claim).items()},
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


def _moved(claim: Claim, setups: Sequence[str]) -> dict[str, Any]:
    """A claim and its parts, made for other setups."""
    parts = {name: {**part, "setups": setups} for name, part in _parts(claim).items()}
    return {**claim, "setups": setups, **({"parts": parts} if parts else {})}


def _repeated(claim: Claim, content: Mapping[str, Any], runs: Sequence[SeedRun]) -> Verdict:
    """Other claims on this claim's setups: held where all of them held, failed if any failed."""
    single = {
        name: _verdict(_moved(content["claims"][name], claim["setups"]), content, runs, None)
        for name in claim["repeats"]
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
        "statement": claim["statement"],
        "verdict": outcome,
        **{key: single[decisive][key] for key in ("quantity", "estimate", "interval", "seeds")},
        "setup": single[decisive]["setup"],
        "figure": claim["figure"],
        "reason": f"{outcome}: {words}; {decisive}: {why}; {claim['beyond']}",
        "claims": single,
    }

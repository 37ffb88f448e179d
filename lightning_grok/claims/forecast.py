"""Could any measurement have told that generalization was coming, and how long before?

At every measured epoch between t_mem and t_half the time that is left is r = x_half − x decades. A
predictor is the epoch x, the level of one series there and its change per decade since the
measurement before: what was known then. A plane in them is fitted to the epochs of all seeds but
one and predicts r for that one (leave one seed out). Its C-index (Harrell et al. 1982) is the share
of pairs of epochs, of two different seeds, that it puts in the right order of time left; ½ is
chance. A run that memorized and did not generalize by its end counts as a lower bound of r.

Time passes anyway: the epoch alone orders such pairs well. So a measurement counts as having told L
decades before if, among epochs with r ≥ L, its C-index exceeds that of the epoch alone (bootstrap
interval over seeds above 0) and the largest C-index of all measurements exceeds what they reach
where each seed gets the t_half of another (permutation test of the maximum, p < 0.05). L is raised
as long as that holds; the first failure ends it, so the level holds for the whole sequence.
Where it fails at L = 0 the answer is "not at all" only if the interval of the gain over the epoch
ends below 0.02; else so few seeds can't tell.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lightning_grok.analysis.reading import NotMeasuredError
from lightning_grok.analysis.statistics import level_at
from lightning_grok.claims.cohort import SeedRun, cohort
from lightning_grok.claims.content import Setup
from lightning_grok.runs.panels import panels_of
from lightning_grok.runs.quantities import CATALOGUE, PERFORMANCE
from lightning_grok.runs.run import Run

LEADS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Decades before t_half at which it is asked."""

LEAST_SEEDS = 5
_LEAST_EPOCHS = 3  # measured between memorization and generalization, in the median seed
_RESAMPLES, _LEVEL = 2000, 0.95
_NO_GAIN = 0.02  # of C-index over the epoch: less than this is none

_PERFORMANCE = {
    line.name: line.key
    for panel in CATALOGUE
    for line in panel.lines
    if line.predicts and panel.id in PERFORMANCE
}
_EPOCH = "epoch"


class _Seed(NamedTuple):
    """One run: measured epochs x (t,), features of each predictor (t, k), and its event."""

    x: np.ndarray
    features: dict[str, np.ndarray]
    event: float  # x_half, or x of the last epoch where it never came
    observed: bool


def forecast(
    runs: Sequence[SeedRun],
    *,
    layers: Sequence[str] | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """How many decades before t_half a measurement had told, for the seeds of one setup.

    Args:
        runs: one a seed; those that never memorized are left out.
        layers: whose geometry may have told; None takes all that were measured.
        permutations: of seeds.
        seed: of permutations and bootstrap.

    Returns:
        Plain values: ``lead`` (decades; None for none: ``reason`` says whether not at all or
        undecided), ``predictor``, ``c_index`` and ``interval`` at that lead (at lead 0 if there is
        none), ``epoch_c_index``, ``performance_c_index`` (the better of test accuracy and test
        loss), ``p_permuted``, ``seeds``, ``generalized`` (seeds that did), ``reason`` and ``leads``
        with all of them.
    """
    names, seeds = _prepared(runs, layers)
    generalized = sum(each.observed for each in seeds)
    base = {"seeds": len(seeds), "generalized": generalized, "lead": None}
    lack = _lacking(names, seeds, generalized)
    if lack:
        return base | {"reason": f"undecided: {lack}"}
    events, observed = (np.array([each[k] for each in seeds]) for k in (2, 3))
    found = _fitted(seeds, [*names, *_PERFORMANCE, _EPOCH], events, observed)
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(seeds)) for _ in range(permutations)]
    null = [_fitted(seeds, names, events[order], observed[order]) for order in orders]
    rows: list[dict[str, Any]] = []
    for lead in LEADS:
        row = _at_lead(lead, found, null, names, random)
        rows += [] if row is None else [row]
        if row is None or not row["told"]:
            break
    return base | _told(rows) | {"leads": rows}


def forecast_runs(runs: Sequence[Run], layers: Sequence[str] | None = None) -> dict[str, Any]:
    """`forecast` of the setup with most seeds that generalized, with its ``dataset`` and ``setup``.

    Setups are not pooled: from one to another t_half differs for reasons that no measurement is
    needed to see. Of equals the first by name.
    """
    seeds = [SeedRun(run) for run in runs]
    names = sorted({(run.run.dataset, run.run.setup) for run in seeds})
    cohorts = {
        name: cohort(seeds, Setup(where=dict(zip(("dataset", "setup"), name, strict=True))))
        for name in names
    }
    best = max(names, key=lambda name: len(cohorts[name].grokked))
    return {"dataset": best[0], "setup": best[1], **forecast(cohorts[best].runs, layers=layers)}


def _prepared(
    runs: Sequence[SeedRun], layers: Sequence[str] | None
) -> tuple[list[str], list[_Seed]]:
    """The measurements that every run has, and the runs that memorized."""
    memorized = [run for run in runs if math.isfinite(run.events.t_mem)]
    known = {
        name: key
        for name, key in _predictors(memorized, layers).items()
        if all(run.measured(key) for run in memorized)
    }
    return list(known), [_seed(run, known) for run in memorized] if known else []


def _predictors(runs: Sequence[SeedRun], layers: Sequence[str] | None) -> dict[str, str]:
    """Name -> key of the measurements that may have told: the catalogue's, and a user's own."""
    found: dict[str, str] = {}
    for run in runs:
        for panel in panels_of(run.run):
            for line in panel.lines if panel.id not in PERFORMANCE else ():
                if not panel.known and not line.floor:
                    found[line.key] = line.key
                elif line.predicts and (not line.layer or layers is None or line.layer in layers):
                    found[f"{line.name} {line.layer}".strip()] = line.key
    return found


def _seed(run: SeedRun, keys: Mapping[str, str]) -> _Seed:
    epochs = [run.series(key)[0] for key in keys.values()]
    common = epochs[0]
    for each in epochs[1:]:
        common = np.intersect1d(common, each)
    common = common[common > 0]
    x = np.log10(common)
    features = {_EPOCH: x[:, None]}
    for name, key in {**keys, **_PERFORMANCE}.items():
        try:
            level = np.array([level_at(run, key, epoch) for epoch in common])
        except NotMeasuredError:
            level = np.zeros(len(x))
        change = np.diff(level, prepend=level[:1]) / np.diff(x, prepend=x[:1] - 1)
        features[name] = np.nan_to_num(np.stack([x, level, change], axis=1))
    late = common >= run.events.t_mem
    observed = math.isfinite(run.events.test.t_half)
    event = math.log10(run.events.test.t_half) if observed else math.log10(max(run.last, 1))
    return _Seed(x[late], {k: v[late] for k, v in features.items()}, event, observed)


def _lacking(names: Sequence[str], seeds: Sequence[_Seed], generalized: int) -> str:
    if not names:
        return "no measurement that all runs have"
    if generalized < LEAST_SEEDS:
        return f"generalization in {generalized} seeds, at least {LEAST_SEEDS} needed"
    before = np.median([np.sum(each.x < each.event) for each in seeds])
    if before < _LEAST_EPOCHS:
        return "too few measurements between memorization and generalization"
    return ""


class _Fitted(NamedTuple):
    """Epochs (n,) of all seeds before their event, and the time left that each predictor gives."""

    r: np.ndarray
    owner: np.ndarray
    sooner: np.ndarray  # (n, n): i surely generalizes sooner than j, of two seeds
    guesses: dict[str, np.ndarray]


def _fitted(
    seeds: Sequence[_Seed], names: Sequence[str], events: np.ndarray, observed: np.ndarray
) -> _Fitted:
    """Predict the time left, each seed from the others, with these events."""
    left = [event - each.x for each, event in zip(seeds, events, strict=True)]
    before = [r > 0 for r in left]
    r = np.concatenate([a[k] for a, k in zip(left, before, strict=True)])
    owner = np.repeat(np.arange(len(seeds)), [k.sum() for k in before])
    known = observed[owner].astype(bool)
    sooner = known[:, None] & (r[:, None] < r) & (owner[:, None] != owner)
    guesses = {}
    for name in names:
        parts = [each.features[name][k] for each, k in zip(seeds, before, strict=True)]
        guesses[name] = _left_out(np.concatenate(parts), r, owner, known)
    return _Fitted(r, owner, sooner, guesses)


def _left_out(
    features: np.ndarray, r: np.ndarray, owner: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Time left of each seed's epochs (n,) by the least-squares plane of the others'."""
    scale = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    design = np.column_stack([np.ones(len(r)), scaled])
    ridge = 1e-9 * len(r) * np.eye(design.shape[1])  # for a feature that does not vary
    guess = np.zeros(len(r))
    for seed in np.unique(owner):
        own = owner == seed
        fit = design[~own & known]
        guess[own] = design[own] @ np.linalg.solve(fit.T @ fit + ridge, fit.T @ r[~own & known])
    return guess


def _pairs(fitted: _Fitted, name: str, lead: float) -> tuple[np.ndarray, np.ndarray]:
    """Comparable pairs (m, m) of epochs at least `lead` before, and how right each is put."""
    far = fitted.r >= lead
    guess = fitted.guesses[name][far]
    right = (guess[:, None] < guess) + 0.5 * (guess[:, None] == guess)
    comparable = fitted.sooner[np.ix_(far, far)]
    return comparable * right, comparable


def _index(fitted: _Fitted, name: str, lead: float) -> float:
    """C-index; NaN without a comparable pair."""
    right, comparable = _pairs(fitted, name, lead)
    total = comparable.sum()
    return float(right.sum() / total) if total else math.nan


def _resampled(fitted: _Fitted, name: str, lead: float, weights: np.ndarray) -> np.ndarray:
    """C-index with every seed counted `weights` (b, s) times."""
    member = (fitted.owner[fitted.r >= lead] == np.arange(weights.shape[1])[:, None]).astype(float)
    sums = [member @ part @ member.T for part in _pairs(fitted, name, lead)]  # (s, s) each
    right, total = (np.einsum("bi,ij,bj->b", weights, each, weights) for each in sums)
    return np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)


def _at_lead(
    lead: float,
    found: _Fitted,
    null: Sequence[_Fitted],
    names: Sequence[str],
    random: np.random.Generator,
) -> dict[str, Any] | None:
    """The best measurement at one lead, beside the epoch and chance; None without a pair."""
    indices = {name: _index(found, name, lead) for name in found.guesses}
    if math.isnan(indices[_EPOCH]):
        return None
    best = max(names, key=lambda name: indices[name])
    largest = np.array([max(_index(each, name, lead) for name in names) for each in null])
    largest = largest[np.isfinite(largest)]
    count = int(found.owner.max()) + 1
    weights = random.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES).astype(float)
    own, other = (_resampled(found, name, lead, weights) for name in (best, _EPOCH))
    tails = [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
    p = float((1 + np.sum(largest >= indices[best])) / (1 + len(largest)))
    gain = [float(each) for each in np.nanquantile(own - other, tails)]
    return {
        "lead": lead,
        "predictor": best,
        "c_index": indices[best],
        "interval": [float(each) for each in np.nanquantile(own, tails)],
        "epoch_c_index": indices[_EPOCH],
        "gain_over_epoch": gain,
        "performance_c_index": max(indices[name] for name in _PERFORMANCE),
        "p_permuted": p,
        "told": bool(p < 1 - _LEVEL and gain[0] > 0),
        "all": indices,
    }


def _told(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The row of the longest lead that holds, and what it says in words."""
    told = []
    for row in rows:
        if not row["told"]:
            break
        told.append(row)
    if not rows:
        return {"reason": "undecided: no two seeds can be compared"}
    row = told[-1] if told else rows[0]
    shown = {k: row[k] for k in row if k not in ("lead", "told", "all")}
    if not told:
        low, high = row["gain_over_epoch"]
        gain = f"the gain of {row['predictor']}, the best, is [{low:.3f}, {high:.3f}]"
        if high < _NO_GAIN:
            reason = "not at all: no measurement orders the time left better than the epoch alone"
        else:
            reason = "undecided: whether one orders the time left better than the epoch alone"
        return shown | {"reason": f"{reason}; {gain}"}
    lead = row["lead"]
    when = f"{lead:g} decades before t_half" if lead else "less than 0.1 decades before t_half"
    return shown | {"lead": lead, "reason": f"{row['predictor']} told {when}"}

"""Whether a series foresees an event: the order of the times left, and alarms before it.

At every measured epoch before the event the time that is left is r = x_event − x decades. A
predictor is the epoch x, the level of one series there and its change per decade since the
measurement before: what was known then. A plane in them is fitted to the epochs of all seeds but
one and predicts r for that one (leave one seed out). Its C-index (Harrell et al. 1982) is the share
of pairs of epochs, of two different seeds, that it puts in the right order of time left; ½ is
chance. A run without the event counts as a lower bound of r. Time passes anyway: the epoch alone
orders such pairs well, so that what counts is the gain over it, and the largest C-index of all
series is held against what they reach where each seed gets the event of another (permutation test
of the maximum).

An alarm is the first epoch at which a series lies beyond a threshold. The threshold is that of
split conformal prediction (Vovk et al. 2005) on controls, runs in which the event never came: the
k-th of their n extremes, k = ⌈(1 − rate) (n + 1)⌉, so that another such run raises an alarm with a
probability of at most `rate`. Fewer than 1 / rate − 1 controls have no such threshold. The side is
where the series goes as the event comes nearer, learned from the other seeds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lightning_grok.analysis.interval import mean_interval

EPOCH = "epoch"
"""The predictor that is time itself."""

_RESAMPLES, _LEVEL = 2000, 0.95


class Watched(NamedTuple):
    """One run, watched up to its event.

    Attributes:
        x: (t,) log10 of the measured epochs, increasing.
        levels: (t,) of every series.
        event: x of the event; of a run without it, of the last epoch.
        observed: whether it came.
    """

    x: np.ndarray
    levels: dict[str, np.ndarray]
    event: float
    observed: bool


class Foresight(NamedTuple):
    """How well a series orders the times left, as known of a seed that it was not fitted to.

    Attributes:
        c_index: in [0, 1]; 0.5 is chance.
        interval: of it, by a bootstrap over seeds.
        gain_over_epoch: interval of what it is above that of the epoch alone.
        p_permuted: of the largest C-index of all series being so large by chance.
    """

    c_index: float
    interval: tuple[float, float]
    gain_over_epoch: tuple[float, float]
    p_permuted: float


class Alarms(NamedTuple):
    """How long before the event a series raises an alarm at a stated rate of false ones.

    Attributes:
        lead: decades from the alarm to the event, mean over seeds; 0 where none came before it.
        interval: of the mean; NaN with one seed.
        epochs: the same in epochs, median over seeds.
        alarmed: seeds with an alarm before the event.
        false: controls with an alarm.
        threshold: NaN where there are too few controls for the rate.
        side: 1 for alarms above the threshold, -1 below it.
    """

    lead: float
    interval: tuple[float, float]
    epochs: float
    alarmed: int
    false: int
    threshold: float
    side: int


class Fitted(NamedTuple):
    """Epochs of all seeds before their event, and how predictors order them.

    Attributes:
        r: (n,) time left.
        owner: (n,) seed of each epoch.
        later: (n, s) epochs of each seed at which surely more is left; (n, 1) of all seeds.
        right: the same, those that a predictor puts later; half of those that it puts alike.
    """

    r: np.ndarray
    owner: np.ndarray
    later: np.ndarray
    right: dict[str, np.ndarray]


class Forecaster:
    """Times left of one set of seeds, predicted from each series, and the same by chance.

    Args:
        runs: one a seed; at least one with the event. Their levels hold all series.
        names: series that the test of the maximum is of.
        references: further series that are not.
        permutations: of events among seeds.
        seed: of permutations and bootstrap.
    """

    def __init__(
        self,
        runs: Sequence[Watched],
        names: Sequence[str],
        references: Sequence[str] = (),
        *,
        permutations: int = 200,
        seed: int = 0,
    ) -> None:
        self.names = list(names)
        events = np.array([each.event for each in runs])
        observed = np.array([each.observed for each in runs])
        self.found = _fitted(runs, [*names, *references], events, observed, len(runs))
        self._random = np.random.default_rng(seed)
        orders = [self._random.permutation(len(runs)) for _ in range(permutations)]
        self._null = [_fitted(runs, self.names, events[order], observed[order]) for order in orders]

    def at_lead(self, lead: float) -> dict[str, Foresight]:
        """Every series among epochs at least `lead` decades before; empty without a pair."""
        indices = c_indices(self.found, lead)
        if not indices:
            return {}
        null = [c_indices(each, lead) for each in self._null]
        largest = np.array([max(each[name] for name in self.names) for each in null if each])
        count = self.found.later.shape[1]
        weights = self._random.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
        own = {name: resampled(self.found, name, lead, weights.astype(float)) for name in indices}
        return {
            name: Foresight(
                index,
                _middle(own[name]),
                _middle(own[name] - own[EPOCH]),
                float((1 + np.sum(largest >= index)) / (1 + len(largest))),
            )
            for name, index in indices.items()
        }


def alarms(runs: Sequence[Watched], controls: Sequence[Watched], name: str, rate: float) -> Alarms:
    """The alarms of one series.

    Args:
        runs: seeds with the event.
        controls: runs without it.
        name: of the series, or `EPOCH`.
        rate: false alarms that are allowed, as a part of the controls, in (0, 1).
    """
    seeds = [(x[x < event], _level(each, name)[x < event]) for each in runs
             for x, event in [(each.x, each.event)]]  # fmt: skip
    sides = [_side(seeds[:k] + seeds[k + 1 :]) for k in range(len(seeds))]
    whole = _side(seeds)
    extremes = [_level(each, name) for each in controls if len(each.x)]
    limits = {side: _threshold([(side * e).max() for e in extremes], rate) for side in (1, -1)}
    leads, epochs = [], []
    for run, (x, level), side in zip(runs, seeds, sides, strict=True):
        beyond = np.flatnonzero(side * level > limits[side])
        at = x[beyond[0]] if len(beyond) else run.event
        leads.append(run.event - at)
        epochs.append(10**run.event - 10**at)
    found = mean_interval(leads)
    return Alarms(
        found.estimate,
        (found.low, found.high),
        float(np.median(epochs)) if epochs else math.nan,
        int(np.sum(np.array(leads) > 0)),
        sum(bool((whole * e > limits[whole]).any()) for e in extremes),
        whole * limits[whole] if math.isfinite(limits[whole]) else math.nan,
        whole,
    )


def least_controls(rate: float) -> int:
    """Fewer controls than these have no threshold at a rate of false alarms.

    >>> least_controls(0.1)
    9
    """
    return math.ceil(round(1 / rate - 1, 9))


def c_indices(fitted: Fitted, lead: float) -> dict[str, float]:
    """Share of pairs of epochs at least `lead` before in the right order; empty without a pair."""
    far = fitted.r >= lead  # an epoch at which more is left is too
    total = fitted.later[far].sum()
    if not total:
        return {}
    return {name: float(right[far].sum() / total) for name, right in fitted.right.items()}


def resampled(
    fitted: Fitted, name: str, lead: float, weights: Float[np.ndarray, "b s"]
) -> Float[np.ndarray, " b"]:
    """`c_index` with every seed counted `weights` times."""
    far = fitted.r >= lead
    member = _members(fitted.owner[far], weights.shape[1])
    sums = [member.T @ each[far] for each in (fitted.right[name], fitted.later)]  # (s, s)
    right, total = (((weights @ each) * weights).sum(axis=1) for each in sums)
    return np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)


def _level(run: Watched, name: str) -> np.ndarray:
    return run.x if name == EPOCH else run.levels[name]


def _fitted(
    runs: Sequence[Watched],
    names: Sequence[str],
    events: np.ndarray,
    observed: np.ndarray,
    seeds: int = 1,
) -> Fitted:
    """Predict the time left, each seed from the others, with these events.

    The epoch alone needs no fit: the later, the sooner. Fitted like a series it would put two seeds
    at one epoch in the wrong order, the others of an early seed being late ones.
    """
    left = [event - each.x for each, event in zip(runs, events, strict=True)]
    before = [r > 0 for r in left]
    r = np.concatenate([a[k] for a, k in zip(left, before, strict=True)])
    x = np.concatenate([each.x[k] for each, k in zip(runs, before, strict=True)])
    owner = np.repeat(np.arange(len(runs)), [k.sum() for k in before])
    known = observed[owner].astype(bool)
    features = np.concatenate(
        [_features(each, names)[:, k] for each, k in zip(runs, before, strict=True)], axis=1
    )
    guesses = dict(zip(names, _left_out(features, r, owner, known), strict=True))
    return order(r, owner, known, guesses | {EPOCH: -x}, seeds)


def order(
    r: Float[np.ndarray, " n"],
    owner: Int[np.ndarray, " n"],
    known: Bool[np.ndarray, " n"],
    guesses: dict[str, np.ndarray],
    seeds: int = 1,
) -> Fitted:
    """Count the pairs of two seeds, and those that predictors put right, in O(n²).

    Args:
        r: time left, a lower bound where it is not known.
        owner: seed of each epoch.
        known: whether the event came.
        guesses: (n,) of each predictor, for the time left.
        seeds: keep them apart, so many, as `resampled` needs them.
    """
    later = known[:, None] & (r[:, None] < r) & (owner[:, None] != owner)
    member = _members(owner, seeds) if seeds > 1 else None

    def count(pairs: np.ndarray) -> np.ndarray:
        if member is None:
            packed = np.bitwise_count(np.packbits(pairs, axis=1))
            return packed.sum(axis=1, keepdims=True, dtype=np.int32)
        return pairs @ member

    right, pairs = {}, np.empty_like(later)
    for name, guess in guesses.items():
        values, ranks = np.unique(guess, return_inverse=True)
        ranks = ranks.astype(np.min_scalar_type(len(guess)))  # compared several times as fast
        np.less(ranks[:, None], ranks, out=pairs)
        right[name] = count(np.logical_and(later, pairs, out=pairs)).astype(float)
        if len(values) < len(guess):
            np.equal(ranks[:, None], ranks, out=pairs)
            right[name] += count(np.logical_and(later, pairs, out=pairs)) / 2
    return Fitted(r, owner, count(later), right)


def _members(owner: np.ndarray, seeds: int) -> np.ndarray:
    """(n, s): 1 where an epoch is that seed's."""
    return (owner[:, None] == np.arange(seeds)).astype(float)


def _features(run: Watched, names: Sequence[str]) -> np.ndarray:
    """(k, t, 3): epoch, level and change per decade of k series."""
    x = run.x
    levels = np.array([run.levels[name] for name in names])  # (k, t)
    change = np.diff(levels, prepend=levels[:, :1]) / np.diff(x, prepend=x[:1] - 1)
    return np.nan_to_num(np.stack([np.broadcast_to(x, levels.shape), levels, change], axis=2))


def _left_out(
    features: np.ndarray, r: np.ndarray, owner: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Time left (k, n) of each seed's epochs by the least-squares planes of the others'."""
    scale = features.std(axis=1, keepdims=True)
    scaled = (features - features.mean(axis=1, keepdims=True)) / np.where(scale > 0, scale, 1.0)
    design = np.concatenate([np.ones((*scaled.shape[:2], 1)), scaled], axis=2)
    ridge = 1e-9 * len(r) * np.eye(design.shape[2])  # for a feature that does not vary
    both = np.concatenate([design, np.broadcast_to(r[:, None], (*design.shape[:2], 1))], axis=2)
    seeds = [np.flatnonzero(owner == seed) for seed in np.unique(owner)]
    fits = (both[:, own[known[own]]] for own in seeds)
    grams = np.array([fit.swapaxes(1, 2) @ fit for fit in fits])  # (s, k, 5, 5)
    guess = np.zeros(design.shape[:2])
    for own, gram in zip(seeds, grams.sum(axis=0) - grams, strict=True):
        plane = np.linalg.solve(gram[:, :-1, :-1] + ridge, gram[:, :-1, -1:])
        guess[:, own] = (design[:, own] @ plane)[..., 0]
    return guess


def _middle(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _side(seeds: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """Where a series goes within seeds as the event comes nearer: 1 for up, -1 for down."""
    trend = sum(float((x - x.mean()) @ (level - level.mean())) for x, level in seeds if len(x))
    return 1 if trend >= 0 else -1


def _threshold(extremes: Sequence[float], rate: float) -> float:
    """The conformal quantile; infinite where there are too few."""
    place = math.ceil(round((1 - rate) * (len(extremes) + 1), 9))
    return sorted(extremes)[place - 1] if place <= len(extremes) else math.inf

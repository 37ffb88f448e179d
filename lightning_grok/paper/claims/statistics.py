"""What each claim of claims.yaml looks at: one number a seed, or one a layer and seed.

A statistic takes a run and its claim and returns readings by (quantity, label); the label is a
layer, or empty. The definitions stand beside the claims; here is how they are computed.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lightning_grok.analysis.correlation import (
    concordance,
    fisher_z_difference,
    rank_correlation,
    rates,
    slope,
)
from lightning_grok.analysis.lag import Level, arrival, lag, on_common_epochs, settled
from lightning_grok.analysis.transition import find_transition
from lightning_grok.paper.claims.cohort import SeedRun

Claim = Mapping[str, Any]


class Reading(NamedTuple):
    """What a statistic says of one run.

    Attributes:
        value: the number; NaN where it does not exist.
        at_least: it is a lower bound: something was not reached by the end of the run, or so late
            that its final level is not known.
        at_most: where `at_least` holds, the largest that the number can be.
        spacing: decades between the measurements that it rests on; 0 where that plays no part.
        reason: why there is no value, in words that go on from "in 2 seeds".
    """

    value: float
    at_least: bool = False
    at_most: float = math.inf
    spacing: float = 0.0
    reason: str = ""


Readings = dict[tuple[str, str], Reading]

_OWN, _ACCURACY = "kernel_distance/full/own", "test/accuracy"
_GEOMETRY = ("capacity", "radius", "dimension")


def layers_of(claim: Claim) -> list[str]:
    """Names of the claim's layers."""
    return [f"layers.{index}" for index in claim.get("layers", claim.get("over", ()))]


def early_movement(run: SeedRun, claim: Claim) -> Readings:
    """How far the kernel has moved by t_10: over its farthest, and over the floor."""
    onset = run.events.test.t_10
    epochs, own = run.series(_OWN)
    before = own[epochs <= onset]
    trace_epochs, trace = run.series("kernel_distance/trace/own")
    trace_before = trace[trace_epochs <= onset]
    floor = run.series("kernel_distance/trace/floor")[1][0]
    if not len(before) or not len(trace_before) or not own.max() > 0 or not floor > 0:
        missing = Reading(math.nan, reason="no kernel was measured before the onset")
        return {("moved", ""): missing, ("over_floor", ""): missing}
    return {
        ("moved", ""): Reading(float(before[-1] / own.max())),
        ("over_floor", ""): Reading(float(trace_before[-1] / floor)),
    }


def capacity_lag(run: SeedRun, claim: Claim) -> Readings:
    """Half-rise of capacity less half-rise of test accuracy, in decades."""
    return {("lag", layer): _capacity_lag(run, layer) for layer in layers_of(claim)}


def clock_difference(run: SeedRun, claim: Claim) -> Readings:
    """|lag of capacity| − |lag of kernel distance|."""
    kernel = _lag(run, _OWN, Level(0.5, plateau=0.0, direction="rise"))
    found: Readings = {}
    for layer in layers_of(claim):
        own = _capacity_lag(run, layer)
        # A lower bound of a lag is one of its size only if it is above 0.
        value = max(own.value, 0.0) if own.at_least else abs(own.value)
        most = max(abs(own.value), own.at_most)
        reason = own.reason or kernel.reason
        if kernel.at_least:  # the difference would be an upper bound
            value, reason = math.nan, "the kernel was not half-way by the end"
        found["difference", layer] = own._replace(
            value=value - abs(kernel.value), at_most=most - abs(kernel.value), reason=reason
        )
    return found


def second_jump(run: SeedRun, claim: Claim) -> Readings:
    """Largest speed of the kernel about t_10 over its median speed between 2 t_mem and there."""
    epochs, step = run.series("kernel_distance/full/previous")
    own, _ = run.run.series(_OWN)  # breakdowns among them: each step is from the one before
    at = np.searchsorted(own, epochs)
    before = own[np.maximum(at - 1, 0)]
    known = (at > 0) & (before > 0)  # no speed from epoch 0, which has no log
    known &= ~np.isin(before, run.breakdown)
    start, end = np.log10(own[at[known] - 1]), np.log10(epochs[known])
    speed = step[known] / (end - start)
    onset, window = math.log10(run.events.test.t_10), float(claim["window"])
    about = np.abs((start + end) / 2 - onset) <= window
    quiet = (start >= math.log10(2 * run.events.t_mem)) & (end <= onset - window)
    if not about.any() or not quiet.any() or not np.median(speed[quiet]) > 0:
        reason = "the kernel was not measured both at the onset and in the plateau before it"
        return {("ratio", ""): Reading(math.nan, reason=reason)}
    return {("ratio", ""): Reading(float(speed[about].max() / np.median(speed[quiet])))}


def early_excursion(run: SeedRun, claim: Claim) -> Readings:
    """How far capacity strays before the onset, as a part of its whole rise."""
    low, high = run.events.t_mem, 0.5 * run.events.test.t_10
    found: Readings = {}
    for layer in layers_of(claim):
        key = f"manifold_capacity/{layer}/capacity"
        epochs, values = run.series(key)
        inside = (epochs >= low) & (epochs <= high)
        onset = find_transition(epochs, values, start=low).rise
        if inside.sum() < 2:
            reading = Reading(math.nan, reason="too few capacities before the onset")
        elif onset.censored:
            reading = Reading(math.nan, reason=f"capacity of {layer} never rose")
        else:
            reading = Reading(float(np.ptp(values[inside]) / (onset.final - onset.plateau)))
        found["excursion", layer] = reading
    return found


def capacity_width(run: SeedRun, claim: Claim) -> Readings:
    """Decades that capacity takes from a tenth to nine tenths of its rise from epoch 1.

    Up to the epoch ``until``, where the claim has one.
    """
    found: Readings = {}
    for layer in layers_of(claim):
        epochs, values = run.series(f"manifold_capacity/{layer}/capacity")
        kept = epochs <= claim.get("until", math.inf)
        series = epochs[kept], values[kept]
        first, last = (arrival(series, Level(part, direction="rise")) for part in (0.1, 0.9))
        if first.censored or math.isnan(first.x):
            found["width", layer] = Reading(math.nan, reason=f"capacity of {layer} never rose")
        else:
            found["width", layer] = Reading(last.x - first.x, last.censored)
    return found


def geometry_change(run: SeedRun, claim: Claim) -> Readings:
    """Relative change of radius and dimension from plateau to final level, and whether all fall."""
    found: Readings = {}
    for layer in layers_of(claim):
        for quantity in ("radius", "dimension"):
            onset = _onset(run, f"manifold_capacity/{layer}/{quantity}")
            found[quantity, layer] = Reading(onset.final / onset.plateau - 1)
    values = [reading.value for reading in found.values()]
    every = math.nan if any(math.isnan(v) for v in values) else float(all(v < 0 for v in values))
    return {**found, ("all_fall", ""): Reading(every)}


def depth_order(run: SeedRun, claim: Claim) -> Readings:
    """Spearman's ρ over layers between depth and the growth of capacity."""
    onsets = [_onset(run, f"manifold_capacity/{layer}/capacity") for layer in layers_of(claim)]
    growth = np.array([math.log(onset.final / onset.plateau) for onset in onsets])
    return {("rho", ""): Reading(rank_correlation(growth, np.array(claim["over"], float)))}


def late_slopes(run: SeedRun, claim: Claim) -> Readings:
    """Slopes of capacity and of test accuracy per decade, late in training."""
    keys = {
        "capacity": f"manifold_capacity/layers.{claim['layer']}/capacity",
        "accuracy": _ACCURACY,
    }
    found: Readings = {}
    for name, key in keys.items():
        epochs, values = run.series(key)
        late = (epochs >= claim["from"]) & (epochs <= claim["needs"])
        found[name, ""] = Reading(slope(epochs[late], values[late]), reason="too few measurements")
    return found


def probe_change(run: SeedRun, claim: Claim) -> Readings:
    """Accuracy of the sound probe at the epoch `needs` less that at `from`."""
    key = "linear_probe/sound/accuracy"
    change = run.value_at(key, claim["needs"]) - run.value_at(key, claim["from"])
    return {("change", ""): Reading(change, reason="the probe was not run at both epochs")}


def probe_step(run: SeedRun, claim: Claim) -> Readings:
    """Median accuracy of the sound probe after t_half less before, within a window."""
    epochs, values = run.series("linear_probe/sound/accuracy")
    epochs, values = epochs[epochs > 0], values[epochs > 0]
    distance = np.log10(epochs) - run.x_half
    after = values[(distance >= 0) & (distance <= claim["window"])]
    before = values[(distance < 0) & (distance >= -claim["window"])]
    if not len(after) or not len(before):
        reason = "no probe was run on both sides of generalization"
        return {("step", ""): Reading(math.nan, reason=reason)}
    return {("step", ""): Reading(float(np.median(after) - np.median(before)))}


def correlation_difference(run: SeedRun, claim: Claim) -> Readings:
    """Fisher-z difference of r(capacity, accuracy) and r(S own, accuracy), levels and rates."""
    found: Readings = {}
    for layer in layers_of(claim):
        capacity, kernel = on_common_epochs(
            run.series(f"manifold_capacity/{layer}/capacity"), run.series(_OWN)
        )
        capacity, accuracy = on_common_epochs(capacity, run.series(_ACCURACY))
        kernel = (capacity[0], np.interp(np.log10(capacity[0]), np.log10(kernel[0]), kernel[1]))
        levels = [values for _, values in (capacity, kernel, accuracy)]
        changes = [rates(*each) for each in (capacity, kernel, accuracy)]
        reason = "a series is constant"
        found["levels", layer] = Reading(fisher_z_difference(*levels), reason=reason)
        found["rates", layer] = Reading(fisher_z_difference(*changes), reason=reason)
    return found


def split_concordance(run: SeedRun, claim: Claim) -> Readings:
    """Lin's concordance of train and test geometry over epochs."""
    found: Readings = {}
    for layer in layers_of(claim):
        for quantity in _GEOMETRY:
            names = {"layer": layer, "quantity": quantity}
            train, test = (run.series(claim[s].format(**names)) for s in ("train", "test"))
            _, i, j = np.intersect1d(train[0], test[0], return_indices=True)
            value = concordance(train[1][i], test[1][j])
            found[quantity, layer] = Reading(value, reason="too few common epochs")
    return found


def norm_lag(run: SeedRun, claim: Claim) -> Readings:
    """First tenth of the fall of the norm, total and of the last layer, less half-rise.

    The fall is that from the start to the minimum: what rises again later has fallen.
    """
    found: Readings = {}
    for name, part in (("total", "total"), ("last", run.last_layer)):
        key = f"weight_norm/{part}"
        start = float(run.series(key)[1][0])
        (epochs, norm), accuracy = on_common_epochs(run.series(key), run.series(_ACCURACY))
        rise = arrival(accuracy, Level(0.5, start=run.events.t_mem, direction="rise"))
        end = int(np.argmin(norm)) + 1
        if rise.censored:
            found[name, ""] = Reading(math.nan, reason="it never generalized")
        elif norm[end - 1] > (1 - claim["least"]) * start:
            found[name, ""] = Reading(math.log10(epochs[-1]) - rise.x, at_least=True)
        else:
            fall = arrival((epochs[:end], norm[:end]), Level(0.1, plateau=start, direction="fall"))
            reason = "too few measurements to time it"
            found[name, ""] = Reading(fall.x - rise.x, spacing=fall.spacing, reason=reason)
    return found


def sample_difference(run: SeedRun, claim: Claim) -> Readings:
    """Largest difference of the distance to the own start between sets of images."""
    epochs, values = run.kernel_over(*claim["images"])
    worst = 0.0
    for images in claim["others"]:
        at, other = run.kernel_over(*images)
        _, i, j = np.intersect1d(epochs, at, return_indices=True)
        if not len(i):
            return {("difference", ""): Reading(math.nan, reason="no common epoch")}
        worst = max(worst, float(np.abs(values[i] - other[j]).max()))
    return {("difference", ""): Reading(worst)}


STATISTICS: dict[str, Callable[[SeedRun, Claim], Readings]] = {
    each.__name__: each
    for each in (
        early_movement, capacity_lag, clock_difference, second_jump, early_excursion,
        capacity_width, geometry_change, depth_order, late_slopes, probe_change, probe_step,
        correlation_difference, split_concordance, norm_lag, sample_difference,
    )
}  # fmt: skip


def _capacity_lag(run: SeedRun, layer: str) -> Reading:
    level = Level(0.5, start=run.events.t_mem, direction="rise")
    key = f"manifold_capacity/{layer}/capacity"
    found = _lag(run, key, level)
    if math.isfinite(run.x_half) and not settled(run.x_half, run.last):
        return Reading(math.nan, reason="it generalized too late to know the final level")
    if found.at_least or not math.isfinite(found.value):
        return found
    if settled(run.x_half + found.value, run.last):
        return found
    # What it has still to rise would put the half-rise later: up to the last epoch, unless that is
    # more than all that it has risen.
    return found._replace(at_least=True, at_most=math.log10(run.last) - run.x_half)


def _lag(run: SeedRun, key: str, level: Level) -> Reading:
    accuracy = Level(0.5, start=run.events.t_mem, direction="rise")
    found = lag(run.series(key), run.series(_ACCURACY), level, accuracy)
    reason = "too few measurements to time it"
    return Reading(found.decades, found.at_least, spacing=found.spacing, reason=reason)


def _onset(run: SeedRun, key: str) -> Any:
    epochs, values = run.series(key)
    return find_transition(epochs, values, start=run.events.t_mem)

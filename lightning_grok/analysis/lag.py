"""How long after one series of a run another one changes, in decades of epoch, over seeds.

A lag is x(first) − x(second), x = log10 of the epoch at which a series is part of the way from its
plateau to its final level (`lightning_grok.analysis.transition`): above 0 where the first comes
later, and 0.3 means twice the epoch. Both times come from the same run, so what its seed does to
both cancels; the interval is over seeds.

Both series are read at the epochs of the coarser one. A jump between two checkpoints is then placed
alike in both, by the same straight line in x; a finer second series would see the jump where it is
and the first one somewhere between the checkpoints.

A series that never arrives is censored: its lag is only known to be larger than to the last epoch.
What lags say over seeds, by equivalence test and Holm's method over layers, is decided in
`decision`.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from lightning_grok.analysis.crossing import on_log_axis
from lightning_grok.analysis.transition import find_transition

_SETTLED = 0.3  # decades

Series = tuple[np.ndarray, np.ndarray]
"""Epochs (T,) and values (T,), as `lightning_grok.runs.run.Run.series` gives them."""


class Level(NamedTuple):
    """Which moment of a series is meant.

    Attributes:
        part: of the way from plateau to final level: 0.1, 0.5 or 0.9; no other.
        start: epoch from which the plateau counts and the search begins: t_mem for what waits for
            generalization, 1 for what moves from the start.
        plateau: the level to leave, where it is known (0 for a distance to the own start).
        direction: ``rise`` or ``fall``: a change the other way is no arrival; None takes either.
    """

    part: float = 0.5
    start: float = 1.0
    plateau: float | None = None
    direction: Literal["rise", "fall"] | None = None


class Arrival(NamedTuple):
    """When a series is there.

    Attributes:
        x: log10 of the epoch; where it never came, of the last epoch looked at. NaN if there were
            too few values to look at.
        censored: whether it never came.
        spacing: decades between the two measurements that enclose it: what is known of the time.
    """

    x: float
    censored: bool
    spacing: float


class RunLag(NamedTuple):
    """The lag of one run.

    Attributes:
        decades: x(first) − x(second); NaN where the second never came.
        at_least: the first never came: `decades` is a lower bound.
    """

    decades: float
    at_least: bool


def arrival(series: Series, level: Level) -> Arrival:
    """When `series` reaches `level` and holds it for three evaluations."""
    epochs, values = on_log_axis(*series)
    if len(epochs) < 3:
        return Arrival(math.nan, False, math.nan)
    found = find_transition(epochs, values, start=level.start, plateau=level.plateau)
    if math.isnan(found.plateau) or math.isnan(found.final):
        return Arrival(math.nan, False, math.nan)
    epoch = {0.1: found.t_10, 0.5: found.t_half, 0.9: found.t_90}[level.part]
    wrong = {"rise": found.final < found.plateau, "fall": found.final > found.plateau}
    if math.isinf(epoch) or (level.direction is not None and wrong[level.direction]):
        return Arrival(math.log10(found.last), True, math.nan)
    x, at = math.log10(epoch), np.log10(epochs)
    # A time right on a measurement came in the stretch before it.
    after = min(max(int(np.searchsorted(at, x - 1e-9)), 1), len(at) - 1)
    return Arrival(x, False, float(at[after] - at[after - 1]))


def settled(x: float, last: float) -> bool:
    """Whether a half-rise at `x` came long enough before the epoch `last` to be one.

    The final level is that of the last 5 % of x. A half-rise less than 0.3 decades before them is
    drawn towards the end of the run, and so is that of whatever it is compared with.
    """
    return x <= 0.95 * math.log10(last) - _SETTLED


def lag(first: Series, second: Series, at_first: Level, at_second: Level) -> RunLag:
    """x(first) − x(second) of one run, both read at the epochs of the coarser series."""
    first, second = on_common_epochs(first, second)
    one, other = arrival(first, at_first), arrival(second, at_second)
    if other.censored:
        return RunLag(math.nan, False)
    return RunLag(one.x - other.x, one.censored)


def at_shared_epochs(first: Series, second: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The epochs (T,) that both series have, increasing, and the values of each there."""
    epochs, i, j = np.intersect1d(first[0], second[0], return_indices=True)
    return epochs, first[1][i], second[1][j]


def on_common_epochs(first: Series, second: Series) -> tuple[Series, Series]:
    """Both series at the epochs of the coarser one; the finer is a straight line in x between.

    Epochs are those above 0 within reach of both.
    """
    parts = [on_log_axis(*first), on_log_axis(*second)]
    if not all(len(epochs) for epochs, _ in parts):
        return parts[0], parts[1]
    low, high = (f(p[0][k] for p in parts) for f, k in ((max, 0), (min, -1)))
    cut = [epochs[(epochs >= low) & (epochs <= high)] for epochs, _ in parts]
    epochs = min(cut, key=len)
    read = [(epochs, np.interp(np.log10(epochs), np.log10(e), v)) for e, v in parts]
    return read[0], read[1]

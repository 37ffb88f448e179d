"""When a series passes from its plateau to its final level, on the axis x = log10(epoch).

Epoch 0, the initialization, has no place on it and is left out, and so are values that are NaN.

- Plateau p: the median over [start, 2 start]: as long again as it took to get there.
- Final level f: the median over the last tenth of a decade, 3 evaluations at least.
- t_10, t_half, t_90: the first time from `start` on at which the metric reaches p + q (f − p) for
  q = 0.1, 0.5, 0.9 and holds it for three evaluations, so that no single one decides. Between the
  evaluation before and the first of the three the metric is taken as linear in x. A metric that
  falls (f < p) is mirrored.
- A change within three times the noise of one evaluation (its robust standard deviation about its
  neighbors) is none.

What is never reached is right-censored: its time is infinite, and `Transition.last` says until when
it was looked for. Where evaluations are dense, a running median over 51 epochs comes first; it is
narrower below epoch 250, so that it never covers more than a tenth of the epoch to either side.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from lightning_grok.analysis.crossing import (
    HOLD,
    closing,
    crossing,
    evaluation_noise,
    on_log_axis,
    running_median,
)

_CLOSING = 0.1  # decades
_CHANGED = 3.0  # noise standard deviations between plateau and final level


class Transition(NamedTuple):
    """When a metric passes from its plateau to its final level.

    Attributes:
        plateau, final: p and f; NaN where nothing was measured there.
        t_10, t_half, t_90: epochs; infinite where never reached.
        last: the last epoch looked at.
    """

    plateau: float
    final: float
    t_10: float
    t_half: float
    t_90: float
    last: float

    @property
    def censored(self) -> bool:
        """Whether the half-way level was never reached."""
        return math.isinf(self.t_half)

    @property
    def rise(self) -> "Transition":
        """This, of a metric that rises; of one that falls, the same levels and no crossing."""
        return self if self.final > self.plateau else self.unseen

    @property
    def unseen(self) -> "Transition":
        """The same levels and no crossing."""
        return self._replace(t_10=math.inf, t_half=math.inf, t_90=math.inf)


def find_transition(
    epochs: Num[np.ndarray, " t"],
    values: Num[np.ndarray, " t"],
    *,
    start: float = 1.0,
    plateau: float | None = None,
    least: float = 0.0,
) -> Transition:
    """Crossing times of one metric, as defined at the head of this module.

    Args:
        epochs: strictly increasing, 0 allowed and left out.
        values: one an epoch, of any unit, rising or falling; NaN is left out.
        start: t_mem: where the plateau begins and the search for crossings with it.
        plateau: the level to rise from, where it is known (0 for a distance to the own start).
        least: the smallest change that counts, in the unit of the values.

    Returns:
        The crossings. All times are infinite where fewer than three values stand at or after
        `start`, which leaves no plateau but a final level, or where the change from p to f is below
        `least` or within three noise standard deviations.

    Raises:
        ValueError: the epochs are negative or out of order, or the lengths differ.
    """
    at, raw = on_log_axis(epochs, values)
    last = float(at[-1]) if len(at) else 0.0
    nothing = Transition(math.nan, math.nan, math.inf, math.inf, math.inf, last)
    if len(at) < HOLD:
        return nothing
    smooth = running_median(at, raw)
    high = float(np.median(smooth[closing(at, _CLOSING, HOLD)]))
    if np.count_nonzero(at >= start) < HOLD:
        return nothing._replace(final=high)
    low = plateau_level(at, smooth, start) if plateau is None else plateau
    change = high - low
    if not abs(change) > _CHANGED * evaluation_noise(at, raw) or abs(change) < least:
        return nothing._replace(plateau=low, final=high)
    sign = math.copysign(1.0, change)
    t_10, t_half, t_90 = (
        crossing(at, sign * smooth, sign * (low + part * change), start=start)
        for part in (0.1, 0.5, 0.9)
    )
    return Transition(low, high, t_10, t_half, t_90, last)


def plateau_level(
    epochs: Num[np.ndarray, " t"], values: Float[np.ndarray, " t"], start: float
) -> float:
    """p: the median over [start, 2 start]; with no value there, interpolated at √2 start in x."""
    inside = (epochs >= start) & (epochs <= 2 * start)
    if inside.any():
        return float(np.median(values[inside]))
    x = math.log10(start * math.sqrt(2)) if start > 0 else -math.inf
    return float(np.interp(x, np.log10(epochs), values))

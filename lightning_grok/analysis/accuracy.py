"""Which change of an accuracy counts, by how many samples it was counted on.

An accuracy is a share of `samples` held-out ones, so that it is known to a binomial standard error
only: 1,000 samples at 10 % give 9.5 of a thousand. A rise counts where it is, above the plateau and
above chance,

- at least `LEAST_POINTS`: 3 points, below which nobody would speak of generalization;
- at least `LEAST_PART` of what is possible: a tenth of the way from there to 1, so that a network
  with 0.5 % right and 120 classes has not generalized when it comes to 5 %;
- more than `SIGMAS` standard errors of the difference of two such counts. Evaluations of one test
  set are no independent draws, so that many of them don't make the noise smaller.

Chance is 1 / classes, what guessing reaches.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MEMORIZED = 0.99
"""Train accuracy that counts as memorized: a label in a hundred may be wrong."""
LEAST_POINTS = 0.03
LEAST_PART = 0.1
SIGMAS = 3.0


class Counted(NamedTuple):
    """What a test accuracy was counted on.

    Attributes:
        samples: how many; None where it is not known: counting noise is then passed over.
        chance: accuracy of guessing, in [0, 1); None where it is not known: nothing is said of it.
    """

    samples: int | None = None
    chance: float | None = None

    def least(self, base: float) -> float:
        """The lowest accuracy that counts as risen from `base`, or from chance if that is more."""
        base = max(base, self.chance or 0.0)
        rise = max(LEAST_POINTS, LEAST_PART * (1 - base), counting_noise(base, self.samples))
        return base + rise


def counting_noise(base: float, samples: int | None) -> float:
    """The rise d from `base` that is `SIGMAS` standard errors of the difference of two counts.

    d = SIGMAS √((b (1 − b) + (b + d) (1 − b − d)) / samples), solved for d: with the noise of the
    level risen to among it, which at b = 0 is all there is.

    Args:
        base: accuracy, in [0, 1].
        samples: how many; 0 is returned for None.
    """
    if samples is None:
        return 0.0
    z, b = SIGMAS**2, base
    root = math.sqrt((z * (1 - 2 * b)) ** 2 + 8 * z * b * (1 - b) * (samples + z))
    return (z * (1 - 2 * b) + root) / (2 * (samples + z))


def samples_as_noisy(accuracy: Float[np.ndarray, " t"], noise: float) -> int | None:
    """Samples whose count has the standard deviation `noise` about the median accuracy.

    None where that is none: a series without noise, or at 0 or 1.
    """
    level = float(np.median(accuracy)) if len(accuracy) else 0.0
    variance = level * (1 - level)
    return max(1, round(variance / noise**2)) if noise > 0 and variance > 0 else None

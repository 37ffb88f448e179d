"""Breakdowns of training: stretches in which the memorized training set is lost for a while.

Long after memorization the training loss may jump, and within some hundred epochs come back: in
between the network is neither what it was nor what it becomes, and its geometry is far off.
"""

import numpy as np
from jaxtyping import Float, Num

from lightning_grok.analysis.crossing import HOLD

_LOST = 0.5  # train accuracy


def breakdown(
    epochs: Num[np.ndarray, " t"], train_accuracy: Float[np.ndarray, " t"], t_mem: float
) -> Num[np.ndarray, " broken"]:
    """Epochs after 2 t_mem at which train accuracy was below one half.

    Where it stayed there for the last three evaluations or more, the set is lost for good: what is
    measured then is what the network became, and these epochs are none.

    Args:
        epochs: increasing.
        train_accuracy: one an epoch, in [0, 1].
        t_mem: epoch of memorization; infinite where it never came, and so did no breakdown.
    """
    lost = (epochs > 2 * t_mem) & (train_accuracy < _LOST)
    kept = np.flatnonzero(~lost)
    end = int(kept[-1]) + 1 if len(kept) else 0
    if len(lost) - end >= HOLD:
        lost[end:] = False
    return epochs[lost]

"""Series whose times are known."""

import math

import numpy as np

DENSE = np.arange(0, 10_001)
LOG = np.unique(np.round(np.logspace(0, 4, 97)).astype(int))  # 24 a decade


def ramp(epochs, begin, end, low=0.1, high=0.5):
    """Flat at `low` to epoch `begin`, linear in log10(epoch), flat at `high` from `end`."""
    x = np.log10(np.maximum(epochs, 1))
    part = (x - math.log10(begin)) / (math.log10(end) - math.log10(begin))
    return low + (high - low) * np.clip(part, 0, 1)


def between(begin, end, part):
    return begin * (end / begin) ** part


def accuracies(epochs, *, t_mem=30, begin=1000, end=4000, low=0.1, high=0.5):
    train = np.where(epochs >= t_mem, 1.0, 0.5)
    return train, ramp(epochs, begin, end, low, high)

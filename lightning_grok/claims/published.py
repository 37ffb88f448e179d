"""Our runs beside published curves: how far a published value lies from our seeds."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lightning_grok.analysis.statistics import level_at
from lightning_grok.claims.cohort import SeedRun
from lightning_grok.claims.content import PublishedCurves


class Curves(Protocol):
    """Anything that hands out published points, such as a table of published values."""

    def points(self, setup: str, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs (T,) and values (T,) of one of our keys in our unit; empty if there are none."""


def deviations(
    runs: Sequence[SeedRun], published: Curves, of: PublishedCurves
) -> list[dict[str, Any]]:
    """Where a published value lies among seeds: z = (published − mean) / (s √(1 + 1/n)).

    s is the standard deviation over the n seeds (ddof 1). A further seed of the same kind has a z
    that is distributed as Student's t with n − 1 degrees of freedom.

    Args:
        runs: seeds of one setup, at least two.
        published: one value an epoch, from one seed.
        of: keys and epochs.

    Returns:
        One object a key and epoch that is published and that every run reached, with ``key``,
        ``epoch``, ``published``, ``mean``, ``sd``, ``z``; z is infinite where seeds don't differ
        and the published value does.

    Raises:
        NotMeasuredError: a run lacks a key that is published.
    """
    rows: list[dict[str, Any]] = []
    setup = runs[0].run.setup
    for key in of.keys:
        curve = dict(zip(*published.points(setup, key), strict=True))
        for epoch in of.epochs:
            if epoch not in curve:
                continue
            values = np.array([level_at(run, key, epoch) for run in runs])
            if not np.isfinite(values).all():
                continue
            mean, sd = float(values.mean()), float(values.std(ddof=1))
            gap = float(curve[epoch]) - mean
            error = sd * math.sqrt(1 + 1 / len(values))
            z = gap / error if sd > 0 else math.copysign(math.inf, gap) if gap else 0.0
            row = {"key": key, "epoch": epoch, "published": float(curve[epoch])}
            rows.append(row | {"mean": mean, "sd": sd, "z": z})
    return rows

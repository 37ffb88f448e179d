"""How often an interval over seeds covers what it is of: python -m benchmarks.coverage

`verdict` gives Student's t, on logarithms where a claim says so. Neither is exact for values that
are not normal; this simulates, for so many seeds, how often a nominal 95 % interval covers the mean
(on logarithms: the geometric mean). Seed 0; half a minute of one core.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.page import markdown
from lightning_grok.analysis.interval import mean_interval

Draw = Callable[[np.random.Generator, int], np.ndarray]


def _shifted(random: np.random.Generator, seeds: int) -> np.ndarray:
    return random.normal(size=seeds) + 5.0 * (random.random(seeds) < 0.1)


DRAWS: dict[str, tuple[Draw, float, float | None]] = {
    "normal": (lambda random, seeds: random.normal(size=seeds), 0.0, None),
    "exponential": (lambda r, n: r.exponential(size=n), 1.0, -float(np.euler_gamma)),
    "lognormal": (lambda random, n: random.lognormal(size=n), float(np.exp(0.5)), 0.0),
    "normal, one in ten 5 sd higher": (_shifted, 0.5, None),
}
"""How values are drawn, their mean and, of positive ones, the mean of their logarithms."""


def coverage(draw: Draw, mean: float, seeds: int, *, log: bool = False, count: int = 4000) -> float:
    """Share of 95 % intervals that hold `mean`.

    Args:
        draw: values of so many seeds.
        mean: of the values, or of their logarithms.
        seeds: in every interval.
        log: take logarithms first.
        count: of simulated sets; the share is known to about 0.4 %.
    """
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(count):
        values = draw(random, seeds)
        found = mean_interval(np.log(values) if log else values)
        hits += found.low <= mean <= found.high
    return hits / count


def coverage_table() -> str:
    """Coverage in percent for 5 and 10 seeds, of values and of their logarithms."""
    rows = [["values over seeds", "5 seeds", "10 seeds", "logarithms, 5", "logarithms, 10"]]
    for name, (draw, mean, log_mean) in DRAWS.items():
        shares = [coverage(draw, mean, seeds) for seeds in (5, 10)]
        if log_mean is not None:
            shares += [coverage(draw, log_mean, seeds, log=True) for seeds in (5, 10)]
        rows.append([name, *(f"{100 * share:.1f}" for share in shares)])
    width = len(rows[0])
    return markdown([row + ["-"] * (width - len(row)) for row in rows])


if __name__ == "__main__":
    print(coverage_table())

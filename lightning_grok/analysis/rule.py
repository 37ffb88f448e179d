"""What a quantity must be for a statement to be held or failed: the thresholds of a claim."""

import math
from typing import Literal

import msgspec


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of one quantity.

    Attributes:
        test: ``above``, ``below``: the mean over seeds lies beyond `held`, with its interval, and
            `failed` likewise on the other side. ``within``: the interval lies within ± `held` of
            `around`; failed where it lies outside of ± `failed`. ``share``: at least the part
            `held` of the seeds have a value of 1; failed where less than the part `failed` do.
        held, failed: the thresholds. A quantity without `held` can only refute, one without
            `failed` only bear out.
        around: the value that ``within`` is about; on a linear scale only.
        scale: ``log``: means of logarithms, for positive values.
    """

    test: Literal["above", "below", "within", "share"]
    held: float | None = None
    failed: float | None = None
    around: float = 0.0
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        """Refuse thresholds that decide nothing."""
        given = [each for each in (self.held, self.failed) if each is not None]
        if not given or not all(map(math.isfinite, given)):
            raise ValueError("expected a finite number as held or failed, received none")
        if self.test == "share" and (self.held is None or not all(0 <= e <= 1 for e in given)):
            raise ValueError(f"expected held for a share, in [0, 1], received {given}")
        if self.held is not None and self.failed is not None:
            down = self.test in ("above", "share")
            if self.failed > self.held if down else self.failed < self.held:
                side = "at most" if down else "at least"
                raise ValueError(
                    f"expected failed {side} held beside {self.test}, received {self.failed:g} "
                    f"beside {self.held:g}"
                )
        linear_within = self.test == "within" and self.scale == "linear"
        if self.around and not (linear_within and math.isfinite(self.around)):
            raise ValueError(f"expected around beside a linear within, received {self.around}")
        if self.test == "within" and not all(each > 0 for each in given):
            raise ValueError(f"expected margins above 0, received {given}")
        if self.scale == "log" and not all(each > 0 for each in given):
            raise ValueError(f"expected thresholds above 0 on a log scale, received {given}")

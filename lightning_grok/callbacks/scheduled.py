"""When a callback is due: at which epochs and steps of a training."""

from collections.abc import Mapping, Sequence

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_grok.errors import InputError
from lightning_grok.ranges import Epoch, PerDecade
from lightning_grok.schedule import OPEN_END, ROUND_EPOCHS, EpochPoints, Schedule, evaluation_epochs

Epochs = Sequence[Epoch] | PerDecade | None
"""Completed epochs; or how many log-spaced ones a decade beside round ones; or round ones alone."""


def epochs_within(option: str, epochs: Sequence[int], last: int) -> tuple[int, ...]:
    """Those of the listed epochs that a run has which ends at `last`; all of one without an end.

    Raises:
        InputError: none is left.
    """
    found = tuple(epoch for epoch in epochs if last < 0 or epoch <= last)
    if not found:
        raise InputError(
            f"expected {option} with one up to trainer.max_epochs = {last}, received "
            f"{', '.join(map(str, epochs))}"
        )
    return found


def tell_left_out(options: Mapping[str, Sequence[int]], last: int | None) -> None:
    """Say which listed epochs are beyond the end of a run, if any, in one line.

    Args:
        options: names of options and what they list.
        last: epoch of the run; -1 or None where it has no end.
    """
    end = -1 if last is None else last
    beyond = {name: {e for e in epochs if e > end >= 0} for name, epochs in options.items()}
    names = [name for name, epochs in beyond.items() if epochs]
    if names:
        epochs = ", ".join(map(str, sorted(set().union(*beyond.values()))))
        rank_zero_info(
            f"left out of {', '.join(names)} beyond trainer.max_epochs = {end}: epochs {epochs}"
        )


class Scheduled(L.Callback):
    """Is due at points of a training that are settled once its end is known.

    Args:
        enabled: False switches it off.
        epochs, steps, every_n_epochs, every_n_steps: as for a `Schedule`; without any
            `ROUND_EPOCHS`, to which a number of epochs adds.

    Raises:
        InputError: the epochs are negative, out of order or, once the run is known, all beyond its
            end.
    """

    name: str

    def __init__(
        self,
        enabled: bool,
        epochs: Epochs,
        steps: EpochPoints,
        every_n_epochs: int | None,
        every_n_steps: int | None,
    ) -> None:
        super().__init__()
        self.enabled = enabled
        try:
            self.schedule = Schedule(epochs, steps, every_n_epochs, every_n_steps)
        except ValueError as error:
            option = self.name if epochs is None else f"{self.name}.epochs"
            raise InputError(f"{option}: {error}") from None
        self._due: frozenset[int] = frozenset()

    def due(self, epoch: float) -> bool:
        """Whether to measure after `epoch` completed epochs; override for another policy."""
        every = self.schedule.every_n_epochs
        return epoch in self._due or (every is not None and epoch % every == 0)

    def due_at_step(self, step: int) -> bool:
        """Whether to measure after `step` optimizer steps; override for another policy."""
        return self.schedule.at_step(step)

    def times_due(self, after: int, last: int) -> int:
        """How often it is due after more than `after` epochs and at most `last`."""
        every = self.schedule.every_n_epochs
        regular = 0 if every is None else last // every - after // every
        return regular + sum(after < e <= last and (every is None or e % every) for e in self._due)

    def wants_step(self, step: int) -> bool:
        """Whether it has to see the network after a step, be it the last one of an epoch or not."""
        return self.enabled and self.due_at_step(step)

    def plan(self, last: int | None) -> None:
        """Settle the epochs of a run that ends at `last` (-1 or None: open end).

        Raises:
            InputError: it ends before the first that is listed.
        """
        last = -1 if last is None else last
        given = self.schedule.epochs
        if isinstance(given, tuple):
            self._due = frozenset(epochs_within(f"{self.name}.epochs", given, last))
            return
        end = last if last >= 0 else OPEN_END
        self._due = frozenset({0, end})
        if isinstance(given, int) and end > 0:
            self._due = evaluation_epochs(end, given)
        elif self.schedule == Schedule():
            self._due |= {epoch for epoch in ROUND_EPOCHS if epoch <= end}

    def end_at(self, epoch: int) -> bool:
        """Let the last epoch of a run that ended early be due; True if it was not before.

        Where the epochs to measure at were given one by one, they stay all.
        """
        if isinstance(self.schedule.epochs, tuple) or self.due(epoch):
            return False
        self._due |= {epoch}
        return True

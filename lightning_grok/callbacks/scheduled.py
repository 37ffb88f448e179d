"""When a callback is due: at which epochs and steps of a training."""

from collections.abc import Sequence

import lightning as L

from lightning_grok.errors import InputError
from lightning_grok.ranges import Epoch, PerDecade
from lightning_grok.schedule import OPEN_END, ROUND_EPOCHS, EpochPoints, Schedule, evaluation_epochs

Epochs = Sequence[Epoch] | PerDecade | None
"""Completed epochs; or how many log-spaced ones a decade beside round ones; or round ones alone."""


def expect_within(scheduled: "Sequence[Scheduled]", last: int | None) -> None:
    """Refuse listed epochs beyond the end of a run, all at once.

    Raises:
        InputError: there are some.
    """
    listed = {f"{each.name}.epochs": each.schedule.epochs for each in scheduled}
    ends = {option: given[-1] for option, given in listed.items() if isinstance(given, tuple)}
    beyond = {option: end for option, end in ends.items() if last is not None and 0 <= last < end}
    if beyond:
        raise InputError(
            f"expected {', '.join(beyond)} up to trainer.max_epochs = {last}, received "
            f"{', '.join(map(str, beyond.values()))}; a number of them, such as "
            f"--{next(iter(beyond))}=12, is so many a decade, however long the run"
        )


class Scheduled(L.Callback):
    """Is due at points of a training that are settled once its end is known.

    Args:
        enabled: False switches it off.
        epochs, steps, every_n_epochs, every_n_steps: as for a `Schedule`; without any
            `ROUND_EPOCHS`, to which a number of epochs adds.

    Raises:
        InputError: the epochs are negative, out of order or, once the run is known, beyond its end.
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
        """Settle the epochs of a run that ends at `last` (-1 or None: open end)."""
        last = -1 if last is None else last
        given = self.schedule.epochs
        if isinstance(given, tuple):
            expect_within([self], last)
            self._due = frozenset(given)
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

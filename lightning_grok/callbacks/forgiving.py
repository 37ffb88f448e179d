"""What becomes of an error: before a run trains it is refused, later on logged as an event."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_grok.callbacks.recording import record_event
from lightning_grok.errors import InputError, first_line
from lightning_grok.runs.files import is_disk_error


def is_passing(error: Exception) -> bool:
    """Whether it may fail at one network and not at the next.

    So do memory and numerics, and a measure of minima at a network that stands in none.
    """
    return type(error) is RuntimeError or isinstance(error, ArithmeticError)


class Forgiving:
    """Lets a training go on where a measurement fails, unless it is `strict`."""

    name: str
    strict: bool

    @contextmanager
    def _forgiven(self, trainer: L.Trainer, epoch: float) -> Iterator[None]:
        """Turn an error into an event, unless `strict`; a full disk stops the run in any case.

        Nor is the first one forgiven, before anything is trained.
        """
        try:
            with self._refused() if trainer.global_step == 0 else nullcontext():
                yield
        except Exception as error:
            first = trainer.global_step == 0 and isinstance(error, InputError)
            if self.strict or first or is_disk_error(error):
                raise
            self._note_error(trainer, epoch, f"{type(error).__name__}: {first_line(error)}")

    def _note_error(self, trainer: L.Trainer, epoch: float, reason: str) -> None:
        rank_zero_warn(f"{self.name} at epoch {epoch:g} failed, training goes on. {reason}")
        record_event(trainer, "error", epoch, {"measurement": self.name, "message": reason})

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Turn an error that is not passing into the refusal of a run."""
        try:
            yield
        except (InputError, OSError):
            raise
        except Exception as error:
            if self.strict or is_passing(error):
                raise
            raise self._refusal(f"{type(error).__name__}: {first_line(error)}") from error

    def _refusal(self, reason: str) -> InputError:
        return InputError(
            f"expected a network and samples that {self.name} can measure, received: {reason}; "
            "enabled=False leaves it out"
        )

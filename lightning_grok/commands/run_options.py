"""The options ``run``: where a run is written, what it begins with, how it is measured."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lightning_grok.errors import InputError
from lightning_grok.paths import expand_path
from lightning_grok.ranges import NotNegative, Range, check_range
from lightning_grok.runs.names import validate_name
from lightning_grok.schedule import OPEN_END, log_spaced, validate_epochs


@dataclass
class RunOptions:
    """Where a run is written.

    Args:
        name: of the run's directory; it must be new. None makes one of the data, the setup and the
            seed, with a number behind it where that is taken.
        root: the folder of runs; by default that of the run which this one begins with, if any.
        checkpoint_seconds: shortest time between two checkpoints.
        figures: whether to draw the run at its end; ``python -m lightning_grok figures`` does it at
            any time.
        extends: directory of a shorter run, which the new run begins with instead of training these
            epochs again, configured as that is; besides trainer.max_epochs only measured epochs
            after its end may differ. It stays as it is.
        branches: directory of a run, the trunk, that this one shares its first epochs with,
            configured as that is. Options of model, optimizer, data, trainer and evaluation may
            differ; network, random vectors and, where the data are, measured samples are the
            trunk's.
        from_epoch: at which to leave the trunk; it needs a checkpoint there (``branch_points``).
        set: changes of the trunk's state there: factors on ``weights``, on the optimizer's
            ``first_moment`` and ``second_moment`` and on the number of ``steps`` it has counted, of
            one layer with ``/layers.0`` behind it; ``reinitialize/layers.6: SEED`` draws a layer
            anew.
        branch_points: epochs whose checkpoint is kept to branch from, or so many log-spaced ones a
            decade; a checkpoint takes three times the weights and what measurements remember
            (about 5 MB for the network of grok.yaml).
        measure: ``inline`` measures between two epochs; ``beside`` in a sibling process on the CPU
            while training goes on, with the same numbers, logged a little later.
        watch: whether to open the live page while the run goes on, and to leave it in the run's
            directory as report.html, with the figures and the verdict on the paper's claims.
        port: of the live page on 127.0.0.1; 0 takes a free one.
    """

    name: str | None = None
    root: str = "runs"
    checkpoint_seconds: float = 20.0
    figures: bool = True
    extends: str | None = None
    measure: Literal["inline", "beside"] = "inline"
    watch: bool = False
    port: int = 0
    branches: str | None = None
    from_epoch: int | None = None
    set: dict[str, float] | None = None
    branch_points: list[int] | int | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range; take paths as a shell does."""
        self.root = str(expand_path(self.root))
        self.extends = None if self.extends is None else str(expand_path(self.extends))
        self.branches = None if self.branches is None else str(expand_path(self.branches))
        if self.name is not None:
            validate_name(self.name)
        check_range("run.checkpoint_seconds", self.checkpoint_seconds, NotNegative)
        check_range("run.port", self.port, Annotated[int, Range(0, 65_535)])
        _check_beginning(self)
        self.points = _branch_epochs(self.branch_points)


def _branch_epochs(points: list[int] | int | None) -> frozenset[int]:
    """The epochs that ``run.branch_points`` means.

    Raises:
        InputError: they are out of range or out of order.
    """
    try:
        if points is None:
            return frozenset()
        if isinstance(points, int):
            return frozenset(log_spaced(OPEN_END, points))
        return frozenset(validate_epochs(points))
    except ValueError as error:
        raise InputError(f"run.branch_points: {error}") from None


def _check_beginning(options: RunOptions) -> None:
    """Refuse options that say two things, or half of one."""
    if options.branches is not None and options.from_epoch is None:
        raise InputError("expected run.branches with run.from_epoch, received no run.from_epoch")
    if options.branches is None and (options.from_epoch is not None or options.set):
        raise InputError("expected run.from_epoch and run.set with run.branches, received none")

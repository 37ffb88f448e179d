"""The paper's figures by number: what each needs, what draws it, and what makes its runs."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lightning_grok.errors import InputError
from lightning_grok.figures.printing import write_figure
from lightning_grok.paper.figures import training
from lightning_grok.paper.figures.correlation import figure_10
from lightning_grok.paper.figures.kernel import SAMPLED, figure_6, figure_9
from lightning_grok.paper.figures.probe import figure_4
from lightning_grok.paper.figures.runs import PaperRuns, command_for
from lightning_grok.paper.figures.seeds import figure_11
from lightning_grok.paper.figures.splits import COMMAND, figure_13, figure_14
from lightning_grok.paper.figures.table import figure_table, table_csv, table_markdown, table_rows
from lightning_grok.runs.files import write_content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SWEEP = "python -m lightning_grok sweep sweeps/table1.yaml"


class PaperFigure(NamedTuple):
    """One figure, or one part of it.

    Attributes:
        number: as in the paper, with a letter where it is drawn in parts.
        title: what it shows.
        setups: names of the setups; it is drawn with those that have runs.
        needs: groups of measurements without which a run says nothing here.
        draw: draws it.
        command: makes the runs; None takes a fit for each setup.
    """

    number: str
    title: str
    setups: tuple[str, ...]
    needs: tuple[str, ...]
    draw: Callable[[PaperRuns], "Figure"]
    command: str | None = None

    @property
    def stem(self) -> str:
        """Name of its files."""
        if self.number == TABLE:
            return "table_1"
        digits = self.number.rstrip("abc")
        return f"figure_{int(digits):02d}{self.number.removeprefix(digits)}"

    @property
    def name(self) -> str:
        """As a reader calls it."""
        return "Table 1" if self.number == TABLE else f"Figure {self.number}"


TABLE = "table1"
_BOTH = ("evaluation", "manifold_capacity")
_TABLE_SETUPS = tuple(dict.fromkeys(s for _, block in training.BLOCKS.values() for s in block))

FIGURES: tuple[PaperFigure, ...] = (
    PaperFigure("1", "output scale on MNIST", tuple(training.MNIST_OUTPUT),
                ("evaluation",), training.figure_1),
    PaperFigure("2", "one run that groks", (training.GROKKING,), ("evaluation",),
                training.figure_2),
    PaperFigure("3", "output scale 0.5 and 0.001", tuple(training.EMNIST_OUTPUT),
                (*_BOTH, "kernel_distance"), training.figure_3),
    PaperFigure("4", "linear probes", tuple(training.EMNIST_OUTPUT), ("linear_probe",), figure_4),
    PaperFigure("5", "standard initialization", (training.STANDARD,), _BOTH, training.figure_5),
    PaperFigure("6", "kernel distance over other images", (SAMPLED,), ("kernel_distance",),
                figure_6),
    PaperFigure("7", "weight scale on MNIST", tuple(training.MNIST_WEIGHT), ("evaluation",),
                training.figure_7),
    PaperFigure("8", "weight norms on MNIST",
                (next(iter(training.MNIST_WEIGHT)), *training.MNIST_OUTPUT), ("weight_norm",),
                training.figure_8),
    PaperFigure("9", "kernel distance on MNIST", tuple(training.MNIST_OUTPUT),
                ("kernel_distance",), figure_9),
    PaperFigure("10", "what goes with test accuracy", tuple(training.EMNIST_OUTPUT),
                (*_BOTH, "kernel_distance"), figure_10),
    PaperFigure("11", "seeds", (training.LARGE_OUTPUT,), ("evaluation",), figure_11),
    PaperFigure("12", "Adam", tuple(training.ADAM), _BOTH, training.figure_12),
    PaperFigure("13", "geometry of training and test images", (training.GROKKING,),
                ("evaluation",), figure_13, COMMAND),
    PaperFigure("14", "agreement of training and test geometry", (training.GROKKING,),
                ("evaluation",), figure_14, COMMAND),
    *(
        PaperFigure(f"15{block}", f"Table 1 by {changed.partition(' (')[0]}", tuple(setups), _BOTH,
                    training.figures_15[block], _SWEEP)
        for block, (changed, setups) in training.BLOCKS.items()
    ),
    PaperFigure(TABLE, "setups and events", _TABLE_SETUPS, ("evaluation",), figure_table, _SWEEP),
)  # fmt: skip
"""All figures in the order of the paper. 1c is a cartoon and is left out."""


def find_figures(only: str | None) -> list[PaperFigure]:
    """The figures that ``--only`` names: ``2,10``, a part ``15b``, or ``table1``; None: all.

    Raises:
        InputError: there is no such figure.
    """
    if only is None:
        return list(FIGURES)
    wanted = [part.strip().lower() for part in only.split(",") if part.strip()]
    found = []
    for name in wanted:
        matching = [f for f in FIGURES if name in (f.number, f.number.rstrip("abc"))]
        if not matching:
            known = ", ".join(dict.fromkeys(f.number.rstrip("abc") for f in FIGURES))
            raise InputError(f"expected figures of {known}, received {name}")
        found += matching
    if not found:
        raise InputError(f"expected figures such as 2,10, received {only!r}")
    return [figure for figure in FIGURES if figure in found]


def missing(figure: PaperFigure, runs: PaperRuns) -> list[str]:
    """A line for setups without runs and one for measurements that were not taken; each names the
    command that makes them."""
    absent = [setup for setup in figure.setups if runs.seeds(setup) is None]
    lines = []
    if absent:
        command = figure.command or " && ".join(command_for(setup) for setup in absent)
        lines.append(f"no run of {', '.join(absent)}; to run: {command}")
    shown = [seeds for setup in figure.setups if (seeds := runs.seeds(setup)) is not None]
    for need in figure.needs:
        without = [
            run.path
            for seeds in shown
            for run in seeds.runs
            if need != "evaluation" and not any(key.startswith(f"{need}") for key in run.keys)
        ]
        if without:
            place = shlex.quote(str(without[0]))
            command = f"python -m lightning_grok measure {place} --{need}.enabled=true"
            rest = f" (and {len(without) - 1} more)" if without[1:] else ""
            lines.append(f"no {need} in {without[0]}{rest}; to run: {command}")
    return lines


def drawable(figure: PaperFigure, runs: PaperRuns) -> bool:
    """Whether at least one of its setups has runs that measured what it needs."""
    for setup in figure.setups:
        seeds = runs.seeds(setup)
        keys = [] if seeds is None else seeds.keys
        needed = ["test/accuracy" if n == "evaluation" else n for n in figure.needs]
        if keys and all(any(key.startswith(need) for key in keys) for need in needed):
            return True
    return False


def write_paper_figures(
    runs: PaperRuns,
    out: str | os.PathLike[str],
    only: str | None = None,
    say: Callable[[str], None] = print,
    wrote: Callable[[Path], object] = lambda path: None,
) -> list[Path]:
    """Draw the paper's figures and write them as `printing` says, Table 1 as CSV and Markdown too.

    Args:
        runs: what to draw from.
        out: folder to write into; it is made.
        only: see `chosen`.
        say: takes one line for each figure that is not drawn, or not with all its setups, with the
            command that makes what is missing.
        wrote: takes every file as soon as it is written.

    Returns:
        The files written.

    Raises:
        InputError: ``only`` names no figure.
    """
    written: list[Path] = []
    for figure in find_figures(only):
        for line in missing(figure, runs):
            say(f"{figure.name}: {line}")
        if not drawable(figure, runs):
            continue
        try:
            drawn = figure.draw(runs)
        except InputError as error:
            say(f"{figure.name}: {error}")
            continue
        stem = Path(out) / figure.stem
        files = [*write_figure(drawn, stem)]
        if figure.number == TABLE:
            files += _write_table(runs, stem)
        for path in files:
            wrote(path)
        written += files
    for line in runs.left_out:
        say(line)
    return written


def _write_table(runs: PaperRuns, stem: Path) -> Sequence[Path]:
    rows = table_rows(runs)
    texts = {"csv": table_csv(rows), "md": table_markdown(rows)}
    files = {stem.with_name(f"{stem.name}.{kind}"): text for kind, text in texts.items()}
    for path, text in files.items():
        write_content(path, text)
    return list(files)

"""What a fit says and draws when its run has come to the end."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tqdm.auto import tqdm

from lightning_grok.analysis.onset import run_events
from lightning_grok.errors import InputError, first_line
from lightning_grok.runs.failures import failed_measurements
from lightning_grok.runs.provenance import extension_command
from lightning_grok.runs.run import Run
from lightning_grok.runs.summary import run_outcome


def say_how_it_went(path: Path, *, figures: bool, report: bool) -> None:
    """Print what is missing, events and costs; draw the run, with figures or a report with them."""
    run = Run(path)
    for name, how in failed_measurements(run).items():
        print(f"INCOMPLETE: {name} failed at every epoch at which it was due ({how})")
    print(run_outcome(run))
    with suppress(ValueError):  # which the outcome has told of
        events = run_events(run)
        if events.moving:
            command = extension_command(run, str(run.path))
            print(f"no final level yet; extend with\n{command}")
        elif not events.grokked and math.isfinite(events.test_accuracy):
            print(f"not grokked: {events.reason}")
    print(f"took {_cost_line(run.costs())}")
    print(f"run: {path}")
    if report:
        _draw(path, "report", _report)
    elif figures:
        _draw(path, "figures", _figures)


_Write = Callable[[Path, Callable[[Path], object]], Sequence[Path]]


def _draw(path: Path, what: str, write: _Write) -> None:
    """Write the run's figures; whatever stands in the way, the run itself is whole."""
    print(f"drawing the {what}", flush=True)
    try:
        with tqdm(unit=" files", leave=False, disable=None) as bar:
            files = write(path, lambda each: bar.update())
    except (OSError, InputError) as error:
        print(f"{what}: not written ({first_line(error)})")
        return
    except KeyboardInterrupt:
        print(f"{what}: not written (interrupted)")
        return
    if files:
        print(f"{what}: {files[0]} and {len(files) - 1} more")


def _figures(path: Path, wrote: Callable[[Path], object]) -> Sequence[Path]:
    from lightning_grok.figures import write_run_figures

    return write_run_figures(path, wrote=wrote)


def _report(path: Path, wrote: Callable[[Path], object]) -> Sequence[Path]:
    from lightning_grok.dashboard.report import write_report
    from lightning_grok.paper.claims.page import verdict_table

    return write_report([path], path, verdict_table, wrote)


def _cost_line(costs: dict[str, float]) -> str:
    """``6 min 12 s: training 300 s, kernel_distance 40 s, ...``, the dearest first."""
    total = sum(costs.values())
    dearest = sorted(costs.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in dearest)
    return f"{total // 60:.0f} min {total % 60:.0f} s: {parts}"

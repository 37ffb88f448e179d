"""The pages in docs/results over many runs, written anew from the runs' compact copies.

    python -m benchmarks.results [RUNS ...] [--cause RUNS ...] [--tasks RUNS ...]
        [--published published.csv]

Copies the series of the finished runs in RUNS into docs/results/runs.zip, of those after --cause
and --tasks, which are not the paper's, into cause.zip and tasks.zip beside it, draws the paper's
figures from the first into docs/results/figures, and replaces the text between ``<!-- name -->``
and ``<!-- /name -->`` on every page of docs/results by the table of that name (`tables`). What a
page says around its tables is written by hand, and has to be read again.
"""

import argparse
import io
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.causes import branches_table, decay_table, effects_table, twins_table, units_table
from benchmarks.coverage import coverage_table
from benchmarks.page import markdown
from benchmarks.task_claims import task_claims_table, task_events_table
from lightning_grok.analysis.onset import run_events
from lightning_grok.analysis.reading import NotMeasuredError
from lightning_grok.claims.cohort import SeedRun
from lightning_grok.commands.verdict import main as print_verdict
from lightning_grok.errors import InputError
from lightning_grok.paper.claims.verdict import verdict
from lightning_grok.paper.figures.drawing import write_paper_figures
from lightning_grok.paper.figures.runs import PaperRuns
from lightning_grok.paper.figures.table import table_markdown, table_rows
from lightning_grok.paper.published import Published
from lightning_grok.runs.compact import write_compact
from lightning_grok.runs.folders import find_runs
from lightning_grok.runs.run import Run, read_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RUNS, CAUSE, TASKS = (RESULTS / f"{name}.zip" for name in ("runs", "cause", "tasks"))
BRANCHES, TASK_CLAIMS = RESULTS / "branches.yaml", RESULTS / "tasks.yaml"

Setups = dict[str, list[Run]]


def by_setup(runs: Sequence[Run]) -> Setups:
    """Runs of each setup, by seed."""
    found: Setups = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.dataset, run.setup, run.seed or 0)):
        found[run.setup].append(run)
    for setup, each in found.items():
        if len({run.dataset for run in each}) > 1 or len({run.seed for run in each}) < len(each):
            raise InputError(f"expected runs of one data set and different seeds of {setup}")
    return found


def spread(values: Sequence[float], form: str) -> str:
    """Median and, where values differ, the smallest and the largest; infinite is never."""
    texts = [f"{v:{form}}" if np.isfinite(v) else "never" for v in (
        np.median(values), min(values), max(values))]  # fmt: skip
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} ({texts[1]} to {texts[2]})"


def at(run: Run, key: str, epoch: float) -> float:
    """The value at the last measurement up to `epoch`, breakdowns aside; NaN for none."""
    try:
        epochs, values = SeedRun(run).series(key)
    except NotMeasuredError:
        return float("nan")
    known = epochs <= epoch
    return float(values[known][-1]) if known.any() else float("nan")


def column(runs: Sequence[Run], key: str, epoch: Callable[[Run], float], form: str) -> str:
    """`spread` over seeds of a series at an epoch of each run; empty where nobody measured it."""
    values = [at(run, key, epoch(run)) for run in runs]
    values = [value for value in values if np.isfinite(value)]
    return spread(values, form) if values else ""


def start(run: Run) -> float:
    return 0


def plateau(run: Run) -> float:
    """Before the rise of test accuracy after memorization; where none was seen, 2 t_mem."""
    events = run_events(run)
    return events.test.t_10 if events.delayed else min(2 * events.t_mem, run.epoch)


def end(run: Run) -> float:
    return run.epoch


def last_epochs(runs: Sequence[Run]) -> str:
    """``10,000 or 30,000``."""
    return " or ".join(f"{epoch:,}" for epoch in sorted({run.epoch for run in runs}))


def seeds_table(setups: Setups) -> str:
    """Events and final values of every setup over its seeds."""
    rows = [["setup", "seeds", "last epoch", "grokked", "t_mem", "t_half", "final test accuracy, %",
             "final capacity, last layer"]]  # fmt: skip
    for setup, runs in setups.items():
        events = [run_events(run) for run in runs]
        rises = [e.late.t_half for e in events]
        capacity = f"manifold_capacity/{SeedRun(runs[0]).last_layer}/capacity"
        rows.append(
            [
                setup,
                str(len(runs)),
                last_epochs(runs),
                f"{sum(e.grokked for e in events)} of {len(runs)}",
                spread([e.t_mem for e in events], ",.0f"),
                spread(rises, ",.0f"),
                spread([100 * at(run, "test/accuracy", run.epoch) for run in runs], ".1f"),
                column(runs, capacity, end, ".4f"),
            ]
        )
    return markdown(rows)


def kernel_table(setups: Setups) -> str:
    """Full-kernel distances to the own start and to another network beside the null floor."""
    rows = [["setup", "seeds", "floor", "to another network, at the start", "before the rise",
             "at the end", "to the own start, before the rise", "at the end"]]  # fmt: skip
    own, foreign = "kernel_distance/full/own", "kernel_distance/full/foreign"
    for setup, runs in setups.items():
        floor = [at(run, "kernel_distance/full/floor", 0) for run in runs]
        sd = np.mean([at(run, "kernel_distance/full/floor_sd", 0) for run in runs])
        cells = [f"{np.mean(floor):.3f} ± {sd:.3f}", column(runs, foreign, start, ".3f")]
        cells += [
            column(runs, key, when, ".3f") for key in (foreign, own) for when in (plateau, end)
        ]
        rows.append([setup, str(len(runs)), *cells])
    return markdown(rows)


def probe_table(setups: Setups) -> str:
    """Probe accuracies in percent, sound in both orientations and as published."""
    rows = [["setup", "seeds", "probe", "at the start", "before the rise", "at the end"]]
    names = {
        "sound": "held out, converged; digits turned as the training images",
        "sound_stored": "held out, converged; upright digits",
        "paper": "as published: 100 steps, scored on its training digits",
    }
    for setup, runs in setups.items():
        for kind, name in names.items():
            cells = []
            for when in (start, plateau, end):
                values = [100 * at(run, f"linear_probe/{kind}/accuracy", when(run)) for run in runs]
                cells.append(spread(values, ".1f") if np.isfinite(values).all() else "")
            if any(cells):
                rows.append([setup, str(len(runs)), name, *cells])
    return markdown(rows)


def cost_table(setups: Setups) -> str:
    """Minutes of a run by setup, and hours in all."""
    rows = [["setup", "runs", "epochs", "minutes a run"]]
    total = 0.0
    for setup, runs in setups.items():
        minutes = [run.meta["seconds"] / 60 for run in runs]
        total += sum(minutes)
        rows.append([setup, str(len(runs)), last_epochs(runs), spread(minutes, ".0f")])
    return f"{markdown(rows)}\n\nTogether {total / 60:.1f} hours."


def verdict_text(*options: str) -> str:
    """What the command prints."""
    with redirect_stdout(io.StringIO()) as printed:
        print_verdict([str(RUNS), str(CAUSE), *options])
    return printed.getvalue()


def agreement_text(runs: Sequence[Run], published: Path) -> str:
    """C16 alone, which needs the published values."""
    return f"C16 with the published values: {verdict(runs, published=published)['C16']['reason']}"


def tables(published: Path | None) -> dict[str, str]:
    """Every table by its name."""
    runs = [Run(path) for path in find_runs(RUNS)]
    setups = by_setup(runs)
    found = {
        "seeds": seeds_table(setups),
        "kernel": kernel_table(setups),
        "probes": probe_table(setups),
        "cost": cost_table(setups),
        "verdict": f"```text\n{verdict_text()}```",
        "branches": branches_table(read_runs([CAUSE])),
        "effects": effects_table(read_runs([CAUSE]), BRANCHES),
        "twins": twins_table(read_runs([RUNS, CAUSE])),
        "decay": decay_table(read_runs([CAUSE])),
        "units": units_table(read_runs([CAUSE])),
        "task_claims": task_claims_table(read_runs([TASKS]), TASK_CLAIMS),
        "task_events": task_events_table(read_runs([TASKS]), TASK_CLAIMS),
    }
    if published is not None:
        found["agreement"] = agreement_text(runs, published)
        found["table1"] = table_markdown(table_rows(PaperRuns([RUNS], Published(published))))
    return found


def slow_tables() -> dict[str, str]:
    """The tables that take half a minute each."""
    variants = verdict_text("--variants")
    variants = variants[variants.index("by other definitions") :]
    return {"coverage": coverage_table(), "variants": f"```text\n{variants}```"}


def write_figures(published: Path | None) -> None:
    """PNG files of all figures that the copies suffice for, and the names of these copies."""
    runs = PaperRuns([RUNS], None if published is None else Published(published))
    (RESULTS / "figures").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in write_paper_figures(
            runs, folder, None, lambda line: print(line, file=sys.stderr)
        ):
            if path.suffix == ".png":
                shutil.copyfile(path, RESULTS / "figures" / path.name)
    names = sorted(path.name for path in find_runs(RUNS))
    (RESULTS / "figures" / "runs.txt").write_text("".join(f"{name}\n" for name in names))


def _between(text: str, found: re.Match[str]) -> str:
    return f"{found[1]}{text}\n{found[2]}"


def fill(page: str, found: dict[str, str]) -> str:
    """A page with its tables in place; a table that isn't known now stays as it is."""
    for name, text in found.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        page = re.sub(pattern, partial(_between, text), page, flags=re.DOTALL)
    return page


def main() -> None:
    """Copy, draw and fill in."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs to copy from")
    parser.add_argument("--cause", type=Path, nargs="+", default=[], help="the same, for cause.zip")
    parser.add_argument("--tasks", type=Path, nargs="+", default=[], help="the same, for tasks.zip")
    parser.add_argument("--published", type=Path, help="CSV of published values")
    options = parser.parse_args()
    archives = ((options.runs, RUNS), (options.cause, CAUSE), (options.tasks, TASKS))
    for runs, archive in archives:
        if runs:
            write_compact([run for run in read_runs(runs) if run.state == "finished"], archive)
    write_figures(options.published)
    found = tables(options.published) | slow_tables()
    for page in RESULTS.glob("*.md"):
        page.write_text(fill(page.read_text(), found))


if __name__ == "__main__":
    main()

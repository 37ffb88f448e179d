"""The tables of docs/results/tasks.md over the runs of tasks.zip: claims, and what came when.

`benchmarks.results` writes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import markdown
from lightning_grok.claims.cohort import SeedRun, cohort
from lightning_grok.claims.content import read_claims
from lightning_grok.claims.table import with_parts
from lightning_grok.claims.verdict import judge
from lightning_grok.runs.run import Run


def task_claims_table(runs: Sequence[Run], claims: Path) -> str:
    """Each claim on each task: outcome, the estimate that it hangs on and its interval."""
    content = read_claims(claims)
    rows = [["claim", *(each.replace("_", " ") for each in content.setups)]]
    for name, found in with_parts(judge(content, runs)).items():
        cells = [_cell(found["setups"][setup]) for setup in content.setups]
        rows.append([f"{name}: {found['statement'].lower()}", *cells])
    return markdown(rows)


def task_events_table(runs: Sequence[Run], claims: Path) -> str:
    """When each seed of each task memorized and generalized, and how far it went."""
    content = read_claims(claims)
    rows = [["task", "seeds", "to epoch", "memorized", "half", "test accuracy, %", "grokked"]]
    every = [SeedRun(run, content) for run in runs]
    for name, setup in content.setups.items():
        seeds = cohort(every, setup).runs
        if not seeds:
            continue
        events = [each.events for each in seeds]
        halves = sorted(each.test.t_half for each in events)
        rows.append(
            [
                name.replace("_", " "),
                str(len(seeds)),
                f"{min(each.last for each in seeds):,}",
                _range([each.t_mem for each in events]),
                _range(halves),
                _range([100 * each.test_accuracy for each in events]),
                f"{sum(each.grokked for each in events)} of {len(events)}",
            ]
        )
    return markdown(rows)


def _cell(found: dict[str, Any]) -> str:
    """What one task says of one claim."""
    if not found["seeds"]:
        return "not run"
    if found["interval"] is None:
        return f"undecided: {found['reason']}"
    low, high = found["interval"]
    estimate = f"{found['quantity']} {found['estimate']:.3g} [{low:.3g}, {high:.3g}]"
    short = "" if found["tested"] else f", {found['seeds']} seeds"
    return f"**{found['verdict']}** {estimate}{short}"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:,.0f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"

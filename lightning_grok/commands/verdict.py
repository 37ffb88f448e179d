"""``python -m lightning_grok verdict``: the paper's claims on runs, held, failed or undecided."""

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_grok.errors import InputError

if TYPE_CHECKING:
    from lightning_grok.runs import Run

_WIDTH = 100
_COLUMNS = ("claim", "verdict", "estimate [interval]", "seeds", "figure")
_WIDTHS = (8, 11, 34, 7, 40)


def main(arguments: Sequence[str]) -> None:
    """Print a table, or with ``--json`` one object keyed by claim."""
    parser = argparse.ArgumentParser(
        prog="python -m lightning_grok verdict",
        description="Test the paper's claims over the seeds of runs: held, failed or undecided, "
        "with an estimate, its interval over seeds, the number of seeds, the paper's figure and "
        "ours to look at, and why. Only logged series are read.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories or folders of runs")
    parser.add_argument("--json", action="store_true", help="one JSON object, keyed by claim")
    parser.add_argument("--published", type=Path, help="CSV of published values, for C16")
    parser.add_argument("--claims", type=Path, help="claims instead of the package's claims.yaml")
    options = parser.parse_args(arguments)
    runs = find_all(options.runs)
    from lightning_grok.analysis.claims import verdict

    found = verdict(runs, claims=options.claims, published=options.published)
    coming = forecasts(runs)
    if options.json:
        print(json.dumps({**found, "forecast": coming}, indent=1, allow_nan=False))
        return
    for line in table(found, coming):
        print(line)


def find_all(paths: Sequence[Path]) -> "list[Run]":
    """The runs in directories and in folders of runs, each once.

    Raises:
        InputError: a path holds no run.
    """
    from lightning_grok.runs import Run, find_runs

    found: dict[Path, Run] = {}
    for path in paths:
        runs = find_runs(path)
        if not runs:
            raise InputError(f"expected a run or a folder with runs, received {path}")
        for each in runs:
            found.setdefault(each.resolve(), Run(each))
    return list(found.values())


def forecasts(runs: "Sequence[Run]") -> dict[str, Any]:
    """`forecast.forecast` of the setup with most seeds that generalized, and of which it is.

    Setups are not pooled: from one to another t_half differs for reasons that no measurement is
    needed to see. Of equals the first by name.
    """
    from lightning_grok.analysis.forecast import forecast
    from lightning_grok.analysis.setups import SeedRun, Setup, cohort

    seeds = [SeedRun(run) for run in runs]
    names = sorted({(run.run.dataset, run.run.setup) for run in seeds})
    cohorts = {name: cohort(seeds, Setup("", *name, ())) for name in names}
    best = max(names, key=lambda name: len(cohorts[name].grokked))
    return {"dataset": best[0], "setup": best[1], **forecast(cohorts[best].runs)}


def table(verdicts: Mapping[str, Any], forecast: Mapping[str, Any]) -> list[str]:
    """The lines of the table: a row a claim, its statement and its reason under it."""
    lines = [_row(_COLUMNS)]
    for name, claim in verdicts.items():
        parts = {key: each for key, each in claim.items() if _is_part(name, key)}
        for label, each in ({name: claim} | parts).items():
            head = (label, each["verdict"], _estimate(each), str(each["seeds"]), each["figure"])
            lines += [_row(head), *_indented(each["statement"] + "."), *_indented(each["reason"])]
    lead = forecast["lead"]
    word = "undecided" if forecast["reason"].startswith("undecided") else _lead(lead)
    shown = {"estimate": forecast.get("c_index"), "interval": forecast.get("interval")}
    lines.append(_row(("forecast", word, _estimate(shown), str(forecast["seeds"]), "")))
    against = forecast.get("epoch_c_index")
    beside = "" if against is None else f" (C-index; the epoch alone: {against:.2f})"
    return [*lines, *_indented(f"{forecast['setup']}: {forecast['reason']}{beside}")]


def _lead(lead: float | None) -> str:
    return "not at all" if lead is None else f"{lead:g} decades"


def _is_part(name: str, key: str) -> bool:
    return key.startswith(name) and key[len(name) :].isalpha()


def _estimate(each: Mapping[str, Any]) -> str:
    if each["estimate"] is None:
        return "-"
    interval = each["interval"]
    ends = "" if interval is None else f" [{_short(interval[0])}, {_short(interval[1])}]"
    return f"{_short(each['estimate'])}{ends}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    return " ".join(padded)[:_WIDTH].rstrip()


def _indented(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )

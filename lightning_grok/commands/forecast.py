"""``python -m lightning_grok forecast``: which series foresees an event, and how long before."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_grok.commands import CommandParser, number, say_damage
from lightning_grok.errors import InputError

if TYPE_CHECKING:
    from lightning_grok.runs.run import Run

HEAD = ("series", "C-index", "over the epoch", "p", "lead, decades", "epochs", "alarmed", "false")


def main(arguments: Sequence[str]) -> None:
    """Print a table of series, or with ``--json`` one object."""
    parser = CommandParser(
        "forecast",
        description="Which logged series foresees an event of the runs, beyond the epoch alone, "
        "and how long before at a stated rate of false alarms. Of the setup with most seeds that "
        "had the event, leaving one seed out at a time; p is of the largest C-index of all series. "
        "Runs in which the event never came are controls: their alarms are false.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories or folders of runs")
    parser.add_argument(
        "--series", nargs="+", metavar="KEY", default=[],
        help="logged keys that may tell (all that the runs have in common)",
    )  # fmt: skip
    parser.add_argument(
        "--event", default="half",
        help="a moment as in a claims file (half, generalization, memorization, collapse, "
        "`test/accuracy >= 0.9`) or a logged event (half)",
    )  # fmt: skip
    parser.add_argument("--since", help="moment from which on runs are watched (memorization)")
    parser.add_argument(
        "--controls", nargs="+", metavar="RUNS", default=[],
        help="further runs without the event: folders, or KEY=VALUE of those among the runs",
    )  # fmt: skip
    parser.add_argument(
        "--alarms", type=_rate, default=0.1, metavar="RATE", help="of false alarms (0.1)"
    )
    parser.add_argument(
        "--permutations", type=number(19, 100_000), default=200, help="of seeds (200)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    from lightning_grok.claims.forecast import forecast_runs
    from lightning_grok.runs.run import read_runs

    runs = read_runs(options.runs)
    runs, controls = split_controls(runs, options.controls)
    say_damage([*runs, *controls])
    found = forecast_runs(
        runs, series=options.series, event=options.event, since=options.since, controls=controls,
        rate=options.alarms, permutations=options.permutations,
    )  # fmt: skip
    if options.json:
        print(json.dumps(found, indent=1, allow_nan=False))
        return
    print(summary(found))
    rows = table(found)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    for name, reason in found["left_out"].items():
        print(f"left out: {name}, {reason}")


def split_controls(runs: "Sequence[Run]", given: Sequence[str]) -> "tuple[list[Run], list[Run]]":
    """The runs without their controls, and the controls.

    Args:
        runs: of both, or without controls.
        given: folders of controls, or ``KEY=VALUE`` that those among `runs` have.

    Raises:
        InputError: a folder holds no run, or no run has that value.
    """
    from lightning_grok.claims.cohort import SeedRun
    from lightning_grok.paths import expand_path
    from lightning_grok.runs.run import read_runs
    from lightning_grok.runs.yaml_file import parse_yaml

    controls: list[Run] = []
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or expand_path(each).exists():
            controls += read_runs([expand_path(each)])
            continue
        where = {key: parse_yaml(value, "KEY=VALUE", each)}
        matching = [run for run in runs if SeedRun(run).matches(where)]
        if not matching:
            raise InputError(f"expected controls among the runs, received {each}: none has it")
        controls += matching
    taken = {run.path.resolve() for run in controls}
    return [run for run in runs if run.path.resolve() not in taken], controls


def summary(found: Mapping[str, Any]) -> str:
    """What was judged, and the outcome, in two lines."""
    of = " ".join(filter(None, (found["dataset"], found["setup"])))
    controls = f"{found['controls']} controls"
    if "least_controls" in found and found["controls"] < found["least_controls"]:
        controls += f" (alarms at a rate of {found['rate']:g} need {found['least_controls']})"
    return (
        f"{found['event']} in {found['generalized']} of {found['seeds']} seeds of {of}, watched "
        f"from {found['since']}; {controls}\n{found['reason']}"
    )


def table(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A head and a row a series, the largest C-index first; empty where nothing could be judged."""
    if not found.get("leads"):
        return []
    series, alarms = found["leads"][0]["series"], found.get("alarms", {})
    rows = []
    for name in sorted(series, key=lambda name: -series[name]["c_index"]):
        told, alarm = series[name], alarms.get(name)
        cells = [
            f"{told['c_index']:.2f} {_interval(told['interval'])}",
            "" if name == "epoch" else _interval(told["gain_over_epoch"]),
            "" if name == "epoch" else f"{told['p_permuted']:.3f}",
        ]
        if alarm is None or alarm["threshold"] is None:
            cells += ["-"] * 4
        else:
            lead = f"{alarm['lead']:.2f} {_interval(alarm['interval'])}"
            seen = f"{alarm['alarmed']}/{found['generalized']}"
            false = f"{alarm['false']}/{found['controls']}"
            cells += [lead, f"{alarm['epochs']:,.0f}", seen, false]
        rows.append((name, *cells))
    return [HEAD, *rows]


def _interval(ends: Sequence[float | None]) -> str:
    return f"[{', '.join('-' if end is None else f'{end:.2f}' for end in ends)}]"


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 0.5:
        raise argparse.ArgumentTypeError(f"expected a rate of 0.001 to 0.5, received {text[:40]}")
    return rate

"""The tables of docs/results/cause.md: branches of one run, and twins in float32 and float64.

`benchmarks.results` writes them.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.page import markdown
from lightning_grok.analysis.instability import find_instabilities
from lightning_grok.analysis.onset import run_events
from lightning_grok.claims.content import read_claims
from lightning_grok.claims.table import verdict_rows
from lightning_grok.claims.verdict import judge
from lightning_grok.figures.branches import change_in_words
from lightning_grok.runs.run import Run

# How a setup's name says that its loss, or all of it, is computed in double precision.
_IN_FLOAT64 = re.compile("-loss64|-precision-64-true")
_DECAYS = re.compile(r"AdamW-10-1000-1-[\d.]+-loss64(-from30000)?")
_END = 4500  # of the branches of the main run
_CLOCKS = (0.08, 0.24, 0.4, 0.56, 0.8)


def branches_table(runs: Sequence[Run]) -> str:
    """What every change did, over seeds: when the loss jumped, and what test accuracy became."""
    found: dict[tuple[int, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.setup, run.seed or 0)):
        left = run.meta.get("branches")
        if left and left["epoch"] < _END:
            found[left["epoch"], change_in_words(run)].append(run)
    rows = [["changed at the epoch", "what", "seeds", "the loss jumps a thousandfold at",
             "test accuracy at the change, %",
             f"at epoch {_END:,}, %"]]  # fmt: skip
    for (epoch, change), branches in sorted(found.items()):
        jumps = [_first_jump(run, epoch) for run in branches]
        some = sorted(jump for jump in jumps if jump is not None)
        when = f"{', '.join(f'{jump:,}' for jump in some)}" or "never"
        never = len(jumps) - len(some)
        when += f" (in {never} never)" if some and never else ""
        before = [_accuracy(run, epoch) for run in branches]
        after = [_accuracy(run, _END) for run in branches]
        seeds = ", ".join(str(run.seed) for run in branches)
        rows.append([f"{epoch:,}", change or "nothing", seeds, when, _each(before), _each(after)])
    return markdown(rows)


def effects_table(runs: Sequence[Run], claims: Path) -> str:
    """What was claimed of every change, and what came of it over seeds, less what no change did."""
    found = judge(read_claims(claims), runs)
    told = [
        (each["statement"], each["quantity"] or "", row.verdict, row.estimate, row.seeds)
        for each, row in zip(found.values(), verdict_rows(found), strict=True)
    ]
    return markdown([("claim", "of", "outcome", "effect [interval]", "seeds"), *told])


def twins_table(runs: Sequence[Run]) -> str:
    """Each seed in float32, and with its loss or all of it in float64: what became of it."""
    found: dict[tuple[str, str], dict[int, dict[str, Run]]] = defaultdict(lambda: defaultdict(dict))
    for run in sorted(runs, key=lambda run: run.epoch):  # of two of a kind the longer one
        if run.seed is None or run.meta.get("branches"):
            continue
        setup = _IN_FLOAT64.sub("", run.setup)
        precision = "float32" if run.setup == setup else "float64"
        found[run.dataset, setup][run.seed][precision] = run
    rows = [["data", "setup", "seed", "to epoch", "test accuracy in float32, %", "in float64, %",
             "grokked in float32, at", "in float64"]]  # fmt: skip
    for names, seeds in sorted(found.items()):
        for seed, pair in sorted(seeds.items()):
            if len(pair) < 2:
                continue
            single, double = pair["float32"], pair["float64"]
            end = min(single.epoch, double.epoch)
            cells = [_each([_accuracy(run, end)]) for run in (single, double)]
            middles = _grokked(single), _grokked(double)
            rows.append([*names, str(seed), f"{end:,}", *cells, *middles])
    return markdown(rows)


def units_table(runs: Sequence[Run]) -> str:
    """How many images a unit of the last hidden layer answers to, early and late, by seed."""
    rows = [["setup", "seed", "memorized at", "active at epoch 0, %", "at 20, %", "at the end, %",
             "units never active at the end, %"]]  # fmt: skip
    for run in sorted(runs, key=lambda run: (run.setup, run.seed or 0)):
        epochs, share = run.series("active_units/layers.5/share")
        if not len(epochs):
            continue
        memorized = run_events(run).t_mem
        never = run.series("active_units/layers.5/never")[1]
        rows.append([
            run.setup, str(run.seed), f"{memorized:,.0f}" if np.isfinite(memorized) else "no",
            *(f"{100 * float(share[epochs <= epoch][-1]):.1f}" for epoch in (0, 20, run.epoch)),
            f"{100 * float(never[-1]):.1f}",
        ])  # fmt: skip
    return markdown(rows)


def decay_table(runs: Sequence[Run]) -> str:
    """Test accuracy in float64 by what weight decay has done: learning rate x decay x steps."""
    rows = [["weight decay", "seed", *(f"at {clock:g}, %" for clock in _CLOCKS), "epochs of each",
             "instabilities"]]  # fmt: skip
    told = [run for run in runs if _DECAYS.fullmatch(run.setup)]
    for run in sorted(told, key=lambda run: (run.config["model"]["weight_decay"], run.seed or 0)):
        model, left = run.config["model"], run.meta.get("branches") or {}
        decay = model["weight_decay"] or left["changed"]["model.weight_decay"][0]
        a_step = model["learning_rate"] * decay * run.meta["steps_per_epoch"]
        epochs = [round(clock / a_step) for clock in _CLOCKS]
        cells = [_each([_accuracy(run, e)]) if e <= run.epoch else "" for e in epochs]
        what = f"{model['weight_decay']:g}" + (f" from {left['epoch']:,} on" if left else "")
        jumps = len(find_instabilities(*run.series("train/loss"), run_events(run).t_mem))
        shown = ", ".join(f"{epoch:,}" for epoch in epochs)
        rows.append([what, str(run.seed), *cells, shown, str(jumps)])
    return markdown(rows)


def _first_jump(run: Run, after: int) -> int | None:
    events = run_events(run)
    jumps = find_instabilities(*run.series("train/loss"), events.t_mem)
    return next((jump.epoch for jump in jumps if jump.epoch > after), None)


def _accuracy(run: Run, epoch: int) -> float:
    epochs, values = run.series("test/accuracy")
    return 100 * float(values[epochs <= epoch][-1])


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _grokked(run: Run) -> str:
    events = run_events(run)
    half = events.test.t_half
    return f"{half:,.0f}" if events.grokked and np.isfinite(half) else "no"

"""Twenty published runs of group composition, each with the right answer.

Logged by others (github.com/bilal-chughtai/rep-theory-mech-interp, 01b2063; Chughtai, Chan and
Nanda 2023): ``group_composition.csv`` beside the file that LIGHTNING_GROK_PUBLISHED names, with the
columns run, epoch, train_acc and test_acc. The kinds are drawn anew in `test_onset`, without it.
"""

import csv
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from lightning_grok.analysis.accuracy import Counted
from lightning_grok.analysis.onset import grokking_events
from lightning_grok.analysis.outcome import outcome

ELEMENTS = {"A5": 60, "D59": 118, "S5": 120, "S6": 720}
GROKKED = {f"{name}_seed{k}" for name in ("A5_MLP", "D59_T") for k in range(1, 5)} | {
    "S5_MLP_hidden_dim_96_seed3"
}
AT_ONCE = {f"S6_T_seed{k}" for k in range(1, 5)}
RISING = {"S5_MLP_hidden_dim_96_seed1": "7.75 %", "S5_MLP_hidden_dim_80_seed2": "5.24 %"}
NOTHING = {
    "S5_MLP_hidden_dim_96_seed2", "S5_MLP_hidden_dim_96_seed4", "S5_MLP_hidden_dim_80_seed1",
    "S5_MLP_hidden_dim_80_seed3", "S5_MLP_hidden_dim_80_seed4",
}  # fmt: skip
RUNS = sorted({*GROKKED, *AT_ONCE, *RISING, *NOTHING})


def published() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Epochs, train and test accuracy (T,) of every run."""
    path = Path(os.environ.get("LIGHTNING_GROK_PUBLISHED", "")).parent / "group_composition.csv"
    if not path.is_file():
        pytest.skip("no group_composition.csv beside what LIGHTNING_GROK_PUBLISHED names")
    rows: dict[str, list[list[float]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            values = [float(row[key]) for key in ("epoch", "train_acc", "test_acc")]
            rows.setdefault(row["run"], []).append(values)
    found = {run: np.array(each).T for run, each in rows.items()}
    return {run: (epochs.astype(int), train, test) for run, (epochs, train, test) in found.items()}


@pytest.mark.parametrize("known", [True, False], ids=["counted", "accuracies alone"])
@pytest.mark.parametrize("run", RUNS)
def test_every_run_is_called_what_it_is(run: str, known: bool) -> None:
    epochs, train, test = published()[run]
    count = ELEMENTS[run.partition("_")[0]]
    events = grokking_events(
        epochs, train, test, Counted(count**2 // 2, 1 / count) if known else None
    )
    assert events.t_mem < 5000
    assert events.grokked == (run in GROKKED)
    if run in GROKKED | AT_ONCE:
        first = int(np.argmax(test >= 0.5))
        places = np.log10(epochs[first - 1 : first + 1])
        half = float(np.interp(0.5, test[first - 1 : first + 1], places))
        assert math.log10(events.test.t_half) == pytest.approx(half, abs=0.003)
        assert (events.moving, events.lost) == ("", False)
        assert ("half of the rise came before" in events.reason) == (run in AT_ONCE)
        return
    assert (events.begins, events.test.t_10, events.test.t_half) == (math.inf,) * 3
    assert "half of the rise came before" not in events.reason
    said = outcome(events)
    if run in RISING:
        assert said.endswith(f"; test accuracy still rising ({RISING[run]})")
    else:
        assert re.search("; no (generalization|rise of test accuracy that counts) ", said)


@pytest.mark.parametrize("run", sorted(GROKKED))
def test_a_run_that_is_cut_off_in_its_rise_is_still_rising(run: str) -> None:
    epochs, train, test = published()[run]
    count = ELEMENTS[run.partition("_")[0]]
    end = int(np.argmax(test >= 0.35)) + 1
    of = Counted(count**2 // 2, 1 / count)
    events = grokking_events(epochs[:end], train[:end], test[:end], of)
    whole = grokking_events(epochs, train, test, of)
    assert (events.moving, events.grokked) == ("rising", False)
    assert events.test.t_half == math.inf or events.test.t_half < whole.test.t_half

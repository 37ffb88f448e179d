"""What reading runs costs: a long log, a new event in it, a folder of many runs, and their study.

    python -m benchmarks.reading [--events 1000000] [--runs 1000] [--studied 500]
        [--write docs/benchmarks.md]

CPU seconds of the process, so that others on the machine count less. The log holds four numbers an
evaluation and its seconds; every run of the folder the 250 evaluations of 10,000 epochs. What is
studied are the runs of docs/results/runs.zip, copied under further seeds.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import cost, machine, markdown, write_section
from benchmarks.results import RUNS
from lightning_grok.dashboard.pages import Pages, encode
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.runs.run import Run
from lightning_grok.schedule import evaluation_epochs

TITLE = "Reading runs"


def line(epoch: int, last: int) -> str:
    """An evaluation of a run that memorizes early and generalizes late."""
    train, test = (1 / (1 + (at / max(epoch, 0.1)) ** 4) for at in (0.001 * last, 0.1 * last))
    noise = ((epoch * 7919) % 1000) / 1e6
    values = {"train/loss": 3 - 2 * train + noise, "train/accuracy": train,
              "test/loss": 3 - 2 * test + noise, "test/accuracy": test,
              "evaluation/seconds": 0.01 + noise}  # fmt: skip
    event = {"event": "evaluation", "epoch": epoch, "step": 8 * epoch}
    return json.dumps({**event, **values}) + "\n"


def write_run(path: Path, epochs: list[int], **meta: Any) -> None:
    """A run with an evaluation at every one of `epochs`."""
    path.mkdir(parents=True)
    content = {"state": "finished", "dataset": "digits", "setup": "made", "seed": 0} | meta
    (path / "run.json").write_text(json.dumps(content))
    with open(path / "events.jsonl", "w") as file:
        file.writelines(line(epoch, epochs[-1]) for epoch in epochs)


def long_log(root: Path, count: int) -> list[list[str]]:
    """Reading a log of `count` events, and what one more costs the page."""
    path = root / "long"
    write_run(path, list(range(count)))
    found = cost(lambda: Run(path))
    folder = RunFolder(path)
    folder.refresh()
    pages = Pages(folder)
    request = {"page": "run", "run": "."}
    encode(pages.page(request))
    spent = []
    for epoch in range(count, count + 20):
        with open(path / "events.jsonl", "a") as file:
            file.write(line(epoch, count))
        start_event = time.process_time()
        pages.tag(request)
        encode(pages.page(request))
        spent.append(time.process_time() - start_event)
    peak = "" if found.peak is None else f", {found.peak / 1e6:.0f} MB"
    return [
        [f"a log of {count:,} events is read", f"{found.cpu:.1f} s{peak}", "4 s, 500 MB"],
        ["a new event in it, with its page", f"{1000 * np.median(spent):.0f} ms", "50 ms"],
    ]


def many_runs(root: Path, count: int) -> list[list[str]]:
    """A folder of `count` runs from nothing to a complete list, and a round that finds one more."""
    epochs = sorted(evaluation_epochs(10_000, 60))
    for k in range(count):
        write_run(root / "many" / f"run_{k:04d}", epochs, seed=k)
    folder = RunFolder(root / "many")
    start = time.process_time()
    folder.refresh()
    rows = folder.rows()
    listed = time.process_time() - start
    assert all(row["complete"] for row in rows)
    assert len(rows) == count
    write_run(root / "many" / "new", epochs)
    time.sleep(1.1)  # for new runs is looked once a second
    start = time.process_time()
    folder.refresh()
    again = time.process_time() - start
    assert next(row for row in folder.rows() if row["id"] == "new")["complete"]
    return [
        [f"a folder of {count:,} runs is listed whole", f"{listed:.1f} s", "3 s"],
        ["a new run among them appears", f"{1000 * again:.0f} ms", ""],
    ]


def studies(root: Path, count: int) -> list[list[str]]:
    """The paper's claims and figures over `count` runs, each a process with its imports."""
    folder = root / "studied"
    with zipfile.ZipFile(RUNS) as archive:
        archive.extractall(root / "copied")
    originals = sorted((root / "copied").iterdir())
    copies = ((copy, original) for copy in itertools.count() for original in originals)
    for copy, original in itertools.islice(copies, count):
        path = shutil.copytree(original, folder / f"{original.name}_{copy}")
        meta = json.loads((path / "run.json").read_text())
        meta |= {"name": path.name, "seed": meta["seed"] + 10 * copy}
        (path / "run.json").write_text(json.dumps(meta))
    commands = {
        "verdict": ["verdict", str(folder)],
        "figures --paper": ["figures", "--paper", str(folder), "--out", str(root / "figures")],
    }
    rows = []
    for name, arguments in commands.items():
        before = os.times()
        command = [sys.executable, "-m", "lightning_grok", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        seconds = sum(after[2:4]) - sum(before[2:4])  # of children
        rows.append([f"`{name}` over {count} runs", f"{seconds:.0f} s", "30 s"])
    return rows


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="of the long log")
    parser.add_argument("--runs", type=int, default=1000, help="in the folder")
    parser.add_argument("--studied", type=int, default=500, help="by verdict and figures --paper")
    parser.add_argument("--write", type=Path, help="put the table into this page")
    options = parser.parse_args()
    rows = [["what", "CPU", "at most"]]
    with tempfile.TemporaryDirectory() as root:
        rows += long_log(Path(root), options.events)
        rows += many_runs(Path(root), options.runs)
        rows += studies(Path(root), options.studied)
    table = markdown(rows)
    print(table)
    if options.write is not None:
        command = "`python -m benchmarks.reading`"
        write_section(options.write, TITLE, f"{command}, {machine()}.\n\n{table}")


if __name__ == "__main__":
    main()

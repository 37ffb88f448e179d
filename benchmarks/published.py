"""A run's numbers as Markdown tables, beside the published ones where a file of them is given.

    python -m benchmarks.published RUN [--published published.csv]

The file is that of `lightning_grok.paper.published`.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.page import cost_table, markdown
from lightning_grok.analysis.onset import run_events
from lightning_grok.paper.published import Published
from lightning_grok.runs.run import Run, read_run

EPOCHS = (0, 1, 10, 100, 1000, 2000, 3000, 4000, 5000, 10_000, 50_000)
_PUBLISHED = (
    "test/accuracy", "manifold_capacity/layers.6/capacity", "kernel_distance/full/foreign",
)  # fmt: skip
COLUMNS: dict[str, tuple[str, float]] = {
    "train/accuracy": ("train accuracy, %", 100),
    "test/accuracy": ("test accuracy, %", 100),
    "manifold_capacity/layers.6/capacity": ("α_C, layers.6", 1),
    "kernel_distance/full/own": ("S to own start", 1),
    "kernel_distance/full/foreign": ("S to another network", 1),
    "kernel_distance/trace/own": ("trace S to own start", 1),
    "linear_probe/sound/accuracy": ("probe, held out, %", 100),
    "linear_probe/paper/accuracy": ("paper's probe, %", 100),
}


def series_table(run: Run, published: Published | None) -> list[list[str]]:
    """Header and rows of the run's series at `EPOCHS`."""
    header, columns = ["epoch"], []
    for key, (title, scale) in COLUMNS.items():
        epochs, values = run.series(key)
        ours = dict(zip(epochs.tolist(), values.tolist(), strict=True))
        errors = dict(zip(*(each.tolist() for each in run.series(f"{key}_se")), strict=True))
        if not ours:
            continue
        header.append(title)
        columns.append([_cell(ours, errors, epoch, scale) for epoch in EPOCHS])
        if published is not None and key in _PUBLISHED:
            places, values = published.points(run.setup, key)
            theirs = dict(zip(places.tolist(), values.tolist(), strict=True))
            header.append("published")
            columns.append([_cell(theirs, {}, epoch, scale) for epoch in EPOCHS])
    rows = [[f"{e:,}", *cells] for e, *cells in zip(EPOCHS, *columns, strict=True)]
    return [header, *(row for row in rows if any(cell for cell in row[1:]))]


def _cell(values: dict[int, float], errors: dict[int, float], epoch: int, scale: float) -> str:
    if epoch not in values or not np.isfinite(values[epoch]):
        return "" if epoch not in values else "diverged"
    digits = 1 if scale == 100 else 4
    error = f" ± {scale * errors[epoch]:.{digits}f}" if epoch in errors else ""
    return f"{scale * values[epoch]:.{digits}f}{error}"


def main() -> None:
    """Print the run's events, its series and its costs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--published", type=Path)
    options = parser.parse_args()
    run = read_run(options.run)
    known = Published(options.published) if options.published else None
    events = run_events(run)
    print(f"{run.dataset}, {run.setup}, seed {run.seed}, {run.meta.get('machine')}")
    print(
        f"t_mem {events.t_mem:.0f}, onset t_10 {events.test.t_10:.0f}, "
        f"t_half {events.test.t_half:.0f}, plateau {100 * events.test.plateau:.1f} %, "
        f"final {100 * events.test.final:.1f} %, grokked {events.grokked} {events.reason}"
    )
    print("\n" + markdown(series_table(run, known)))
    print("\n" + cost_table(run.costs()))


if __name__ == "__main__":
    main()

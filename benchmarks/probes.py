"""Either probe at either layer: a table of docs/results/probes.md.

    python -m benchmarks.probes RUN ... [--epochs 0 100 7000] [--write docs/results/probes.md]

The paper's probe reads the logits and a converged one the layer before: two things differ at once.
Here both read both, the same upright digits, of networks of `GrokModule` trained on images.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import markdown, write_section
from lightning_grok.geometry import paper_probe, sound_probe
from lightning_grok.geometry.activations import record
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run, read_run
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.mlp import MLP

TITLE = "Either probe at either layer"
HEAD = """\
`python -m benchmarks.probes RUN ... --write docs/results/probes.md` reads the same upright digits
by both probes, from the logits and from the layer before; percent, median over the runs (lowest to
highest), which are of

```
python -m lightning_grok fit --config grok --config table1/AdamW-10-2000-0.001-0 \\
  --config measurements/accuracy --trainer.max_epochs=7000 --seed_everything=SEED
```

"""
PROBES: dict[str, Callable[..., Any]] = {
    "100 steps, on its training digits": paper_probe,
    "converged, held out": sound_probe,
}
EPOCHS = (0, 1, 10, 100, 500, 1000, 2000, 3000, 5000, 7000)


def accuracies(run: Run, epoch: float) -> list[float]:
    """Accuracy of each of `PROBES` on the logits, then on the layer before, in [0, 1]."""
    model = load_model(run.path, epoch)
    digits = GrokData(**run.config["data"]).reference_set.transfer
    assert digits is not None
    assert isinstance(model, MLP)
    layers = model.layer_names[-2:]
    features = record(model, list(layers), digits.stored)
    return [
        probe(features[layer].numpy(), digits.labels.numpy(), draws=5).accuracy
        for probe in PROBES.values()
        for layer in reversed(layers)
    ]


def table(runs: Sequence[Run], epochs: Sequence[int]) -> str:
    """Medians over the runs, in percent, with the lowest and the highest."""
    layers = ("logits", "layer before")
    rows = [["epoch", *(f"{probe}: {layer}" for probe in PROBES for layer in layers)]]
    for epoch in epochs:
        found = 100 * np.array([accuracies(run, epoch) for run in runs])
        levels = zip(np.median(found, axis=0), found.min(axis=0), found.max(axis=0), strict=True)
        cells = [f"{middle:.1f} ({low:.1f} to {high:.1f})" for middle, low, high in levels]
        rows.append([f"{epoch:,}", *cells])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--epochs", nargs="+", type=int, default=EPOCHS, help="of snapshots")
    parser.add_argument("--write", type=Path, help="a page for the docs")
    arguments = parser.parse_args()
    text = table([read_run(run) for run in arguments.runs], arguments.epochs)
    print(text)
    if arguments.write:
        write_section(arguments.write, TITLE, HEAD + text)


if __name__ == "__main__":
    main()

"""What kernels of other networks cost: python -m benchmarks.kernels [--write docs/benchmarks.md]

CPU seconds of one thread, the least of three, so that others on the machine count less. Random
networks and inputs, which cost what trained ones do; the estimate is compared after 90 steps.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.page import cost, machine, markdown, write_section
from lightning_grok import KernelDistance
from lightning_grok.callbacks.reference import given_reference
from lightning_grok.geometry import empirical_ntk
from lightning_grok.tasks.networks import Transformer

TITLE = "Kernels of other networks"
SAMPLES = 256


def cnn() -> nn.Module:
    """Two convolutions and two linear layers on 28 x 28, ten outputs."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(3136, 88), nn.ReLU(), nn.Linear(88, 10),
    )  # fmt: skip


def exact(name: str, model: nn.Module, inputs: Tensor, limit: str) -> list[str]:
    """A row: the exact full kernel."""
    parameters = sum(each.numel() for each in model.parameters())
    outputs = model(inputs[:1]).shape[1]
    seconds = cost(lambda: empirical_ntk(model, inputs), repeat=3).cpu
    sizes = f"{parameters:,} parameters, {len(inputs)} samples x {outputs} outputs"
    return [f"{name}, {sizes}: exact full kernel", f"{seconds:.1f}", limit]


def measurements(symbols: int, samples: int, method: Any) -> tuple[list[float], dict[str, float]]:
    """CPU seconds and last values of `KernelDistance` along 90 steps of modular addition."""
    torch.manual_seed(0)
    model = Transformer(symbols, symbols)
    tokens = torch.randint(0, symbols, (samples, 2))
    answers = tokens.sum(1) % symbols
    distance = KernelDistance(inputs=tokens, labels=answers, samples=samples, method=method)
    reference = given_reference(tokens, answers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    distance.start(model)
    seconds: list[float] = []
    values: dict[str, float] = {}
    for epoch in range(4):
        distance.epoch = epoch
        start = time.process_time()
        values = {key: float(value) for key, value in distance.measure(model, reference).items()}
        seconds.append(time.process_time() - start)
        for _ in range(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(tokens), answers).backward()
            optimizer.step()
    return seconds, values


def modular_rows() -> list[list[str]]:
    """Rows: a measurement of a modular transformer, and its estimate beside the exact distance."""
    (first, *later), values = measurements(113, SAMPLES, "auto")
    name = f"modular transformer, {SAMPLES} samples x 113 outputs"
    taken = "sketched" if "sketch/own" in values else "exact"
    _, whole = measurements(23, 128, "exact")
    _, sketched = measurements(23, 128, "sketch")
    difference = abs(sketched["sketch/own"] - whole["full/own"])
    return [
        [f"{name}: a measurement by `auto` ({taken})", f"{min(later):.1f}", "5"],
        [f"{name}: the first, with eleven kernels of fresh networks", f"{first:.1f}", ""],
        [
            f"the same with 128 x 23: S to the start {whole['full/own']:.3f}, sketched "
            f"{sketched['sketch/own']:.3f} ± {sketched['sketch/own_se']:.3f}, difference",
            f"{difference:.3f}",
            "0.02",
        ],
    ]


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", type=Path, help="put the table into this page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(SAMPLES, 1, 28, 28)
    tokens = torch.randint(0, 113, (SAMPLES, 2))
    rows = [
        ["what", "CPU seconds", "at most"],
        exact("CNN", cnn(), images, "6"),
        exact("one-layer transformer", Transformer(113, 10), tokens, "3"),
        *modular_rows(),
    ]
    table = markdown(rows)
    print(table)
    if options.write is not None:
        text = f"`python -m benchmarks.kernels --write docs/benchmarks.md`: one thread, {machine()}"
        write_section(options.write, TITLE, f"{text}, PyTorch {torch.__version__}.\n\n{table}")


if __name__ == "__main__":
    main()

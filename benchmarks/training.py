"""What an epoch costs: our fit beside a raw loop, JAX, stock Lightning and the paper's loop.

    python -m benchmarks.training [--json] [--only PART] [--epochs 1500] [--write PAGE]

All train the network of configs/grok.yaml on the same 1,000 images with AdamW, one thread, in
rounds that alternate within one process; a ratio is the median over rounds of CPU time, and the
first epochs don't count, in which Lightning takes the steps and what is compiled is compiled. The
raw loop, `fit` and JAX, an epoch in one jitted scan, where it is installed (the extra
``benchmark``), train on 2,000 images too, and the first two a small network, 64-64-10. The other
part, ``--only run``, is configs/grok.yaml itself, with every measurement, for a stated number of
epochs in a process of its own, whose log says what each took. Without EMNIST the embedded digits
serve.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.page import cost_table, machine, markdown, write_section
from lightning_grok.runs.run import Run
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.in_memory import InMemoryData
from lightning_grok.tasks.mlp import MLP
from lightning_grok.tasks.module import GrokModule

CONFIG = Path(__file__).parents[1] / "configs" / "grok.yaml"
BATCH, LEARNING_RATE, DECAY, SCALE = 128, 1e-3, 1e-3, 10.0
SMALL = (64, 64, 10)  # widths of the small network
WARM_UP = 15  # epochs before the clock starts: those of Lightning's own steps, and one


def network(classes: int) -> MLP:
    """The paper's network at its start, as PyTorch multiplies by default."""
    torch.manual_seed(0)
    return MLP(num_classes=classes, weight_scale=SCALE)


def small_network() -> MLP:
    """The small network at its start."""
    torch.manual_seed(0)
    return MLP(SMALL[0], SMALL[1:-1], SMALL[-1])


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """The paper's optimizer in PyTorch's fused form."""
    parameters = model.parameters()
    return torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=DECAY, fused=True)


def raw_loop(train: Samples, model: nn.Module, epochs: int) -> float:
    """CPU seconds an epoch of the shortest loop one would write over tensors in memory."""
    optimizer = adamw(model)
    images, labels = train.images.flatten(1), train.labels
    start = 0.0
    for epoch in range(WARM_UP + epochs):
        if epoch == WARM_UP:
            start = time.process_time()
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return (time.process_time() - start) / epochs


class EpochClock(L.Callback):
    """Notes when the warm-up is over and when the last epoch is."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the time."""
        self.times.append(time.process_time())

    @property
    def seconds(self) -> float:
        """An epoch's mean after the warm-up."""
        return (self.times[-1] - self.times[WARM_UP - 1]) / (len(self.times) - WARM_UP)


class Given(InMemoryData):
    """Samples as they are, in batches."""

    def __init__(self, samples: Samples) -> None:
        super().__init__(batch_size=BATCH)
        self.samples = samples

    @property
    def class_names(self) -> tuple[str, ...]:
        """By their numbers."""
        return tuple(map(str, range(int(self.samples.labels.max()) + 1)))

    @property
    def dataset_name(self) -> str:
        """No name is needed."""
        return "given"

    @property
    def train_samples(self) -> Samples:
        """All."""
        return self.samples

    @property
    def test_samples(self) -> Samples:
        """Never looked at."""
        return self.samples


def our_fit(train: Samples, model: MLP, epochs: int) -> float:
    """CPU seconds an epoch of Trainer.fit with this project's module, nothing evaluated."""
    L.seed_everything(0, verbose=False)
    module = GrokModule(network=model, weight_decay=DECAY, learning_rate=LEARNING_RATE)
    clock = EpochClock()
    trainer = L.Trainer(
        max_epochs=WARM_UP + epochs, callbacks=[clock], limit_val_batches=0, accelerator="cpu",
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=Given(train))
    return clock.seconds


def jax_loop(train: Samples, model: nn.Sequential, epochs: int) -> float:
    """CPU seconds an epoch of JAX: all steps of an epoch in one jitted scan, AdamW by hand."""
    # Read when it is imported; the others have one thread by torch.set_num_threads.
    one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.setdefault("XLA_FLAGS", one_thread)
    import jax
    import jax.numpy as jnp

    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    start = [tuple(jnp.array(p.detach().numpy()) for p in layer.parameters()) for layer in layers]
    images, labels = (jnp.array(each.numpy()) for each in (train.images.flatten(1), train.labels))

    def loss(parameters: Any, rows: Any) -> Any:
        hidden = images[rows]
        for weight, bias in parameters[:-1]:
            hidden = jax.nn.relu(hidden @ weight.T + bias)
        logits = jax.nn.log_softmax(hidden @ parameters[-1][0].T + parameters[-1][1])
        return -jnp.take_along_axis(logits, labels[rows][:, None], 1).mean()

    def step(state: Any, rows: Any) -> Any:
        parameters, first, second, count = state
        gradient, count = jax.grad(loss)(parameters, rows), count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        rate, root = LEARNING_RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p * (1 - LEARNING_RATE * DECAY) - rate * m / (jnp.sqrt(v) / root + 1e-8)

        return (jax.tree.map(moved, parameters, first, second), first, second, count), None

    def epoch(state: Any, order: Any) -> Any:
        whole = len(order) // BATCH * BATCH
        state, _ = jax.lax.scan(step, state, order[:whole].reshape(-1, BATCH))
        return step(state, order[whole:])[0] if whole < len(order) else state

    jitted = jax.jit(epoch, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, start)
    state = (start, zeros, jax.tree.map(jnp.zeros_like, start), jnp.float32(0))
    begun = 0.0
    for each in range(WARM_UP + epochs):
        if each == WARM_UP:
            begun = time.process_time()
        state = jax.block_until_ready(jitted(state, torch.randperm(len(labels)).numpy()))
    return (time.process_time() - begun) / epochs


class StockModule(L.LightningModule):
    """The module that Lightning's introduction teaches: loss and accuracy logged at every step."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = network(classes)
        self.accuracy = MulticlassAccuracy(num_classes=classes, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One minibatch."""
        images, labels = batch
        outputs = self.network(images)
        loss = nn.functional.cross_entropy(outputs, labels)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", self.accuracy(outputs, labels), on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """PyTorch's default AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)


def stock_lightning(train: Samples, classes: int, epochs: int, folder: Path) -> float:
    """Seconds an epoch of stock Lightning: DataLoader, logging every step, CSV log, a bar."""
    clock = EpochClock()
    trainer = L.Trainer(
        max_epochs=WARM_UP + epochs, callbacks=[clock], logger=CSVLogger(folder),
        accelerator="cpu", enable_checkpointing=False, enable_model_summary=False,
        log_every_n_steps=1,
    )  # fmt: skip
    loader = DataLoader(TensorDataset(*train), batch_size=BATCH, shuffle=True)
    trainer.fit(StockModule(classes), loader)
    return clock.seconds


class PictureDataset(Dataset):
    """Images one by one as torchvision serves them: PIL picture, ToTensor, Normalize."""

    def __init__(self, pixels: Tensor, labels: Tensor, normalization: tuple[float, float]) -> None:
        from torchvision import transforms

        mean, deviation = normalization
        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((mean,), (deviation,))]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        picture = Image.fromarray(self.pixels[index].numpy())
        return self.transform(picture), int(self.labels[index])


def paper_loop(train: Samples, test: Samples, data: GrokData, epochs: int) -> float:
    """Seconds an epoch of the loop as the paper's recipe describes it.

    Both sets pass through DataLoaders and picture transforms, the running loss and accuracy are
    read at every step, and the whole test set is evaluated every epoch.
    """
    assert data.normalization is not None
    loaders = [
        DataLoader(
            PictureDataset(_pixels(part, data), part.labels, data.normalization),
            batch_size=BATCH,
            shuffle=shuffle,
        )
        for part, shuffle in ((train, True), (test, False))
    ]
    model = network(data.num_classes).layers
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)
    start = time.process_time()
    for _ in range(epochs):
        for images, labels in loaders[0]:
            optimizer.zero_grad()
            outputs = model(images.flatten(1))
            loss = nn.functional.cross_entropy(outputs, labels)
            loss.backward()
            optimizer.step()
            _running(loss, outputs, labels)
        with torch.no_grad():
            for images, labels in loaders[1]:
                outputs = model(images.flatten(1))
                _running(nn.functional.cross_entropy(outputs, labels), outputs, labels)
    return (time.process_time() - start) / epochs


def _running(loss: Tensor, outputs: Tensor, labels: Tensor) -> tuple[float, int]:
    return loss.item(), int((outputs.argmax(1) == labels).sum().item())


def _pixels(part: Samples, data: GrokData) -> Tensor:
    assert data.normalization is not None
    mean, deviation = data.normalization
    restored = part.images.squeeze(1) * deviation + mean
    return (255 * restored).round().to(torch.uint8)


def images(count: int) -> GrokData:
    """The paper's first so many images."""
    data = GrokData(train_size=count)
    data.prepare_data()
    data.setup("fit")
    return data


def compare(rounds: int, epochs: int) -> dict[str, Any]:
    """Milliseconds an epoch of each loop, and ratios: medians over rounds."""
    data, double = images(1000), images(2000).reference_set.train
    train, test, classes = data.reference_set.train, data.reference_set.test, data.num_classes
    print(f"{data.dataset_name}: {len(train.labels)} images, {len(test.labels)} test images")
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(len(train.labels), SMALL[0], generator=generator)
    small = Samples(inputs, torch.arange(len(inputs)) % SMALL[-1])
    small_epochs = 5 * epochs
    with tempfile.TemporaryDirectory() as folder:
        loops: dict[str, Callable[[], float]] = {
            "raw": lambda: raw_loop(train, network(classes).layers, epochs),
            "fit": lambda: our_fit(train, network(classes), epochs),
            "raw_small": lambda: raw_loop(small, small_network(), small_epochs),
            "fit_small": lambda: our_fit(small, small_network(), small_epochs),
            "stock_lightning": lambda: stock_lightning(
                train, classes, max(5, epochs // 4), Path(folder)
            ),
        }
        loops |= {
            "raw_2000": lambda: raw_loop(double, network(classes).layers, epochs // 2),
            "fit_2000": lambda: our_fit(double, network(classes), epochs // 2),
        }
        if find_spec("jax") is not None:
            loops["jax"] = lambda: jax_loop(train, network(classes).layers, epochs)
            loops["jax_2000"] = lambda: jax_loop(double, network(classes).layers, epochs // 2)
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(rounds):
            for name, loop in loops.items():
                times[name].append(loop())
    times["paper"] = [paper_loop(train, test, data, 1) for _ in range(3)]
    found: dict[str, Any] = {"dataset": data.dataset_name}
    found |= {f"{name}_ms_an_epoch": 1e3 * statistics.median(t) for name, t in times.items()}
    pairs = {
        "fit_over_raw": ("fit", "raw"),
        "fit_over_jax": ("fit", "jax"),
        "fit_over_raw_small": ("fit_small", "raw_small"),
        "fit_over_raw_2000": ("fit_2000", "raw_2000"),
        "fit_over_jax_2000": ("fit_2000", "jax_2000"),
        "jax_over_raw": ("jax", "raw"),
        "stock_lightning_over_raw": ("stock_lightning", "raw"),
    }
    for key, (above, below) in pairs.items():
        if above in times and below in times:
            ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
            found[key] = statistics.median(ratios)
    found["paper_over_raw"] = statistics.median(times["paper"]) / statistics.median(times["raw"])
    return found


def measured_run(epochs: int) -> dict[str, Any]:
    """configs/grok.yaml for so many epochs with every measurement, in a process of its own."""
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(
            [
                sys.executable, "-m", "lightning_grok", "fit", "--config", str(CONFIG),
                f"--trainer.max_epochs={epochs}", f"--run.root={root}", "--run.name=run",
                "--wandb.mode=disabled", "--trainer.enable_progress_bar=false",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        costs = Run(Path(root) / "run").costs()
    total = sum(costs.values())
    measured = sum(s for name, s in costs.items() if name not in ("training", "evaluation"))
    return {
        "epochs": epochs,
        "run_seconds": total,
        "measurements_seconds": measured,
        "measurements_share": measured / total,
        "costs": costs,
    }


def loops_section(found: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md from the loops."""
    jax = f"JAX {metadata.version('jax')}" if find_spec("jax") else "JAX"
    loops = {
        "raw": "a hand-written loop over tensors in memory, fused AdamW",
        "fit": "`Trainer.fit` of this project, nothing evaluated",
        "jax": f"{jax}, an epoch in one jitted scan",
        "stock_lightning": f"stock Lightning {L.__version__}: DataLoader, logging at every step, "
        "CSV log, a bar",
        "paper": "the paper's loop: picture transforms, all test images every epoch",
    }
    rows = [["an epoch of 1,000 images", "ms", "ratio"]]
    for name, title in loops.items():
        if f"{name}_ms_an_epoch" in found:
            ratio = found.get(f"{name}_over_raw", 1.0)
            rows.append([title, f"{found[f'{name}_ms_an_epoch']:.1f}", f"{ratio:.2f}"])
    beside = (
        f" and {found['fit_over_jax_2000']:.2f} of JAX's" if "jax_2000_ms_an_epoch" in found else ""
    )
    return "\n\n".join(
        [
            f"`python -m benchmarks.training --only loops --write docs/benchmarks.md`: "
            f"{found['machine']}, PyTorch {found['torch']}, {found['dataset']}; one thread, in "
            f"turns, medians of {found['rounds']} rounds.",
            markdown(rows),
            f"With 2,000 images an epoch of `fit` takes {found['fit_over_raw_2000']:.2f} of the "
            f"raw loop's{beside}; of a small network, {'-'.join(map(str, SMALL))}, "
            f"{found['fit_over_raw_small']:.2f} of the raw loop's.",
        ]
    )


def run_section(found: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md from the measured run."""
    said = (
        f"`python -m benchmarks.training --only run --epochs {found['epochs']} --write "
        f"docs/benchmarks.md`: {found['machine']}, PyTorch {found['torch']}; threads: "
        f"{found['threads']}. `configs/grok.yaml` with every measurement; all measurements "
        f"together {found['measurements_seconds']:.0f} s."
    )
    return f"{said}\n\n{cost_table(found['costs'])}"


def main() -> None:
    """Print what was measured; with ``--json`` the last line is one object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--rounds", type=int, default=9, help="of the comparison")
    parser.add_argument("--epochs", type=int, default=1500, help="of the run with measurements")
    parser.add_argument("--only", choices=("loops", "run"), help="one of the two parts")
    parser.add_argument("--write", type=Path, help="a page for the docs")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    found: dict[str, Any] = {
        "machine": machine(),
        "rounds": options.rounds,
        "threads": threads,
        "torch": torch.__version__,
    }
    if options.only != "run":
        torch.set_num_threads(1)
        found |= compare(options.rounds, epochs=60)
        torch.set_num_threads(threads)
        if options.write:
            write_section(
                options.write, "Training beside other ways to do it", loops_section(found)
            )
    if options.only != "loops":
        found |= measured_run(options.epochs)
        if options.write:
            write_section(
                options.write, "What a run with every measurement takes", run_section(found)
            )
    for key, value in found.items():
        print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

"""What other libraries take for the same: python -m benchmarks.rivals [--write docs/benchmarks.md]

The paper's network with random weights on Gaussian inputs, one thread, CPU seconds, medians of
rounds in turns. Each line names the library and its version; one that isn't installed or can't be
imported says so. Nothing else needs them: ``pip install equinox optax neural-tangents
curvlinops-for-pytorch``.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.page import machine, markdown, write_section
from benchmarks.training import BATCH, our_fit
from lightning_grok.geometry import empirical_ntk, sharpness
from lightning_grok.tasks.datasets import Samples
from lightning_grok.tasks.mlp import MLP

TITLE = "Beside other libraries"
WIDTHS = (784, 128, 512, 128, 47)
EPOCHS = 30
CURVLINOPS = "curvlinops-for-pytorch"
Call = Callable[[], Any]
Timed = Callable[[], float]


def network() -> nn.Sequential:
    """The paper's, at PyTorch's initialization."""
    torch.manual_seed(0)
    return MLP(WIDTHS[0], WIDTHS[1:-1], WIDTHS[-1]).layers


def samples(count: int) -> tuple[Tensor, Tensor]:
    """Gaussian inputs and labels."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, WIDTHS[0], generator=generator), torch.arange(count) % WIDTHS[-1]


def jacobian_kernel(model: nn.Module, inputs: Tensor) -> Tensor:
    """The full kernel by explicit Jacobians, as torch.func's tutorial has it."""
    weights = dict(model.named_parameters())

    def outputs(weights: dict[str, Tensor], one: Tensor) -> Tensor:
        return torch.func.functional_call(model, weights, (one[None],))[0]

    found = torch.func.vmap(torch.func.jacrev(outputs), (None, 0))(weights, inputs)
    rows = torch.cat([each.flatten(2) for each in found.values()], 2).flatten(0, 1)
    return rows @ rows.T


def curvlinops_kernel(model: nn.Module, inputs: Tensor, labels: Tensor) -> np.ndarray:
    """The same from curvlinops' operators: J (J' I)."""
    operators = import_module("curvlinops")
    weights = list(model.parameters())
    forward = operators.JacobianLinearOperator(model, weights, [(inputs, labels)])
    backward = operators.TransposedJacobianLinearOperator(model, weights, [(inputs, labels)])
    return (forward @ (backward @ torch.eye(forward.shape[0]))).numpy()


def curvlinops_sharpness(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Largest eigenvalue of the Hessian, by SciPy on curvlinops' operator."""
    from scipy.sparse.linalg import eigsh

    hessian = import_module("curvlinops").HessianLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), [(inputs, labels)]
    )
    return float(eigsh(hessian.to_scipy(), k=1, which="LA", tol=1e-3)[0][0])


def neural_tangents_kernel(model: nn.Sequential, inputs: Tensor) -> Call:
    """The same full kernel, by the method that is fastest there, jitted."""
    tangents, jax = import_module("neural_tangents"), import_module("jax")
    weights = [
        (
            jax.numpy.array(each.weight.detach().T.numpy()),
            jax.numpy.array(each.bias.detach().numpy()),
        )
        for each in model
        if isinstance(each, nn.Linear)
    ]

    def forward(weights: Any, hidden: Any) -> Any:
        for weight, bias in weights[:-1]:
            hidden = jax.nn.relu(hidden @ weight + bias)
        return hidden @ weights[-1][0] + weights[-1][1]

    implementation = tangents.NtkImplementation.STRUCTURED_DERIVATIVES
    kernel = jax.jit(
        tangents.empirical_ntk_fn(forward, trace_axes=(), implementation=implementation)
    )
    return partial(_ready, kernel, jax.numpy.array(inputs.numpy()), None, weights)


def equinox_epochs(inputs: Tensor, labels: Tensor) -> Call:
    """Some epochs of optax' AdamW, one jitted step after another, as Equinox' examples train."""
    equinox, jax, optax = (import_module(name) for name in ("equinox", "jax", "optax"))
    keys = jax.random.split(jax.random.key(0), len(WIDTHS))
    layers: list[Any] = []
    for key, above, below in zip(keys, WIDTHS, WIDTHS[1:], strict=False):
        layers += [equinox.nn.Linear(above, below, key=key), equinox.nn.Lambda(jax.nn.relu)]
    model = equinox.nn.Sequential(layers[:-1])
    optimizer = optax.adamw(1e-3, weight_decay=1e-3)
    state: list[Any] = [model, optimizer.init(equinox.filter(model, equinox.is_array))]
    images, answers = jax.numpy.array(inputs.numpy()), jax.numpy.array(labels.numpy())

    @equinox.filter_value_and_grad
    def loss(model: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), y).mean()

    @equinox.filter_jit(donate="all-except-first")
    def step(data: Any, model: Any, moments: Any, rows: Any) -> Any:
        _, gradient = loss(model, data[0][rows], data[1][rows])
        weights = equinox.filter(model, equinox.is_array)
        updates, moments = optimizer.update(gradient, moments, weights)
        return equinox.apply_updates(model, updates), moments

    def epochs() -> None:
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(labels)).split(BATCH):
                state[:] = step((images, answers), *state, jax.numpy.array(rows.numpy()))
        jax.block_until_ready(state[1])

    return epochs


def _ready(function: Callable[..., Any], *arguments: Any) -> Any:
    return import_module("jax").block_until_ready(function(*arguments))


def timed(call: Call) -> Timed:
    """A call that returns its CPU seconds."""

    def seconds() -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    return seconds


def compare(ours: Timed, theirs: Timed, rounds: int) -> tuple[float, float, float]:
    """CPU seconds of both, in turns after one call of each, and the ratio: medians of rounds."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    mine, other = (statistics.median(each) for each in zip(*pairs, strict=True))
    return mine, other, statistics.median(b / a for a, b in pairs)


def tasks() -> Iterator[tuple[str, str, Timed, Callable[[], Call]]]:
    """What is computed, by which library, our seconds, and what makes their call."""
    model = network()
    few, answers = samples(32)
    what, ours = f"full kernel of {len(few)} samples", timed(partial(empirical_ntk, model, few))
    yield what, "torch", ours, lambda: partial(jacobian_kernel, model, few)
    yield what, "neural-tangents", ours, lambda: neural_tangents_kernel(model, few)
    yield what, CURVLINOPS, ours, lambda: partial(curvlinops_kernel, model, few, answers)
    many, labels = samples(1000)
    what, ours = "largest eigenvalue of the Hessian", timed(partial(sharpness, model, many, labels))
    yield what, CURVLINOPS, ours, lambda: partial(curvlinops_sharpness, model, many, labels)
    fit, given = partial(MLP, WIDTHS[0], WIDTHS[1:-1], WIDTHS[-1]), Samples(many, labels)
    what = f"{EPOCHS} epochs of {len(many):,} samples, AdamW"
    yield (
        what,
        "equinox",
        lambda: EPOCHS * our_fit(given, fit(), EPOCHS),
        lambda: equinox_epochs(many, labels),
    )


def main() -> None:
    """Print the table; with --write also into a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", type=Path, help="a page for the docs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.setdefault("XLA_FLAGS", one_thread)  # read when JAX is imported
    rows = [["what", "library", "CPU seconds, theirs", "ours", "theirs over ours"]]
    for what, library, ours, make in tasks():
        try:
            named = f"{library} {metadata.version(library)}"
            mine, other, ratio = compare(ours, timed(make()), options.rounds)
            rows.append([what, named, f"{other:.3g}", f"{mine:.3g}", f"{ratio:.2g}"])
        except metadata.PackageNotFoundError:
            rows.append([what, library, "not installed", "", ""])
        except ImportError as error:
            rows.append([what, named, f"can't be imported ({error.msg.split(' (')[0]})", "", ""])
        print(*rows[-1], sep="  ", flush=True)
    if options.write:
        said = (
            f"`python -m benchmarks.rivals --write {options.write}`: {machine()}, PyTorch "
            f"{torch.__version__}; one thread, in turns, rounds: {options.rounds}."
        )
        write_section(options.write, TITLE, f"{said}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()

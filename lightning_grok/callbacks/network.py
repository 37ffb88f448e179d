"""The network in a module, and how it is looked at: with a chosen output, undisturbed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from lightning_grok.errors import InputError, first_line
from lightning_grok.geometry.activations import evaluating
from lightning_grok.geometry.cores import one_blas_thread
from lightning_grok.geometry.ntk.network import Output
from lightning_grok.geometry.samples import (
    answer,
    count_samples,
    place_samples,
    take_samples,
    tensors_of,
)


def placed(inputs: Any, model: nn.Module) -> Any:
    """Inputs of any nesting on the device of the model's parameters, real ones in their precision.

    Whole numbers stay whole: they are tokens.
    """
    parameter = next(model.parameters(), None)
    return inputs if parameter is None else place_samples(inputs, parameter.device, parameter.dtype)


def check_inputs(model: nn.Module, inputs: Any, name: str) -> Any:
    """Send two samples through a network, and say which inputs a measurement can't give it.

    Of tokens the second sample is one with the largest.

    Returns:
        the network's answer.

    Raises:
        InputError: the network doesn't take them.
    """
    tokens = (t for t in tensors_of(inputs) if not t.is_floating_point() and t.numel())
    second = next((int(t.flatten(1).amax(1).argmax()) for t in tokens if t.ndim > 1), 1)
    rows = [0, second] if count_samples(inputs) > 1 else [0]
    two = placed(take_samples(inputs, rows), model)
    try:
        with torch.no_grad():
            return answer(model, two)
    except Exception as error:
        shapes = ", ".join(
            f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
            for tensor in tensors_of(two)
        )
        raise InputError(
            f"{name}: expected inputs that {type(model).__name__} takes, received {shapes}: "
            f"{first_line(error)}; inputs= or batch_keys= gives others"
        ) from error


def are_logits(outputs: Any, labels: Any) -> bool:
    """Whether a network's outputs (n, C) are scores of the classes that labels (m,) name."""
    return (
        isinstance(outputs, Tensor)
        and isinstance(labels, Tensor)
        and (outputs.ndim, labels.ndim) == (2, 1)
        and not labels.is_floating_point()
        and bool(((labels >= 0) & (labels < outputs.shape[1])).all())
    )


def selection(output: Output) -> Callable[[nn.Module, Any, Any], Tensor] | None:
    """The forward hook that chooses the output; None where all of it is looked at."""
    if output is None:
        return None
    choose = output if callable(output) else lambda found: found[:, output]
    return lambda module, arguments, found: choose(found)


@contextmanager
def selected(model: nn.Module, output: Output) -> Iterator[None]:
    """The network answers with one position of its output, or a function of it, inside."""
    choose = selection(output)
    if choose is None:
        yield
        return
    hook = model.register_forward_hook(choose)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """``torch.compile`` has no effect inside: every hook would have the network compiled anew."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it is slow
        yield
        return
    # That of a LightningModule compiled as a whole, which all copies of the module would share.
    forward = vars(model).pop("forward", None) if getattr(model, "_compiler_ctx", None) else None
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        if forward is not None:
            model.forward = forward


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and a random state of its own inside; both are put back.

    So is the number of PyTorch's threads, which a library that shares OpenMP with it may change.

    NumPy's BLAS runs on one thread: its matrices here are so small that two threads take up to
    sixteen times as long, and measurements that use more cores split their work themselves.
    """
    threads = torch.get_num_threads()
    try:
        with isolate_rng(), evaluating(model), one_blas_thread(), uncompiled(model):
            yield
    finally:
        torch.set_num_threads(threads)

"""What the compiled epoch needs to know of a network and its optimizer, or why it can't train them.

`CompiledEpoch` puts both together and trains.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from lightning_grok.tasks import kernel
from lightning_grok.tasks.batches import BatchLoader
from lightning_grok.tasks.denormals import flushed_denormals
from lightning_grok.tasks.mlp import MLP
from lightning_grok.tasks.networks import Square
from lightning_grok.tasks.whole_epochs import StepByStep

_ACTIVATIONS: dict[type[nn.Module], int] = {
    nn.Identity: kernel.IDENTITY,
    nn.ReLU: kernel.RELU,
    nn.Tanh: kernel.TANH,
    nn.Sigmoid: kernel.SIGMOID,
    nn.SiLU: kernel.SILU,
    nn.GELU: kernel.GELU,
    Square: kernel.SQUARE,
}
_ADAM = ("exp_avg", "exp_avg_sq")
_OPTIMIZERS: dict[type[torch.optim.Optimizer], tuple[int, tuple[str, ...]]] = {
    torch.optim.AdamW: (kernel.ADAMW, _ADAM),
    torch.optim.Adam: (kernel.ADAM, _ADAM),
    torch.optim.SGD: (kernel.SGD, ("momentum_buffer",)),
}
_LOSSES = {
    "cross_entropy": kernel.CROSS_ENTROPY,
    "stablemax": kernel.STABLEMAX,
    "mse": kernel.MSE,
}
_VARIANTS = ("amsgrad", "maximize", "nesterov", "dampening", "capturable", "differentiable")


class Chain(NamedTuple):
    """Linear layers one after the other.

    Attributes:
        layers: input side first.
        activations: behind each, as `kernel` numbers them; the last one is the identity.
        scale: factor on the outputs.
    """

    layers: list[nn.Linear]
    activations: list[int]
    scale: float

    @property
    def widths(self) -> list[int]:
        """Of the input and of every layer, d_0 to d_L."""
        # By the weights, which a layer may have got since it was made with other sizes.
        return [self.layers[0].weight.shape[1], *(len(layer.weight) for layer in self.layers)]

    @property
    def parameters(self) -> list[Tensor | None]:
        """Weight and bias of every layer."""
        return [each for layer in self.layers for each in (layer.weight, layer.bias)]


class OptimizerState(NamedTuple):
    """What an optimizer does to the parameters of a chain.

    Attributes:
        kind: as `kernel` numbers optimizers.
        options: (2 L, 6) of each parameter, as `kernel` orders them.
        moments: first and second ones of each parameter, None where there are none.
        steps: taken so far, to be counted on.
    """

    kind: int
    options: np.ndarray
    moments: list[list[Tensor | None]]
    steps: list[Tensor]


def linear_chain(network: nn.Module) -> Chain:
    """The chain that a network is.

    Raises:
        StepByStep: it is none, or someone listens to a module or a parameter of it.
    """
    modules = list(_in_order(network))
    chain = Chain([], [], network.output_scale if isinstance(network, MLP) else 1.0)
    for module in modules:
        if type(module) is nn.Linear:
            chain.layers.append(module)
            chain.activations.append(kernel.IDENTITY)
        elif not chain.layers and type(module) is nn.Flatten and module.start_dim == 1:
            continue  # as the inputs are anyway
        elif _is_activation(module) and chain.activations[-1:] == [kernel.IDENTITY]:
            chain.activations[-1] = _ACTIVATIONS[type(module)]
        else:
            raise StepByStep(f"{type(module).__name__} is no linear layer with an activation")
    if chain.activations[-1:] != [kernel.IDENTITY]:
        raise StepByStep("a network that ends with an activation")
    if _has_any_global_hook() or any(map(_has_hooks, network.modules())):
        raise StepByStep("hooks on the network")
    if any("forward" in vars(module) for module in network.modules()):
        raise StepByStep("a forward of its own of a module")
    if not isinstance(chain.scale, (int, float)):
        raise StepByStep("a factor on the outputs that is no plain number")
    parameters = [each for each in chain.parameters if each is not None]
    if not all(map(_is_plain, parameters)):
        raise StepByStep("parameters that are frozen, hooked or no float32 on the CPU")
    if len(set(map(id, parameters))) < len(parameters):
        raise StepByStep("layers that share parameters")
    if not all(map(_fits, chain.layers, pairwise(chain.widths))):
        raise StepByStep("weights and biases of other sizes than a chain of layers has")
    return chain


def _fits(layer: nn.Linear, widths: tuple[int, int]) -> bool:
    bias = layer.bias
    return layer.weight.shape == widths[::-1] and (bias is None or bias.shape == widths[1:])


def _in_order(network: nn.Module) -> Iterator[nn.Module]:
    """The innermost modules of a network that calls them in their order."""
    if type(network) is MLP:
        yield from _in_order(network.layers)
    elif isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        for module in network:  # one that is called twice, twice
            yield from _in_order(module)
    else:
        yield network


def _is_activation(module: nn.Module) -> bool:
    return type(module) in _ACTIVATIONS and getattr(module, "approximate", "none") == "none"


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _is_plain(parameter: Tensor) -> bool:
    return (
        type(parameter) is nn.Parameter
        and parameter.requires_grad
        and not parameter._backward_hooks
        and not parameter._post_accumulate_grad_hooks
        and is_float32(parameter)
    )


def is_float32(tensor: Tensor) -> bool:
    """Whether a tensor is one block of float32 in the memory of the CPU."""
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous()


def optimizer_state(optimizer: torch.optim.Optimizer, chain: Chain) -> OptimizerState:
    """What an optimizer is about to do to a chain.

    Raises:
        StepByStep: it is of another kind, trains other parameters too, or has taken no step yet.
    """
    if type(optimizer) not in _OPTIMIZERS:
        raise StepByStep(f"the optimizer {type(optimizer).__name__}")
    kind, names = _OPTIMIZERS[type(optimizer)]
    if any(
        (
            _global_optimizer_pre_hooks,
            _global_optimizer_post_hooks,
            optimizer._optimizer_step_pre_hooks,
            optimizer._optimizer_step_post_hooks,
            # A schedule's counter calls the optimizer's own.
            "step" in vars(optimizer) and not hasattr(optimizer.step, "_wrapped_by_lr_sched"),
        )
    ):
        raise StepByStep("hooks on the optimizer")
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    if groups.keys() != {id(p) for p in chain.parameters if p is not None}:
        raise StepByStep("an optimizer of other parameters than those of linear layers")
    state = OptimizerState(kind, np.zeros((len(chain.parameters), 6)), [], [])
    for row, parameter in zip(state.options, chain.parameters, strict=True):
        if parameter is None:
            state.moments.append([None, None])
            continue
        group, own = groups[id(parameter)], optimizer.state.get(parameter, {})
        wanted = names if kind != kernel.SGD or group["momentum"] else ()
        moments = [own.get(name) for name in wanted]
        if not all(_is_moment(each, parameter) for each in moments):
            raise StepByStep  # before the first step, which Lightning may as well take
        row[:] = _options(group, kind, own)
        state.moments.append([*moments, None, None][:2])
        if "step" in own:
            state.steps.append(own["step"])
    return state


def _is_moment(state: Any, parameter: Tensor) -> bool:
    return isinstance(state, Tensor) and is_float32(state) and state.shape == parameter.shape


def _options(group: dict[str, Any], kind: int, own: dict[str, Any]) -> list[float]:
    """Options of a group, as `kernel` orders them, and how many steps were taken."""
    decoupled = group.get("decoupled_weight_decay", kind == kernel.ADAMW)
    if any(group.get(name) for name in _VARIANTS) or decoupled != (kind == kernel.ADAMW):
        raise StepByStep("a variant of the optimizer")
    first, second = group.get("betas", (group.get("momentum", 0.0), 0.0))
    options = group["lr"], group["weight_decay"], first, second, group.get("eps", 0.0)
    if any(isinstance(each, Tensor) for each in options):
        raise StepByStep("options of the optimizer that are tensors")
    return [*options, float(own.get("step", 0))]


class CompiledEpoch:
    """An epoch of a module that is about to be trained.

    Args:
        module: a `GrokModule`.
        optimizer: of its network.
        loader: of its training set.

    Raises:
        StepByStep: they are none that the kernel knows.
    """

    def __init__(self, module: Any, optimizer: torch.optim.Optimizer, loader: Any) -> None:
        if type(loader) is not BatchLoader:
            raise StepByStep(f"batches of a {type(loader).__name__}")
        self.chain = linear_chain(module.network)
        self.optimizer = optimizer
        self.state = optimizer_state(optimizer, self.chain)
        self.loader = loader
        if module.loss not in _LOSSES:
            raise StepByStep(f"the loss {module.loss}")
        self.loss = _LOSSES[module.loss], module.loss_precision == torch.float64
        self.inputs, self.labels = loader.samples.images.flatten(1), loader.samples.labels
        if not is_float32(self.inputs) or self.inputs.shape[1] != self.chain.widths[0]:
            raise StepByStep("inputs that are no vectors of float32 on the CPU")
        if self.labels.shape != self.inputs.shape[:1] or self.labels.is_floating_point():
            raise StepByStep("labels that are no class a sample")
        lowest, highest = self.labels.aminmax()
        if lowest < 0 or highest >= self.chain.widths[-1]:
            raise StepByStep("labels beyond the outputs")

    def train(self, begin: int, steps: int) -> float:
        """Take so many steps, the first one on minibatch `begin`; the loss of the last one."""
        chain, state = self.chain, self.state
        for parameter in chain.parameters:
            if parameter is not None and (parameter.grad is None or not is_float32(parameter.grad)):
                parameter.grad = torch.empty_like(parameter)
        gradients = [None if each is None else each.grad for each in chain.parameters]
        rows: list[Any] = [chain.parameters, gradients, *zip(*state.moments, strict=True)]
        addresses = [[0 if each is None else each.data_ptr() for each in row] for row in rows]
        sizes = [0 if each is None else each.numel() for each in chain.parameters]
        size = min(self.loader.batch_size, len(self.labels))
        _share_threads()
        with flushed_denormals():
            loss = kernel.train_epoch(
                self.inputs.numpy(),
                self.labels.numpy(),
                self.loader.order()[begin * size :][: steps * size].numpy(),
                size,
                np.array(chain.widths),
                np.array(chain.activations),
                np.array(addresses),
                np.array(sizes),
                state.options,
                state.kind,
                *self.loss,
                chain.scale,
            )
        for counted in state.steps:
            counted += steps
        self.optimizer._opt_called = True  # type: ignore[attr-defined]  # which schedules ask for
        return loss


def _share_threads() -> None:
    """Let the library of matrix products use as many threads as PyTorch may."""
    for library in _blas():
        if library.num_threads != torch.get_num_threads():
            library.set_num_threads(torch.get_num_threads())


@cache
def _blas() -> list[Any]:
    import scipy.linalg.cython_blas  # noqa: F401  # what Numba multiplies with

    return ThreadpoolController().select(user_api="blas").lib_controllers

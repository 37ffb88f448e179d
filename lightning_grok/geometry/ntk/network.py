"""A network as a function of its learning parameters, at any values of them."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy

from lightning_grok.geometry.activations import evaluating
from lightning_grok.geometry.samples import (
    arguments_of,
    count_samples,
    map_tensors,
    place_samples,
)

Output = int | Callable[..., Any] | None
"""The output (n, V) to look at: at a position of (n, T, V), or by a function; or all of it."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class NetworkFunction:
    """f(θ, x) of one checkpoint.

    Attributes:
        model: the architecture; its own parameters play no part.
        learned: θ by name: the parameters that require a gradient. Copies.
        constant: frozen parameters and buffers by name. Copies.
        places: every place in the model, ``path.name``, with the name of the tensor that stands
            there; a tied tensor has several.
        inputs: the samples, on the parameters' device and in their precision; not copied.
        output: as in `network_function`.
    """

    model: nn.Module
    learned: State
    constant: State
    places: dict[str, str]
    inputs: Any
    output: Output

    @property
    def reference(self) -> Tensor:
        """A parameter, for device and precision."""
        return next(iter(self.learned.values()))

    def __call__(self, learned: Mapping[str, Tensor], inputs: Any) -> Tensor:
        """Outputs (n, c) of the samples."""
        known = {**self.constant, **learned}
        state = {place: known[name] for place, name in self.places.items()}
        # Copies, since the model may work in place.
        args, kwargs = arguments_of(self.model, map_tensors(torch.clone, inputs))
        # Tied here, since functional_call would leave our tensors in a module that is used twice.
        answer = torch.func.functional_call(self.model, state, args, kwargs, tie_weights=False)
        return _chosen(answer, self.output)


def network_function(
    model: nn.Module,
    inputs: Any,
    *,
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    output: Output = None,
) -> NetworkFunction:
    """The network as a function of its learning parameters.

    Args:
        model: any module.
        inputs: n samples as ``forward`` takes them (`lightning_grok.geometry.samples.answer`).
        parameters: values to use instead of the model's own, a whole ``state_dict()``: parameters
            and, where the model has any, the buffers that belong to them.
        dtype: floating type of all computations; the parameters' own by default, in half
            precision float32.
        output: which (n, c) of the network's answer: None where it is one, the position t of
            (n, T, c), or a function of the answer.

    Raises:
        ValueError: no samples, non-finite inputs, no parameter that requires a gradient, or a state
            that lacks a tensor of the model, has one of another shape, or one of another model.
    """
    count_samples(inputs)
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"expected a floating dtype, received {dtype}")
    if isinstance(model, (nn.DataParallel, torch.jit.ScriptModule)):
        raise ValueError(
            "expected a module whose parameters can be replaced, received a "
            f"{type(model).__name__}: hand over the module that it was made from"
        )
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise ValueError("expected initialized parameters: call a lazy model once beforehand")
    with torch.inference_mode(False):  # what is copied there can't be differentiated
        state = _state_of(model, parameters, dtype)
    names = {name for name, own in model.named_parameters() if own.requires_grad}
    if not names:
        raise ValueError("expected at least one parameter that requires a gradient, received none")
    unreal = [name for name in state if name in names and not state[name].is_floating_point()]
    if unreal:
        raise ValueError(
            f"expected real parameters, received {state[unreal[0]].dtype} in {unreal[0]}: a "
            "complex one can be learned as two real ones, by torch.view_as_complex"
        )
    learned = {name: value for name, value in state.items() if name in names}
    constant = {name: value for name, value in state.items() if name not in names}
    reference = next(iter(learned.values()))
    samples = place_samples(inputs, reference.device, reference.dtype)
    return NetworkFunction(model, learned, constant, _places(model), samples, output)


def layer_of(parameter: str) -> str:
    """The module that owns a parameter; one of the network itself goes by its own name."""
    return parameter.rpartition(".")[0] or parameter


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, full precision, and operations that every kind of derivative knows."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        for device in ("cpu", "cuda"):
            if torch.amp.is_autocast_available(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(warnings.catch_warnings())
        # Where vmap knows no batched form of an operation it goes through the samples.
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        # What PyTorch says where oneDNN is switched off and on again.
        warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN", UserWarning)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def _chosen(answer: Any, output: Output) -> Tensor:
    if callable(output):
        answer = output(answer)
    elif output is not None:
        if not isinstance(answer, Tensor) or answer.ndim != 3:
            raise ValueError(f"expected outputs (n, T, c) for a position, received {_said(answer)}")
        if not -answer.shape[1] <= output < answer.shape[1]:
            raise ValueError(
                f"expected an output position of the {answer.shape[1]} that there are, "
                f"received {output}"
            )
        answer = answer[:, output]
    if isinstance(answer, Tensor) and answer.ndim == 1:
        answer = answer[:, None]
    if not isinstance(answer, Tensor) or answer.ndim != 2:
        raise ValueError(
            f"expected outputs (n, c), received {_said(answer)}; choose them by output=, a "
            "position of (n, T, c) or a function of the network's answer"
        )
    if not answer.is_floating_point():
        raise ValueError(f"expected real outputs, received {answer.dtype}")
    return answer


def _said(answer: Any) -> str:
    if isinstance(answer, Tensor):
        return f"(n, {', '.join(map(str, answer.shape[1:]))})" if answer.ndim else "one number"
    return type(answer).__name__


def _state_of(
    model: nn.Module, given: Mapping[str, Tensor] | None, dtype: torch.dtype | None
) -> State:
    """Copies of parameters and buffers by name, from the model or from the mapping."""
    # A module that stands at two places has its tensors under both names in a state_dict.
    places = _places(model, everywhere=True)
    if given is not None:
        foreign = [key for key in given if key not in places and not key.endswith("_extra_state")]
        if foreign:
            raise ValueError(
                f"expected parameters and buffers of the model, received {', '.join(foreign)}"
            )
    stored = model.state_dict().keys()
    state: State = {}
    for name, own in (*model.named_parameters(), *model.named_buffers()):
        aliases = [place for place, known in places.items() if known == name]
        source: Tensor | None = own
        # A buffer that no state_dict holds (a mask) is part of the architecture.
        if given is not None and any(alias in stored for alias in aliases):
            source = next((given[alias] for alias in aliases if alias in given), None)
        if source is None or source.shape != own.shape:
            received = "nothing" if source is None else tuple(source.shape)
            raise ValueError(f"expected {name} of shape {tuple(own.shape)}, received {received}")
        wanted = source.dtype
        if source.is_floating_point():
            wanted = dtype or torch.promote_types(source.dtype, torch.float32)
        state[name] = source.detach().to(device=own.device, dtype=wanted, copy=True)
    return state


def _places(model: nn.Module, *, everywhere: bool = False) -> dict[str, str]:
    """Every place of a parameter or buffer with the first name that the tensor has.

    A module has one place, its first, unless `everywhere`.
    """
    names = {id(own): name for name, own in (*model.named_parameters(), *model.named_buffers())}
    return {
        f"{path}.{key}".lstrip("."): names[id(own)]
        for path, module in model.named_modules(remove_duplicate=not everywhere)
        for key, own in (
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        )
    }

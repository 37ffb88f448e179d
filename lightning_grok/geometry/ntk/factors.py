"""Layer factors of the empirical neural tangent kernel of a stack of linear layers.

For f = activation ∘ linear ∘ ... ∘ linear the derivative of output a of sample i by the weights of
layer l is an outer product, so that the kernel J Jᵀ needs no Jacobian (P columns), only

    K[(i, a), (j, b)] = Σ_l (A_l A_lᵀ + 1)_ij (B_l,i B_l,jᵀ)_ab,

where A_l (n, p_in) are the inputs of layer l and B_l,i (c, p_out) the derivative of the outputs by
layer l's pre-activations. The first term belongs to the weights, the one to the biases; frozen
ones are left out. B_l,i = B_{l+1,i} W_{l+1} diag(slope_l,i) is a product of small matrices: the
factors keep inputs, slopes and weights (about 3 MB for 256 samples of the paper's network, where
the kernel has 579 MB and the Jacobian 11.5 GB) and rebuild B for the samples that are asked for.

Conventions: evaluation mode whatever the module's flag, outputs (n, c), rows (sample, output).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.activations import evaluating
from lightning_grok.tasks.mlp import MLP


class NotALinearStackError(ValueError):
    """The module is not a stack of linear layers and elementwise activations."""


@dataclass(frozen=True)
class LinearLayer:
    """One linear layer at the given samples.

    Attributes:
        name: dotted name of the layer in its model, ``layers.0``.
        inputs: A, what enters the layer, (n, p_in).
        weight: W, (p_out, p_in), a copy that training does not change.
        slope: derivative of the activations that follow, (n, p_out); None where nothing follows.
        learns_weight, learns_bias: which of the two the kernel is taken over.
    """

    name: str
    inputs: Float[Tensor, "n p_in"]
    weight: Float[Tensor, "p_out p_in"]
    slope: Float[Tensor, "n p_out"] | None
    learns_weight: bool
    learns_bias: bool

    @property
    def learns(self) -> bool:
        """Whether the layer has a term in the kernel."""
        return self.learns_weight or self.learns_bias

    def gram(self, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """A_rows A_columnsᵀ + 1, without the term of a frozen weight or bias."""
        shape = len(self.inputs[rows]), len(self.inputs[columns])
        gram = self.inputs.new_zeros(shape)
        if self.learns_weight:
            gram = self.inputs[rows] @ self.inputs[columns].T
        return gram + 1 if self.learns_bias else gram


@dataclass(frozen=True)
class NTKFactors:
    """Everything the kernel of one checkpoint needs at given samples, without the kernel.

    Attributes:
        layers: all linear layers, input side first.
        output_scale: factor on the outputs (alpha of the paper).
        cache: what was computed from the factors once and is asked for again.
    """

    layers: tuple[LinearLayer, ...]
    output_scale: float = 1.0
    cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def samples(self) -> int:
        """n, the number of samples."""
        return len(self.layers[0].inputs)

    @property
    def outputs(self) -> int:
        """c, the number of outputs."""
        return len(self.layers[-1].weight)

    @property
    def learning(self) -> tuple[LinearLayer, ...]:
        """The layers with a term in the kernel, input side first."""
        return tuple(layer for layer in self.layers if layer.learns)

    @property
    def widths(self) -> tuple[int, ...]:
        """p_out of every layer in `learning`."""
        return tuple(len(layer.weight) for layer in self.learning)

    def jacobians(self, rows: slice = slice(None)) -> list[Tensor]:
        """B of every layer in `learning`, for the samples in `rows`.

        Returns:
            Tensors (b, c, p_out). The last layer's, if it learns, is diagonal in every sample
            and comes as that diagonal, (b, c).
        """
        last = self.layers[-1]
        ones = last.inputs.new_ones(self.samples, self.outputs)[rows]
        diagonal = self.output_scale * (ones if last.slope is None else last.slope[rows])
        found = [diagonal] if last.learns else []
        outer: Tensor | None = None
        for layer, above in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            if len(found) == len(self.learning):
                break
            # (b, c, p_above) -> (b, c, p_out)
            outer = diagonal[:, :, None] * above.weight if outer is None else outer @ above.weight
            if layer.slope is not None:
                outer = outer * layer.slope[rows, None, :]
            if layer.learns:
                found.append(outer)
        return found[::-1]


def ntk_factors(
    model: nn.Module,
    inputs: Float[Tensor, "n *shape"],
    *,
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> NTKFactors:
    """Factors of the model's empirical neural tangent kernel at the inputs.

    The model is a `lightning_grok.tasks.mlp.MLP` or an ``nn.Sequential`` (nested ones included) of
    ``nn.Linear`` and of modules without a state. What stands before the first linear layer, such
    as ``nn.Flatten``, is applied as it is; what follows must act elementwise, which is tested by
    its derivative at the inputs rather than by its name. The kernel is taken over the parameters
    that require a gradient. Nothing returned shares memory with parameters or inputs.

    Args:
        model: the network, in training or evaluation mode; evaluated in the latter.
        inputs: n samples as the model takes them.
        parameters: values to use instead of the model's own, keyed as in ``state_dict()``.
        dtype: floating type of all computations; the parameters' own by default.

    Returns:
        The factors; cost is one forward pass and memory n (Σ p_in + Σ p_out) + P numbers.

    Raises:
        NotALinearStackError: a ValueError; the module is of another kind, shares a layer or
            carries hooks.
        ValueError: no samples, non-finite inputs to a layer, no parameter that requires a
            gradient, or missing or misshapen parameters.
    """
    modules, output_scale = _flat_modules(model)
    values = parameter_values(model, parameters, dtype)
    check_samples(inputs)
    reference = next(iter(values.values()))
    hidden = inputs.detach().to(device=reference.device, dtype=reference.dtype, copy=True)
    layers: list[LinearLayer] = []
    with evaluating(model):
        for name, module in modules:
            if type(module) is nn.Linear:
                layer, hidden = _through_linear(name, module, hidden, values)
                layers.append(layer)
            elif layers:
                hidden, slope = _through_elementwise(name, module, hidden)
                before = layers[-1].slope
                total = slope if before is None else before * slope
                layers[-1] = LinearLayer(**{**vars(layers[-1]), "slope": total})
            else:
                with torch.no_grad():
                    hidden = module(hidden)
    if not bool(torch.isfinite(hidden).all()):
        raise ValueError("expected finite outputs, received NaN or infinity from the model")
    if not any(layer.learns for layer in layers):
        raise ValueError("expected at least one parameter that requires a gradient, received none")
    return NTKFactors(tuple(layers), output_scale)


def check_samples(inputs: Tensor) -> None:
    if inputs.ndim < 2 or len(inputs) == 0:
        raise ValueError(f"expected inputs (n, ...) with n >= 1, received {tuple(inputs.shape)}")
    if not bool(torch.isfinite(inputs).all()):
        raise ValueError("expected finite inputs, received NaN or infinity")


def _flat_modules(model: nn.Module) -> tuple[list[tuple[str, nn.Module]], float]:
    """Named modules in the order of the forward pass, and the output scale."""
    if isinstance(model, MLP) and type(model).forward is MLP.forward and not _has_hooks(model):
        modules = [("layers.flatten", nn.Flatten()), *_unpacked(model.layers, "layers.")]
        scale = float(model.output_scale)
    else:
        modules, scale = list(_unpacked(model, "")), 1.0
    linear = [module for _, module in modules if type(module) is nn.Linear]
    if not linear:
        raise NotALinearStackError("expected at least one nn.Linear, received none")
    tensors = [tensor for module in linear for tensor in module.parameters()]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        raise NotALinearStackError("expected every linear layer once, received a shared one")
    return modules, scale


def _unpacked(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    if _has_hooks(module):
        raise NotALinearStackError(f"expected no hooks, received them on {prefix[:-1] or 'model'}")
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        # named_children would pass over the second place of a module that stands in two.
        for name, child in module._modules.items():
            assert child is not None
            yield from _unpacked(child, f"{prefix}{name}.")
        return
    if type(module) is not nn.Linear and module.state_dict():
        raise NotALinearStackError(
            f"expected nn.Linear or a module without a state, received {type(module).__name__}"
        )
    yield prefix[:-1], module


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def parameter_values(
    model: nn.Module, parameters: Mapping[str, Tensor] | None, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Copies of the parameters by name, from the model or from the mapping."""
    values: dict[str, Tensor] = {}
    for name, own in model.named_parameters():
        source = own if parameters is None else parameters.get(name)
        if source is None or source.shape != own.shape:
            received = "nothing" if source is None else tuple(source.shape)
            raise ValueError(f"expected {name} of shape {tuple(own.shape)}, received {received}")
        values[name] = source.detach().to(device=own.device, dtype=dtype or source.dtype, copy=True)
    return values


def _through_linear(
    name: str, module: nn.Linear, hidden: Tensor, values: Mapping[str, Tensor]
) -> tuple[LinearLayer, Tensor]:
    if hidden.ndim != 2:
        raise NotALinearStackError(
            f"expected inputs (n, features) at {name}, received {tuple(hidden.shape)}"
        )
    # A linear layer that is the whole model has parameters without a prefix.
    dot = f"{name}." if name else ""
    weight, bias = values[f"{dot}weight"], values.get(f"{dot}bias")
    layer = LinearLayer(
        name=name,
        inputs=hidden,
        weight=weight,
        slope=None,
        learns_weight=module.weight.requires_grad,
        learns_bias=module.bias is not None and module.bias.requires_grad,
    )
    return layer, nn.functional.linear(hidden, weight, bias)


def _through_elementwise(name: str, module: nn.Module, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and derivatives; refuses a module whose Jacobian is not diagonal.

    One product with ones gives the diagonal d = Jᵀ1 of a diagonal J; a product with random v
    equals d * v for all other entries zero, and differs almost surely otherwise.
    """
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(hidden.shape, generator=generator, dtype=torch.float64).to(hidden)
    with torch.enable_grad():
        # A non-leaf copy, since the module may work in place.
        leaf = hidden.detach().requires_grad_()
        outputs = module(leaf.clone())
        if not isinstance(outputs, Tensor) or outputs.shape != hidden.shape:
            raise NotALinearStackError(
                f"expected {name} to act elementwise, received another shape"
            )
        if not outputs.requires_grad:
            return outputs, torch.zeros_like(hidden)
        slope, mixed = (_pulled_back(outputs, leaf, v) for v in (torch.ones_like(leaf), direction))
    tolerance = 1e-4 if hidden.dtype in (torch.float16, torch.bfloat16, torch.float32) else 1e-10
    error = (mixed - slope * direction).abs().max()
    if not bool(error <= tolerance * torch.maximum(slope.abs().max(), mixed.abs().max())):
        raise NotALinearStackError(f"expected {name} to act elementwise, received mixed units")
    return outputs.detach(), slope


def _pulled_back(outputs: Tensor, leaf: Tensor, direction: Tensor) -> Any:
    return torch.autograd.grad(outputs, leaf, direction, retain_graph=True)[0]

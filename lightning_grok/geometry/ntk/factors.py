"""Layer factors of the empirical neural tangent kernel of any network.

What enters the layers and the derivatives by what leaves them take a thousandth of the memory of
the Jacobian, and the kernel is a sum of their products (`lightning_grok.geometry.ntk.terms`).
Linear layers at any number of positions, convolutions and embeddings have such factors, whoever
calls them and however often; all other parameters (normalization, positions, recurrent layers)
come with their own derivatives. Both are taken by ``torch.func`` over all samples at once; where it
can't follow a network, or samples depend on each other, by one backward pass an output and sample.

Conventions: evaluation mode whatever the module's flag, outputs (n, c), rows (sample, output).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from lightning_grok.geometry.ntk.layer_calls import LayerCalls, Layout
from lightning_grok.geometry.ntk.network import (
    NetworkFunction,
    Output,
    differentiable,
    layer_of,
    network_function,
)
from lightning_grok.geometry.ntk.terms import Term, TermShape, add_terms, joined, mirror
from lightning_grok.geometry.ntk.uses import Group, grouped, shape_of, term_of
from lightning_grok.geometry.samples import count_samples, take_samples

_NOT_FOLLOWED = (RuntimeError, NotImplementedError, TypeError, ValueError)  # by torch.func
_CHUNK = 32e6  # bytes of factors that torch.func makes at a time; it needs a few times as much


@dataclass(frozen=True)
class NTKFactors:
    """Everything the kernel of one checkpoint needs at given samples, without the kernel.

    Attributes:
        function: the network with copies of the checkpoint's parameters, and the samples.
        samples: n.
        outputs: c.
        layouts: the layers that are called.
        groups: which calls make a term.
        others: parameters that have no factors, or some use besides.
        way: ``vmap``; ``sample`` where torch.func can't follow, ``batch`` where samples mix.
        cache: what was computed from the factors once and is asked for again.
    """

    function: NetworkFunction
    samples: int
    outputs: int
    layouts: tuple[Layout, ...]
    groups: tuple[Group, ...]
    others: tuple[str, ...]
    way: str
    cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shapes(self) -> tuple[TermShape, ...]:
        """Sizes of all terms."""
        sizes: dict[str, int] = defaultdict(int)
        for name in self.others:
            sizes[layer_of(name)] += self.function.learned[name].numel()
        rest = (TermShape(layer, 1, 1, size) for layer, size in sizes.items())
        return (*(shape_of(group, self.layouts) for group in self.groups), *rest)

    @property
    def has_one_position(self) -> bool:
        """Whether every layer acts at a single position."""
        return all(shape.positions == 1 for shape in self.shapes)

    @property
    def numbers(self) -> int:
        """How many numbers the factors of one sample are."""
        return sum(shape.numbers(self.outputs) for shape in self.shapes)

    def bytes(self) -> int:
        """Memory of the factors of one sample."""
        return self.numbers * self.function.reference.element_size()

    def terms(self, rows: slice = slice(None)) -> list[Term]:
        """The terms at some of the samples; made anew at every call.

        Returns:
            One for every group of calls, then one for every layer with other parameters.
        """
        with differentiable(self.function.model):
            if self.way == "vmap":
                return _terms_at_once(self, rows)
            return _terms_one_by_one(self, rows)


def ntk_factors(
    model: nn.Module,
    inputs: Any,
    *,
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    output: Output = None,
) -> NTKFactors:
    """Factors of the model's empirical neural tangent kernel at the inputs.

    The kernel is taken over the parameters that require a gradient. Parameters and buffers are
    copied, inputs are not.

    Args:
        model: any module, in training or evaluation mode; evaluated in the latter, where each
            sample is answered by itself. Where samples depend on each other nevertheless (batch
            statistics that are not tracked), the derivatives are those of the whole batch.
        inputs, parameters, dtype, output: as in `network_function`.

    Returns:
        What makes the factors; cost is three forward passes, and a backward pass of two samples.

    Raises:
        ValueError: as `network_function`; outputs that are not (n, c), not finite, drawn at random,
            or that depend on no learning parameter.
    """
    function = network_function(model, inputs, parameters=parameters, dtype=dtype, output=output)
    with differentiable(model):
        outputs = function(function.learned, function.inputs).detach()
        if not bool(torch.isfinite(outputs).all()):
            raise ValueError("expected finite outputs, received NaN or infinity from the model")
        n = count_samples(function.inputs)
        if len(outputs) != n:
            raise ValueError(f"expected {n} rows of outputs, received {len(outputs)}")
        everything = tuple(function.learned)
        if _mixes(function, outputs):
            if _differ(function(function.learned, function.inputs).detach(), outputs):
                raise ValueError(
                    "expected a network that answers the same inputs alike in evaluation mode, "
                    "received one that draws random numbers there"
                )
            return NTKFactors(function, n, outputs.shape[1], (), (), everything, "batch")
        layouts, others = _discovered(function)
        groups = grouped(layouts)
        if not groups and not others:
            raise ValueError("expected outputs that depend on a learning parameter, received none")
        found = NTKFactors(function, n, outputs.shape[1], layouts, groups, tuple(others), "vmap")
        way = _way(found)
        if way != "vmap":
            return NTKFactors(function, n, outputs.shape[1], (), (), everything, way)
    return found


def _mixes(function: NetworkFunction, outputs: Tensor) -> bool:
    """Whether a sample is answered otherwise without the others."""

    def answer(sample: Any) -> Tensor:
        return function(function.learned, take_samples(sample, None))[0]

    try:
        alone = vmap(answer)(function.inputs)
    except _NOT_FOLLOWED:
        rows = (slice(i, i + 1) for i in range(len(outputs)))
        try:
            answers = [function(function.learned, take_samples(function.inputs, r)) for r in rows]
        except (RuntimeError, ValueError):  # one sample has no batch statistics
            return True
        alone = torch.cat(answers)
    return _differ(alone.detach(), outputs)


def _differ(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are further apart than rounding takes them."""
    if first.shape != second.shape:
        return True
    first, second = first.detach(), second.detach()
    tolerance = torch.finfo(second.dtype).eps ** 0.5 * float(second.abs().max())
    return float((first - second).abs().max()) > tolerance


def _way(factors: NTKFactors) -> str:
    """The way in which two samples have the derivatives that one backward pass gives them.

    torch.func can't follow where values decide what the network does, and some operations are wrong
    under two vmaps, as the derivative of PReLU is. Samples that are answered alike alone may yet
    have other derivatives together: where batch statistics lie behind a gate that is still 0.
    """
    count = min(2, factors.samples)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(count, factors.outputs, generator=generator)
    together = _weighted_gradient(factors.function, weights, slice(0, count))
    try:
        terms = [each.weighted(weights) for each in _terms_at_once(factors, slice(0, count))]
    except _NOT_FOLLOWED:
        pass
    else:
        kernel = together.new_zeros(count, count)
        add_terms(kernel, terms, terms, "sum")
        mirror(kernel)
        if not _differ(kernel.sum() * factors.outputs, together @ together):
            return "vmap"
    rows = [slice(i, i + 1) for i in range(count)]
    alone = sum(_weighted_gradient(factors.function, weights[each], each) for each in rows)
    return "batch" if _differ(torch.as_tensor(alone), together) else "sample"


def _weighted_gradient(function: NetworkFunction, weights: Tensor, rows: slice) -> Tensor:
    """Derivative (P,) of the weighted sum of some samples' outputs."""
    leaves = {name: value.requires_grad_() for name, value in _copies(function.learned).items()}
    outputs = function(leaves, take_samples(function.inputs, rows))
    found = torch.autograd.grad(
        outputs,
        list(leaves.values()),
        weights.to(outputs),
        allow_unused=True,
        materialize_grads=True,
    )
    return torch.cat([each.to_dense().flatten() for each in found])


def _discovered(function: NetworkFunction) -> tuple[tuple[Layout, ...], list[str]]:
    """Calls of layers in the forward pass of one sample, and parameters with other uses."""
    others: list[str] = []
    while True:
        leaves = {name: value.requires_grad_() for name, value in _copies(function.learned).items()}
        factored = {name: value for name, value in leaves.items() if name not in others}
        with LayerCalls(factored, function.constant) as calls:
            outputs = function(leaves, take_samples(function.inputs, slice(0, 1)))
        if outputs.requires_grad:
            gradients = torch.autograd.grad(outputs.sum(), list(leaves.values()), allow_unused=True)
        else:
            gradients = tuple[Tensor, ...]()
        found = [n for n, g in zip(leaves, gradients, strict=False) if g is not None]
        if found == others:
            return tuple(calls.layouts), found
        # One that has other uses leaves the calls too, and what stands beside it may follow.
        others = found


def _copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def _terms_at_once(factors: NTKFactors, rows: slice) -> list[Term]:
    function = factors.function
    others = {name: function.learned[name] for name in factors.others}
    factored = {name: v for name, v in function.learned.items() if name not in others}
    zeros = [function.reference.new_zeros(layout.out_shape) for layout in factors.layouts]

    def outputs(variables: tuple[list[Tensor], dict[str, Tensor]], sample: Any) -> Any:
        shifts, rest = variables
        with LayerCalls(factored, function.constant, shifts) as calls:
            answer = function({**factored, **rest}, take_samples(sample, None))
        if [call[:3] for call in calls.layouts] != [call[:3] for call in factors.layouts]:
            raise RuntimeError("expected the same layers to be called for every sample")
        return answer[0], tuple(calls.inputs)

    derivatives = vmap(jacrev(outputs, has_aux=True), in_dims=(None, 0))
    samples = take_samples(function.inputs, rows)
    count = len(range(factors.samples)[rows])
    size = max(1, int(_CHUNK / max(1, factors.bytes())))
    chunks = []
    for start in range(0, count, size):  # put in order while they are in the cache
        chunk = take_samples(samples, slice(start, start + size))
        (shifted, rest), entered = derivatives((zeros, others), chunk)
        pulled, inputs = ([value.detach() for value in values] for values in (shifted, entered))
        terms = [term_of(group, factors.layouts, inputs, pulled) for group in factors.groups]
        chunks.append(terms + _other_terms({name: each.detach() for name, each in rest.items()}))
    return [joined(parts) for parts in zip(*chunks, strict=True)]


def _other_terms(derivatives: Mapping[str, Tensor]) -> list[Term]:
    """A term for every layer, from (n, c, *parameter) by name."""
    layers: dict[str, list[Tensor]] = defaultdict(list)
    for name, value in derivatives.items():
        layers[layer_of(name)].append(value.reshape(*value.shape[:2], -1))  # of a scalar too
    return [_explicit(layer, torch.cat(values, 2)) for layer, values in layers.items()]


def _explicit(layer: str, gradients: Tensor) -> Term:
    ones = gradients.new_ones(len(gradients), 1, 1)
    return Term(layer, ones, gradients[:, :, None, :])


def _terms_one_by_one(factors: NTKFactors, rows: slice) -> list[Term]:
    """By one backward pass an output and sample."""
    function = factors.function
    names = list(function.learned)
    leaves = {name: value.requires_grad_() for name, value in _copies(function.learned).items()}
    whole = function(leaves, function.inputs) if factors.way == "batch" else None
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for i in range(factors.samples)[rows]:
        if whole is None:
            answers = function(leaves, take_samples(function.inputs, slice(i, i + 1)))[0]
        else:
            answers = whole[i]
        for answer in answers:
            gradients = torch.autograd.grad(
                answer, list(leaves.values()), retain_graph=True, allow_unused=True
            )
            for name, gradient in zip(names, gradients, strict=True):
                own = leaves[name] if gradient is None else gradient
                found[name].append(
                    torch.zeros_like(own) if gradient is None else own.detach().to_dense()
                )
    shape = (-1, factors.outputs)
    return _other_terms(
        {name: torch.stack(rows_).unflatten(0, shape) for name, rows_ in found.items()}
    )

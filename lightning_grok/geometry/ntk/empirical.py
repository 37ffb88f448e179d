"""The empirical neural tangent kernel K = J Jᵀ of a network at given samples.

J (n c, P) holds the derivatives of all outputs by all parameters that require a gradient. Rows and
columns of K are sample-major, (i, a) -> i c + a. Three kernels are on offer:

- ``full``, (n c, n c): the block kernel; the one whose movement the paper measures.
- ``trace``, (n, n): tr K_ij / c, the mean over outputs of each output's own kernel.
- ``sum``, (n, n): the kernel of Σ_a f_a / √c, which is 1ᵀ K_ij 1 / c: the pseudo-NTK of Mohamadi,
  Bae & Sutherland (ICML 2023), an estimate of the trace kernel from one backward pass.

A stack of linear layers and elementwise activations takes its kernel from layer factors
(`lightning_grok.geometry.ntk.factors`), any other module from ``torch.func``. Both are exact.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_grok.geometry.activations import evaluating
from lightning_grok.geometry.matmul import multiply_transposed
from lightning_grok.geometry.ntk.factors import (
    NotALinearStackError,
    NTKFactors,
    check_samples,
    ntk_factors,
    parameter_values,
)

Kind = Literal["full", "trace", "sum"]
Method = Literal["auto", "factors", "autodiff"]


def empirical_ntk(
    model: nn.Module,
    inputs: Float[Tensor, "n *shape"],
    *,
    kind: Kind = "full",
    method: Method = "auto",
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    block_size: int = 16,
) -> Float[Tensor, "rows rows"]:
    """Empirical neural tangent kernel of a model at the inputs.

    Args:
        model: maps (n, ...) to (n, c), each sample by itself; evaluated in evaluation mode, so
            that dropout and batch statistics play no part, and left as it was.
        inputs: n samples as the model takes them.
        kind: ``full`` (n c, n c), or ``trace`` or ``sum``, both (n, n).
        method: ``factors`` or ``autodiff`` forces one of the two ways; ``auto`` takes the layer
            factors wherever they apply.
        parameters: values to use instead of the model's own, keyed as in ``state_dict()``.
        dtype: floating type of all computations; the parameters' own by default.
        block_size: samples a block. Beyond the kernel itself, memory is block_size² c² numbers
            and the factors, or 2 block_size c P numbers by autodiff.

    Returns:
        The kernel, symmetric and positive semidefinite up to rounding.

    Raises:
        ValueError: no samples, non-finite inputs, outputs that are not (n, c), no parameter that
            requires a gradient, an unknown option, or ``method="factors"`` for another module.
    """
    options = (kind, method, parameters, dtype, block_size)
    return _kernels(model, inputs, *options, per_layer=False)[""]


def layer_ntk(
    model: nn.Module,
    inputs: Float[Tensor, "n *shape"],
    *,
    kind: Kind = "full",
    method: Method = "auto",
    parameters: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    block_size: int = 16,
) -> dict[str, Float[Tensor, "rows rows"]]:
    """The kernel of each layer's own parameters, by layer name; they add up to `empirical_ntk`.

    Arguments and errors are those of `empirical_ntk`. A layer is the module that owns the
    parameters (``layers.0``); one without a learning parameter is left out.
    """
    options = (kind, method, parameters, dtype, block_size)
    return _kernels(model, inputs, *options, per_layer=True)


def _kernels(
    model: nn.Module,
    inputs: Tensor,
    kind: Kind,
    method: Method,
    parameters: Mapping[str, Tensor] | None,
    dtype: torch.dtype | None,
    block_size: int,
    per_layer: bool,
) -> dict[str, Tensor]:
    """Kernels by layer name, or their sum under the empty name."""
    if kind not in ("full", "trace", "sum"):
        raise ValueError(f"expected kind full, trace or sum, received {kind!r}")
    if method not in ("auto", "factors", "autodiff"):
        raise ValueError(f"expected method auto, factors or autodiff, received {method!r}")
    if block_size < 1:
        raise ValueError(f"expected block_size >= 1, received {block_size}")
    if method != "autodiff":
        try:
            factors = ntk_factors(model, inputs, parameters=parameters, dtype=dtype)
        except NotALinearStackError:
            if method == "factors":
                raise
        else:
            groups = {layer.name: [k] for k, layer in enumerate(factors.learning)}
            if not per_layer:
                groups = {"": list(range(len(factors.learning)))}
            return {name: _assembled(factors, kind, ks, block_size) for name, ks in groups.items()}
    return _ntk_by_autodiff(model, inputs, kind, per_layer, parameters, dtype, block_size)


def _assembled(factors: NTKFactors, kind: Kind, chosen: list[int], block_size: int) -> Tensor:
    """Sum of the chosen learning layers' kernels."""
    n, c = factors.samples, factors.outputs
    jacobians = factors.jacobians()
    picked = [(factors.learning[k], jacobians[k]) for k in chosen]
    if kind != "full":
        whole = slice(None)
        return _sum([layer.gram(whole, whole) * _traced(b, kind) for layer, b in picked])
    kernel = jacobians[0].new_empty(n * c, n * c)
    for rows, columns in upper_blocks(n, block_size):
        block = kernel_block(
            [layer.gram(rows, columns) for layer, _ in picked],
            [b[rows] for _, b in picked],
            [b[columns] for _, b in picked],
        )
        wide, tall = (slice(s.start * c, s.stop * c) for s in (rows, columns))
        kernel[wide, tall] = block
        if rows != columns:
            kernel[tall, wide] = block.T
    return kernel


def trace_kernel(factors: NTKFactors) -> Float[Tensor, "n n"]:
    """Trace kernel tr K_ij / c of a checkpoint, kept with its factors."""
    if "trace_kernel" not in factors.cache:
        layers = list(range(len(factors.learning)))
        factors.cache["trace_kernel"] = _assembled(factors, "trace", layers, factors.samples)
    return factors.cache["trace_kernel"]


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum(0)


def _traced(jacobian: Tensor, kind: Kind) -> Tensor:
    """(B_i · B_j) / c for the trace kernel, (Σ_a B_i^a) · (Σ_b B_j^b) / c for the sum kernel."""
    outputs = jacobian.shape[1]
    if kind == "trace":
        rows = jacobian.flatten(1)
    else:
        rows = jacobian if jacobian.ndim == 2 else jacobian.sum(1)
    return rows @ rows.T / outputs


def upper_blocks(n: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks (rows, columns) of an n x n square on and above its diagonal."""
    for top in range(0, n, size):
        for left in range(top, n, size):
            yield slice(top, min(top + size, n)), slice(left, min(left + size, n))


def kernel_block(
    grams: list[Tensor],
    rows: list[Tensor],
    columns: list[Tensor],
    out: Tensor | None = None,
    scratch: Tensor | None = None,
) -> Tensor:
    """Σ_l grams_l ⊗-blockwise (rows_l columns_lᵀ): one block of the full kernel.

    Args:
        grams: A Aᵀ + 1 of each layer, (b, d).
        rows, columns: B of each layer, (b, c, p) and (d, c, p), or their diagonals (b, c), (d, c).
        out, scratch: where to write the block and the products, (b c, d c) each; fresh by default.

    Returns:
        The block (b c, d c).
    """
    (b, c), d = rows[0].shape[:2], len(columns[0])
    block = rows[0].new_empty(b * c, d * c) if out is None else out
    product = torch.empty_like(block) if scratch is None else scratch
    block.zero_()
    for gram, row, column in zip(grams, rows, columns, strict=True):
        if row.ndim == 2:
            diagonal = gram[:, :, None] * row[:, None, :] * column[None, :, :]
            block.view(b, c, d, c).diagonal(dim1=1, dim2=3).add_(diagonal)
            continue
        outer = multiply_transposed(row.reshape(b * c, -1), column.reshape(d * c, -1), product)
        # Repeated along columns only: one contiguous row of factors a sample, (b, 1, d c).
        factor = gram.repeat_interleave(c, dim=1)[:, None, :]
        block.view(b, c, d * c).addcmul_(outer.view(b, c, d * c), factor)
    return block


def _ntk_by_autodiff(
    model: nn.Module,
    inputs: Tensor,
    kind: Kind,
    per_layer: bool,
    parameters: Mapping[str, Tensor] | None,
    dtype: torch.dtype | None,
    block_size: int,
) -> dict[str, Tensor]:
    """Kernel from explicit Jacobians of two blocks of samples at a time."""
    with evaluating(model):
        jacobian, n, c = _jacobian_function(model, inputs, kind, parameters, dtype)
        kernels: dict[str, Tensor] = {}
        width = c if kind == "full" else 1
        for top in range(0, n, block_size):
            rows = jacobian(slice(top, top + block_size))
            for left in range(top, n, block_size):
                columns = rows if left == top else jacobian(slice(left, left + block_size))
                for name, row in rows.items():
                    layer = name.rpartition(".")[0] if per_layer else ""
                    if layer not in kernels:
                        kernels[layer] = row.new_zeros(n * width, n * width)
                    block = _contracted(row, columns[name], kind, c)
                    i, j = top * width, left * width
                    kernels[layer][i : i + len(block), j : j + block.shape[1]] += block
        for kernel in kernels.values():
            # Mirror the strict upper triangle; the lower one still holds zeros and partial blocks.
            kernel.triu_().add_(kernel.triu(1).T)
    return kernels


def _contracted(rows: Tensor, columns: Tensor, kind: Kind, outputs: int) -> Tensor:
    """Block of a parameter's kernel from its Jacobians (b, c', p) and (d, c', p)."""
    if kind == "full":
        return rows.flatten(0, 1) @ columns.flatten(0, 1).T
    return rows.flatten(1) @ columns.flatten(1).T / outputs


def _jacobian_function(
    model: nn.Module,
    inputs: Tensor,
    kind: Kind,
    parameters: Mapping[str, Tensor] | None,
    dtype: torch.dtype | None,
) -> tuple[Callable[[slice], dict[str, Tensor]], int, int]:
    """(samples -> Jacobian by parameter name, (b, c', p)), number of samples, of outputs.

    c' is 1 for the sum kernel, whose outputs are added before the derivative is taken.
    """
    check_samples(inputs)
    values = parameter_values(model, parameters, dtype)
    learned = {name for name, own in model.named_parameters() if own.requires_grad}
    if not learned:
        raise ValueError("expected at least one parameter that requires a gradient, received none")
    reference = next(iter(values.values()))
    buffers = {
        name: own.to(reference.dtype) if own.is_floating_point() else own
        for name, own in model.named_buffers()
    }
    samples = inputs.detach().to(device=reference.device, dtype=reference.dtype)
    frozen = {name: value for name, value in values.items() if name not in learned}
    chosen = {name: value for name, value in values.items() if name in learned}
    places = _places(model)

    def outputs(learned_values: dict[str, Tensor], sample: Tensor) -> Tensor:
        known = {**learned_values, **frozen, **buffers}
        state = {place: known[name] for place, name in places.items()}
        batch = sample[None].clone()  # the model may work in place
        # Tied here, since functional_call would leave our tensors in a module that is used twice.
        return torch.func.functional_call(model, state, (batch,), tie_weights=False)[0]

    def summed(learned_values: dict[str, Tensor], sample: Tensor) -> Tensor:
        return outputs(learned_values, sample).sum()[None]

    with torch.no_grad():
        probe = outputs(chosen, samples[0])
    if probe.ndim != 1:
        raise ValueError(f"expected outputs (n, c), received (n, {tuple(probe.shape)})")
    if not bool(torch.isfinite(probe).all()):
        raise ValueError("expected finite outputs, received NaN or infinity from the model")
    one = torch.func.jacrev(summed if kind == "sum" else outputs)
    many = torch.func.vmap(one, in_dims=(None, 0))

    def jacobian(rows: slice) -> dict[str, Tensor]:
        found = many(chosen, samples[rows])
        # (b, c', *parameter) -> (b, c', p)
        return {name: value.detach().flatten(2) for name, value in found.items()}

    return jacobian, len(samples), len(probe)


def _places(model: nn.Module) -> dict[str, str]:
    """Every place of a parameter or buffer, once, with the first name that the tensor has."""
    names = {id(own): name for name, own in (*model.named_parameters(), *model.named_buffers())}
    return {
        f"{path}.{key}".lstrip("."): names[id(own)]
        for path, module in model.named_modules()
        for key, own in (
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        )
    }

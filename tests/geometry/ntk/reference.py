"""Slow and obvious oracles: a loop wherever the package is clever."""

from itertools import permutations

import numpy as np
import torch
from networks import Case
from torch import Tensor


def explicit_jacobians(case: Case) -> dict[str, Tensor]:
    """Derivatives (n, c, p) of all outputs by each learning parameter, one backward pass each."""
    names = [name for name, own in case.model.named_parameters() if own.requires_grad]
    learned = [own for own in case.model.parameters() if own.requires_grad]
    modes = [(module, module.training) for module in case.model.modules()]
    case.model.eval()
    outputs = case.oracle(case.model, _copied(case.inputs))
    rows = [
        [
            torch.zeros(own.numel(), dtype=own.dtype) if grad is None else grad.to_dense().flatten()
            for own, grad in zip(
                learned,
                torch.autograd.grad(output, learned, retain_graph=True, allow_unused=True),
                strict=True,
            )
        ]
        for output in outputs.flatten()
    ]
    for module, training in modes:
        module.training = training
    return {
        name: torch.stack([row[k] for row in rows]).unflatten(0, outputs.shape)
        for k, name in enumerate(names)
    }


def _copied(inputs):
    if isinstance(inputs, dict):
        return {key: value.clone() for key, value in inputs.items()}
    return tuple(v.clone() for v in inputs) if isinstance(inputs, tuple) else inputs.clone()


def explicit_ntk(
    case: Case, kind: str = "full", layer: str = "", known: dict[str, Tensor] | None = None
) -> Tensor:
    """K = J Jᵀ, of all parameters or of those whose name begins with `layer`.

    `known` are the case's Jacobians, where they have been taken before.
    """
    found = explicit_jacobians(case) if known is None else known
    jacobian = torch.cat([j for name, j in found.items() if name.startswith(layer)], dim=2)
    n, c, _ = jacobian.shape
    kernel = jacobian.flatten(0, 1) @ jacobian.flatten(0, 1).T
    if kind == "full":
        return kernel
    blocks = kernel.view(n, c, n, c)
    return torch.einsum("iaja->ij" if kind == "trace" else "iajb->ij", blocks) / c


def distance(first: Tensor, second: Tensor) -> float:
    """1 - cosine of two kernels, by NumPy in float64."""
    x, y = (np.asarray(kernel.detach().double()).ravel() for kernel in (first, second))
    return 1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y))


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of centered features (Kornblith et al. 2019)."""
    x, y = (values - values.mean(axis=0) for values in (x, y))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / norms)


def unbiased_traces(points: np.ndarray) -> tuple[float, float]:
    """(tr Σ)² and tr Σ² as means over all ordered quadruples of distinct samples.

    Half a squared difference has the mean tr Σ, and (x_i - x_j)·(x_k - x_l) squared the mean
    4 tr Σ²; both need samples that are not shared.
    """
    squares, traces = [], []
    for i, j, k, l in permutations(range(len(points)), 4):  # noqa: E741
        first, second = points[i] - points[j], points[k] - points[l]
        squares.append((first @ first) * (second @ second) / 4)
        traces.append((first @ second) ** 2 / 4)
    return float(np.mean(squares)), float(np.mean(traces))

"""Kernel distances that no training explains: between fresh initializations of one architecture."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from lightning_grok.geometry.ntk.factors import ntk_factors
from lightning_grok.geometry.ntk.network import Output
from lightning_grok.geometry.ntk.pairwise import distance_between

FreshOfSeed = Callable[[int], nn.Module]


class DistanceFloor(NamedTuple):
    """Kernel distance of two fresh initializations: what no training explains.

    Attributes:
        full, full_sd: mean and standard deviation over pairs, full kernel.
        trace, trace_sd: the same, trace kernel.
    """

    full: float
    full_sd: float
    trace: float
    trace_sd: float


def fresh_copy(model: nn.Module, seed: int) -> nn.Module:
    """A copy of the network whose learning parameters are initialized anew.

    Every module that has ``reset_parameters`` is asked for it, the outer one first; modules inside
    it follow if it left some of theirs alone. Frozen parameters stay: they are architecture. The
    global random state is put back.

    Args:
        model: stays as it is.
        seed: of the initialization; the same seed gives the same network.

    Raises:
        ValueError: some parameter belongs to no module that has ``reset_parameters``.
    """
    fresh = copy.deepcopy(model)
    frozen = [p.detach().clone() for p in fresh.parameters() if not p.requires_grad]
    learned = [parameter for parameter in fresh.parameters() if parameter.requires_grad]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in learned:
            parameter.fill_(torch.nan)  # what is NaN afterwards was left alone
        _reset(fresh)
        kept = (parameter for parameter in fresh.parameters() if not parameter.requires_grad)
        for parameter, value in zip(kept, frozen, strict=True):
            parameter.copy_(value)
    left = [name for name, p in fresh.named_parameters() if p.requires_grad and _is_unset(p)]
    if left:
        raise ValueError(
            f"expected a reset_parameters that initializes {', '.join(left)}, received none"
        )
    return fresh


def _reset(module: nn.Module) -> None:
    if not any(_is_unset(parameter) for parameter in module.parameters()):
        return
    # PyTorch's attention and transformers call theirs _reset_parameters.
    reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
    if callable(reset):
        reset()
    for child in module.children():
        _reset(child)


def _is_unset(parameter: nn.Parameter) -> bool:
    return bool(parameter.isnan().any())


def fresh_pairs(
    fresh: FreshOfSeed, *, pairs: int = 5, seed: int = 0
) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Pairs of initializations; none shares a network, so that their values are independent.

    Args:
        fresh: seed -> newly initialized module. The global seed is set to the same number before
            each call and put back afterwards, so that ``lambda seed: MLP()`` will do.
        pairs: how many, at least two.
        seed: of the seeds handed to `fresh`.

    Raises:
        ValueError: fewer than two pairs.
    """
    if pairs < 2:
        raise ValueError(f"expected at least two pairs for a spread, received {pairs}")
    seeds = np.random.default_rng(seed).choice(2**31, size=2 * pairs, replace=False).tolist()
    for one, other in zip(seeds[::2], seeds[1::2], strict=True):
        yield _made(fresh, one), _made(fresh, other)


def _made(make: FreshOfSeed, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return make(seed)


def kernel_distance_floor(
    fresh: FreshOfSeed,
    inputs: Any,
    *,
    pairs: int = 5,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    output: Output = None,
) -> DistanceFloor:
    """Null floor: distances between independent initializations of one architecture.

    Args:
        fresh, pairs, seed: as in `fresh_pairs`.
        inputs, dtype, output: as in `empirical_ntk`.

    Returns:
        Means and standard deviations (n - 1 in the denominator).

    Raises:
        ValueError: fewer than two pairs, and as `empirical_ntk`.
    """
    found: dict[str, list[float]] = {"full": [], "trace": []}
    for pair in fresh_pairs(fresh, pairs=pairs, seed=seed):
        factors = [ntk_factors(each, inputs, dtype=dtype, output=output) for each in pair]
        found["full"].append(distance_between(factors[0], factors[1]))
        found["trace"].append(distance_between(factors[0], factors[1], kind="trace"))
    (full, full_sd), (trace, trace_sd) = (mean_and_spread(values) for values in found.values())
    return DistanceFloor(full, full_sd, trace, trace_sd)


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1 in the denominator)."""
    return float(np.mean(values)), float(np.std(values, ddof=1))

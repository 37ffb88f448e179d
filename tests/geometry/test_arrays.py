"""One entrance: lists, arrays and tensors of any kind give the same numbers, the rest one line."""

import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch

import lightning_grok.geometry as geometry
from lightning_grok.geometry.arrays import Points, class_labels, finite_array, labeled

GENERATOR = np.random.default_rng(0)
# Halves of whole numbers, which bfloat16 holds exactly.
POINTS = np.round(GENERATOR.normal(size=(40, 6)) * 8) / 2 + np.arange(40)[:, None] % 4
LABELS = np.arange(40) % 4
KERNEL = POINTS @ POINTS.T
SMALL = {"train_size": 30, "draws": 2}

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "align": lambda x, y: geometry.align(x, POINTS[:, ::-1]),
    "anchor_geometry": lambda x, y: geometry.anchor_geometry(columns(x), VECTORS),
    "center_structure": lambda x, y: geometry.center_structure(x, restarts=1).residual,
    "direct_accuracy": lambda x, y: geometry.direct_accuracy(x, y, digits=4),
    "effective_rank": lambda x, y: geometry.effective_rank(x),
    "embed": lambda x, y: geometry.embed(x, iterations=2).coordinates,
    "glue": lambda x, y: geometry.glue(x, y, draws=3)[:4],
    "intrinsic_dimension": lambda x, y: geometry.intrinsic_dimension(x),
    "inverse_participation": lambda x, y: geometry.inverse_participation(x),
    "kernel_distance": lambda x, y: geometry.kernel_distance(x, POINTS + 1),
    "kernel_target_alignment": lambda x, y: geometry.kernel_target_alignment(KERNEL, y),
    "layer_cka": lambda x, y: geometry.layer_cka(x, y, start=POINTS[::-1])["start"],
    "linear_cka": lambda x, y: geometry.linear_cka(x, POINTS[:, ::-1] ** 2),
    "manifold_capacity": lambda x, y: geometry.manifold_capacity(
        x, y, num_vectors=5, restarts=1
    )[:3],
    "neural_collapse": lambda x, y: geometry.neural_collapse(x, y),
    "numerical_rank": lambda x, y: geometry.numerical_rank(x),
    "own_readout": lambda x, y: geometry.own_readout(x, POINTS, y, (x, y), **SMALL),
    "paper_probe": lambda x, y: geometry.paper_probe(x, y, **SMALL),
    "participation_ratio": lambda x, y: geometry.participation_ratio(x),
    "readout_collapse": lambda x, y: geometry.readout_collapse(x, y, POINTS[:4]),
    "sound_probe": lambda x, y: geometry.sound_probe(x, y, **SMALL),
    "spectral_entropy": lambda x, y: geometry.spectral_entropy(x),
    "weight_spectrum": lambda x, y: geometry.weight_spectrum(x)[:4],
}  # fmt: skip
LABELED = (
    "direct_accuracy", "glue", "layer_cka", "manifold_capacity", "neural_collapse", "own_readout",
    "paper_probe", "readout_collapse", "sound_probe",
)  # fmt: skip
KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda x: x.tolist(),
    "list of tensors": lambda x: [torch.tensor(row) for row in x],
    "steps backwards": lambda x: x[::-1].copy()[::-1],
    "another byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "not to be written": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "float32, not contiguous": lambda x: np.asfortranarray(x.astype(np.float32)),
    "tensor with a gradient": lambda x: torch.tensor(x).requires_grad_(),
    "bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16),
    "transposed tensor": lambda x: torch.tensor(x.T.copy()).T,
}


def columns(points: Any) -> Any:
    """The same points as the columns of an anchor program, of the same kind."""
    ones = np.ones((1, 40))
    if isinstance(points, torch.Tensor):
        return torch.cat([points.T, torch.tensor(ones).to(points)])
    whole = np.concatenate([finite_array(points).T, ones])
    return whole.tolist() if isinstance(points, list) else whole


VECTORS = GENERATOR.normal(size=(7, 5))


def numbers(result: Any) -> list[np.ndarray]:
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part, dtype=float) for part in parts]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_kinds_of_input_give_the_same(name: str, kind: str) -> None:
    given = KINDS[kind](POINTS)
    labels = torch.tensor(LABELS) if "tensor" in kind else LABELS.tolist()
    found, expected = FUNCTIONS[name](given, labels), FUNCTIONS[name](POINTS, LABELS)
    for one, other in zip(numbers(found), numbers(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


LOGITS = GENERATOR.normal(size=(5, 5, 5)).astype(np.float32).astype(float)
ANSWERS = np.add.outer(np.arange(5), np.arange(5)) % 5

OF_LOGITS: dict[str, Callable[[Any, Any], Any]] = {
    "fourier_losses": lambda of, whole: geometry.fourier_losses(
        of(LOGITS), whole(ANSWERS), whole(ANSWERS < 3), [1]
    ),
    "irrep_losses": lambda of, whole: geometry.irrep_losses(
        of(LOGITS), geometry.isotypic_parts(ANSWERS), whole(ANSWERS), whole(ANSWERS < 3), [1]
    ),
    "kernel_velocity": lambda of, whole: geometry.kernel_velocity(
        whole(LABELS[1:4]), of(POINTS[0, 4:])
    ),
    "key_frequencies": lambda of, whole: geometry.key_frequencies(of(LOGITS), 2),
    "log_stablemax": lambda of, whole: geometry.log_stablemax(of(POINTS)),
    "logit_margins": lambda of, whole: geometry.logit_margins(of(POINTS), whole(LABELS)),
    "sample_losses": lambda of, whole: geometry.sample_losses(of(POINTS), whole(LABELS)),
    "zero_loss_share": lambda of, whole: geometry.zero_loss_share(of(POINTS), whole(LABELS)),
}  # fmt: skip
"""Of which those that a loss is made of give tensors, in the dtype that they are given."""


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"bfloat16", "transposed tensor"}))
@pytest.mark.parametrize("name", OF_LOGITS)
def test_what_is_read_off_logits_takes_all_kinds(name: str, kind: str) -> None:
    whole = torch.tensor if "tensor" in kind else np.ndarray.tolist
    found = OF_LOGITS[name](KINDS[kind], whole)
    expected = OF_LOGITS[name](torch.tensor, torch.tensor)
    for one, other in zip(values(found), values(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def values(result: Any) -> list[np.ndarray]:
    return [finite_array(part) for part in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize(
    "name", ["fourier_losses", "irrep_losses", "key_frequencies", "kernel_velocity"]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=r"expected finite .*received NaN or infinity"):
        OF_LOGITS[name](lambda x: np.full_like(x, bad), torch.tensor)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"kernel_target_alignment"}))
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(name: str, bad: float) -> None:
    points = POINTS.copy()
    points[3, 1] = bad
    with pytest.raises(ValueError, match=r"expected finite .*received NaN or infinity"):
        FUNCTIONS[name](points, LABELS)


@pytest.mark.parametrize("name", LABELED)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:-1], "expected 40 labels, one a sample, received shape"),
        (LABELS + 0.5, "expected whole numbers as labels, received float64"),
        (["a"] * 40, "expected labels as numbers of one shape, received list"),
        ([], "expected 40 labels, one a sample"),
    ],
)
def test_labels_that_are_none_are_refused(name: str, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](POINTS, labels)


@pytest.mark.parametrize("name", sorted({*LABELED} - {"direct_accuracy"}))
def test_a_single_class_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected points of at least 2 classes, received 1"):
        FUNCTIONS[name](POINTS, np.zeros(40, dtype=int))


def test_points_that_are_none_are_refused() -> None:
    for values, message in (
        ([[1.0], [1.0, 2.0]], "as numbers of one shape"), (np.zeros((0, 3)), "an empty array"),
        (["a"], "as numbers of one shape"), (np.zeros(3), "2 axes, received shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            finite_array(values, "points", 2)
    with pytest.raises(ValueError, match="at least 2 classes, received 1"):
        labeled(POINTS, np.zeros(40, dtype=int), classes=2)
    assert class_labels(torch.tensor([True, False]).long(), 2).tolist() == [1, 0]


def test_every_function_of_points_is_tried() -> None:
    public = {name: getattr(geometry, name) for name in geometry.__all__}
    of_points = {
        name
        for name, function in public.items()
        if inspect.isfunction(function) and Points in get_type_hints(function).values()
    }
    assert of_points == FUNCTIONS.keys() | OF_LOGITS.keys()


def test_no_module_hides_a_function() -> None:
    """A file of a function's name would take its place as soon as it is imported."""
    for module in pkgutil.iter_modules(geometry.__path__):
        importlib.import_module(f"lightning_grok.geometry.{module.name}")
    hidden = [
        name for name in geometry.__all__ if isinstance(getattr(geometry, name), types.ModuleType)
    ]
    assert not hidden

"""Kernel distance, alignment and velocity against closed forms and centered features."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from reference import distance, linear_cka

from lightning_grok.geometry import kernel_distance, kernel_target_alignment, kernel_velocity
from lightning_grok.geometry.ntk.kernel import distance_from_products


def kernel(seed: int, n: int = 12, rank: int = 5) -> torch.Tensor:
    factor = torch.randn(n, rank, generator=torch.Generator().manual_seed(seed)).double()
    return factor @ factor.T


def test_diagonal_kernels_have_a_distance_in_closed_form() -> None:
    """S of the identity and a projection on k of n dimensions is 1 - sqrt(k / n)."""
    for k in range(1, 9):
        projection = torch.diag((torch.arange(8) < k).double())
        expected = 1 - (k / 8) ** 0.5
        assert kernel_distance(torch.eye(8), projection) == pytest.approx(expected, abs=1e-15)


def test_orthogonal_and_opposite_kernels() -> None:
    first, second = torch.diag(torch.tensor([1.0, 0])), torch.diag(torch.tensor([0, 1.0]))
    assert kernel_distance(first, second) == 1
    assert kernel_distance(first, -first) == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_it_is_one_minus_the_cosine(seed: int, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(rows, columns, generator=generator) for _ in range(2))
    found = kernel_distance(first, second)
    assert found == pytest.approx(distance(first, second), abs=1e-14)
    assert kernel_distance(second, first) == found
    assert 0 <= kernel_distance(first, first) < 1e-15


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 7.0, 1e30, 1e300])
def test_the_scale_of_a_kernel_has_no_part(scale: float) -> None:
    first, second = kernel(0), kernel(1)
    expected = kernel_distance(first, second)
    assert kernel_distance(scale * first, second) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(first, scale * first) == pytest.approx(0, abs=1e-15)


def test_a_small_distance_is_as_exact_as_the_entries() -> None:
    """K + eps P with P orthogonal to K: S = 1 - 1 / sqrt(1 + eps²)."""
    first, second = torch.zeros(2000, 1000), torch.zeros(2000, 1000)
    first[:1000], second[:1000], second[1000:] = 1, 1, 1e-3
    expected = 1 - (1 + np.float64(np.float32(1e-3)) ** 2) ** -0.5
    assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_tensors_arrays_and_views_are_alike() -> None:
    first, second = kernel(0), kernel(1)[::2]
    first = first[:, ::2].T
    expected = distance(first, second)
    for pair in (
        (first, second),
        (first.numpy(), second.numpy()),
        (first.requires_grad_(), second),
    ):
        assert kernel_distance(*pair) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.eye(2), torch.eye(3), r"one shape, received \(2, 2\) and \(3, 3\)"),
        (torch.eye(2), torch.zeros(2, 2), "not zero"),
        (torch.eye(2), torch.tensor([[1.0, torch.nan], [0, 1]]), "finite kernels"),
        (torch.tensor([[1.0, torch.inf], [0, 1]]), torch.eye(2), "finite kernels"),
    ],
)
def test_kernels_without_a_direction_are_refused(first, second, message: str) -> None:
    # The shape checker of the tests would speak first about two shapes.
    with pytest.raises(ValueError, match=message):
        getattr(kernel_distance, "__wrapped__", kernel_distance)(first, second)


def test_products_without_a_distance_are_refused() -> None:
    with pytest.raises(ValueError, match="not zero"):
        distance_from_products(0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="finite products"):
        distance_from_products(float("nan"), 1.0, 1.0)
    assert distance_from_products(1.0 + 1e-15, 1.0, 1.0) == 0


@pytest.mark.parametrize("classes", [[1, 1, 1], [5, 2, 3, 1], [10]])
def test_alignment_of_simple_kernels(classes: list[int]) -> None:
    """YYᵀ with itself: 1; the identity: n / sqrt(n Σ n_c²); a constant: sqrt(Σ n_c²) / n."""
    labels = np.repeat(np.arange(len(classes)), classes)
    n, squares = len(labels), sum(size**2 for size in classes)
    target = (labels[:, None] == labels).astype(float)
    assert kernel_target_alignment(3 * target, labels) == pytest.approx(1)
    assert kernel_target_alignment(np.eye(n), labels) == pytest.approx((n / squares) ** 0.5)
    constant = kernel_target_alignment(np.ones((n, n)), labels)
    assert constant == pytest.approx(squares**0.5 / n)


def test_centered_alignment_is_cka_with_the_one_hot_labels() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(4, size=30)
    features = generator.normal(size=(30, 6)) + 2 + np.eye(6)[labels]
    found = kernel_target_alignment(features @ features.T, labels, centered=True)
    assert found == pytest.approx(linear_cka(features, np.eye(4)[labels]), rel=1e-12)
    # What centering removes: an offset of all features, and with it a constant of the kernel.
    moved = kernel_target_alignment((features + 9) @ (features + 9).T, labels, centered=True)
    assert moved == pytest.approx(found, rel=1e-9)
    plain = kernel_target_alignment(features @ features.T, labels)
    assert abs(plain - found) > 0.05


def test_alignment_takes_tensors_and_any_class_numbers() -> None:
    labels = torch.tensor([3, 3, 9, -1])
    first = kernel(0, 4)
    expected = kernel_target_alignment(first.numpy(), np.array([0, 0, 1, 2]))
    assert kernel_target_alignment(first.float(), labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "labels", "centered", "message"),
    [
        (np.eye(3), [0, 1], False, r"a kernel \(2, 2\), received \(3, 3\)"),
        (np.eye(2), [0, 0], True, "at least two classes, received one"),
        (np.full((2, 2), 0.1), [0, 1], True, "not constant"),
        (np.zeros((2, 2)), [0, 1], False, "not zero"),
        (np.full((2, 2), np.nan), [0, 1], False, "finite kernels"),
    ],
)
def test_alignments_that_mean_nothing_are_refused(values, labels, centered, message: str) -> None:
    function = getattr(kernel_target_alignment, "__wrapped__", kernel_target_alignment)
    with pytest.raises(ValueError, match=message):
        function(values, np.array(labels), centered=centered)


def test_a_distance_that_grows_with_log_epoch_has_a_constant_velocity() -> None:
    epochs = np.array([1, 3, 10, 700])
    result = kernel_velocity(epochs, 0.25 * np.diff(np.log(epochs)))
    np.testing.assert_allclose(result.velocity, 0.25, rtol=1e-12)
    np.testing.assert_allclose(result.epoch, np.sqrt(epochs[1:] * epochs[:-1]), rtol=1e-12)


@pytest.mark.parametrize(
    ("epochs", "steps", "message"),
    [
        ([1], [], "T >= 2 epochs"),
        ([1, 2, 3], [0.1], "T - 1 distances, received 3, 1"),
        ([0, 2], [0.1], "positive, increasing"),
        ([2, 2], [0.1], "positive, increasing"),
    ],
)
def test_velocities_need_increasing_positive_epochs(epochs, steps, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_velocity(np.array(epochs), np.array(steps, dtype=float))

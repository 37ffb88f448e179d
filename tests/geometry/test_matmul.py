from itertools import pairwise

import pytest
import torch
from torch import nn

from lightning_grok.geometry import matmul
from lightning_grok.geometry.matmul import has_onednn, multiply_transposed, relu_network, resolve

BACKENDS = [
    "default",
    pytest.param(
        "onednn", marks=pytest.mark.skipif(not has_onednn(), reason="this PyTorch has no oneDNN")
    ),
]

ZEN_4 = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
ZEN_5 = ZEN_4.replace("25", "26")
INTEL = "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon Family 27\n"


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (ZEN_5, True),
        (ZEN_4, False),
        (INTEL, False),
        ("", False),
        ("arm", False),
        ("AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD", True),
        ("AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", False),
        ("Intel64 Family 26 Model 1 Stepping 1, GenuineIntel", False),
        ("vendor_id : AuthenticAMD", False),
    ],
)
def test_wide_units_are_known_by_maker_and_family(
    processor: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert matmul._is_zen5(processor) == expected
    monkeypatch.setattr(matmul, "_processor", lambda: processor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert resolve("auto") == ("onednn" if expected and has_onednn() else "default")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert resolve("auto") == "default"


def test_auto_is_a_library_of_this_machine_and_always_the_same() -> None:
    assert resolve("auto") == resolve("auto")
    assert resolve(resolve("auto")) == resolve("auto")


def test_a_library_that_is_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("default") == "default"
    monkeypatch.setattr(matmul, "has_onednn", lambda: True)
    assert resolve("onednn") == "onednn"
    monkeypatch.setattr(matmul, "has_onednn", lambda: False)
    monkeypatch.setattr(matmul, "_processor", lambda: ZEN_5)
    assert resolve("auto") == "default"
    with pytest.raises(ValueError, match="a PyTorch with oneDNN"):
        resolve("onednn")
    with pytest.raises(ValueError, match="auto, default or onednn; received 'mkl'"):
        resolve("mkl")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_with_a_transpose(
    backend: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matmul, "_resolved", lambda _: backend)
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(size, 47, generator=generator, dtype=torch.float64) for size in (33, 20)
    )
    found = multiply_transposed(left.to(dtype), right.to(dtype), torch.empty(33, 20, dtype=dtype))
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(
        found.double(), torch.einsum("ik,jk->ij", left, right), rtol=0, atol=tolerance * 47
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("widths", [(3, 2), (7, 5, 4), (100, 128, 33, 1), (1, 1, 1)])
@pytest.mark.parametrize("n", [1, 5, 64])
def test_a_network_and_its_gradients(backend: str, widths: tuple[int, ...], n: int) -> None:
    """Against the layers one by one in double precision."""
    torch.manual_seed(n)
    depth = len(widths) - 1
    layers = [nn.Linear(a, b).double() for a, b in pairwise(widths)]
    inputs = torch.randn(n, widths[0]).requires_grad_()
    weights = [layer.weight.detach().float().requires_grad_() for layer in layers]
    biases = [layer.bias.detach().float().requires_grad_() for layer in layers]
    for layer, weight, bias in zip(layers, weights, biases, strict=True):
        layer.weight.data, layer.bias.data = weight.detach().double(), bias.detach().double()
    doubled = inputs.detach().double().requires_grad_()
    hidden = doubled
    for index, layer in enumerate(layers):
        hidden = layer(hidden).relu() if index < depth - 1 else layer(hidden)
    outputs = relu_network(inputs, weights, biases, backend)
    torch.testing.assert_close(outputs.double(), hidden, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(relu_network(inputs, weights, biases, backend), outputs)
    direction = torch.randn(outputs.shape)
    outputs.backward(direction)
    hidden.backward(direction.double())
    expected = [doubled, *(p for layer in layers for p in (layer.weight, layer.bias))]
    found = [inputs, *(p for pair in zip(weights, biases, strict=True) for p in pair)]
    for own, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(own.grad.double(), reference.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_views_are_multiplied_like_copies(backend: str) -> None:
    torch.manual_seed(0)
    inputs, weight, bias = torch.randn(9, 8).T[:, ::2], torch.randn(3, 10)[:, ::2], torch.randn(3)
    views = relu_network(inputs, [weight], [bias], backend)
    torch.testing.assert_close(views, inputs.clone() @ weight.clone().T + bias)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_call_gives_the_same_bits(backend: str) -> None:
    torch.manual_seed(0)
    inputs, weight = torch.randn(128, 784), torch.randn(128, 784)
    first, second = (
        relu_network(inputs, [weight, weight.T], [torch.ones(128), torch.ones(784)], backend)
        for _ in range(2)
    )
    assert torch.equal(first, second)

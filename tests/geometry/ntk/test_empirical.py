"""The kernel against J Jᵀ of a Jacobian taken one output and one sample at a time."""

import jaxtyping
import pytest
import torch
from hypothesis import given, settings, strategies as st
from networks import CASES, Case, case, real, tokens
from reference import explicit_jacobians, explicit_ntk
from torch import Tensor, nn

from lightning_grok.geometry import empirical_ntk, layer_ntk
from lightning_grok.geometry.ntk import factors, terms
from lightning_grok.geometry.ntk.factors import ntk_factors
from lightning_grok.geometry.ntk.network import layer_of
from lightning_grok.tasks.mlp import MLP

KINDS = ("full", "trace", "sum")


def assert_close(kernel: Tensor, expected: Tensor, relative: float = 1e-12) -> None:
    assert kernel.shape == expected.shape
    error = torch.linalg.norm(kernel.double() - expected)
    assert error <= relative * torch.linalg.norm(expected)


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_jacobian_times_itself(name: str) -> None:
    given_case = case(name)
    model, inputs, output, _ = given_case
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    jacobians = explicit_jacobians(given_case)
    for kind in KINDS:
        expected = explicit_ntk(given_case, kind, known=jacobians)
        for memory in {"full": (1e9, 1), "trace": (1,), "sum": (1e9,)}[kind]:
            kernel = empirical_ntk(model, inputs, kind, output=output, memory=memory)
            assert_close(kernel, expected)
            assert_close(kernel.T, kernel, 1e-15)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(type(p) is nn.Parameter and p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "batch statistics", "called twice", "relu",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("convolutions", "encoder layer")),
    ],
)  # fmt: skip
def test_it_is_the_same_in_small_parts(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = case(name)[:2]
    expected = explicit_ntk(case(name), kind)
    monkeypatch.setattr(factors, "_CHUNK", 1)
    monkeypatch.setattr(terms, "_ROWS", 4)
    for gradients in (1, 20_000):  # one sample at a time, and all of them with several rows
        monkeypatch.setattr(terms, "_GRADIENTS", gradients)
        for memory in (1e9, 20_000):
            assert_close(empirical_ntk(model, inputs, kind, memory=memory), expected)


def test_positions_that_no_output_depends_on_take_no_part() -> None:
    model, inputs = case("modular transformer")[:2]
    positions = {term.layer: term.shape.positions for term in ntk_factors(model, inputs).terms()}
    assert positions == {
        "embed": 3, "key": 3, "value": 3, "query": 1, "mlp.0": 1, "mlp.2": 1, "unembed": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layers_add_up(name: str) -> None:
    given_case = case(name)
    model, inputs, output, _ = given_case
    kernels = layer_ntk(model, inputs, output=output)
    jacobians = explicit_jacobians(given_case)
    whole = explicit_ntk(given_case, known=jacobians)
    assert_close(torch.stack(list(kernels.values())).sum(0), whole)
    owners = {layer_of(n) for n, p in model.named_parameters() if p.requires_grad}
    assert kernels.keys() <= owners
    if name in ("relu", "convolutions", "residual", "batch statistics"):
        for layer, kernel in kernels.items():
            own = f"{layer}." if layer != "scale" else layer
            assert_close(kernel, explicit_ntk(given_case, layer=own, known=jacobians))


@pytest.mark.parametrize("name", [name for name in CASES if name != "dead units"])
def test_other_values_come_with_their_buffers(name: str) -> None:
    """A kernel at another state_dict is that of the network that holds it."""
    given_case, other = case(name), case(name, seed=1)
    model, inputs, output, _ = given_case
    own = empirical_ntk(model, inputs, output=output)
    state = {key: value.clone() for key, value in other.model.state_dict().items()}
    for key, value in state.items():
        if "running" in key:
            value.mul_(3).add_(1)
    other.model.load_state_dict(state)
    kernel = empirical_ntk(model, inputs, parameters=state, output=output)
    assert_close(kernel, explicit_ntk(other))
    assert torch.equal(empirical_ntk(model, inputs, output=output), own)


def test_a_state_of_something_else_is_refused() -> None:
    model, inputs = case("batch statistics")[:2]
    state = model.state_dict()
    with pytest.raises(ValueError, match=r"expected 1.running_mean of shape \(4,\), received noth"):
        empirical_ntk(model, inputs, parameters=dict(model.named_parameters()))
    with pytest.raises(ValueError, match=r"1.running_var of shape \(4,\), received \(2,\)"):
        empirical_ntk(model, inputs, parameters={**state, "1.running_var": torch.ones(2)})
    with pytest.raises(ValueError, match=r"parameters and buffers of the model, received 9.weight"):
        empirical_ntk(model, inputs, parameters={**state, "9.weight": torch.ones(2)})


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("relu", "vmap"),
        ("convolutions", "vmap"),
        ("encoder layer", "vmap"),
        ("branching", "sample"),
        ("samples that mix", "batch"),
        ("samples that mix later on", "batch"),
        ("samples that mix behind a gate", "batch"),
        ("learned slopes", "sample"),
        ("sparse gradients", "vmap"),
    ],
)
def test_which_way_is_taken(name: str, way: str) -> None:
    model, inputs, output, _ = case(name)
    assert ntk_factors(model, inputs, output=output).way == way


class Noisy(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * torch.rand(len(inputs), 1)


class Spectrum(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.fft.rfft(inputs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(5, 3, dtype=torch.complex64), "real parameters, received torch.complex64 in w"),
        (nn.Sequential(nn.Linear(5, 3), Spectrum()), "real outputs, received torch.complex64"),
        (nn.Sequential(nn.Linear(5, 3), Noisy()), "answers the same inputs alike"),
        (nn.DataParallel(nn.Linear(5, 3)), "received a DataParallel: hand over the module"),
        (nn.LazyLinear(3), "call a lazy model once"),
        (nn.ModuleDict({"unused": nn.Linear(5, 3)}), "depend on a learning parameter"),
    ],
)
def test_a_network_without_a_kernel_is_refused(model: nn.Module, message: str) -> None:
    if isinstance(model, nn.ModuleDict):
        model.forward = lambda inputs: inputs * 2  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=message):
        empirical_ntk(model, torch.ones(4, 5))


def test_attention_has_factors() -> None:
    """PyTorch's own attention is one function, whose projections are seen nevertheless."""
    model, inputs, output, _ = case("encoder layer")
    factors = ntk_factors(model, inputs, output=output)
    found = {shape.layer: shape.positions for shape in factors.shapes}
    assert found["0.self_attn"] == found["0.self_attn.out_proj"] == found["0.linear1"] == 3
    assert set(factors.others) == {
        f"0.norm{k}.{kind}" for k in (1, 2) for kind in ("weight", "bias")
    }


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 9), st.lists(st.integers(1, 6), min_size=2, max_size=4), st.sampled_from(KINDS)
)
def test_any_sizes(samples: int, widths: list[int], kind: str) -> None:
    torch.manual_seed(4)
    *hidden, outputs = widths
    model = MLP(4, hidden, outputs, activation="tanh", output_scale=2).double()
    inputs = torch.randn(samples, 4).double()
    for memory in (1e9, 4000):
        kernel = empirical_ntk(model, inputs, kind, memory=memory)
        assert_close(kernel, explicit_ntk(Case(model, inputs), kind))


@pytest.mark.parametrize("name", ["relu", "convolutions", "modular transformer"])
def test_single_precision_is_within_a_millionth(name: str) -> None:
    given_case = case(name)
    expected = explicit_ntk(given_case)
    model, inputs, output, _ = given_case
    inputs = inputs.float() if inputs.is_floating_point() else inputs
    kernel = empirical_ntk(model.float(), inputs, output=output)
    assert kernel.dtype == torch.float32
    assert_close(kernel, expected, 2e-6)
    assert_close(empirical_ntk(model.bfloat16(), inputs, output=output), expected, 0.1)


def test_a_dtype_takes_the_same_weights_in_another_precision() -> None:
    model, inputs = case("batch statistics")[:2]
    model.float()
    kernel = empirical_ntk(model, inputs.float(), dtype=torch.float64)
    assert next(model.parameters()).dtype == torch.float32
    assert_close(kernel, explicit_ntk(Case(model.double(), inputs.float().double())))


def test_the_memory_asked_for_is_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more factors are held at a time than the argument allows, down to two samples."""
    model, inputs = case("convolutions")[:2]
    taken: list[int] = []
    original = type(ntk_factors(model, inputs)).terms

    def terms(self, rows: slice = slice(None)):
        found = original(self, rows)
        taken.append(sum(t.inputs.nbytes + t.pulled.nbytes for t in found))
        return found

    monkeypatch.setattr(type(ntk_factors(model, inputs)), "terms", terms)
    a_sample = ntk_factors(model, inputs).bytes()
    for memory in (2 * a_sample, 4 * a_sample):
        taken.clear()
        empirical_ntk(model, inputs, memory=memory)
        assert 2 * max(taken) <= memory
    taken.clear()
    empirical_ntk(model, inputs, memory=5 * a_sample)
    assert taken == [5 * a_sample]


def test_a_linear_model_has_a_kernel_in_closed_form() -> None:
    """f = W x + b: K_ij = (x_i·x_j + 1) I."""
    inputs = real(5)
    expected = torch.kron(inputs @ inputs.T + 1, torch.eye(3, dtype=torch.float64))
    assert_close(empirical_ntk(nn.Linear(5, 3).double(), inputs), expected, 1e-14)


def test_bare_parameters_have_a_name() -> None:
    kernels = layer_ntk(*case("modular transformer")[:2])
    assert set(kernels) == {"embed", "query", "key", "value", "mlp.0", "mlp.2", "unembed"}


def test_inputs_are_left_as_they_were() -> None:
    model, inputs = case("no bias, in place")[:2]
    empirical_ntk(model, inputs)
    assert torch.equal(inputs, real(5))


def test_hooks_are_part_of_the_network() -> None:
    model = MLP(5, (7,), 5).double()
    model.layers[1].register_forward_hook(lambda module, inputs, outputs: 3 * outputs)
    assert_close(empirical_ntk(model, real(5)), explicit_ntk(Case(model, real(5))))


def test_measurements_inside_inference_mode_and_autocast() -> None:
    model, inputs = case("relu")[:2]
    expected = empirical_ntk(model, inputs)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(empirical_ntk(model, inputs.clone()), expected)


def test_the_oracle_is_the_derivative() -> None:
    """The oracle itself against finite differences of one weight."""
    given_case = case("gelu")
    model, inputs = given_case[:2]
    jacobian = explicit_jacobians(given_case)["layers.2.weight"]
    with torch.no_grad():
        model.layers[2].weight[1, 2] += 1e-6
        above = model(inputs)
        model.layers[2].weight[1, 2] -= 2e-6
        difference = (above - model(inputs)) / 2e-6
    torch.testing.assert_close(jacobian[:, :, 7 + 2], difference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (torch.ones(0, 5), {}, "n >= 1"),
        (torch.full((2, 5), torch.nan), {}, "finite inputs, received NaN or infinity"),
        ((torch.ones(2, 5), torch.ones(3, 5)), {}, r"same n, received \(2, 5\), \(3, 5\)"),
        ("text", {}, "same n, received str"),
        (torch.ones(2, 5), {"kind": "block"}, "kind full, trace, sum; received 'block'"),
        (torch.ones(2, 5), {"output": 1}, r"outputs \(n, T, c\) for a position, received \(n, 3\)"),
    ],
)
def test_bad_inputs_are_refused(inputs, options, message: str) -> None:
    function = getattr(empirical_ntk, "__wrapped__", empirical_ntk)
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match=message):
        function(MLP(5, (7,), 3), inputs, **options)


def test_outputs_that_must_be_chosen() -> None:
    model = case("tied embeddings, last position").model
    with pytest.raises(ValueError, match=r"received \(n, 4, 7\); choose them by output="):
        empirical_ntk(model, tokens(4))
    with pytest.raises(ValueError, match="position of the 4 that there are, received 4"):
        empirical_ntk(model, tokens(4), output=4)


def test_what_no_kernel_can_be_taken_of() -> None:
    inputs = torch.ones(2, 5)
    with pytest.raises(ValueError, match="at least one parameter that requires a gradient"):
        empirical_ntk(MLP(5, (7,), 3).requires_grad_(False), inputs)
    broken = MLP(5, (7,), 3)
    broken.layers[0].weight.data.fill_(torch.inf)
    with pytest.raises(ValueError, match="finite outputs, received NaN or infinity"):
        empirical_ntk(broken, inputs)
    short = {key: value[:1] for key, value in MLP(5, (7,), 3).state_dict().items()}
    with pytest.raises(ValueError, match=r"layers.0.weight of shape \(7, 5\), received \(1, 5\)"):
        empirical_ntk(MLP(5, (7,), 3), inputs, parameters=short)

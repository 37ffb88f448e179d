"""The one list of networks that kernels are tested on: a name, the module, its inputs, its output.

All in float64 and small, so that explicit Jacobians are quick. Statistics are not the initial ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_grok.tasks.mlp import MLP


class Case(NamedTuple):
    """A network at five samples.

    Attributes:
        model: in training mode where it has one.
        inputs: as ``forward`` takes them.
        output: what `empirical_ntk` takes.
        oracle: (model, inputs) -> (n, c), the outputs meant.
    """

    model: nn.Module
    inputs: Any
    output: Any = None
    oracle: Callable[[nn.Module, Any], Tensor] = lambda model, inputs: model(inputs)


SAMPLES = 5


def real(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(SAMPLES, *shape, generator=generator, dtype=torch.float64)


def tokens(length: int, vocabulary: int = 7) -> Tensor:
    return torch.randint(vocabulary, (SAMPLES, length), generator=torch.Generator().manual_seed(3))


def stack(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules)


def frozen(model: nn.Module, *names: str) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    return model


def seen(model: nn.Module, inputs: Tensor) -> nn.Module:
    """With batch statistics of other inputs."""
    model.double().train()(inputs + 1)
    return model


def mlp(**options: Any) -> Case:
    return Case(MLP(5, (7, 6), 3, **options), real(5))


def digits_cnn() -> nn.Module:
    body = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    return seen(
        stack(*body, nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3)), images()
    )


def images() -> Tensor:
    return real(1, 6, 6)


def convolutions() -> nn.Module:
    return stack(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding="same"),
        nn.Tanh(),
        nn.Conv2d(6, 6, (2, 1), padding=(1, 0), groups=6, bias=False),
        nn.Tanh(),
        nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


class LanguageModel(nn.Module):
    """Tokens in, an embedding that is the readout too, PyTorch's own attention."""

    def __init__(self, causal: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 8, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(4, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.register_buffer("mask", torch.ones(4, 4).triu(1).bool() if causal else None)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens) + self.positions
        options = {"attn_mask": self.mask, "need_weights": False}
        hidden = self.norm(hidden + self.attention(hidden, hidden, hidden, **options)[0])
        return F.linear(hidden, self.embedding.weight)


class ModularTransformer(nn.Module):
    """One layer by hand, weights as bare parameters, scaled_dot_product_attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.query, self.key, self.value = (nn.Parameter(torch.randn(8, 8) / 3) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8, bias=False))
        self.unembed = nn.Linear(8, 7, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embed(tokens)
        heads = [(hidden @ weight).unflatten(-1, (2, 4)).transpose(1, 2)
                 for weight in (self.query, self.key, self.value)]  # fmt: skip
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True)
        hidden = hidden + mixed.transpose(1, 2).flatten(2)
        return self.unembed(hidden + self.mlp(hidden))[:, -1]


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.recurrent = kind(3, 4, batch_first=True)
        self.readout = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.recurrent(inputs)[0][:, -1])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            stack(nn.LayerNorm(5), nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 5)) for _ in range(2)
        )
        self.scale = nn.Parameter(torch.tensor([0.7]))

    def forward(self, inputs: Tensor) -> Tensor:
        for block in self.blocks:
            inputs = inputs + self.scale * block(inputs)
        return inputs


class CalledTwice(nn.Module):
    """One layer at two depths; another shares its weight and has a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.tied = nn.Linear(5, 5), nn.Linear(5, 5)
        self.tied.weight = self.shared.weight
        self.alias = self.shared
        self.norm = nn.BatchNorm1d(5)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(self.shared(torch.tanh(self.shared(inputs)))))
        return self.norm(self.tied(torch.tanh(self.alias(hidden))))


class Gated(nn.Module):
    """Arguments by keyword; one of them integer; a weight that is used in two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.linear = nn.Embedding(7, 5), nn.Linear(5, 5)

    def forward(self, vector: Tensor, kind: Tensor) -> dict[str, Tensor]:
        gate = torch.sigmoid(self.embed(kind))
        hidden = torch.tanh(self.linear(vector * gate))
        return {"logits": hidden * self.linear.weight.sum(0), "gate": gate}


class Branching(nn.Module):
    """What torch.func can't follow: values decide what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([self.left(x) if float(x.sum()) > 0 else self.right(x) for x in inputs])


class Gate(nn.Module):
    """x + g · block(x), with one number g."""

    def __init__(self, block: nn.Module, gate: float) -> None:
        super().__init__()
        self.block, self.gate = block, nn.Parameter(torch.tensor(gate))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.gate * self.block(inputs)


class Cumulated(nn.Module):
    """The first sample is answered without the others, and no other one is."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.cumsum(0)


def batch_statistics(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def tied_mlp() -> nn.Module:
    model = stack(nn.Linear(5, 5), nn.ReLU(inplace=True), nn.Linear(5, 5))
    model[2].weight = model[0].weight
    return model


def weight_normed() -> nn.Module:
    return stack(nn.utils.parametrizations.weight_norm(nn.Linear(5, 6)), nn.Tanh(), nn.Linear(6, 2))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    return stack(layer, nn.Flatten(), nn.Linear(24, 3))


CASES: dict[str, Callable[[], Case]] = {
    **{
        name: lambda name=name: mlp(activation=name, weight_scale=1.5, output_scale=0.3)
        for name in ("relu", "gelu")
    },
    "dead units": lambda: mlp(weight_scale=1e-300),
    "one layer": lambda: Case(nn.Linear(5, 3), real(5)),
    "no bias, in place": lambda: Case(
        stack(nn.ReLU(inplace=True), nn.Linear(5, 7, bias=False), nn.Softmax(1), nn.Linear(7, 3)),
        real(5),
    ),
    "frozen parts": lambda: Case(
        frozen(MLP(5, (7, 6), 3), "layers.0.bias", "layers.2.weight", "layers.4.weight"), real(5)
    ),
    "frozen layers": lambda: Case(
        frozen(MLP(5, (7, 6), 3), "layers.0.weight", "layers.0.bias", "layers.4.bias"), real(5)
    ),
    "batch statistics": lambda: Case(digits_cnn(), images()),
    "batch statistics, evaluated": lambda: Case(digits_cnn().eval(), images()),
    "convolutions": lambda: Case(convolutions(), real(2, 8, 8)),
    "one dimension": lambda: Case(
        stack(nn.Conv1d(2, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)), real(2, 10)
    ),
    "transposed convolution": lambda: Case(
        stack(nn.ConvTranspose2d(1, 2, 2), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(32, 2)),
        real(1, 3, 3),
    ),
    "tied embeddings, last position": lambda: Case(
        LanguageModel(), tokens(4), -1, lambda model, inputs: model(inputs)[:, -1]
    ),
    "tied embeddings, all positions": lambda: Case(
        LanguageModel(causal=True),
        tokens(4),
        lambda answer: answer[..., :2].flatten(1),
        lambda model, inputs: model(inputs)[..., :2].flatten(1),
    ),
    "modular transformer": lambda: Case(ModularTransformer(), tokens(3)),
    "encoder layer": lambda: Case(encoder(), real(3, 8)),
    "lstm": lambda: Case(Recurrent(nn.LSTM), real(4, 3)),
    "gru": lambda: Case(Recurrent(nn.GRU), real(4, 3)),
    "residual": lambda: Case(Residual(), real(5)),
    "called twice": lambda: Case(seen(CalledTwice(), real(5)), real(5)),
    "tied layers": lambda: Case(tied_mlp(), real(5)),
    "reparametrized": lambda: Case(weight_normed(), real(5)),
    "keywords": lambda: Case(
        Gated(),
        {"vector": real(5), "kind": tokens(1)[:, 0]},
        lambda answer: answer["logits"],
        lambda model, inputs: model(**inputs)["logits"],
    ),
    "bilinear arguments": lambda: Case(
        nn.Bilinear(3, 4, 2), (real(3), real(4)), None, lambda model, inputs: model(*inputs)
    ),
    "branching": lambda: Case(Branching(), real(5)),
    "samples that mix": lambda: Case(
        stack(nn.Linear(5, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 2)),
        real(5),
    ),
    "samples that mix later on": lambda: Case(stack(Cumulated(), nn.Linear(5, 3)), real(5)),
    "samples that mix behind a gate": lambda: Case(
        stack(
            Gate(stack(nn.Conv2d(2, 2, 1), batch_statistics(2)), 0.0), nn.Flatten(), nn.Linear(8, 3)
        ),
        real(2, 2, 2),
    ),
    "a number that learns": lambda: Case(Gate(nn.Linear(5, 5), 0.3), real(5)),
    # As many outputs as samples, where torch.func is wrong without a word.
    "learned slopes": lambda: Case(stack(nn.Linear(5, 5), nn.PReLU(), nn.PReLU(5)), real(5)),
    "learned slopes of two outputs": lambda: Case(stack(nn.Linear(5, 2), nn.PReLU()), real(5)),
    "sparse gradients": lambda: Case(
        stack(nn.Embedding(7, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2)), tokens(3)
    ),
    "sums of sparse gradients": lambda: Case(
        stack(nn.EmbeddingBag(7, 4, sparse=True, mode="sum"), nn.Linear(4, 2)), tokens(3)
    ),
    "regression": lambda: Case(
        stack(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)),
        real(5),
        None,
        lambda model, inputs: model(inputs)[:, None],
    ),
}


def case(name: str, seed: int = 0) -> Case:
    """A case of the list, in double precision, its parameters by the seed."""
    torch.manual_seed(seed)
    found = CASES[name]()
    found.model.double()
    return found

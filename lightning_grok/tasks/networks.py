"""The networks of the field's tasks, as plain modules: what a paper's table says, by name.

Each is built from Linear, Conv2d and Embedding layers without tricks, so that exact kernels come
from their factors. `GrokModule` trains any of them, and any other module.
"""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_grok.ranges import NotNegative, Range, within_ranges

LayerWidth = Annotated[int, Range(1, 100_000)]
"""Of a matrix's one side, or of symbols."""

BothWidths = Annotated[int, Range(1, 10_000)]
"""Of both sides of a matrix."""

Few = Annotated[int, Range(1, 1_000)]
"""Of blocks, heads, channels: each is a layer or squares the work."""


class QuadraticMLP(nn.Sequential):
    """Two layers with a square between them and no biases: f(x) = W (U x)².

    Modular addition has an analytic solution in it, whose rows are cosines (Gromov 2023).

    Args:
        in_features: numbers in an input.
        hidden: width N.
        num_classes: outputs.
        scale: weights are drawn from N(0, scale² / (2 N)^(2/3)).
    """

    of_the_start = ("scale",)

    @within_ranges("model.network")
    def __init__(
        self,
        in_features: LayerWidth,
        num_classes: LayerWidth,
        hidden: LayerWidth = 500,
        scale: NotNegative = 0.5,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_features, hidden, bias=False)
        self.square = Square()
        self.readout = nn.Linear(hidden, num_classes, bias=False)
        deviation = scale / (2 * hidden) ** (1 / 3)
        for layer in (self.hidden, self.readout):
            nn.init.normal_(layer.weight, std=deviation)


class Square(nn.Module):
    """The elementwise square."""

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs²."""
        return inputs.square()


class EmbeddingMLP(nn.Module):
    """Two operands, an embedding table for each, one hidden layer (Chughtai et al. 2023).

    Args:
        symbols: operands there are.
        num_classes: outputs.
        embedding: width of each embedding, drawn from N(0, 1/width).
        hidden: width of the hidden layer.
    """

    @within_ranges("model.network")
    def __init__(
        self,
        symbols: LayerWidth,
        num_classes: LayerWidth,
        embedding: LayerWidth = 256,
        hidden: LayerWidth = 128,
    ) -> None:
        super().__init__()
        self.left = nn.Embedding(symbols, embedding)
        self.right = nn.Embedding(symbols, embedding)
        self.hidden = nn.Linear(2 * embedding, hidden, bias=False)
        self.relu = nn.ReLU()
        self.readout = nn.Linear(hidden, num_classes, bias=False)
        for layer in (self.left, self.right):
            nn.init.normal_(layer.weight, std=embedding**-0.5)
        for linear in (self.hidden, self.readout):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, tokens: Int[Tensor, "n 2"]) -> Float[Tensor, "n c"]:
        """Logits of a batch of pairs."""
        both = torch.cat([self.left(tokens[..., 0]), self.right(tokens[..., 1])], dim=-1)
        return self.readout(self.relu(self.hidden(both)))


class Attention(nn.Module):
    """Multi-head self-attention without biases.

    Args:
        width: of the residual stream.
        heads: each of width / heads.
        causal: whether a position sees those after it not.
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )

    def forward(self, stream: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """What the heads add to the stream."""
        query, key, value = (
            part(stream).unflatten(-1, (self.heads, -1)).transpose(-3, -2)  # (n, h, t, d / h)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if self.causal:
            length = scores.shape[-1]
            hidden = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(hidden, -math.inf)
        mixed = (scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2)
        return self.output(mixed)


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each added to the stream.

    Args:
        width: of the residual stream.
        heads: of the attention.
        hidden: width of the perceptron.
        norm: whether each reads the stream through a LayerNorm.
        causal: whether a position sees those after it not.
        activation: of the perceptron.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, norm: bool, causal: bool, activation: nn.Module
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads, causal)
        self.hidden = nn.Linear(width, hidden)
        self.activation = activation
        self.output = nn.Linear(hidden, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 if norm else 0))

    def forward(self, stream: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """The stream after this block."""
        first, second = self.norms if len(self.norms) else (nn.Identity(), nn.Identity())
        stream = stream + self.attention(first(stream))
        return stream + self.output(self.activation(self.hidden(second(stream))))


class Transformer(nn.Module):
    """A small transformer that answers at an appended ``=``: (a, b, =).

    With one layer, no norm and no causal mask it is the network of Nanda et al. (2023); with two
    layers, norm and mask that of Power et al. (2022) up to the place of its norms. Weights are
    drawn from N(0, 1/width), those of the readout from N(0, 1/symbols), biases are 0: with
    PyTorch's own embedding, N(0, 1), the runs don't grok alike.

    Args:
        symbols: operands there are; ``=`` is one more.
        num_classes: outputs.
        operands: of a question.
        width: of the residual stream, divisible by `heads`.
        heads: of the attention.
        hidden: width of each block's perceptron.
        layers: blocks.
        norm: whether blocks and readout read the stream through a LayerNorm.
        causal: whether a position sees those after it not.
        activation: ``relu`` or ``gelu``.

    Raises:
        ValueError: the width is not divisible by the heads.
    """

    @within_ranges("model.network")
    def __init__(
        self,
        symbols: LayerWidth,
        num_classes: LayerWidth,
        operands: Few = 2,
        width: BothWidths = 128,
        heads: Few = 4,
        hidden: BothWidths = 512,
        layers: Few = 1,
        norm: bool = False,
        causal: bool = False,
        activation: Literal["relu", "gelu"] = "relu",
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"expected a width divisible by the {heads} heads, received {width}")
        self.symbols = symbols
        self.embedding = nn.Embedding(symbols + 1, width)
        self.positions = nn.Parameter(torch.empty(operands + 1, width))
        self.blocks = nn.Sequential(
            *(
                Block(
                    width, heads, hidden, norm, causal,
                    nn.ReLU() if activation == "relu" else nn.GELU(),
                )
                for _ in range(layers)
            )
        )  # fmt: skip
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.readout = nn.Linear(width, num_classes, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        width = self.embedding.embedding_dim
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        nn.init.normal_(self.positions, std=width**-0.5)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=width**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        nn.init.normal_(self.readout.weight, std=(self.symbols + 1) ** -0.5)

    def forward(self, tokens: Int[Tensor, "n operands"]) -> Float[Tensor, "n c"]:
        """Logits at ``=`` of a batch of questions."""
        asked = F.pad(tokens, (0, 1), value=self.symbols)
        stream = self.blocks(self.embedding(asked) + self.positions)
        return self.readout(self.norm(stream[..., -1, :]))


class SmallCNN(nn.Module):
    """Two convolutions with pooling, then a linear readout, for images (n, c, side, side).

    Args:
        num_classes: outputs.
        side: of the images, divisible by 4.
        channels: of the first convolution; the second has twice as many.
        scale: factor on every parameter after PyTorch's initialization.
        in_channels: c of the images: 1 for gray ones, 3 for colors.
    """

    of_the_start = ("scale",)

    @within_ranges("model.network")
    def __init__(
        self,
        num_classes: LayerWidth = 10,
        side: Few = 28,
        channels: Few = 16,
        scale: NotNegative = 1.0,
        in_channels: Few = 1,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * channels * (side // 4) ** 2, num_classes),
        )
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(scale)

    def forward(self, images: Float[Tensor, "n c side side"]) -> Float[Tensor, "n k"]:
        """Logits of a batch."""
        return self.layers(images)

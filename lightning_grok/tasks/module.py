"""The LightningModule of the tasks: one network, its loss and its optimizer."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import lightning as L
import torch
from torch import Tensor, nn

from lightning_grok.geometry.gradients import perpendicular_gradient
from lightning_grok.geometry.losses import Loss, sample_losses
from lightning_grok.ranges import Count, NotNegative, Positive, Range, within_ranges
from lightning_grok.tasks.mlp import MLP, Activation
from lightning_grok.tasks.set_metrics import SetMetrics
from lightning_grok.tasks.whole_epochs import WholeEpochs

OptimizerName = Literal["adamw", "adam", "sgd"]
Momentum = Annotated[float, Range(0, 0.999999)]
"""Share of the past in a moving average."""
LossPrecision = Literal["float32", "float64"]

SETS = ("train", "test")
"""What the validation dataloaders hold, in their order: the training set, the test set."""


class GrokModule(L.LightningModule):
    """A network that classifies; by default the paper's perceptron with scaled start and output.

    Whole-set losses and accuracies are computed in validation, whose two dataloaders hold the
    training set and of the test set. They are logged as ``train/loss``, ``train/accuracy``,
    ``test/loss`` and ``test/accuracy``; any callback can monitor them. The defaults are the paper's
    run on 1,000 images of EMNIST, which groks.

    Args:
        num_classes: number of outputs; the command line takes it from the data.
        in_features: input dimension; the command line takes it from the data.
        hidden: widths of the hidden layers.
        weight_scale: factor on every parameter at initialization (alpha').
        output_scale: factor on the outputs (alpha).
        activation: between linear layers.
        loss: cross-entropy; the mean squared error of the outputs to one-hot targets; the
            cross-entropy of stablemax, which does not saturate; or the hinge loss.
        optimizer: AdamW (decoupled weight decay), Adam (decay as an L2 term) or SGD. The command
            line's group ``optimizer`` takes any other by its class path.
        learning_rate: step size.
        weight_decay: of the optimizer.
        momentum: of SGD; the others ignore it.
        betas: decay rates of Adam's and AdamW's two moments.
        eps: added to the root of their second moment.
        loss_precision: what the outputs are cast to for the loss, and nothing else; None leaves
            them as they are. In float32 the cross-entropy of a sample is exactly 0 once its correct
            logit leads by 16.64, in float64 by 36.74.
        orthogonal_gradient: whether to take out of every parameter's gradient what only scales the
            parameter (`perpendicular_gradient`).
        hold_norm: whether to scale all parameters, after every step, to the norm that they had
            together before the first one (the reduced setting of Liu et al. 2023, Omnigrok).
        network: another network than the perceptron, with as many outputs as there are classes;
            the widths, scales and activation above then say nothing.

    Raises:
        InputError: an option of the optimizer is out of range.
        ValueError: a width, a scale or the activation is out of range (see `MLP`).
    """

    @within_ranges("model")
    def __init__(
        self,
        num_classes: Count = 47,
        in_features: Count = 784,
        hidden: Sequence[Annotated[int, Range(1, 100_000)]] = (128, 512, 128),
        weight_scale: Positive = 10.0,
        output_scale: Positive = 1.0,
        activation: Activation = "relu",
        loss: Loss = "cross_entropy",
        optimizer: OptimizerName = "adamw",
        learning_rate: Positive = 1e-3,
        weight_decay: NotNegative = 1e-3,
        momentum: Momentum = 0.0,
        betas: tuple[Momentum, Momentum] = (0.9, 0.999),
        eps: Positive = 1e-8,
        loss_precision: LossPrecision | None = None,
        orthogonal_gradient: bool = False,
        hold_norm: bool = False,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["network"], logger=False)
        self.network = network or MLP(
            in_features=in_features,
            hidden=hidden,
            num_classes=num_classes,
            weight_scale=weight_scale,
            output_scale=output_scale,
            activation=activation,
        )
        self.loss = loss
        self.loss_precision = None if loss_precision is None else getattr(torch, loss_precision)
        self.held_norm: Tensor | None = None  # of all parameters, once training begins
        self.metrics = nn.ModuleList(SetMetrics(num_classes) for _ in SETS)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (n, C) of inputs (n, ...) as the network takes them: images, vectors, tokens."""
        return self.network(inputs)

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss () of outputs (n, C), in `loss_precision`."""
        return sample_losses(self.in_loss_precision(outputs), labels, self.loss, "mean")

    def in_loss_precision(self, outputs: Tensor) -> Tensor:
        """Outputs as the loss takes them."""
        return outputs if self.loss_precision is None else outputs.to(self.loss_precision)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one minibatch. Nothing is logged here: an epoch takes milliseconds."""
        inputs, labels = batch
        return self.loss_of(self.network(inputs), labels)

    def on_fit_start(self) -> None:
        """Have whole epochs trained in one call, where that is possible (`WholeEpochs`)."""
        WholeEpochs.take_over(self.trainer)

    def validation_step(
        self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """One chunk of the training set (dataloader 0) or of the test set (1)."""
        self._add_chunk(dataloader_idx, batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One chunk of the test set."""
        self._add_chunk(SETS.index("test"), batch)

    def _add_chunk(self, index: int, batch: tuple[Tensor, Tensor]) -> None:
        inputs, labels = batch
        outputs = self.network(inputs)
        self._metrics(index).update(self.loss_of(outputs, labels), outputs, labels)

    def _metrics(self, index: int) -> SetMetrics:
        metrics = self.metrics[index]
        assert isinstance(metrics, SetMetrics)
        return metrics

    def set_metrics(self, *names: str) -> dict[str, Tensor]:
        """``<set>/loss``, ``<set>/accuracy``, ``<set>/accuracy_per_class`` since the last call."""
        return {
            f"{name}/{key}": value
            for name in names
            for key, value in self._metrics(SETS.index(name)).compute().items()
        }

    def on_validation_epoch_end(self) -> None:
        """Log the whole-set metrics for whoever monitors them."""
        # The loggers get them with their epoch from the Evaluation callback.
        self.evaluated = self.set_metrics(*SETS)
        scalars = {key: value for key, value in self.evaluated.items() if value.ndim == 0}
        logged = bool(self.trainer.loggers) and self.trainer.state.fn != "fit"
        self.log_dict(scalars, logger=logged)

    def on_test_epoch_end(self) -> None:
        """Log loss and accuracy of the test set."""
        values = self.set_metrics("test")
        self.log_dict({key: value for key, value in values.items() if value.ndim == 0})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer, in its fused form, over all parameters of the network."""
        parameters = list(self.network.parameters())
        options: dict[str, Any] = {
            "lr": self.hparams["learning_rate"],
            "weight_decay": self.hparams["weight_decay"],
            "fused": True,
        }
        if self.hparams["optimizer"] == "sgd":
            return torch.optim.SGD(parameters, momentum=self.hparams["momentum"], **options)
        options |= {"betas": tuple(self.hparams["betas"]), "eps": self.hparams["eps"]}
        kind = torch.optim.AdamW if self.hparams["optimizer"] == "adamw" else torch.optim.Adam
        return kind(parameters, **options)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take out of the gradients what only scales the weights, where that is asked for."""
        if self.hparams["orthogonal_gradient"]:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    parameter.grad = perpendicular_gradient(parameter.grad, parameter.detach())

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """One step, loss and gradient included; afterwards the norm that is to be held."""
        if self.hparams["hold_norm"] and self.held_norm is None:
            self.held_norm = self._norm()
        super().optimizer_step(*arguments, **options)
        if self.held_norm is not None:
            with torch.no_grad():
                torch._foreach_mul_(list(self.network.parameters()), self.held_norm / self._norm())

    def _norm(self) -> Tensor:
        """The norm () of all parameters together."""
        return torch.nn.utils.get_total_norm(self.network.parameters()).detach()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the norm that is held."""
        if self.held_norm is not None:
            checkpoint["held_norm"] = self.held_norm

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the norm that was held."""
        if self.hparams["hold_norm"]:
            self.held_norm = checkpoint.get("held_norm")

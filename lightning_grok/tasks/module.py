"""The LightningModule of the study: one network, its loss and its optimizer."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import SumMetric
from torchmetrics.classification import MulticlassAccuracy

from lightning_grok.geometry.matmul import Matmul, relu_activations, relu_gradients, resolve
from lightning_grok.ranges import Count, NotNegative, Positive, Range, within_ranges
from lightning_grok.tasks.denormals import flushed_denormals
from lightning_grok.tasks.mlp import MLP, Activation, has_hooks
from lightning_grok.tasks.optimizer import CPUAdam, CPUAdamW

Loss = Literal["cross_entropy", "mse"]
OptimizerName = Literal["adamw", "adam", "sgd"]

SETS = ("train", "test")
"""What the validation dataloaders hold, in their order: the training subset, the test images."""


class SetMetrics(nn.Module):
    """Loss and accuracy over one whole set, gathered chunk by chunk.

    Args:
        num_classes: number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        options: dict[str, Any] = {"num_classes": num_classes, "validate_args": False}
        # A diverged loss is news, not to be hidden; MeanMetric would then ignore its weights.
        self.loss_sum = SumMetric(nan_strategy="disable")
        self.count = SumMetric(nan_strategy="disable")
        self.per_class = MulticlassAccuracy(average="none", **options)
        self.overall = MulticlassAccuracy(average="micro", **options)

    def update(self, loss: Tensor, outputs: Tensor, labels: Tensor) -> None:
        """Add a chunk: its mean loss (), outputs (n, C) and labels (n,)."""
        self.loss_sum.update(loss * len(labels))
        self.count.update(len(labels))
        predictions = outputs.argmax(dim=1)
        self.per_class.update(predictions, labels)
        self.overall.update(predictions, labels)

    def compute(self) -> dict[str, Tensor]:
        """loss (), accuracy () and accuracy_per_class (C,) of what came since the last call.

        The accuracy of a class without an image is NaN.
        """
        found, missed = self.per_class.tp, self.per_class.fn  # (C,)
        assert isinstance(found, Tensor)
        assert isinstance(missed, Tensor)
        values = {
            "loss": self.loss_sum.compute() / self.count.compute(),
            "accuracy": self.overall.compute(),
            "accuracy_per_class": self.per_class.compute().where(found + missed > 0, torch.nan),
        }
        for metric in (self.loss_sum, self.count, self.overall, self.per_class):
            metric.reset()
        return values


def loss_and_gradient(outputs: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Mean loss () of outputs (n, C), and its derivative by them (n, C); outside any graph."""
    n, classes = outputs.shape
    with torch.no_grad():
        if loss == "cross_entropy":
            logarithms = F.log_softmax(outputs, 1)
            gradient = torch.softmax(outputs, 1)  # exp(logarithms) is slow where it underflows
            gradient.scatter_add_(1, labels[:, None], gradient.new_full((n, 1), -1.0))
            return F.nll_loss(logarithms, labels), gradient.div_(n)
        difference = outputs - F.one_hot(labels, classes)
        return difference.square().mean(), difference.mul_(2 / (n * classes))


class GrokModule(L.LightningModule):
    """A multilayer perceptron with scaled start and output, trained as in the paper.

    Whole-set losses and accuracies are computed in validation, whose two dataloaders hold the
    training subset and the test images. They are logged as ``train/loss``, ``train/accuracy``,
    ``test/loss`` and ``test/accuracy``; any callback can monitor them. The defaults are the paper's
    run on 1,000 images of EMNIST, which groks.

    Args:
        num_classes: number of outputs; the command line takes it from the data.
        in_features: input dimension; the command line takes it from the data.
        hidden: widths of the hidden layers.
        weight_scale: factor on every parameter at initialization (alpha').
        output_scale: factor on the outputs (alpha).
        activation: between linear layers.
        loss: cross-entropy, or the mean squared error of the outputs to one-hot targets.
        optimizer: AdamW (decoupled weight decay), Adam (decay as an L2 term) or SGD.
        learning_rate: step size.
        weight_decay: of the optimizer.
        momentum: of SGD; the others ignore it.
        matmul: backend that multiplies float32 matrices on the CPU: PyTorch's default, oneDNN, or
            the one that is faster on this make of processor (auto). Their results differ by
            rounding: a resumed run keeps the backend it began with, and ``hparams`` names it.

    Raises:
        InputError: the learning rate, weight decay or momentum is out of range.
        ValueError: a width, a scale or the activation is out of range (see `MLP`), or this PyTorch
            has no oneDNN to take.
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
        momentum: Annotated[float, Range(0, 0.999999)] = 0.0,
        matmul: Matmul = "auto",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.network = MLP(
            in_features=in_features,
            hidden=hidden,
            num_classes=num_classes,
            weight_scale=weight_scale,
            output_scale=output_scale,
            activation=activation,
            matmul=resolve(matmul),
        )
        self.hparams["matmul"] = self.network.matmul
        self.loss = loss
        self._pass: tuple[list[Tensor], Tensor] | None = None  # hidden units and d loss / d outputs
        self.metrics = nn.ModuleList(SetMetrics(num_classes) for _ in SETS)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the one that Lightning sets at every hook past nn.Module's questions.

        There are two dozen hooks a step, and these took 3 % of an epoch of the study's network.
        """
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs (n, C) of images (n, 1, height, width) or vectors (n, in_features)."""
        return self.network(images)

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss () of outputs (n, C)."""
        if self.loss == "cross_entropy":
            return F.cross_entropy(outputs, labels)
        targets = F.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
        return F.mse_loss(outputs, targets)  # the mean over the batch and the outputs

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one minibatch. Nothing is logged here: an epoch takes milliseconds."""
        images, labels = batch
        features = images.flatten(1)
        if not self._is_written_out(features):
            return self.loss_of(self.network(images), labels)
        weights, biases = self.network.weights_and_biases()
        *hidden, outputs = relu_activations(features, weights, biases, self.network.backend)
        loss, gradient = loss_and_gradient(
            outputs.mul_(self.network.output_scale), labels, self.loss
        )
        self._pass = hidden, gradient.mul_(self.network.output_scale)
        return loss

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:
        """Gradients of a loss from `training_step`; without autograd where that wrote them out.

        They are those of autograd up to rounding, in a tenth less time for the study's network.
        """
        if self._pass is None:
            super().backward(loss, *arguments, **options)
            return
        (hidden, gradient), self._pass = self._pass, None
        gradient /= self.trainer.accumulate_grad_batches  # as Lightning has divided the loss
        weights, biases = self.network.weights_and_biases()
        for layer, *found in relu_gradients(gradient, hidden, weights, self.network.backend):
            for parameter, value in zip((weights[layer], biases[layer]), found, strict=True):
                parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)

    def _is_written_out(self, features: Tensor) -> bool:
        """Whether `backward` may do without autograd, nobody being there to see the difference."""
        own = type(self)
        return (
            own.training_step is GrokModule.training_step
            and own.backward is GrokModule.backward
            and own.loss_of is GrokModule.loss_of
            and self._trainer is not None
            and self._trainer.world_size == 1
            and torch.is_grad_enabled()
            and not torch.is_anomaly_enabled()
            and type(self.network) is MLP
            and self.network.is_fusable(features)
            and not has_hooks(self.network)
            and all(
                parameter.requires_grad
                and not parameter._backward_hooks
                and not parameter._post_accumulate_grad_hooks
                for parameter in self.network.parameters()
            )
        )

    def validation_step(
        self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """One chunk of the training subset (dataloader 0) or of the test images (1)."""
        self._add_chunk(dataloader_idx, batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One chunk of the test images."""
        self._add_chunk(SETS.index("test"), batch)

    def _add_chunk(self, index: int, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        outputs = self.network(images)
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
        """Log loss and accuracy of the test images."""
        values = self.set_metrics("test")
        self.log_dict({key: value for key, value in values.items() if value.ndim == 0})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer, in its fused form, over all parameters of the network."""
        parameters = list(self.network.parameters())
        on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
        options: dict[str, Any] = {
            "lr": self.hparams["learning_rate"],
            "weight_decay": self.hparams["weight_decay"],
            "fused": True,
        }
        match self.hparams["optimizer"]:
            case "adamw":
                return (CPUAdamW if on_cpu else torch.optim.AdamW)(parameters, **options)
            case "adam":
                return (CPUAdam if on_cpu else torch.optim.Adam)(parameters, **options)
            case _:
                momentum = self.hparams["momentum"]
                return torch.optim.SGD(parameters, momentum=momentum, **options)

    def optimizer_zero_grad(
        self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer
    ) -> None:
        """Drop the gradients, as ``optimizer.zero_grad()`` does with its record and its groups."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """One step, loss and gradient included, that takes the tiniest numbers for zero."""
        with flushed_denormals():
            super().optimizer_step(*arguments, **options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the backend of matrix products that the checkpoint was trained with."""
        self.network.matmul = self.hparams["matmul"] = checkpoint["hyper_parameters"]["matmul"]


# Lightning asks for its parameters at every step: 1 % of an epoch of the study's network.
GrokModule.training_step.__signature__ = inspect.signature(GrokModule.training_step)  # type: ignore[attr-defined]

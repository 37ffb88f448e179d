"""How much of a class a linear readout of the features can tell: three probes, three questions.

The features are those of a transfer set (MNIST digits under a network trained on EMNIST), so that
the answer is about the representation, not about the task the network was trained on.

The paper's probe confounds the features with their scale: logits grow about 300-fold in training,
its 100 steps at a fixed learning rate then diverge, and its accuracy falls while the same features
read out as well as before. It stays here because the published curve is its curve.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from lightning_grok.geometry.arrays import Labels, Points, labeled

# The regression counts as converged where no entry of its gradient exceeds this. On activations
# of the paper's network ten times less changed held-out accuracy by 0.0003, ten times more by
# 0.0007.
_TOLERANCE = 1e-5
_MAX_STEPS = 10_000


class _Readout(NamedTuple):
    weight: Float[np.ndarray, "c d"]
    bias: Float[np.ndarray, " c"]


class SoundProbe(NamedTuple):
    """Held-out accuracy of a converged linear readout.

    Attributes:
        accuracy: mean over the draws, in [0, 1]; NaN unless every draw converged.
        accuracy_sd: standard deviation over the draws (n - 1); NaN for a single draw.
        converged: share of draws whose gradient reached the tolerance.
    """

    accuracy: float
    accuracy_sd: float
    converged: float


class PaperProbe(NamedTuple):
    """Training accuracy of the paper's probe.

    Attributes:
        accuracy: mean over the draws, in [0, 1]; NaN if a weight overflowed in a draw.
        accuracy_sd: standard deviation over the draws (n - 1); NaN for a single draw.
        loss: mean cross-entropy (nats) on the same samples after the last step. A readout that
            knows nothing has log(classes) = 2.3 for digits; far more says that the steps diverged.
    """

    accuracy: float
    accuracy_sd: float
    loss: float


class DirectAccuracy(NamedTuple):
    """Accuracy of the network's own outputs, in [0, 1].

    Attributes:
        accuracy: argmax over the digits' logits only; chance is one in ten.
        accuracy_all: argmax over all logits, so that a letter is wrong too (the paper's code).
    """

    accuracy: float
    accuracy_all: float


def sound_probe(
    features: Points,
    labels: Labels,
    *,
    train_size: int = 1280,
    draws: int = 10,
    seed: int = 0,
) -> SoundProbe:
    """Accuracy of multinomial logistic regression on samples that it was not fitted to.

    Every draw splits the samples at random into train_size and the rest, takes mean and standard
    deviation of each feature from the first part, and minimizes there

        1/n Σ_i -log softmax(W x_i + b)[y_i] + 1/(2n) ‖W‖²

    (scikit-learn's default, C = 1) by L-BFGS until no entry of the gradient exceeds 1e-5. A feature
    that is constant in the first part weighs nothing. Scale and offset of any feature change
    nothing.

    Args:
        features: n samples of d features.
        labels: their classes.
        train_size: samples fitted to, the paper's 1,280; at least 1 and fewer than n.
        draws: random splits; the first k are the same whatever the number of draws, and the same
            for all features with one seed, so that checkpoints are compared on the same splits.
        seed: of the splits.

    Returns:
        Accuracy over the held-out samples. About 40 ms a draw for 1,280 x 128 and ten classes.

    Raises:
        ValueError: sizes don't fit, a feature is not finite, or a split has a single class.
    """
    values, labels = _checked(features, labels, train_size, draws)
    if train_size == len(labels):
        raise ValueError(f"expected train_size below the {len(labels)} samples, received all")
    classes, targets = np.unique(labels, return_inverse=True)
    accuracies, converged = np.empty(draws), np.empty(draws, dtype=bool)
    for draw, (order, _) in enumerate(_draws(len(labels), draws, seed)):
        fitted, held_out = order[:train_size], order[train_size:]
        readout, converged[draw] = _standardized_regression(
            values[fitted], targets[fitted], len(classes)
        )
        answers = np.argmax(values @ readout.weight.T + readout.bias, axis=1)
        accuracies[draw] = np.mean(answers[held_out] == targets[held_out])
    if not converged.all():
        return SoundProbe(np.nan, np.nan, float(converged.mean()))
    return SoundProbe(float(accuracies.mean()), _deviation(accuracies), 1.0)


def paper_probe(
    features: Points,
    labels: Labels,
    *,
    train_size: int = 1280,
    draws: int = 10,
    seed: int = 0,
    learning_rate: float = 0.01,
    batch_size: int = 128,
    epochs: int = 10,
) -> PaperProbe:
    """The probe of the paper's code (Fig. 4): few SGD steps, accuracy on its own training samples.

    Every draw takes train_size random samples and a linear layer with PyTorch's default
    initialization, trains it in float32 by plain SGD on the mean cross-entropy, batches in the
    same order every epoch, features as they are, and scores it on the samples it was trained on.
    All draws are trained side by side. The text names the second-to-last layer, the code hooks the
    last: give it the logits (before the output scale) to follow the published curve.

    Args:
        features: n samples of d features.
        labels: their classes.
        train_size: samples a draw, at most n.
        draws: random draws of samples and initial weights, the same for one seed.
        seed: of both.
        learning_rate, batch_size, epochs: the paper's: 100 steps.

    Returns:
        Accuracy over the training samples, with the loss that tells divergence. About 40 ms for
        ten draws of 1,280 x 47.

    Raises:
        ValueError: sizes don't fit, a feature is not finite, or there is a single class.
    """
    from scipy.special import log_softmax, softmax

    given, labels = _checked(features, labels, train_size, draws)
    values = given.astype(np.float32)
    classes, targets = np.unique(labels, return_inverse=True)
    starts, chosen = [], []
    for order, generator in _draws(len(labels), draws, seed):
        bound = values.shape[1] ** -0.5  # nn.Linear's uniform initialization, bias included
        shape = (values.shape[1] + 1, len(classes))
        starts.append(generator.uniform(-bound, bound, shape).astype(np.float32))
        chosen.append(order[:train_size])
    samples = np.stack(chosen)
    # The last row of the weights is the bias: features get a column of ones. (draws, n, d + 1)
    inputs = np.pad(values, ((0, 0), (0, 1)), constant_values=1)[samples]
    answers, weights = targets[samples], np.stack(starts)
    is_class = (answers[..., None] == np.arange(len(classes))).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is reported below
        for start in list(range(0, train_size, batch_size)) * epochs:
            batch = inputs[:, start : start + batch_size]
            residual = softmax(batch @ weights, axis=2) - is_class[:, start : start + batch_size]
            step = np.float32(learning_rate / batch.shape[1])
            weights -= step * (batch.transpose(0, 2, 1) @ residual)
        logits = inputs @ weights
    if not np.isfinite(logits).all():
        return PaperProbe(np.nan, np.nan, np.nan)
    accuracies = np.mean(np.argmax(logits, axis=2) == answers, axis=1)
    likelihoods = log_softmax(logits.astype(np.float64), axis=2)[is_class.astype(bool)]
    return PaperProbe(float(accuracies.mean()), _deviation(accuracies), -float(likelihoods.mean()))


def direct_accuracy(logits: Points, labels: Labels, *, digits: int = 10) -> DirectAccuracy:
    """Accuracy of the network's own outputs on digits: its first classes are the digits.

    Args:
        logits: (n, c) outputs with c >= digits, the output of digit k in column k (EMNIST's order).
        labels: digits, 0 to digits - 1.
        digits: how many of the first classes are digits.

    Returns:
        Both accuracies; on equal logits the first class answers.

    Raises:
        ValueError: sizes don't fit, a label is no digit, or a logit is not finite.

    >>> direct_accuracy(np.array([[1.0, 2.0, 3.0]]), np.array([1]), digits=2)
    DirectAccuracy(accuracy=1.0, accuracy_all=0.0)
    """
    values, labels = labeled(logits, labels)
    if values.shape[1] < digits:
        raise ValueError(f"expected at least {digits} logits a sample, received {values.shape[1]}")
    if labels.min() < 0 or labels.max() >= digits:
        raise ValueError(
            f"expected labels 0 to {digits - 1}, received {labels.min()} to {labels.max()}"
        )
    restricted = np.argmax(values[:, :digits], axis=1) == labels
    over_all = np.argmax(values, axis=1) == labels
    return DirectAccuracy(float(restricted.mean()), float(over_all.mean()))


def _checked(
    features: Points, labels: Labels, train_size: int, draws: int
) -> tuple[Float[np.ndarray, "n d"], Integer[np.ndarray, " n"]]:
    values, labels = labeled(features, labels, classes=2)
    if not 1 <= train_size <= len(labels):
        raise ValueError(f"expected train_size from 1 to {len(labels)}, received {train_size}")
    if draws < 1:
        raise ValueError(f"expected at least one draw, received {draws}")
    return values, labels


def _draws(
    samples: int, draws: int, seed: int
) -> Iterator[tuple[Integer[np.ndarray, " n"], np.random.Generator]]:
    """A random order of the samples for every draw, and the generator for what else it needs."""
    for sequence in np.random.SeedSequence(seed).spawn(draws):
        generator = np.random.default_rng(sequence)
        yield generator.permutation(samples), generator


def _standardization(
    values: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Mean and 1 / standard deviation of every feature; 0 for one that is constant."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # What is left of a constant after subtracting its mean is rounding.
    rounding = len(values) * np.finfo(float).eps * np.abs(values).max(axis=0)
    scale = np.zeros_like(deviation)
    np.divide(1.0, deviation, out=scale, where=deviation > rounding)
    return mean, scale


def _standardized_regression(
    values: Float[np.ndarray, "n d"], targets: Integer[np.ndarray, " n"], classes: int
) -> tuple[_Readout, bool]:
    """Logistic regression on standardized features, as a readout of the features as they are."""
    mean, scale = _standardization(values)
    present, positions = np.unique(targets, return_inverse=True)
    if len(present) < 2:
        raise ValueError("expected samples of at least two classes in a split, received one")
    parameters, gradient = _logistic_regression((values - mean) * scale, positions, len(present))
    weight = np.zeros((classes, values.shape[1]))
    bias = np.full(classes, -np.inf)  # a class that the split lacks is never the answer
    weight[present] = parameters[:, :-1] * scale
    bias[present] = parameters[:, -1] - weight[present] @ mean
    # A NaN compares false: a solver that broke down did not converge.
    return _Readout(weight, bias), bool(gradient <= _TOLERANCE)


def _logistic_regression(
    values: Float[np.ndarray, "n d"], targets: Integer[np.ndarray, " n"], classes: int
) -> tuple[Float[np.ndarray, "c d1"], float]:
    """Weights with the bias as last column, and the largest entry of the gradient there.

    Samples run along the last axis of every array but `values`: sums over ten classes are then
    sums of long rows, twice as fast as long columns of short sums.
    """
    from scipy.optimize import minimize

    samples, width = values.shape
    columns = np.ascontiguousarray(values.T)  # (d, n)
    is_class = np.arange(classes)[:, None] == targets  # (c, n)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(classes, width + 1)
        weight = parameters[:, :-1]
        logits = weight @ columns + parameters[:, -1:]
        logits -= logits.max(axis=0)
        residual = np.exp(logits)
        total = residual.sum(axis=0)
        likelihood = logits[is_class].sum() - np.log(total).sum()
        residual /= total
        residual -= is_class
        gradient = np.empty_like(parameters)
        gradient[:, :-1] = residual @ values + weight
        gradient[:, -1] = residual.sum(axis=1)
        loss = (0.5 * np.vdot(weight, weight) - likelihood) / samples
        return float(loss), gradient.ravel() / samples

    result = minimize(
        objective,
        np.zeros(classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        # No stop on a small decrease: only the gradient tells an optimum from a slow start.
        options={"gtol": _TOLERANCE, "ftol": 0, "maxiter": _MAX_STEPS, "maxfun": 2 * _MAX_STEPS},
    )
    return result.x.reshape(classes, width + 1), float(np.abs(result.jac).max())


def _deviation(accuracies: Float[np.ndarray, " draws"]) -> float:
    return float(accuracies.std(ddof=1)) if len(accuracies) > 1 else float("nan")

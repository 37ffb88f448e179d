"""What a representation allows on the network's own task, and what the network makes of it."""

from typing import NamedTuple

import numpy as np

from lightning_grok.geometry.arrays import Labels, Points, finite_array
from lightning_grok.geometry.linear_probe import (
    _checked,
    _deviation,
    _draws,
    _standardized_regression,
)


class OwnReadout(NamedTuple):
    """Accuracies on the same held-out samples, in [0, 1], means over the draws.

    Attributes:
        representation: R, of a converged readout fitted to other test samples: what the
            representation allows. NaN unless every draw converged.
        representation_sd: its standard deviation over the draws (n - 1); NaN for a single draw.
        trained: B, of a readout fitted to the training samples; NaN where there are none.
        network: N, of the network's own outputs. The readout gap is R - N, the bias towards the
            training samples R - B, the misalignment B - N.
    """

    representation: float
    representation_sd: float
    trained: float
    network: float


def own_readout(
    features: Points,
    outputs: Points,
    labels: Labels,
    training: tuple[Points, Labels] | None = None,
    *,
    train_size: int = 1280,
    draws: int = 5,
    seed: int = 0,
) -> OwnReadout:
    """Readouts of the network's own task from one layer, against the network itself.

    Every draw splits the test samples at random into train_size and the rest T. R is the accuracy
    on T of the regression of `sound_probe` fitted to the first part, B of one that is fitted to
    the training samples, N of argmax of the outputs.

    Args:
        features: n test samples of d features.
        outputs: the network's own for the same samples, class k in column k.
        labels: their classes.
        training: features and classes of the samples that the network was trained on, or None.
        train_size: samples a readout is fitted to; at least 1 and fewer than n.
        draws: random splits, the same for one seed.
        seed: of the splits.

    Returns:
        The three accuracies. About 40 ms a draw for 1,280 x 128 and ten classes.

    Raises:
        ValueError: sizes don't fit, a feature is not finite, or a split has a single class.
    """
    values, labels = _checked(features, labels, train_size, draws)
    outputs = finite_array(outputs, "outputs", 2)
    if not train_size < len(labels) == len(outputs):
        raise ValueError(
            f"expected train_size below the {len(labels)} samples and an output for each, "
            f"received {train_size} and {len(outputs)}"
        )
    given = _checked(*training, train_size=1, draws=1) if training else None
    classes = np.unique(np.concatenate([labels, given[1]]) if given else labels)
    own = np.argmax(outputs, axis=1) == labels
    trained = np.full(len(labels), np.nan)
    if given:
        trained = _answers(*given, values, labels, classes)
    right = np.empty((draws, 3))
    for draw, (order, _) in enumerate(_draws(len(labels), draws, seed)):
        fitted, held_out = order[:train_size], order[train_size:]
        found = _answers(values[fitted], labels[fitted], values, labels, classes)
        right[draw] = [found[held_out].mean(), trained[held_out].mean(), own[held_out].mean()]
    means = right.mean(axis=0)
    return OwnReadout(float(means[0]), _deviation(right[:, 0]), float(means[1]), float(means[2]))


def _answers(
    fitted: np.ndarray,
    targets: np.ndarray,
    values: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
) -> np.ndarray:
    """Whether a readout answers each sample rightly, as 1 or 0; NaN if it did not converge."""
    places = np.searchsorted(classes, targets)
    readout, converged = _standardized_regression(fitted, places, len(classes))
    if not converged:
        return np.full(len(labels), np.nan)
    answers = classes[np.argmax(values @ readout.weight.T + readout.bias, axis=1)]
    return (answers == labels).astype(np.float64)

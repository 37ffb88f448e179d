"""Readouts of the own task against networks whose answers are known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lightning_grok.geometry import own_readout


def separable(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % 4
    return 6.0 * np.eye(4)[labels] + generator.normal(size=(samples, 4)), labels


def test_a_network_that_uses_all_there_is_has_no_gap() -> None:
    features, labels = separable(200, 0)
    found = own_readout(features, features, labels, separable(100, 1), train_size=100, draws=3)
    assert (found.representation, found.trained, found.network) == pytest.approx(
        (1, 1, 1), abs=0.02
    )


def test_a_random_last_layer_on_good_features_leaves_all_of_it() -> None:
    features, labels = separable(4000, 0)
    outputs = np.random.default_rng(2).normal(size=(4000, 4))
    found = own_readout(features, outputs, labels, train_size=1000, draws=3)
    assert found.representation > 0.98
    assert found.network == pytest.approx(0.25, abs=0.03)
    assert np.isnan(found.trained)


def test_readouts_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 120)
    features = generator.normal(size=(120, 5)) + labels[:, None] * 0.5
    training = generator.normal(size=(80, 5)) + 0.5, generator.integers(0, 3, 80)
    found = own_readout(features, features[:, :3], labels, training, train_size=60, draws=1, seed=5)
    stream = np.random.SeedSequence(5).spawn(1)[0]
    order = np.random.default_rng(stream).permutation(120)
    fitted, held_out = order[:60], order[60:]
    for key, (x, y) in {
        "representation": (features[fitted], labels[fitted]), "trained": training,
    }.items():  # fmt: skip
        scaler = StandardScaler().fit(x)
        probe = LogisticRegression(tol=1e-8, max_iter=10_000).fit(scaler.transform(x), y)
        expected = probe.score(scaler.transform(features[held_out]), labels[held_out])
        assert getattr(found, key) == pytest.approx(expected, abs=1e-12)
    own = features[held_out, :3].argmax(1) == labels[held_out]
    assert found.network == pytest.approx(own.mean())


@pytest.mark.parametrize("size", [0, 10])
def test_nothing_to_score_is_refused(size: int) -> None:
    features, labels = separable(10, 0)
    with pytest.raises(ValueError, match="train_size"):
        own_readout(features, features, labels, train_size=size)

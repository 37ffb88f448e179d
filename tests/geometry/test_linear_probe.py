"""The probes against scikit-learn, PyTorch's own SGD and accuracies known in closed form."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lightning_grok.geometry import linear_probe
from lightning_grok.geometry.linear_probe import direct_accuracy, paper_probe, sound_probe


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 real digits of 64 pixels, three of them constant."""
    data = load_digits()
    return data.data, data.target


def draws_of(samples: int, draws: int, seed: int) -> list[tuple[np.ndarray, np.random.Generator]]:
    """What the docstrings promise, in the test's own words: a permutation, then the weights."""
    generators = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(draws)]
    return [(generator.permutation(samples), generator) for generator in generators]


@pytest.mark.parametrize("train_size", [40, 600])
def test_the_sound_probe_agrees_with_scikit_learn_on_the_same_splits(
    digits: tuple[np.ndarray, np.ndarray], train_size: int
) -> None:
    features, labels = digits
    expected = []
    for order, _ in draws_of(len(labels), draws=3, seed=5):
        fitted, held_out = order[:train_size], order[train_size:]
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=1.0, solver="newton-cg", tol=1e-8)
        )
        model.fit(features[fitted], labels[fitted])
        expected.append(model.score(features[held_out], labels[held_out]))
    result = sound_probe(features, labels, train_size=train_size, draws=3, seed=5)
    # An image on the border of two digits may fall to either within the two tolerances.
    assert result.accuracy == pytest.approx(np.mean(expected), abs=1.5 / (len(labels) - train_size))
    assert result.accuracy_sd == pytest.approx(np.std(expected, ddof=1), abs=1e-3)
    assert result.converged == 1


def test_the_weights_are_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 6)) @ generator.normal(size=(6, 6))
    targets = generator.integers(4, size=200)
    parameters, gradient = linear_probe._logistic_regression(values, targets, 4)
    model = LogisticRegression(C=1.0, solver="newton-cg", tol=1e-10).fit(values, targets)
    assert gradient < 1e-5
    np.testing.assert_allclose(parameters[:, :-1], model.coef_, atol=2e-3)
    # Only differences of biases matter.
    bias = parameters[:, -1] - parameters[:, -1].mean()
    np.testing.assert_allclose(bias, model.intercept_ - model.intercept_.mean(), atol=2e-3)


def test_two_gaussian_classes_reach_the_best_possible_accuracy() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(2, size=40_000)
    features = generator.normal(size=(40_000, 3))
    features[:, 0] += 2.0 * labels
    result = sound_probe(features, labels, train_size=5_000, draws=3)
    best = norm.cdf(1.0)  # half the distance of the centers
    standard_error = np.sqrt(best * (1 - best) / 35_000)
    assert result.accuracy == pytest.approx(best, abs=5 * standard_error)


def test_labels_without_a_relation_are_told_by_chance() -> None:
    generator = np.random.default_rng(2)
    features, labels = generator.normal(size=(4_000, 8)), generator.integers(10, size=4_000)
    result = sound_probe(features, labels, train_size=1_000, draws=4)
    assert result.accuracy == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 3_000))


def test_scale_offset_order_and_dead_features_change_nothing_sound(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    features, labels = digits
    expected = sound_probe(features, labels, train_size=300, draws=2)
    generator = np.random.default_rng(3)
    scales = 10.0 ** generator.uniform(-3, 5, features.shape[1])
    changed = (features + generator.normal(size=features.shape[1])) * scales
    changed = np.pad(changed, ((0, 0), (2, 3)), constant_values=7e4)
    changed = changed[:, generator.permutation(changed.shape[1])]
    result = sound_probe(changed.astype(np.float32), labels + 5, train_size=300, draws=2)
    assert result.accuracy == pytest.approx(expected.accuracy, abs=2 / 1_497)


def test_features_that_are_all_dead_answer_the_commonest_class() -> None:
    labels = np.repeat([0, 1], [20, 80])
    result = sound_probe(np.full((100, 4), 3.3), labels, train_size=60, draws=1)
    held_out = draws_of(100, draws=1, seed=0)[0][0][60:]
    assert result.accuracy == np.mean(labels[held_out] == 1)


def test_a_class_missing_from_the_fitted_part_is_never_the_answer() -> None:
    order = draws_of(30, draws=1, seed=0)[0][0]
    labels = np.arange(30) % 2
    labels[order[-1]] = 2
    features = np.eye(3)[labels]
    result = sound_probe(features, labels, train_size=20, draws=1)
    assert result.accuracy == 0.9
    assert result.converged == 1


def test_a_seed_gives_the_same_numbers_and_more_draws_keep_the_first(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    one, two, again = (sound_probe(*digits, train_size=100, draws=d, seed=7) for d in (1, 2, 2))
    assert two == again
    assert sound_probe(*digits, train_size=100, draws=2, seed=8) != two
    assert np.isnan(one.accuracy_sd)
    # Of two draws the first differs from the mean by sd / sqrt(2).
    assert abs(one.accuracy - two.accuracy) == pytest.approx(two.accuracy_sd / np.sqrt(2))


def test_a_regression_that_did_not_converge_is_not_a_number(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_probe, "_MAX_STEPS", 3)
    result = sound_probe(*digits, train_size=100, draws=2)
    assert np.isnan(result.accuracy)
    assert np.isnan(result.accuracy_sd)
    assert result.converged == 0


@pytest.mark.parametrize("train_size", [256, 300])
def test_the_papers_probe_is_pytorchs_sgd(
    digits: tuple[np.ndarray, np.ndarray], train_size: int
) -> None:
    features, labels = digits[0].astype(np.float32), digits[1]
    accuracies, losses = [], []
    for order, generator in draws_of(len(labels), draws=3, seed=4):
        start = torch.from_numpy(generator.uniform(-1 / 8, 1 / 8, (65, 10)).astype(np.float32))
        probe = torch.nn.Linear(64, 10)
        probe.load_state_dict({"weight": start[:-1].T, "bias": start[-1]})
        optimizer = torch.optim.SGD(probe.parameters(), lr=0.01)
        inputs = torch.from_numpy(features[order[:train_size]])
        targets = torch.from_numpy(labels[order[:train_size]])
        for _ in range(10):
            for batch, answer in zip(inputs.split(128), targets.split(128), strict=True):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(probe(batch), answer).backward()
                optimizer.step()
        logits = probe(inputs).detach()
        accuracies.append((logits.argmax(1) == targets).float().mean().item())
        losses.append(torch.nn.functional.cross_entropy(logits, targets).item())
    result = paper_probe(features, labels, train_size=train_size, draws=3, seed=4)
    assert result.accuracy == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert result.accuracy_sd == pytest.approx(np.std(accuracies, ddof=1), abs=1e-6)
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_larger_features_break_the_papers_probe_and_leave_the_sound_one(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    features, labels = digits
    small, large = (paper_probe(scale * features, labels, draws=4) for scale in (0.1, 1e3))
    assert small.loss < np.log(10) < 100 < large.loss
    assert large.accuracy < 1
    sound = [sound_probe(s * features, labels, train_size=300, draws=1) for s in (0.1, 1e3)]
    assert sound[0].accuracy == pytest.approx(sound[1].accuracy, abs=1 / 1_497)


def test_an_overflow_in_the_papers_probe_is_not_an_accuracy(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    assert np.isnan(paper_probe(1e30 * digits[0], digits[1], draws=2)).all()


def test_the_networks_own_digits() -> None:
    logits = np.array([[3.0, 1, 2], [0, 2, 5], [0, 4, 1], [1, 0, 9]])
    result = direct_accuracy(logits, np.array([0, 1, 0, 0]), digits=2)
    assert result == (0.75, 0.25)


@pytest.mark.parametrize("probe", [sound_probe, paper_probe])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(9, int)}, "expected 20 labels, one a sample"),
        ({"train_size": 21}, "train_size from 1 to 20, received 21"),
        ({"draws": 0}, "at least one draw, received 0"),
        ({"features": np.full((20, 3), np.nan)}, "finite points"),
    ],
)
def test_bad_arguments_are_named(probe, change: dict, message: str) -> None:
    arguments = {
        "features": np.ones((20, 3)),
        "labels": np.arange(20) % 2,
        "train_size": 10,
        "draws": 1,
    }
    with pytest.raises(ValueError, match=message):
        probe(**(arguments | change))


def test_a_sound_probe_needs_held_out_samples_and_two_classes() -> None:
    features, labels = np.eye(20), np.arange(20) % 2
    with pytest.raises(ValueError, match="below the 20 samples"):
        sound_probe(features, labels, train_size=20)
    with pytest.raises(ValueError, match="at least two classes in a split"):
        sound_probe(features, np.arange(20) // 19, train_size=1)


def test_direct_accuracy_needs_a_logit_a_digit_and_digits() -> None:
    with pytest.raises(ValueError, match="at least 10 logits a sample, received 3"):
        direct_accuracy(np.zeros((2, 3)), np.array([0, 1]))
    with pytest.raises(ValueError, match="labels 0 to 1, received 0 to 2"):
        direct_accuracy(np.zeros((2, 3)), np.array([0, 2]), digits=2)

"""Tables of modular arithmetic and of groups, against slow definitions and group axioms."""

from itertools import permutations, product

import numpy as np
import pytest
import torch

from lightning_grok.errors import InputError
from lightning_grok.tasks.arithmetic import modular_table
from lightning_grok.tasks.groups import composition_table
from lightning_grok.tasks.tables import GroupComposition, ModularArithmetic, TableData


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("multiply", lambda a, b: a * b),
        ("x^2 + x*y + y^2", lambda a, b: a**2 + a * b + b**2),
        ("x**3 - 2*(x - 1)*y", lambda a, b: a**3 - 2 * (a - 1) * b),
        ("-(x^2)^3 + 10^3", lambda a, b: -(a**6) + 1000),
    ],
)
@pytest.mark.parametrize("p", [2, 5, 12])
def test_answers_are_those_of_whole_numbers(operation: str, answer, p: int) -> None:
    table = modular_table(p, operation)
    assert [tuple(pair) for pair in table.pairs] == list(product(range(p), repeat=2))
    assert table.answers.tolist() == [answer(a, b) % p for a, b in product(range(p), repeat=2)]


def test_division_undoes_multiplication() -> None:
    table = modular_table(13, "divide")
    a, b = table.pairs.T
    assert len(table.pairs) == 13 * 12
    assert (b > 0).all()
    assert (table.answers * b % 13 == a).all()


def test_random_answers_are_spread_and_a_function_of_the_seed() -> None:
    first, again, other = (modular_table(31, "random", seed).answers for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).mean() > 0.8
    counts = np.bincount(first, minlength=31)
    assert counts.min() > 31 - 5 * 31**0.5  # binomial: 31 of each, sd 5.5
    assert counts.max() < 31 + 5 * 31**0.5


@pytest.mark.parametrize(
    "operation",
    ["x/y", "z", "x^-1", "x^999", "x^y", "x.real", "f(x)", "__import__('os')", "x if y else 1",
     "True + x", "1.5*x", "", "x" + "+x" * 200, "(" * 150],
)  # fmt: skip
def test_nothing_but_polynomials_is_taken(operation: str) -> None:
    with pytest.raises(InputError, match="polynomial"):
        modular_table(7, operation)


def test_a_modulus_must_suit() -> None:
    for p in (-1, 1, 10**6):
        with pytest.raises(InputError, match="modulus"):
            modular_table(p, "add")
    with pytest.raises(InputError, match="prime"):
        modular_table(12, "divide")


@pytest.mark.parametrize(
    ("group", "order", "commutes"),
    [("S1", 1, True), ("S3", 6, False), ("S5", 120, False), ("A4", 12, False), ("A5", 60, False),
     ("D3", 6, False), ("D61", 122, False), ("C113", 113, True)],
)  # fmt: skip
def test_groups_obey_their_axioms(group: str, order: int, commutes: bool) -> None:
    table = composition_table(group)
    product_of = table.answers.reshape(order, order)
    everything = np.arange(order)
    assert table.symbols == table.answer_count == order
    assert (product_of[0] == everything).all()  # the identity is number 0
    assert (np.sort(product_of, axis=0) == everything[:, None]).all()  # hence inverses
    assert (np.sort(product_of, axis=1) == everything).all()
    generator = np.random.default_rng(0)
    a, b, c = generator.integers(order, size=(3, 2000))
    assert (product_of[product_of[a, b], c] == product_of[a, product_of[b, c]]).all()
    assert (product_of == product_of.T).all() == commutes


def test_permutations_are_composed_as_functions() -> None:
    elements = list(permutations(range(4)))
    product_of = composition_table("S4").answers.reshape(24, 24)
    for i, j in [(1, 2), (7, 5), (23, 14)]:
        composed = tuple(elements[i][elements[j][point]] for point in range(4))
        assert elements[product_of[i, j]] == composed


def test_the_dihedral_group_of_a_triangle_is_that_of_three_permutations() -> None:
    orders = []
    for group in ("D3", "S3"):
        product_of = composition_table(group).answers.reshape(6, 6)
        orders.append(sorted(next(n for n in range(1, 7) if _power(product_of, g, n) == 0)
                             for g in range(6)))  # fmt: skip
    assert orders[0] == orders[1] == [1, 2, 2, 2, 3, 3]


def _power(product_of: np.ndarray, element: int, n: int) -> int:
    result = 0
    for _ in range(n):
        result = product_of[result, element]
    return result


@pytest.mark.parametrize("group", ["", "S0", "S7", "D2", "X3", "S-1", "a5", "C999999", "S5 "])
def test_unknown_groups_are_refused(group: str) -> None:
    with pytest.raises(InputError, match="S1 to S6"):
        GroupComposition(group=group)


@pytest.mark.parametrize("data", [ModularArithmetic(p=11, seed=3), GroupComposition("S3", seed=3)])
def test_the_sets_share_out_the_table(data: TableData) -> None:
    train, test = data.train_samples, data.test_samples
    total = len(data.table.answers)
    assert len(train.labels) == total // 2
    rows = torch.cat([train.images, test.images])
    assert len(rows) == len(rows.unique(dim=0)) == total


def test_one_hot_and_tokens_say_the_same() -> None:
    hot = ModularArithmetic(p=11, seed=3).train_samples
    tokens = ModularArithmetic(p=11, seed=3, encoding="tokens").train_samples
    assert hot.images.shape == (60, 22)
    assert tokens.images.dtype == torch.int64
    assert (hot.images.unflatten(1, (2, 11)).argmax(-1) == tokens.images).all()
    assert (hot.labels == tokens.labels).all()
    assert (tokens.images.sum(1) % 11 == tokens.labels).all()


def test_splits_differ_by_seed_only() -> None:
    first, again, other = (ModularArithmetic(p=11, seed=seed).train_samples for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_noise_replaces_a_share_of_the_trained_answers_only() -> None:
    clean = ModularArithmetic(p=31, seed=0)
    noisy = ModularArithmetic(p=31, seed=0, label_noise=0.4)
    assert torch.equal(clean.train_samples.images, noisy.train_samples.images)
    assert torch.equal(clean.test_samples.labels, noisy.test_samples.labels)
    changed = (clean.train_samples.labels != noisy.train_samples.labels).float().mean().item()
    assert changed == pytest.approx(0.4 * 30 / 31, abs=0.02)  # one in p draws the right answer


@pytest.mark.parametrize(
    "options",
    [{"fraction": 0.0}, {"fraction": 1.0}, {"fraction": float("nan")}, {"label_noise": -0.1},
     {"label_noise": float("nan")}, {"encoding": "binary"}, {"batch_size": 0}, {"seed": -1}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="expected data"):
        ModularArithmetic(p=11, **options)


def test_a_side_without_pairs_is_refused() -> None:
    with pytest.raises(InputError, match="both sides"):
        _ = ModularArithmetic(p=2, fraction=0.01).train_samples

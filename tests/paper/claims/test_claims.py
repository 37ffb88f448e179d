"""Every claim on runs that bear it out, refute it, and leave it open."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimed_runs import (
    ADAM,
    FAST_CLOCK,
    FLOAT64,
    HALF_OUTPUT,
    MNIST_HALF,
    N1000,
    SMALL_OUTPUT,
    SMALL_WEIGHT,
    Truth,
    by_layer,
    judged,
    only,
    series_of,
    write_runs,
)

from lightning_grok.claims.content import read_claims
from lightning_grok.claims.verdict import judge
from lightning_grok.errors import InputError
from lightning_grok.paper.claims.verdict import CLAIMS, verdict
from lightning_grok.runs.run import Run


def mixed(**values: tuple[Any, Any]) -> list[dict[str, Any]]:
    """Two kinds of seeds."""
    return [{key: pair[k] for key, pair in values.items()} for k in (0, 1)]


def layer_5(value: float) -> list[float]:
    return [*by_layer(-0.3)[:5], value, -0.3]


DECREASING = [1.4 - 0.2 * k for k in range(7)]
LONG = {"setup": SMALL_OUTPUT}
CASES: list[tuple[str, str, Truth, list[dict[str, Any]], dict[str, Any]]] = [
    ("C1", "held", Truth(), [], {}),
    ("C1", "failed", Truth(early=0.1, jump=0.6), [], {}),
    ("C1", "undecided", Truth(), mixed(early=(0.5, 0.1), jump=(0.25, 0.5)), {}),
    ("C1", "undecided", Truth(floor=0.05), [], {}),  # moved, but not shown to be beyond the floor
    ("C1", "failed", Truth(floor=0.3), [], {}),
    ("C2", "held", Truth(lags=by_layer(0.03)), [], {}),
    ("C2", "failed", Truth(lags=[0, 0, 0, 0, 0.4, 0, 0]), [], {}),
    ("C2", "undecided", Truth(), mixed(lags=(by_layer(0.0), by_layer(0.25))), {}),
    ("C2", "undecided", Truth(), mixed(growth=(by_layer(1.0), by_layer(0.0))), {}),  # censored
    ("C3", "held", Truth(), [], {}),
    ("C3", "failed", Truth(early=0.05, jump=0.6, lags=by_layer(0.4)), [], {}),
    ("C3", "undecided", Truth(lags=by_layer(0.2)), mixed(early=(0.5, 0.05), jump=(0.2, 0.7)), {}),
    ("C4", "held", Truth(stray=0.02), [], {}),
    ("C4", "failed", Truth(stray=0.6), [], {}),
    ("C4", "undecided", Truth(stray=0.25), [], {}),
    ("C6", "held", Truth(), [], {}),
    ("C6", "failed", Truth(radius=layer_5(0.1)), [], {}),
    ("C6", "undecided", Truth(), mixed(radius=(layer_5(0.02), layer_5(-0.03))), {}),
    ("C7", "held", Truth(), [], {}),
    ("C7", "failed", Truth(growth=DECREASING), [], {}),
    ("C7", "undecided", Truth(), mixed(growth=(DECREASING, DECREASING[::-1])), {}),
    ("C8", "held", Truth(half=0.8, last=50_000, late=0.3), [], LONG),
    ("C8", "failed", Truth(half=0.8, last=50_000, late=-0.3), [], LONG),
    ("C8", "undecided", Truth(half=0.8, last=50_000), [], LONG),  # neither rises nor falls
    ("C8", "undecided", Truth(half=0.8, late=0.3), [], LONG),  # too short
    ("C9", "held", Truth(half=0.8, last=50_000, probe_late=-0.2), [], LONG),
    ("C9", "failed", Truth(half=0.8, last=50_000), [], LONG),
    ("C9", "undecided", Truth(half=0.8, last=50_000), mixed(probe_late=(-0.1, 0.0)), LONG),
    ("C10", "held", Truth(), [], {"setup": HALF_OUTPUT}),
    ("C10", "failed", Truth(probe_step=-0.05), [], {"setup": HALF_OUTPUT}),
    ("C10", "undecided", Truth(), mixed(probe_step=(-0.05, 0.06)), {"setup": HALF_OUTPUT}),
    ("C11", "held", Truth(jump=0.1), [], {}),
    ("C11", "failed", Truth(early=0.0, jump=0.8, lags=by_layer(0.3), stray=0.5), [], {}),
    ("C11", "undecided", Truth(), mixed(early=(0.5, 0.0), lags=(by_layer(0), by_layer(0.3))), {}),
    ("C12", "held", Truth(), [], {}),
    ("C12", "failed", Truth(radius=by_layer(-0.001), train_noise=0.01), [], {}),
    ("C13", "held", Truth(), [], {"setup": MNIST_HALF}),
    ("C13", "failed", Truth(norm_fall=-0.2), [], {"setup": MNIST_HALF}),
    ("C13", "undecided", Truth(), mixed(norm_lag=(-0.5, 0.6)), {"setup": MNIST_HALF}),
    ("C14", "held", Truth(), [], {"setup": ADAM}),
    ("C14", "failed", Truth(stray=0.6), [], {"setup": ADAM}),
    ("C14", "undecided", Truth(stray=0.25), [], {"setup": ADAM}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected", "truth", "changes", "options"),
    CASES,
    ids=[f"{case[0]}-{case[1]}-{k}" for k, case in enumerate(CASES)],
)
def test_claims_on_runs_that_are_known(
    tmp_path: Path,
    name: str,
    expected: str,
    truth: Truth,
    changes: list[dict[str, Any]],
    options: dict[str, Any],
) -> None:
    runs = write_runs(tmp_path / "runs", truth, *changes, **options)
    claims = ["C1", "C2", "C3", "C4"] if name == "C14" else []
    found = verdict(runs, claims=only(tmp_path, *claims, name))[name]
    assert found["verdict"] == expected, found
    assert found["reason"].startswith(f"{expected}: ")
    assert found["figure"]


def test_the_second_jump_of_the_kernel(tmp_path: Path) -> None:
    truths = {
        "held": Truth(),
        "failed": Truth(jump=0.0, creep=0.02),
        "undecided": Truth(jump=0.01, creep=0.02),  # about twice the plateau's speed
    }
    for expected, truth in truths.items():
        runs = write_runs(tmp_path / expected, truth)
        found = judged(tmp_path, "C3", runs)["C3b"]
        assert found["verdict"] == expected, found
        assert found["interval"][0] <= found["estimate"] <= found["interval"][1]
    assert 1.5 < found["estimate"] < 3


def write_controls(root: Path, truth: Truth, *changes: dict[str, Any]) -> list[Run]:
    """Five seeds of every control."""
    return [
        run
        for setup in (SMALL_WEIGHT, SMALL_OUTPUT)
        for run in write_runs(root / setup, truth, *changes, count=5, setup=setup)
    ]


def test_widths_against_controls(tmp_path: Path) -> None:
    sharp = write_runs(tmp_path / "sharp", Truth(), count=5)
    slow = write_runs(tmp_path / "slow", Truth(capacity_width=1.2, lags=by_layer(-0.5)), count=5)
    cases = {"held": 1.0, "failed": 0.2}
    for expected, width in cases.items():
        # At a width of 0.2 the controls' capacity rises sharply, though there is no delay.
        truth = Truth(half=1.0, width=1.0, capacity_width=width)
        controls = write_controls(tmp_path / f"controls {expected}", truth)
        grokked = sharp if expected == "held" else slow
        found = judged(tmp_path, "C5", [*grokked, *controls])
        assert found["verdict"] == expected, found
        assert (found["estimate"] < 0) == (expected == "held")
    between = write_controls(
        tmp_path / "between", Truth(half=1.0), *mixed(capacity_width=(1.0, 0.2))
    )
    assert judged(tmp_path, "C5", [*sharp, *between])["verdict"] == "undecided"
    alone = judged(tmp_path, "C5", sharp)
    assert "0 seeds of the control weight_1, at least 5 needed" in alone["reason"]
    one = judged(tmp_path, "C5", [*sharp, *between[:5]])
    assert "0 seeds of the control output_0.001, at least 5 needed" in one["reason"]


def test_controls_without_a_value_decide_nothing(tmp_path: Path) -> None:
    sharp = write_runs(tmp_path / "sharp", Truth(), count=5)
    still = Truth(half=1.0, width=1.0, growth=by_layer(0.0))
    found = judged(tmp_path, "C5", [*sharp, *write_controls(tmp_path / "still", still)])
    assert found["verdict"] == "undecided"
    assert "the control weight_1: 0 seeds with a value" in found["reason"]
    bare = [
        run
        for setup in (SMALL_WEIGHT, SMALL_OUTPUT)
        for run in write_runs(
            tmp_path / "bare", Truth(half=1.0, width=1.0), count=5, setup=setup,
            leave_out=["manifold_capacity"],
        )
    ]  # fmt: skip
    slow = write_runs(tmp_path / "one", Truth(half=1.0, capacity_width=1.0), count=5,
                      setup=SMALL_WEIGHT)  # fmt: skip
    for controls in (bare, [*slow, *bare[5:]]):  # neither, or only one of the two
        found = judged(tmp_path, "C5", [*sharp, *controls])
        assert found["verdict"] == "undecided"
        assert "was not measured in 5 of 5 runs of the control" in found["reason"]


@pytest.mark.slow
def test_widths_end_where_the_shortest_run_does(tmp_path: Path) -> None:
    """A slow rise is no wider for having been followed longer."""
    slow = {"half": 1.0, "width": 1.0, "late": 1.0, "capacity_width": 1.0}
    found = []
    for last in (10_000, 50_000):
        folder = tmp_path / str(last)
        sharp = write_runs(folder / "sharp", Truth(), count=5)
        controls = write_controls(folder, Truth(last=last, **slow))
        found.append(judged(tmp_path, "C5", [*sharp, *controls])["estimate"])
    assert found[1] == pytest.approx(found[0], abs=0.05)


def test_what_was_measured_while_the_training_set_was_lost_is_left_out(tmp_path: Path) -> None:
    names = ["C1", "C2", "C3", "C4", "C6", "C7", "C11"]
    whole, lost = (
        verdict(write_runs(tmp_path / str(x), Truth(lost=x)), claims=only(tmp_path, *names))
        for x in (None, 2.6)
    )
    for name in names:
        assert lost[name]["verdict"] == whole[name]["verdict"], lost[name]
        assert lost[name]["estimate"] == pytest.approx(whole[name]["estimate"], abs=0.05)
    assert "6 of them after losing the training set again" in lost["C2"]["reason"]
    assert "losing" not in whole["C2"]["reason"]


def test_lags_of_seeds_that_generalize_at_the_end_are_none(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, Truth(half=3.85), *mixed(half=(3.2, 3.9)), count=12)
    found = judged(tmp_path, "C2", runs)
    assert found["verdict"] == "held"
    assert found["seeds"] == 6
    assert "6 of 12 runs grokked" in found["reason"]  # the others still rise when they end


def test_capacity_that_rises_at_the_end_is_a_late_one(tmp_path: Path) -> None:
    lags = [by_layer(0.0), by_layer(0.4)]
    runs = write_runs(tmp_path, Truth(half=3.3), *mixed(half=(3.25, 3.35), lags=lags), count=12)
    found = judged(tmp_path, "C2", runs)
    assert found["verdict"] == "undecided"  # left out, the late ones would make it held
    assert found["seeds"] == 12
    (tests,) = (each["tests"] for each in found["setups"].values() if each["tested"])
    assert {test["lower_bounds"] for test in tests} == {6}
    assert {test["without"] for test in tests} == {0}
    clock = judged(tmp_path, "C3", runs)
    assert clock["verdict"] == "held"  # at the end of the run at most, 0.7 decades: less than 3


def test_a_norm_that_falls_and_rises_again_has_fallen(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, Truth(norm_return=0.35), setup=MNIST_HALF)
    found = judged(tmp_path, "C13", runs)
    assert found["verdict"] == "held"
    # A tenth of a fall centered 0.35 decades before the half-rise, 0.3 wide.
    assert found["estimate"] == pytest.approx(-0.5, abs=0.02)


def test_repeated_claims_and_their_parts_are_made_for_the_same_setup(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, Truth(), setup=ADAM)
    found = verdict(runs, claims=only(tmp_path, "C1", "C2", "C3", "C4", "C14"))["C14"]
    assert set(found["claims"]["C3"]["C3b"]["setups"]) == {"adam"}
    assert found["claims"]["C3"]["C3b"]["verdict"] == "held"


@pytest.mark.parametrize(
    ("offset", "expected"), [(0.0, "held"), (0.8, "failed"), (0.27, "undecided")]
)
def test_going_together_is_not_being_the_same(tmp_path: Path, offset: float, expected: str) -> None:
    found = judged(tmp_path, "C12", write_runs(tmp_path / "runs", Truth(train_offset=offset)))
    assert (found["verdict"], found["C12b"]["verdict"]) == ("held", expected)


def test_two_clocks_timed_alike(tmp_path: Path) -> None:
    # The kernel rises a second time just before the onset: from the start it seems decades early.
    runs = write_runs(tmp_path / "runs", Truth(lags=by_layer(0.2), capacity_width=0.2))
    found = judged(tmp_path, "C3", runs)
    assert found["verdict"] == "held"
    assert found["C3c"]["verdict"] == "failed"


def test_a_probe_without_the_filter(tmp_path: Path) -> None:
    early = Truth(half=1.6, width=0.8, probe_step=0.05)  # memorized late: not grokked
    runs = write_runs(tmp_path / "runs", early, setup=HALF_OUTPUT)
    found = judged(tmp_path, "C10", runs)
    assert (found["verdict"], found["C10b"]["verdict"]) == ("undecided", "held")


@pytest.mark.parametrize(
    ("unstable", "expected"),
    [((2.7, 2.7), "held"), ((3.5, 3.5), "failed"), ((2.7, 3.5), "undecided")],
)
def test_an_instability_before_the_rise(
    tmp_path: Path, unstable: tuple[float, float], expected: str
) -> None:
    one, other = unstable
    changes = [{"unstable": each} for each in (one, one, one, other)]
    found = judged(tmp_path, "C17", write_runs(tmp_path / "runs", Truth(), *changes, count=8))
    assert found["verdict"] == expected


def test_twins_in_float64(tmp_path: Path) -> None:
    config = {"model": {"loss_precision": "float64"}}
    trunk = write_runs(tmp_path / "runs", Truth(), count=5)
    for half, expected in ((5.0, "held"), (3.0, "failed")):
        twins = write_runs(
            tmp_path / expected, Truth(half=half), count=5, setup=FLOAT64, config=config
        )  # fmt: skip
        found = judged(tmp_path, "C18", [*trunk, *twins])
        assert found["verdict"] == expected
        assert found["C18b"]["verdict"] == ("held" if expected == "held" else "undecided")
    # Whatever arm is chosen, its runs are those of float64; the other claims' are of that arm.
    for arm in ("float32", "float64"):
        content = read_claims(only(tmp_path, "C18"))
        assert judge(content, [*trunk, *twins], arm=arm)["C18"]["seeds"] == 5
    alone = judged(tmp_path, "C18", twins)["C18b"]
    assert "no n1000 of the same seed" in alone["reason"]


@pytest.mark.parametrize(("unstable", "expected"), [(1.6, "held"), (2.4, "failed")])
def test_a_clock_of_another_rate(tmp_path: Path, unstable: float, expected: str) -> None:
    slow = write_runs(tmp_path / "slow", Truth(unstable=2.6), count=5)
    fast = write_runs(tmp_path / "fast", Truth(unstable=unstable), count=5, setup=FAST_CLOCK)
    found = judged(tmp_path, "C19", [*slow, *fast])
    assert found["verdict"] == expected
    assert found["estimate"] == pytest.approx(unstable - 2.6, abs=0.05)


@pytest.mark.parametrize(("lag", "expected"), [(0.0, "held"), (0.35, "failed")])
def test_capacity_where_nothing_jumps(tmp_path: Path, lag: float, expected: str) -> None:
    runs = write_runs(tmp_path, Truth(lags=by_layer(lag)), count=5, setup=MNIST_HALF)
    assert judged(tmp_path, "C20", runs)["verdict"] == expected


@pytest.mark.parametrize(
    ("above", "expected"), [(0.01, "held"), (0.2, "failed"), (0.06, "undecided")]
)
def test_samples_in_one_run_and_in_several(tmp_path: Path, above: float, expected: str) -> None:
    keys = {f"kernel_distance_{images}/full/own": above for images in ("train512", "test256")}
    one = write_runs(tmp_path / "one", Truth(), setup=MNIST_HALF, also=keys, count=5)
    for claim in (found := judged(tmp_path, "C15", one), found["C15b"]):
        assert claim["verdict"] == expected
    several = write_runs(tmp_path / "several", Truth(), setup=MNIST_HALF, count=5)
    for options in ({"samples": 512}, {"split": "test"}):
        several += write_runs(
            tmp_path / "several", Truth(early=0.5 + above), setup=MNIST_HALF, count=5,
            config={"kernel_distance": options},
        )  # fmt: skip
    found = judged(tmp_path, "C15", several)
    assert found["verdict"] == found["C15b"]["verdict"] == expected
    assert found["setups"]["mnist_output_0.5"]["repeated"] == 10
    alone = judged(tmp_path, "C15", several[:5])
    assert "kernel distance over 512 train images was not measured" in alone["reason"]
    assert "measure RUN --config configs/measurements/kernel_samples.yaml" in alone["reason"]


def test_published_curves(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", Truth(), count=5)
    curves = [series_of(Truth(half=3 + h), 0)[1]["test/accuracy"] for h in (-0.1, 0, 0.1)]
    epochs = series_of(Truth(), 0)[0]
    rows = {epoch: 100 * np.interp(epoch, epochs, curves[1]) for epoch in (1000, 2000, 5000)}
    for expected, shift in (("held", 0.0), ("failed", 30.0)):
        file = tmp_path / f"{expected}.csv"
        lines = [f"EMNIST,{N1000},test_acc,,{e},{v + shift}\n" for e, v in rows.items()]
        file.write_text("dataset,run,metric,layer,epoch,value\n" + "".join(lines))
        found = judged(tmp_path, "C16", runs, published=file)
        assert found["verdict"] == expected, found
        assert found["estimate"] == (1.0 if expected == "held" else 0.0)
    found = judged(tmp_path, "C16", runs)
    assert (found["verdict"], found["estimate"]) == ("undecided", None)
    assert "add --published FILE" in found["reason"]
    with pytest.raises(InputError, match="published"):
        judged(tmp_path, "C16", runs, published=tmp_path / "none.csv")


@pytest.mark.skipif(
    "LIGHTNING_GROK_PUBLISHED" not in os.environ,
    reason="LIGHTNING_GROK_PUBLISHED does not name the published csv file",
)
def test_every_published_setup_is_compared(tmp_path: Path) -> None:
    file = Path(os.environ["LIGHTNING_GROK_PUBLISHED"])
    file = file / "published.csv" if file.is_dir() else file
    content = read_claims(CLAIMS)
    runs = [
        run
        for name in content.claims["C16"].setups
        for run in write_runs(
            tmp_path, Truth(), count=5, setup=content.setups[name].where["setup"][0]
        )
    ]
    found = judged(tmp_path, "C16", runs, published=file)
    assert found["verdict"] == "failed"  # they are no such runs
    for setup in found["setups"].values():
        assert setup["tested"]
        assert {test["key"] for test in setup["tests"]} == set(content.claims["C16"].published.keys)
        assert all(0 < test["published"] < 1 for test in setup["tests"])


def test_setups_are_combined(tmp_path: Path) -> None:
    good = write_runs(tmp_path / "good", Truth(), count=5)
    bad = write_runs(tmp_path / "bad", Truth(stray=0.6), count=5, setup=HALF_OUTPUT)
    open_ = write_runs(tmp_path / "open", Truth(stray=0.25), count=5, setup=HALF_OUTPUT)
    one = judged(tmp_path, "C4", good)
    assert one["verdict"] == "held"
    assert "not tested: n2000, output_0.5: no runs of this setup" in one["reason"]
    both = judged(tmp_path, "C4", [*good, *bad])
    assert (both["verdict"], both["setup"]) == ("failed", "output_0.5")
    assert "; held in n1000" in both["reason"]
    unclear = judged(tmp_path, "C4", [*good, *open_])
    assert unclear["verdict"] == "undecided"
    assert "excursion is not shown to be below 0.15, nor above 0.35; " in unclear["reason"]


def test_modular_addition_is_said_to_be_missing() -> None:
    found = verdict([])["C14"]
    assert "modular addition is of another file of claims" in found["reason"]


def test_all_claims_are_there_and_the_same_twice(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, Truth(), count=5)
    found = verdict(runs)
    assert list(found) == [f"C{k}" for k in range(1, 22)]
    assert found["C3"]["C3b"]["verdict"] == "held"
    assert found == verdict(runs)


def test_every_setup_of_the_claims_is_a_configuration() -> None:
    root = Path(__file__).parents[3]
    for setup in read_claims(CLAIMS).setups.values():
        for file in (each for each in setup.configs if not each.startswith("--")):
            assert (root / file).is_file(), file
        names = setup.where["setup"]
        if isinstance(names, str):  # one of ours, told apart by an option
            assert any(each.startswith("--") for each in setup.configs)
            continue
        name, *twins = map(str, names)  # type: ignore[arg-type, union-attr]
        assert twins == [f"{name}-loss64"]
        if "mse" not in name:
            assert name in {Path(file).stem for file in setup.configs}

"""One process is one run that trains something, whatever the environment and the options say."""

from pathlib import Path

import pytest
from lightning.fabric.utilities.rank_zero import rank_zero_only
from small_runs import OFF, SMALL, Fit

from benchmarks.faults.surroundings import IDLE_OPTIONS, RANKS, idle_problem, rank_problem
from lightning_grok.commands.main import main

BARE = (*OFF, "--weight_norm.enabled=false")


SOME = ("slurm", "torch elastic", "mpi")


@pytest.mark.parametrize(
    "scheduler",
    [pytest.param(each, marks=[pytest.mark.slow] * (each not in SOME)) for each in RANKS],
)
def test_a_rank_of_any_scheduler_is_no_rank_of_a_run(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in (0, 3):
        with monkeypatch.context() as patch:
            for key, value in RANKS[scheduler](rank).items():
                patch.setenv(key, value)
            patch.setattr(rank_zero_only, "rank", rank)  # as read when Lightning is imported
            assert not rank_problem()


def test_the_second_of_four_tasks_writes_all(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fit(*BARE, name="alone")
    for variables in RANKS.values():
        for key, value in variables(1).items():
            monkeypatch.setenv(key, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    run = fit(*BARE)
    assert run.state == "finished"
    assert [event["event"] for event in run.events] == [e["event"] for e in expected.events]
    files = [sorted(str(p.relative_to(r.path)) for p in r.path.rglob("*")) for r in (run, expected)]
    assert files[0] == files[1]


@pytest.mark.parametrize(("key", "value"), IDLE_OPTIONS)
def test_an_option_that_lets_nothing_be_trained_or_seen_is_named(key: str, value: float) -> None:
    assert not idle_problem(key, value)


def test_a_run_of_no_epoch_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *SMALL, f"--run.root={tmp_path}", "--trainer.max_epochs=0"])
    assert stopped.value.code == 2
    assert "trainer.max_epochs" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())

"""Seeds side by side: each run is the one that would have been trained alone; Ctrl-C and kills."""

import signal
from pathlib import Path

import psutil
import pytest
import torch
from small_runs import ENVIRONMENT, OFF, untimed, wait_until

from benchmarks.faults.process import Fit, finish, problem_of_line
from lightning_grok.commands.main import main
from lightning_grok.runs.run import Run


def weights(run: Path, epoch: int) -> dict[str, torch.Tensor]:
    found = torch.load(run / "checkpoints" / "last.ckpt", weights_only=False)
    assert found["epoch"] + 1 == epoch
    return found["state_dict"]


@pytest.mark.slow
def test_seeds_side_by_side_are_the_runs_that_each_would_be_alone(tmp_path: Path) -> None:
    """Ctrl-C keeps both, a kill begins one again, and both end where they would have alone."""
    epochs, root = 1200, tmp_path / "runs"
    shared = (*OFF, f"--trainer.max_epochs={epochs}", "--run.checkpoint_seconds=0.2")
    seeds = (*shared, "--run.name=a", "--seeds", "0,3")
    first = Fit(root, *seeds, env=ENVIRONMENT)
    kept = [root / f"a_seed{seed}" / "checkpoints" / "last.ckpt" for seed in (0, 3)]
    assert first.until(lambda: all(path.exists() for path in kept))
    first.send(signal.SIGINT)
    assert first.wait(100) == 130
    assert "stopped: 0 of 2 done; the same command goes on" in first.printed
    assert {Run(path.parents[1]).state for path in kept} == {"interrupted"}

    second = Fit(root, *seeds, env=ENVIRONMENT)
    log = root / "logs" / "a_seed3.log"
    assert second.until(lambda: "resuming" in log.read_text())
    _writer_of(root / "a_seed3").kill()
    assert second.wait(200) == 0, second.printed
    assert "2 seeds, 0 finished, 2 to run" in second.printed
    assert log.read_text().count("resuming") == 2

    alone = finish(root, *shared, "--run.name=alone", "--seed_everything=3", env=ENVIRONMENT)
    assert alone.status == 0, alone.errors
    expected = weights(root / "alone", epochs)
    for key, value in weights(root / "a_seed3", epochs).items():
        assert torch.equal(value, expected[key])
    first, second = (untimed(Run(root / name)) for name in ("alone", "a_seed3"))
    assert [e for e in first if e["event"] != "timing"] == [
        e for e in second if e["event"] != "timing"
    ]
    again = finish(root, *seeds, env=ENVIRONMENT)
    assert "2 seeds, 2 finished, 0 to run" in again.printed
    other = finish(root, *seeds, "--model.weight_scale=2", env=ENVIRONMENT)
    assert problem_of_line(other, "expected the configuration that") == ""


@pytest.mark.slow
def test_seeds_end_with_a_checkpoint_when_their_command_is_ended(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    endless = ("--trainer.max_epochs=100000", "--run.checkpoint_seconds=0.2", "--run.name=a")
    runs = [root / f"a_seed{seed}" for seed in (0, 3)]
    for how, status, printed in (
        (signal.SIGTERM, 128 + signal.SIGTERM, "stopped: 0 of 2 done; the same command goes on"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ):
        process = Fit(root, *OFF, *endless, "--seeds=0,3", env=ENVIRONMENT)
        wait_until(lambda: all(state_of(run) == "running" for run in runs))
        begun = {run: Run(run).epoch for run in runs}
        wait_until(lambda begun=begun: all(Run(run).epoch > begun[run] for run in runs))
        process.send(how)
        assert process.wait(100) == status
        assert printed in process.printed
        if how == signal.SIGTERM:  # it has waited for them
            assert [state_of(run) for run in runs] == ["interrupted"] * 2
        wait_until(lambda: all(state_of(run) == "interrupted" for run in runs))


def state_of(run: Path) -> str:
    """As run.json has it, which a run that is ended at once leaves; empty where there is none."""
    return Run(run).meta["state"] if (run / "run.json").exists() else ""


def _writer_of(run: Path) -> psutil.Process:
    """The process that holds a run's lock."""
    found: list[psutil.Process] = []

    def look() -> bool:
        for process in psutil.process_iter():
            try:
                if any(file.path == str(run / ".lock") for file in process.open_files()):
                    found.append(process)
            except psutil.Error:
                continue
        return bool(found)

    wait_until(look)
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds=x"], "expected seeds such as 0-9"),
        (["--seeds=0", "--seed_everything=1"], "--seeds or --seed_everything, received both"),
        (["--seeds=0", "--config=none.yaml"], "received none.yaml: no such file"),
        (["--seeds=0", "--run.name=../a"], "expected a run name"),
    ],
)
def test_bad_lines_are_refused_before_anything_starts(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_seeds_are_no_part_of_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text("seeds: 0-3\n")
    with pytest.raises(SystemExit):
        main(["fit", f"--config={tmp_path / 'a.yaml'}"])
    assert "expected --seeds on the line of fit" in capsys.readouterr().err

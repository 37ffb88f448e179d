import os
from pathlib import Path

import numpy as np
import pytest
from small_runs import Fit

from lightning_grok.commands.main import main
from lightning_grok.runs.run import Run


@pytest.mark.slow
def test_measuring_afterwards_gives_the_live_numbers(fit: Fit, tmp_path: Path) -> None:
    live = fit()
    before = {key: live.series(key) for key in live.keys if "seconds" not in key}
    arrays, spent = live.array("kernel_distance", "pairwise"), live.costs()
    events = live.events  # read anew each time
    overlay = tmp_path / "more.yaml"
    overlay.write_text("linear_probe: {enabled: true}\n")
    main(["measure", str(live.path), f"--config={overlay}", "--kernel_distance.strict=true"])
    after = Run(live.path)
    costs = [e for e in events if e["event"] == "timing" and any(
        key.startswith(("kernel_distance/", "linear_probe/")) for key in e)]  # fmt: skip
    assert len(after.events) == len(events) - len(costs)
    assert costs
    assert after.costs().keys() == spent.keys() - {"kernel_distance", "linear_probe"}
    assert after.costs()["training"] == pytest.approx(spent["training"])
    for key, (epochs, values) in before.items():
        assert after.series(key)[0].tolist() == epochs.tolist()
        assert after.series(key)[1].tolist() == values.tolist()
    again = after.array("kernel_distance", "pairwise")
    assert all(np.array_equal(arrays[key], again[key]) for key in arrays)


def test_a_new_measurement_is_one_function_and_one_entry(fitted: Fit, tmp_path: Path) -> None:
    run = fitted("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    overlay = tmp_path / "ratio.yaml"
    overlay.write_text(
        "trainer:\n"
        "  callbacks:\n"
        "    - class_path: lightning_grok.callbacks.LayerMeasurement\n"
        "      init_args: {function: lightning_grok.geometry.participation_ratio}\n"
    )
    main(["measure", str(run.path), f"--config={overlay}"])
    after = Run(run.path)
    for layer in run.meta["layer_names"]:
        epochs, values = after.series(f"participation_ratio/{layer}")
        assert epochs.tolist() == [0, 1, 2, 3]
        assert (values > 1).all()
    assert after.series("test/accuracy")[0].tolist() == [0, 1, 2, 3]


def test_epochs_without_a_snapshot_are_refused_and_nothing_is_lost(
    fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fitted("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    before = (run.path / "events.jsonl").read_text()
    with pytest.raises(SystemExit):
        main(["measure", str(run.path), "--trainer.max_epochs=9", "--weight_norm.epochs=[7]"])
    assert "expected weight_norm.epochs" in capsys.readouterr().err
    assert (run.path / "events.jsonl").read_text() == before


def test_a_run_that_can_be_resumed_is_not_measured(
    fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fitted("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    meta = run.path / "run.json"
    meta.write_text(meta.read_text().replace('"finished"', '"interrupted"'))
    with pytest.raises(SystemExit):
        main(["measure", str(run.path), "--weight_norm.enabled=true"])
    assert "expected a finished run" in capsys.readouterr().err


def test_a_line_that_a_killed_process_cut_short_takes_no_other_with_it(fitted: Fit) -> None:
    run = fitted("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    with open(run.path / "events.jsonl", "a") as file:
        file.write('{"event": "ev')
    main(["measure", str(run.path), "--weight_norm.enabled=true"])
    assert Run(run.path).series("weight_norm/total")[0].tolist() == [0, 1, 2, 3]


def test_nothing_to_measure_is_said(fitted: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fitted("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    with pytest.raises(SystemExit):
        main(["measure", str(run.path)])
    assert "expected a measurement in the arguments" in capsys.readouterr().err
    assert Run(run.path).state == "finished"


def test_what_is_no_file_of_a_run_is_not_waited_for(
    fitted: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fitted("--kernel_distance.enabled=false", "--linear_probe.enabled=false")
    for name, damage in {
        "config.yaml": [os.mkfifo, Path.mkdir, lambda path: path.write_bytes(b"model: \xff")],
        "events.jsonl": [os.mkfifo, Path.mkdir],
    }.items():
        path = run.path / name
        whole = path.read_bytes()
        for spoil in damage:
            path.unlink()
            spoil(path)
            with pytest.raises(SystemExit):
                main(["measure", str(run.path), "--weight_norm.enabled=true"])
            assert capsys.readouterr().err.splitlines()[-1].startswith("error: expected")
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(whole)
    main(["measure", str(run.path), "--weight_norm.enabled=true"])

"""What the page of a configuration says of a run is so: its commands go on with it."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import OFF

from lightning_grok.commands.main import main
from lightning_grok.dashboard.run_facts import facts_of, final_values, settings_of
from lightning_grok.runs.run import Run, find_runs, read_run


@pytest.mark.slow
def test_the_commands_of_the_page_extend_and_resume(
    fit: Callable[..., Run], tmp_path: Path
) -> None:
    run = fit(*OFF)
    facts = facts_of(run, str(run.path))
    words, command = facts["next"]
    assert words == "extend it"
    longer = shlex.split(command)[3:]
    main([*longer, f"--run.root={tmp_path / 'longer'}"])
    (path,) = find_runs(tmp_path / "longer")
    extended = read_run(path)
    assert (extended.state, extended.epoch) == ("finished", 2 * run.epoch)
    meta = extended.path / "run.json"
    meta.write_text(meta.read_text().replace('"finished"', '"interrupted"'))
    words, command = facts_of(extended, str(path))["next"]
    assert words == "resume it"
    main(shlex.split(command)[3:])
    assert find_runs(tmp_path / "longer") == [path]
    assert read_run(path).state == "finished"
    assert dict(facts["origin"])["command"] == run.meta["command"]
    sizes = {path: size for path, size in facts["files"] if path.endswith(".ckpt")}
    assert sizes == {str(p): p.stat().st_size for p in run.path.glob("checkpoints/*.ckpt")}


def test_settings_and_values_are_those_of_the_files(fit: Callable[..., Run]) -> None:
    run = fit(*OFF)
    settings, final = settings_of(run), final_values(run)
    assert settings["data.train_size"] == run.config["data"]["train_size"]
    assert json.loads(str(settings["model.hidden"])) == run.config["model"]["hidden"]
    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    logged = {key: value for line in lines for key, value in line.items() if key in final}
    assert set(final) == set(run.keys)
    assert all(abs(final[key] - logged[key]) <= 1e-5 * abs(logged[key]) for key in final)

"""The command line as a LightningCLI user finds it."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lightning_grok import __version__
from lightning_grok.commands.arguments import COMMANDS, TRAINING
from lightning_grok.commands.dashboard import has_run
from lightning_grok.commands.fit import GROUPS
from lightning_grok.commands.main import main
from lightning_grok.commands.run_options import RunOptions
from lightning_grok.loggers.wandb_logger import WandbOptions
from lightning_grok.paths import expand_path
from lightning_grok.runs.run import Run
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
DATA = ["--data.dataset=digits", "--data.train_size=64"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("line", [[], ["--help"], ["-h"]])
def test_a_bare_call_lists_every_command_with_examples(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(line)
    text = capsys.readouterr().out
    for command, what in (TRAINING | COMMANDS).items():
        assert f"  {command}" in text
        assert what in text
    assert "fit --config digits" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"lightning_grok {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_further_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"python -m lightning_grok {command}" in printed(capsys, command, "--help")


@pytest.mark.parametrize("command", TRAINING)
def test_help_of_training_is_one_screen_with_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, command, "--help")
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 100
    words = set(re.split(r"[\s=]", text))
    groups = {"data": GrokData, "model": GrokModule, "run": RunOptions, "wandb": WandbOptions}
    for group, kind in (GROUPS | groups).items():
        assert f"--{group}.*" in words
        names = set(inspect.signature(kind).parameters)
        assert names - words <= {"num_classes", "in_features"}  # the data know these
    assert "--resume" in text


def test_help_of_a_group_and_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    group = printed(capsys, "fit", "--help=umap")
    assert "--umap.min_dist" in group
    assert "how tightly the plane packs" in group
    assert "--model" not in group
    everything = printed(capsys, "fit", "--help=all")
    for option in ("--umap.min_dist", "--trainer.gradient_clip_val", "--model.hidden"):
        assert option in everything


def test_a_packaged_configuration_is_found_by_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = printed(capsys, "fit", f"--config={CONFIGS / 'digits.yaml'}", "--print_config")
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "configs/digits.yaml", "digits.yaml"):
        assert printed(capsys, "fit", "--config", name, "--print_config") == named
    (tmp_path / "digits.yaml").write_text("model: {weight_scale: 3}")
    own = yaml.safe_load(printed(capsys, "fit", "--config=digits.yaml", "--print_config"))
    assert own["model"]["weight_scale"] == 3


def test_a_home_alone_is_no_null(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = yaml.safe_load(printed(capsys, "fit", "--data.root=~", "--print_config"))
    assert expand_path(config["data"]["root"]) == Path("/home/somebody")


def test_what_a_wandb_agent_gives_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "--data.normalization=None", "--umap.layer", "None", "--model={'weight_scale': 4}",
        "--wandb={'entity': None, 'alerts': True}", "--umap.strict", "--onset.stop_after=7",
    ]  # fmt: skip
    config = yaml.safe_load(printed(capsys, "fit", *given, "--print_config"))
    assert config["data"]["normalization"] is None
    assert config["umap"]["layer"] is None
    assert config["umap"]["strict"] is True
    assert config["model"]["weight_scale"] == 4
    assert config["model"]["hidden"] == [128, 512, 128]
    assert config["wandb"]["entity"] is None
    assert config["wandb"]["alerts"] is True
    assert config["onset"]["stop_after"] == 7


def test_print_config_can_be_given_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = printed(
        capsys, "fit", f"--config={CONFIGS / 'grok.yaml'}", "--kernel_distance.samples=64",
        "--manifold_capacity.enabled=false", "--print_config",
    )  # fmt: skip
    config = yaml.safe_load(first)
    assert config["kernel_distance"]["samples"] == 64
    assert config["manifold_capacity"]["enabled"] is False
    assert config["model"]["weight_scale"] == 10
    assert "num_classes" not in config["model"]  # the data know it
    (tmp_path / "again.yaml").write_text(first)
    assert printed(capsys, "fit", f"--config={tmp_path / 'again.yaml'}", "--print_config") == first


@pytest.mark.parametrize("option", ["branches", "extends"])
@pytest.mark.parametrize(
    "damaged", ["- 1", "run: 5", "trainer: 5", "trainer: {callbacks: 5}", "run: [", "\0", "x"]
)
def test_a_damaged_configuration_of_the_run_it_begins_with_is_one_line(
    option: str, damaged: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(damaged)
    with pytest.raises(SystemExit) as end:
        main(["fit", f"--run.{option}={tmp_path / 'run'}", "--run.from_epoch=1",
              "--data.dataset=digits"])  # fmt: skip
    assert end.value.code == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "Seed set" not in each]
    assert line.startswith("error: ")
    assert [each.name for each in tmp_path.rglob("*")] == ["run", "config.yaml"]


@pytest.mark.parametrize("option", ["branches", "extends"])
@pytest.mark.parametrize("in_a_file", [False, True])
def test_what_a_run_begins_with_is_configured_as_that_is(
    option: str, in_a_file: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for where it was written, and a measure that is named again."""
    measures = "cka", "sharpness"
    trunk = ["--model.eps=0.5", "--model.hidden=[7]", "--run.name=trunk"]
    taken = [f"--measure={name}" for name in measures]
    (tmp_path / "trunk").mkdir()
    written = printed(capsys, "fit", *trunk, *taken, "--print_config")
    (tmp_path / "trunk" / "config.yaml").write_text(written)
    begins = {option: str(tmp_path / "trunk")}
    named = f"--config={yaml.safe_dump({'run': begins})}"
    given = named if in_a_file else f"--run.{option}={tmp_path / 'trunk'}"
    again = ["--measure=sharpness", "--trainer.callbacks.samples=9", "--print_config"]
    found = yaml.safe_load(printed(capsys, "fit", "--model.eps=0.25", given, *again))
    assert (found["model"]["hidden"], found["model"]["eps"]) == ([7], 0.25)
    assert (found["run"]["root"], found["run"]["name"]) == (str(tmp_path), None)
    arguments = [each["init_args"] for each in found["trainer"]["callbacks"]]
    assert [each["name"] for each in arguments] == list(measures)
    assert arguments[1]["samples"] == 9


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["dashbord", "runs"], "(did you mean dashboard?)"),
        (["fit", "--model.weight_scales=8"], "(did you mean --model.weight_scale?)"),
        (["fit", "--modle.weight_scale=8"], "(did you mean --model.weight_scale?)"),
        (["fit", f"--config={ROOT / 'README.md'}"], "expected a configuration in YAML, received"),
        (
            ["fit", "--config", f"{ROOT / 'sweeps' / 'table1.yaml'}"],
            "python -m lightning_grok sweep",
        ),
        (["fit", "--config", f"{ROOT / 'LICENSE'}"], "received"),
        (["dashboard", f"{ROOT}", "--run=nope"], "expected the name of a run in"),
        (
            ["dashboard", f"{ROOT / 'docs/results/runs.zip'}", "--run=nope"],
            "expected the name of a run in",
        ),
        (["dashboard", "--port=abc"], "expected a number of 0 to 65,535, received abc"),
        (["--versoin"], "expected a command of fit"),
        (["verdict"], "the following arguments are required: runs"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(
    line: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(line)
    assert stopped.value.code == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert hint in error


def test_a_run_of_an_archive_can_be_shown_first() -> None:
    archive = ROOT / "docs" / "results" / "runs.zip"
    assert has_run(archive, "emnist_AdamW-10-1000-1-0.001_seed0")
    assert not has_run(archive, "emnist_AdamW-10-1000-1-0.001")


def test_a_configuration_may_stand_on_the_line_itself(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = [7] * 200  # longer than the name of a file may be
    text = printed(capsys, "fit", "--config", f"model: {{hidden: {hidden}}}", "--print_config")
    assert yaml.safe_load(text)["model"]["hidden"] == hidden


def test_the_defaults_are_those_of_the_run_that_groks(capsys: pytest.CaptureFixture[str]) -> None:
    bare = yaml.safe_load(printed(capsys, "fit", "--print_config"))
    file = ROOT / "configs" / "grok.yaml"
    whole = yaml.safe_load(printed(capsys, "fit", f"--config={file}", "--print_config"))
    assert bare == whole


@pytest.mark.slow
def test_validate_and_test_print_what_the_run_logged(
    fit: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit()
    last = {key: run.series(key)[1][-1] for key in ("train/loss", "test/accuracy")}
    path = run.path / "checkpoints" / "last.ckpt"
    capsys.readouterr()
    main(["validate", *DATA, f"--ckpt_path={path}"])
    lines = dict(line.split(": ") for line in capsys.readouterr().out.splitlines() if ": " in line)
    for key, value in last.items():
        assert float(lines[key]) == pytest.approx(value, rel=1e-4)
    main(["test", *DATA, f"--ckpt_path={path}"])
    out = capsys.readouterr().out
    assert f"{last['test/accuracy']:.3f}" in out
    assert "without --ckpt_path" not in out
    main(["test", *DATA])
    assert "without --ckpt_path this is the network as it is built" in capsys.readouterr().out


def test_commands_without_training_do_not_import_lightning() -> None:
    code = (
        "import sys\n"
        "from lightning_grok.commands.arguments import COMMANDS\n"
        "from importlib import import_module\n"
        "for name in COMMANDS: import_module(f'lightning_grok.commands.{name}')\n"
        "assert not {'lightning', 'wandb', 'torch'} & set(sys.modules), sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_wrong_line_in_a_process_of_its_own_leaves_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lightning_grok", "fit", "--trainer.max_epochs=ten"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")

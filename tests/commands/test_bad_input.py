"""Bad input: one clear line, status 2, no traceback, nothing left behind."""

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from lightning_grok.commands.main import main
from lightning_grok.runs.directory import RunDirectory

pytestmark = pytest.mark.usefixtures("one_parser")

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = [
    "--data.dataset=digits",
    "--data.train_size=64",
    "--model.hidden=[8]",
    "--trainer.enable_progress_bar=false",
    "--trainer.max_epochs=2",
    "--kernel_distance.samples=8",
    "--manifold_capacity.enabled=false",
    "--linear_probe.enabled=false",
    "--umap.enabled=false",
    "--wandb.mode=disabled",
]

OPTIONS = [
    # types
    "--trainer.precision=3-bit",
    "--trainer.enable_progress_bar=perhaps",
    "--seed_everything=abc",
    "--model.hidden=128",
    "--model.weight_scale=big",
    "--model.weight_scale=null",
    "--model.activation=relu6",
    "--data.dataset=cifar",
    "--data.split=half",
    "--data.subset=last",
    "--data.orientation=sideways",
    "--data.train_size=10.5",
    "--data.fallback=mnist",
    "--data.normalization=0.5",
    "--data.normalization=[0.1,0.2,0.3]",
    "--evaluation.epochs=[a,b]",
    "--evaluation.epochs=5",
    "--kernel_distance.enabled=2",
    "--kernel_distance.split=validation",
    "--kernel_distance.epochs=first",
    "--linear_probe.samples=x",
    "--wandb.alerts=loud",
    # ranges
    "--trainer.max_epochs=-5",
    "--seed_everything=-1",
    "--seed_everything=false",
    "--trainer.val_check_interval=0.5",
    "--model.hidden=[0]",
    "--model.weight_scale=0",
    "--model.weight_scale=.nan",
    "--model.output_scale=0",
    "--model.learning_rate=0",
    "--model.weight_decay=-1",
    "--model.momentum=1",
    "--model.betas=[0.9,1]",
    "--model.eps=0",
    "--data.train_size=0",
    "--data.train_size=4001",
    "--data.batch_size=0",
    "--data.eval_batch_size=0",
    "--data.seed=-1",
    "--data.normalization=[0.1,0]",
    "--data.permute_fraction=1.5",
    "--evaluation.every=0",
    "--evaluation.per_decade=0",
    "--evaluation.epochs=[]",
    "--evaluation.epochs=[-1,1]",
    "--evaluation.epochs=[2,1]",
    "--evaluation.epochs=[1,1]",
    "--evaluation.epochs=[3,4]",
    "--onset.stop_after=-1",
    "--kernel_distance.samples=1",
    "--kernel_distance.probes=-1",
    "--kernel_distance.probes=1",
    "--kernel_distance.epochs=0",
    "--kernel_distance.epochs=[3]",
    "--kernel_distance.epochs=[1.5]",
    "--manifold_capacity.splits=[]",
    "--linear_probe.draws=0",
    "--linear_probe.enabled=true --linear_probe.epochs=[98,99]",
    "--run.checkpoint_seconds=-1",
    "--run.checkpoint_seconds=.nan",
    # unknown keys
    "--model.width=8",
    "--models.hidden=[8]",
    "--data.size=10",
    "--kernel.samples=8",
    "--kernel_distance.sample=8",
    "--trainer.epochs=10",
    "--run.folder=x",
    "--max_epochs=10",
    # numbers that are none, or endless
    "--trainer.gradient_clip_val=.nan",
    "--trainer.max_epochs=100000000000000000000",
    "--evaluation.per_decade=1000000000",
    "--model.hidden=[100000000]",
    "--model.hidden=[90000,90000]",
    "--optimizer=AdamW --optimizer.lr=.nan",
    # what nobody logs, has or can build
    "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=nope",
    "--trainer.callbacks+=ModelCheckpoint --trainer.callbacks.monitor=test/acuracy",
    "--optimizer=AdamW --lr_scheduler=ReduceLROnPlateau --lr_scheduler.monitor=nope",
    "--lr_scheduler=StepLR --lr_scheduler.step_size=1",
    "--trainer.logger=MLFlowLogger",
    "--ckpt_path=best",
    "--ckpt_path=http://127.0.0.1:1/x.ckpt",
    "--ckpt_path=/tmp",
    "--ckpt_path=/dev/null",
    "--ckpt_path=",
    "--ckpt_path=~",
    # sizes that don't fit and things that don't exist
    "--kernel_distance.samples=65 --linear_probe.enabled=false --kernel_distance.strict=true",
    "--linear_probe.enabled=true --linear_probe.layer=layers.99 --linear_probe.strict=true",
    "--trainer.accelerator=gpu --trainer.devices=99",
    "--trainer.callbacks=NoSuchCallback",
    "--trainer.callbacks=lightning_grok.callbacks.LayerMeasurement",
    "--trainer.callbacks+={class_path:lightning_grok.callbacks.LayerMeasurement,"
    "init_args:{function:no.such.function}}",
    '--trainer.callbacks+={"class_path":"lightning_grok.callbacks.LayerMeasurement",'
    '"init_args":{"function":"no.such.function"}}',
    # names and places
    "--run.name=../outside",
    "--run.name=/etc/passwd",
    "--run.name=a/b",
    "--run.name=..",
    "--run.name=.hidden",
    "--run.name=",
    "--run.name=-x",
    "--run.root=/proc/nowhere",
    "--run.root=/dev/null/runs",
    "--kernel_distance.name=../../../precious",
    "--kernel_distance.name=.",
    "--kernel_distance.name=evaluation",
    "--kernel_distance.name=weight_norm",
    "--ckpt_path=/no/such/file.ckpt",
    "--config=/no/such/file.yaml",
]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of the error; everything before it is ordinary output."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, error
    assert error.strip().splitlines()[-1] == lines[0]
    assert 20 < len(lines[0]) < 800
    return lines[0]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; its line."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    return one_line(capsys)


@pytest.mark.parametrize("options", OPTIONS)
def test_bad_options(options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = [] if "--run.root" in options else [f"--run.root={tmp_path}"]
    line = refused(["fit", *SMALL, *root, *options.split(" ")], capsys)
    given = re.findall(r"--([\w.]+)\+?=(\S*)", options)
    keys = {key.rpartition(".")[2] for key, _ in given}
    values = {value for _, text in given for value in re.findall(r"[^][{},:\"]+", text)}
    assert any(word in line for word in keys | values), line
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("umap: {zzzzqq: 3}", r"received umap\.zzzzqq \(in umap there are .*, neighbors"),
        (
            "data: {class_path: lightning_grok.tasks.tables.TableData, init_args: {zzz: 1}}",
            r"received zzz \(there are .*batch_size",
        ),
        ("model: {hiden: [8]}", r"received model\.hiden \(did you mean model\.hidden\?\)"),
        ("modl: {hidden: [8]}", r"received modl\.hidden \(did you mean model\.hidden\?\)"),
    ],
)
def test_an_unknown_key_is_answered_with_those_that_exist(
    content: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(["fit", f"--config={content}"], capsys)
    assert re.search(f"expected options that exist, {message}", line)


FILES: dict[str, bytes] = {
    "empty.yaml": b"",
    "malformed.yaml": b"model: {hidden: [8",
    "binary.yaml": bytes(range(256)),
    "list.yaml": b"- 1\n- 2\n",
    "unknown.yaml": b"modle: {hidden: [8]}\n",
    "tagged.yaml": b"model: !!python/object/apply:os.system ['echo hi > pwned']\n",
    "tabs.yaml": b"model:\n\thidden: [8]\n",
    "scalar.yaml": b"42\n",
    "group_null.yaml": b"trainer: null\n",
    "group_number.yaml": b"model: 5\n",
    "group_list.yaml": b"umap: [1, 2]\n",
    "group_only.yaml": b"trainer:\n",
    "twice.yaml": b"model: {hidden: [8]}\nseed_everything: 1\nmodel: {loss: mse}\n",
    "itself.yaml": b"model: &a {hidden: *a}\n",
}

REASONS = {
    "group_null.yaml": "expected options below trainer, received null",
    "group_number.yaml": "expected options below model, received 5",
    "group_list.yaml": "expected options below umap, received [1, 2]",
    "group_only.yaml": "expected options below trainer, received null",
    "twice.yaml": "the key model stands twice, the second time in line 3",
    "itself.yaml": "*a refers to itself, line 1",
    "unknown.yaml": "that exist, received modle.hidden (did you mean model.hidden?)",
}


@pytest.mark.parametrize("name", [name for name in FILES if name != "empty.yaml"])
def test_bad_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    line = refused(["fit", f"--config={path}", f"--run.root={tmp_path / 'runs'}"], capsys)
    assert REASONS.get(name, "received") in line
    assert not (tmp_path / "runs").exists()
    assert not Path("pwned").exists()


def test_a_folder_is_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["fit", f"--config={tmp_path}"], capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["predict"],
        ["--no-such-option"],
        ["measure", "nowhere", "--umap.enabled=true"],
        ["sweep", "nowhere.yaml"],
        ["sweep", "nowhere.yaml", "--seeds=a-b"],
        ["sweep", "nowhere.yaml", "--workers=0"],
    ],
)
def test_bad_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(arguments, capsys)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trainer.max_epochs=ten", "expected int or null as trainer.max_epochs, received ten"),
        ("--model.hidden=[a]", "expected list[int of 1 to 100,000] as model.hidden, received a"),
        ("--wandb.mode=x", "expected 'auto', 'online', 'offline' or 'disabled' as wandb.mode"),
        ("--umap.classes=[a]", "as umap.classes, received ['a']"),
        ("--trainer=null", "expected options by their names as trainer, received null"),
        ("--trainer.logger=MLFlowLogger", "Requirement 'mlflow"),
        ("--trainer.logger=CometLogger --trainer.logger.workspace=x", "comet"),
        ("--config=gork", "did you mean grok?"),
        ("--config=digit", "did you mean digits?"),  # not .git, which a clone has
        ("--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=test/los", "test/loss?"),
        ("--trainer.devices=2 --trainer.accelerator=cpu", "one training process"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_real_reason(
    option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(["fit", *SMALL, f"--run.root={tmp_path}", *option.split(" ")], capsys)
    assert said in line
    assert "Union" not in line
    assert "Namespace" not in line


@pytest.fixture
def finished(fitted: Callable[..., object], tmp_path: Path) -> Path:
    """A run of two epochs that stopped before its third."""
    off = "--manifold_capacity.enabled=false"
    fitted("--model.hidden=[8]", off, "--trainer.max_epochs=2", name="run")
    path = tmp_path / "run"
    directory = RunDirectory(path)
    directory.update_meta(state="interrupted")
    directory.close()
    return path


def resume(finished: Path, *more: str) -> list[str]:
    configs = [f"--config={finished / 'config.yaml'}"]
    return ["fit", *configs, "--resume", *more]


class Hostile:
    """Runs a command when it is unpickled by the ordinary pickle."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch pwned",)


@pytest.mark.parametrize("damage", ["garbage", "empty", "hostile", "other", "list"])
def test_bad_checkpoints(
    damage: str,
    finished: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(finished.parent)
    shutil.rmtree(finished / "checkpoints")
    (finished / "checkpoints").mkdir()
    target = finished / "checkpoints" / "last.ckpt"
    match damage:
        case "garbage":
            target.write_bytes(b"no checkpoint")
        case "empty":
            target.write_bytes(b"")
        case "hostile":
            target.write_bytes(pickle.dumps({"state_dict": Hostile()}))
        case "other":
            torch.save({"weights": torch.zeros(3)}, target)
        case "list":
            torch.save([1, 2, 3], target)
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    line = refused(resume(finished), capsys)
    assert "expected a readable checkpoint" in line
    assert not (finished.parent / "pwned").exists()
    after = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    changed = {path.name for path in before if after.get(path) != before[path]}
    assert changed <= {"run.json"}  # its state


def test_a_checkpoint_of_another_network(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["hidden"] = [9]  # else the network would be the checkpoint's own
    torch.save(content, path)
    line = refused(["validate", *SMALL, f"--ckpt_path={path}"], capsys)
    assert "size mismatch" in line


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_a_file_that_is_no_checkpoint(
    command: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "hello.ckpt"
    other.write_text("hello")
    line = refused([command, *SMALL, f"--ckpt_path={other}"], capsys)
    assert "expected weights in" in line
    snapshot = next(finished.glob("snapshots/*.pt"))
    line = refused([command, *SMALL, f"--ckpt_path={snapshot}"], capsys)
    assert "expected Lightning's checkpoint" in line


def test_a_named_run_of_another_configuration(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(resume(finished, "--model.weight_decay=0.5"), capsys)
    assert "expected the configuration that" in line


def test_a_run_name_that_is_taken(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = [f"--run.root={finished.parent}", "--run.name=run"]
    assert "--resume" in refused(["fit", *SMALL, *place], capsys)


@pytest.mark.parametrize(
    "name",
    [
        "../../../precious", "evaluation",
        *(pytest.param(name, marks=pytest.mark.slow) for name in (".", "weight_norm")),
    ],
)  # fmt: skip
def test_a_received_run_that_names_a_place_outside(
    name: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((finished / "config.yaml").read_text())
    config["kernel_distance"]["name"] = name
    (finished / "config.yaml").write_text(yaml.safe_dump(config))
    directory = RunDirectory(finished)
    directory.update_meta(state="finished")
    directory.close()
    (tmp_path / "precious").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for more in ([], ["--trainer.enable_progress_bar=false"], ["--kernel_distance.enabled=true"]):
        line = refused(["measure", str(finished), *more], capsys)
        assert "name" in line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_name_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").write_text("a file")
    refused(["fit", *SMALL, f"--run.root={tmp_path}", "--run.name=run"], capsys)
    assert (tmp_path / "run").read_text() == "a file"


def test_a_run_that_another_process_writes(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = RunDirectory(finished)
    line = refused(resume(finished), capsys)
    directory.close()
    assert "another process" in line

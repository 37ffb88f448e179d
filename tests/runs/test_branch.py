"""Branches of a run: the trunk's epochs bit for bit, and then what their own options say."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from small_runs import OFF, QUICK, SMALL, Fit, untimed

from lightning_grok.callbacks.branching import _with_own
from lightning_grok.runs.checkpoints import _can_be_resumed, kept_path
from lightning_grok.runs.files import read_json
from lightning_grok.runs.run import Run
from lightning_grok.schedule import log_spaced

CONFIGS = Path(__file__).parents[2] / "configs"
LONG = [*OFF, "--trainer.max_epochs=6", "--model.learning_rate=0.01"]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One trunk for all branches, which leave it as it is."""
    from lightning_grok.commands.main import main

    root = tmp_path_factory.mktemp("trunk")
    configs = [f"--config={CONFIGS / file}" for file in ("grok.yaml", "smoke.yaml")]
    place = [f"--run.root={root}", "--run.name=trunk", "--wandb.mode=disabled"]
    main(["fit", *configs, *SMALL, *QUICK, *place, *LONG, "--run.branch_points=[2,4]"])
    return Run(root / "trunk")


def content(run: Run, until: int = 99) -> dict[str, Any]:
    """Log lines without wall-clock values, and the bytes of weights and arrays."""
    events = untimed(run)
    lines = [e for e in events if e["epoch"] <= until and e["event"] != "timing"]
    files = [*run.path.glob("snapshots/*"), *run.path.glob("arrays/*/[0-9]*")]
    return {"log": lines} | {
        str(f.relative_to(run.path)): f.read_bytes()
        for f in files
        if int(f.stem.removeprefix("epoch_")) <= until
    }


def state_of(run: Run) -> dict[str, Any]:
    return torch.load(run.path / "checkpoints/last.ckpt", weights_only=True)


def test_a_branch_is_told_by_what_differs_alone(trunk: Run, tmp_path: Path) -> None:
    from lightning_grok.commands.main import main

    leaves = [f"--run.branches={trunk.path}", "--run.from_epoch=2", "--model.eps=1e-6"]
    main(["fit", *leaves, f"--run.root={tmp_path}", "--run.name=branch", "--run.figures=false"])
    branch = Run(tmp_path / "branch")
    assert branch.state == "finished"
    assert branch.meta["branches"]["changed"] == {"model.eps": [1e-8, 1e-6]}
    longer = ["--trainer.max_epochs=7", f"--run.extends={branch.path}", "--run.figures=false"]
    main(["fit", *longer])  # beside it, and of the same trunk
    (found,) = set(tmp_path.iterdir()) - {branch.path}
    assert Run(found).epoch == 7
    assert Run(found).meta["branches"] == branch.meta["branches"]
    assert (found.name, Run(found).setup) == (f"digits_{branch.setup}_seed0", branch.setup)


def test_without_a_change_it_is_the_trunk_bit_for_bit(trunk: Run, fit: Fit) -> None:
    before = {p: p.read_bytes() for p in trunk.path.rglob("*") if p.is_file()}
    branch = fit(*LONG, f"--run.branches={trunk.path}", "--run.from_epoch=2", name="branch")
    assert content(branch) == content(trunk)
    assert branch.setup == f"{trunk.setup}-from2"
    assert branch.meta["branches"] == {
        "run": str(trunk.path), "epoch": 2, "changed": {}, "set": {},
    }  # fmt: skip
    assert before == {p: p.read_bytes() for p in trunk.path.rglob("*") if p.is_file()}
    longer = fit(*OFF, "--trainer.max_epochs=8", "--model.learning_rate=0.01",
                 f"--run.extends={branch.path}", name="longer")  # fmt: skip
    assert content(longer, 6)["log"] == content(branch, 6)["log"]
    assert longer.epoch == 8


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        (["--model.betas=[0.8,0.9]"], "betas", (0.8, 0.9)),
        (["--model.eps=0.001"], "eps", 0.001),
        (["--model.learning_rate=0.5"], "lr", 0.5),
        (["--model.weight_decay=0"], "weight_decay", 0),
    ],
)
def test_an_option_differs_from_the_epoch_on(
    options: list[str], key: str, value: Any, trunk: Run, fit: Fit
) -> None:
    branch = fit(*LONG, *options, f"--run.branches={trunk.path}", "--run.from_epoch=4", name="b")
    assert content(branch, 4) == content(trunk, 4)
    assert content(branch) != content(trunk)
    (group,) = state_of(branch)["optimizer_states"][0]["param_groups"]
    assert group[key] == value
    option = options[0].partition("=")[0].removeprefix("--")
    assert list(branch.meta["branches"]["changed"]) == [option]
    # The trunk's moments go on: Adam has counted every step.
    steps = state_of(branch)["optimizer_states"][0]["state"][0]["step"]
    assert int(steps) == int(state_of(trunk)["optimizer_states"][0]["state"][0]["step"])


@pytest.mark.parametrize(
    "options",
    [
        ["--model.optimizer=sgd"],
        pytest.param(
            ["--optimizer=torch.optim.NAdam", "--optimizer.lr=0.01"], marks=pytest.mark.slow
        ),
        pytest.param(
            ["--model.loss=stablemax", "--model.loss_precision=float64"], marks=pytest.mark.slow
        ),
        ["--trainer.precision=64-true"],
        ["--data.batch_size=16", "--data.permute_fraction=1"],
        ["--optimizer=AdamW", "--lr_scheduler=ExponentialLR", "--lr_scheduler.gamma=0.5"],
        ["--model.hold_norm=true", '--run.set={"weights": 0.5}'],
        pytest.param(
            ["--weight_norm.epochs=[0,1,2,4]", "--evaluation.every=2"], marks=pytest.mark.slow
        ),
        ["--weight_norm.enabled=false", "--weight_norm.strict=true", "--evaluation.every=2"],
    ],
)
def test_any_option_of_model_optimizer_data_and_trainer_may_differ(
    options: list[str], trunk: Run, fit: Fit
) -> None:
    branch = fit(*LONG, *options, f"--run.branches={trunk.path}", "--run.from_epoch=2", name="b")
    assert branch.state == "finished"
    assert branch.epoch == 6
    assert content(branch, 2) == content(trunk, 2)
    assert content(branch) != content(trunk)


def test_the_state_may_be_changed(trunk: Run, fit: Fit) -> None:
    changes = {
        "weights/layers.0": 2.0, "second_moment": 0.0, "first_moment/layers.2": 3.0,
        "steps": 0.0, "reinitialize/layers.4": 7.0,
    }  # fmt: skip
    still = ["--model.learning_rate=1e-30", "--model.weight_decay=0", "--trainer.max_epochs=3"]
    branch = fit(
        *LONG, *still, f"--run.branches={trunk.path}", "--run.from_epoch=2",
        f"--run.set={json.dumps(changes)}", name="b",
    )  # fmt: skip
    before = torch.load(kept_path(trunk.path / "checkpoints", 2), weights_only=True)
    after = state_of(branch)
    old, new = before["state_dict"], after["state_dict"]
    torch.testing.assert_close(new["network.layers.0.bias"], 2 * old["network.layers.0.bias"])
    assert torch.equal(new["network.layers.2.weight"], old["network.layers.2.weight"])
    drawn = torch.nn.Linear(16, 10)
    torch.manual_seed(7)
    drawn.reset_parameters()
    torch.testing.assert_close(new["network.layers.4.weight"], 10 * drawn.weight.detach())
    states = [each["optimizer_states"][0]["state"] for each in (before, after)]
    steps = len(range(0, 64, 128))  # one in the epoch since
    assert [int(states[1][index]["step"]) for index in range(6)] == [steps] * 6
    # v is that of one step now, and m of layers.2 three times what it was, with one step's more.
    gradient = states[1][2]["exp_avg_sq"].sqrt() / (1 - 0.999) ** 0.5
    left = states[1][2]["exp_avg"] - 0.9 * 3 * states[0][2]["exp_avg"]
    torch.testing.assert_close(left.abs(), 0.1 * gradient, rtol=1e-3, atol=1e-6)
    assert branch.setup.endswith("-first_moment_layers.23-steps0-reinitialize_layers.47")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run.from_epoch=3"], "([2, 4, 6]; run.branch_points keeps others), received 3"),
        ([], "expected run.branches with run.from_epoch, received no run.from_epoch"),
        (["--run.from_epoch=6"], "expected trainer.max_epochs above the 6 epochs of"),
        (["--run.from_epoch=2", "--seed_everything=1"], "another seed_everything: 1 instead of 0"),
        (["--run.from_epoch=2", "--weight_norm.strict=true"], "another weight_norm.strict: True"),
        (["--run.from_epoch=2", "--model.hidden=[8]"], "expected the network of"),
        (["--run.from_epoch=2", '--run.set={"weight": 2}'], "received weight"),
        (["--run.from_epoch=2", '--run.set={"steps/layers.9": 0}'], "expected a layer of layers.0"),
        (["--run.from_epoch=2", '--run.set={"steps": -1}'], "of at least 0, received -1"),
        (["--run.from_epoch=2", '--run.set={"reinitialize": 1}'], "received reinitialize"),
        (["--run.from_epoch=2", '--run.set={"reinitialize/layers.4": 1.5}'], "a whole number"),
        (["--run.from_epoch=2", '--run.set={"reinitialize/layers.4": 1e300}'], "below 2^63"),
        (["--run.from_epoch=2", '--run.set={"weights/": 2}'], "received weights/"),
        (["--run.from_epoch=2", "--model.weight_scale=1"], "none beside weights that have been"),
        (["--run.from_epoch=2", "--model.momentum=0.9"], "none beside model.optimizer=adamw"),
        # What the branch's own optimizer lacks is seen when it has begun, and nothing is left.
        (
            ["--run.from_epoch=2", "--model.optimizer=sgd", '--run.set={"second_moment": 0}'],
            "expected an optimizer that keeps exp_avg_sq",
        ),
    ],
)
def test_anything_else_is_refused_in_one_line(
    options: list[str],
    message: str,
    trunk: Run,
    fit: Fit,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit(*LONG, *options, f"--run.branches={trunk.path}", name="branch")
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "branch").exists()


SGD = ["--optimizer=SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9"]
PLATEAU = [
    "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=train/loss",
    "--lr_scheduler.patience=0", "--lr_scheduler.threshold=0.9",
]  # fmt: skip
ONE_CYCLE = [
    "--lr_scheduler=OneCycleLR",
    "--lr_scheduler.max_lr=0.1",
    "--lr_scheduler.total_steps=40",
]


class ByHand(L.Callback):
    """Changes options of an optimizer itself, as many modules and callbacks do."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Halve the learning rate and raise the decay, once."""
        if trainer.current_epoch == 1:
            for group in trainer.optimizers[0].param_groups:
                group["lr"], group["weight_decay"] = group["lr"] / 2, 0.5


@pytest.mark.parametrize(
    "options",
    [
        [*SGD, *PLATEAU],
        [*SGD, *ONE_CYCLE],
        ["--optimizer=AdamW", "--optimizer.lr=0.01", *ONE_CYCLE],
        ['--trainer.callbacks=[{"class_path": "test_branch.ByHand"}]'],
    ],
    ids=["plateau", "cycle of momentum", "cycle of betas", "by hand"],
)
def test_what_has_become_of_an_option_stays(options: list[str], fit: Fit) -> None:
    given = [*OFF, "--trainer.max_epochs=6", *options]
    trunk = fit(*given, "--run.branch_points=[3,4]", name="trunk")
    begun, left, end = (
        torch.load(trunk.path / "checkpoints" / file, weights_only=True)
        for file in ("epoch_0000003.ckpt", "epoch_0000004.ckpt", "last.ckpt")
    )
    of_run = begun["callbacks"]["RunCheckpoint"]["groups"][0][0]
    (group,) = left["optimizer_states"][0]["param_groups"]
    assert group["lr"] != of_run["lr"]
    branch = fit(*given, f"--run.branches={trunk.path}", "--run.from_epoch=4", name="branch")
    assert branch.meta["branches"]["changed"] == {}
    assert content(branch) == content(trunk)
    assert (
        state_of(branch)["optimizer_states"][0]["param_groups"]
        == (end["optimizer_states"][0]["param_groups"])
    )


def test_a_schedule_goes_on_with_the_branchs_options(fit: Fit) -> None:
    given = [*OFF, "--trainer.max_epochs=6", *SGD, "--lr_scheduler=ExponentialLR"]
    trunk = fit(*given, "--lr_scheduler.gamma=0.9", "--run.branch_points=[4]", name="trunk")
    leaves = [f"--run.branches={trunk.path}", "--run.from_epoch=4"]
    branch = fit(*given, "--lr_scheduler.gamma=0.5", *leaves, name="branch")
    (group,) = state_of(branch)["optimizer_states"][0]["param_groups"]
    assert group["lr"] == pytest.approx(0.1 * 0.9**4 * 0.5**2)


def test_a_callback_takes_the_branchs_arguments(fit: Fit) -> None:
    still = [*OFF, "--trainer.max_epochs=20", "--model.learning_rate=1e-30"]
    stops = "lightning.pytorch.callbacks.EarlyStopping"

    def patience(epochs: int) -> str:
        given = {"monitor": "test/accuracy", "mode": "max", "patience": epochs}
        return f"--trainer.callbacks={json.dumps([{'class_path': stops, 'init_args': given}])}"

    trunk = fit(*still, patience(50), "--run.branch_points=[2]", name="trunk")
    leaves = [f"--run.branches={trunk.path}", "--run.from_epoch=2"]
    assert fit(*still, patience(3), *leaves, name="branch").epoch < 10
    assert trunk.epoch == 20


def test_a_branch_of_a_branch_does_not_lose_its_change_of_state(
    trunk: Run, fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    leaves = [f"--run.branches={trunk.path}", "--run.from_epoch=2", '--run.set={"weights": 0.5}']
    branch = fit(*LONG, *leaves, name="branch")
    shutil.copy(kept_path(trunk.path / "checkpoints", 2), branch.path / "checkpoints")
    with pytest.raises(SystemExit):
        fit(*LONG, f"--run.branches={branch.path}", "--run.from_epoch=2", name="again")
    assert "expected an epoch after 2, at which" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("lost", ["optimizer_states", "lr_schedulers", "stopped"])
def test_a_checkpoint_that_lacks_something_is_damaged(lost: str, trunk: Run) -> None:
    content = torch.load(kept_path(trunk.path / "checkpoints", 2), weights_only=True)
    assert _can_be_resumed(content)
    of_run = content["callbacks"]["RunCheckpoint"]
    del (of_run if lost in of_run else content)[lost]
    assert not _can_be_resumed(content)


def test_a_trunk_that_lost_its_log_is_refused(
    trunk: Run, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(trunk.path, copied)
    (copied / "events.jsonl").write_bytes((trunk.path / "events.jsonl").read_bytes()[:300])
    with pytest.raises(SystemExit):
        fit(*LONG, f"--run.branches={copied}", "--run.from_epoch=4", name="branch")
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"bytes of log in {copied / 'events.jsonl'} up to epoch 4, received 300" in said
    assert not (tmp_path / "branch").exists()


def test_points_to_branch_from_may_be_log_spaced(fit: Fit) -> None:
    run = fit(*LONG, "--run.branch_points=3")
    kept = [path.name for path in sorted((run.path / "checkpoints").glob("epoch_*"))]
    assert kept == [f"epoch_{epoch:07d}.ckpt" for epoch in log_spaced(6, 3)]
    assert all((run.path / "checkpoints" / name).stat().st_size < 400_000 for name in kept)


def test_a_branch_that_died_while_it_began_begins_again(
    trunk: Run, fit: Fit, tmp_path: Path
) -> None:
    given = [*LONG, "--model.eps=0.01", f"--run.branches={trunk.path}", "--run.from_epoch=2"]
    expected = content(fit(*given, name="branch"))
    for file in (tmp_path / "branch" / "checkpoints").iterdir():
        file.unlink()
    path = tmp_path / "branch" / "run.json"
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))
    assert content(fit(*given, "--resume", name="branch")) == expected


@pytest.mark.slow
def test_a_branch_that_is_killed_and_resumed_is_the_same(tmp_path: Path) -> None:
    from benchmarks.faults import process

    common = [*process.OFF, "--trainer.max_epochs=300", "--run.checkpoint_seconds=0"]
    trunk = process.Fit(tmp_path, *common, "--run.branch_points=[50]", "--run.name=trunk")
    assert trunk.wait() == 0, trunk.errors
    leaves = [f"--run.branches={tmp_path / 'trunk'}", "--run.from_epoch=50"]
    changes = ["--model.betas=[0.9,0.99]", '--run.set={"second_moment": 0.1}']
    given = [*common, *leaves, *changes]
    whole = process.Fit(tmp_path, *given, "--run.name=whole")
    assert whole.wait() == 0, whole.errors
    broken = process.Fit(tmp_path, *given, "--run.name=broken")
    path = tmp_path / "broken"
    assert broken.until(lambda: read_json(path / "run.json").get("epoch", 0) > 60)
    assert broken.kill()
    assert Run(path).state == "interrupted"
    resumed = process.Fit(tmp_path, *given, "--run.name=broken", "--resume")
    assert resumed.wait() == 0, resumed.errors
    assert content(Run(path)) == content(Run(tmp_path / "whole"))
    assert content(Run(path)) != content(Run(tmp_path / "trunk"))


def test_a_schedule_keeps_how_far_it_has_come_whatever_its_state_is_made_of() -> None:
    begun = {"gamma": 0.5, "best": float("nan"), "window": torch.zeros(3), "_last_lr": [0.1]}
    now = begun | {"best": 2.0, "window": torch.ones(3), "_last_lr": [0.05]}
    same = _with_own(now, begun, copy.deepcopy(begun))
    assert all(same[key] is now[key] for key in ("gamma", "best", "window"))
    other = begun | {"gamma": 0.9, "window": torch.full((3,), 7.0), "_last_lr": [0.3]}
    changed = _with_own(now, begun, other)
    assert (changed["gamma"], changed["best"], changed["_last_lr"]) == (0.9, 2.0, [0.05])
    assert torch.equal(changed["window"], other["window"])

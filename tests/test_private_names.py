"""Names that dependencies keep to themselves: each that is used is known, and does what we rely on.

A version that renames one fails here by name, not somewhere in a user's run.
"""

import ast
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import WandbLogger
from own_training import train
from torch import nn

import lightning_grok

PACKAGE = Path(lightning_grok.__file__).parent
PUBLIC = {"_asdict", "_exit", "_make"}  # documented in spite of the underscore


def private_names() -> set[str]:
    """Names with one leading underscore that the package uses and does not define."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    defined: set[str] = set()
    used: set[str] = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                defined.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                defined.add(name)
            case ast.Attribute(attr=name):
                used.add(name)
            case ast.ImportFrom(module=module, names=aliases) if module:
                used |= {*module.split("."), *(alias.name for alias in aliases)}
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
                used.add(name)
    # Names that a class of ours sets over one of a base class (`self._experiment`) are theirs too.
    found = {name for name in used - defined if name.startswith("_")} | ({"_experiment"} & used)
    return {name for name in found if not name.startswith("__")} - PUBLIC


def linear_hooks(name: str) -> Callable[[], None]:
    """That a module without hooks has none under `name`, and one with a hook of the kind has."""

    def check() -> None:
        module = nn.Linear(2, 2)
        assert not getattr(module, name)
        register = "register" + name.removesuffix("s").replace("_backward", "_full_backward")
        getattr(module, register)(lambda *_: None)
        assert getattr(module, name)

    return check


def global_hooks() -> None:
    from torch.nn.modules.module import _has_any_global_hook, register_module_forward_hook

    assert not _has_any_global_hook()
    handle = register_module_forward_hook(lambda *_: None)
    assert _has_any_global_hook()
    handle.remove()


def parameter_hooks(name: str, register: str) -> Callable[[], None]:
    def check() -> None:
        parameter = nn.Parameter(torch.ones(1))
        assert not getattr(parameter, name)
        getattr(parameter, register)(lambda *_: None)
        assert getattr(parameter, name)

    return check


def optimizer_hooks() -> None:
    from torch.optim import optimizer as module

    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))])
    of_all = "register_optimizer_step_{}_hook", "_global_optimizer_{}_hooks", module, module
    of_one = "register_step_{}_hook", "_optimizer_step_{}_hooks", optimizer, optimizer
    for register, name, owner, place in (of_all, of_one):
        for when in ("pre", "post"):
            assert not getattr(place, name.format(when))
            handle = getattr(owner, register.format(when))(lambda *_: None)
            assert getattr(place, name.format(when))
            handle.remove()


def epoch_loop() -> None:
    from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

    loop = L.Trainer(logger=False).fit_loop.epoch_loop
    assert type(loop) is _TrainingEpochLoop
    assert callable(loop._should_check_val_fx)
    assert loop._batches_that_stepped == 0


def end_of_an_epoch() -> None:
    logged = []

    class Ends(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            fetcher = trainer.fit_loop._data_fetcher
            assert fetcher is not None
            iter(fetcher)

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            logged.append(trainer._logger_connector.metrics["log"])

    trainer, _ = train(callbacks=[Ends()])
    assert trainer.global_step == 2 * 3
    assert ["train_acc" in each for each in logged] == [True, True]


def compiled_module() -> None:
    from lightning.pytorch.utilities.compile import from_compiled

    plain, module = L.LightningModule(), from_compiled(torch.compile(L.LightningModule()))
    assert plain._compiler_ctx is None
    assert "forward" not in vars(plain)
    assert module._compiler_ctx is not None
    assert "forward" in vars(module)


def when_callbacks_act() -> None:
    assert ModelCheckpoint(every_n_train_steps=3)._every_n_train_steps == 3
    assert ModelCheckpoint()._every_n_train_steps == 0
    assert ModelCheckpoint()._train_time_interval is None
    assert Timer(interval="step")._interval == "step"
    assert Timer(interval="epoch")._interval == "epoch"


def foreach_mul() -> None:
    tensors = [torch.ones(2), torch.ones(3)]
    torch._foreach_mul_(tensors, torch.tensor(2.0))
    assert [float(tensor.sum()) for tensor in tensors] == [4, 6]


def reset_parameters() -> None:
    attention = nn.MultiheadAttention(4, 2)
    before = attention.in_proj_weight.clone()
    attention._reset_parameters()
    assert not torch.equal(before, attention.in_proj_weight)


def dummy_experiment() -> None:
    from lightning.fabric.loggers.logger import _DummyExperiment

    _DummyExperiment().log({"loss": 1.0})


def wandb_logger() -> None:
    logger = WandbLogger(offline=True, project="study")
    assert logger._experiment is None
    assert logger._wandb_init["project"] == "study"


def parser() -> LightningArgumentParser:
    given = LightningArgumentParser()
    given.add_optimizer_args(torch.optim.SGD)
    given.add_lr_scheduler_args(torch.optim.lr_scheduler.StepLR)
    return given


def parser_actions() -> None:
    assert "optimizer.lr" in {action.dest for action in parser()._actions}


def parser_type_hints() -> None:
    given = parser()
    given.add_argument("--number", type=list[int])
    (hint,) = [action._typehint for action in given._actions if action.dest == "number"]
    assert hint == list[int]


def parser_optimizers() -> None:
    assert set(parser()._optimizers) == {"optimizer"}
    assert set(parser()._lr_schedulers) == {"lr_scheduler"}


def argument_groups() -> None:
    given = ArgumentParser()
    group = given.add_argument_group("ours")
    option = group.add_argument("--option")
    assert group._group_actions == [option]
    given._action_groups = [group]
    assert "--option" in given.format_help()


def command_line() -> None:
    for name in ("_parser", "_get", "_run_subcommand", "_set_seed"):
        assert callable(getattr(LightningCLI, name))


CHECKS: dict[tuple[str, ...], Callable[[], Any]] = {
    ("_has_any_global_hook",): global_hooks,
    ("_forward_hooks",): linear_hooks("_forward_hooks"),
    ("_forward_pre_hooks",): linear_hooks("_forward_pre_hooks"),
    ("_backward_hooks",): linear_hooks("_backward_hooks"),
    ("_backward_pre_hooks",): linear_hooks("_backward_pre_hooks"),
    ("_post_accumulate_grad_hooks",): parameter_hooks(
        "_post_accumulate_grad_hooks", "register_post_accumulate_grad_hook"
    ),
    (
        "_global_optimizer_pre_hooks", "_global_optimizer_post_hooks",
        "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks",
    ): optimizer_hooks,
    ("_TrainingEpochLoop", "_should_check_val_fx"): epoch_loop,
    ("_data_fetcher", "_logger_connector"): end_of_an_epoch,
    ("_compiler_ctx",): compiled_module,
    ("_every_n_train_steps", "_train_time_interval"): when_callbacks_act,
    ("_foreach_mul_",): foreach_mul,
    ("_reset_parameters",): reset_parameters,
    ("_DummyExperiment",): dummy_experiment,
    ("_experiment", "_wandb_init"): wandb_logger,
    ("_actions",): parser_actions,
    ("_typehint",): parser_type_hints,
    ("_optimizers", "_lr_schedulers"): parser_optimizers,
    ("_group_actions",): argument_groups,
    ("_parser", "_get"): command_line,
}  # fmt: skip


def test_every_private_name_of_a_dependency_is_known() -> None:
    assert private_names() == {name for names in CHECKS for name in names}


@pytest.mark.parametrize("names", CHECKS, ids=lambda names: " ".join(names))
def test_it_does_what_is_relied_on(names: tuple[str, ...]) -> None:
    CHECKS[names]()


@pytest.mark.filterwarnings("ignore:Tensorflow not installed")
def test_what_is_called_in_the_inner_rooms_of_umap_and_wandb() -> None:
    """Public by name, but nowhere documented."""
    import umap
    from wandb.sdk.lib.wbauth.wbnetrc import read_netrc_auth

    a, b = umap.umap_.find_ab_params(1.0, 0.1)
    assert 1 < a < 2
    assert 0.5 < b < 1
    weights = torch.tensor([1.0, 0.5, 0.0]).numpy()
    assert umap.umap_.make_epochs_per_sample(weights, 10).tolist() == [1, 2, -1]
    assert callable(umap.layouts.optimize_layout_euclidean)
    assert callable(read_netrc_auth)

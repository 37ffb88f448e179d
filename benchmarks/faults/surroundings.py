"""Surroundings in which a run must be whole or refused, by kind, tried in this process."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from benchmarks.faults.broken import LOSSES
from benchmarks.faults.process import Outcome, outcome
from lightning_grok.commands.fit import GrokCLI
from lightning_grok.commands.one_process import expect_training
from lightning_grok.errors import InputError
from lightning_grok.loggers.wandb_mode import decide_mode
from lightning_grok.runs.configuration import differences
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.files import Lost, is_disk_error, write_atomically

Variables = dict[str, str]

RANKS: dict[str, Callable[[int], Variables]] = {
    "slurm": lambda rank: {
        "SLURM_PROCID": f"{rank}", "SLURM_LOCALID": f"{rank}", "SLURM_NTASKS": "4",
        "SLURM_NODEID": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "2",
        "SLURM_NODELIST": "node[1-2]", "SLURM_NTASKS_PER_NODE": "2",
    },
    "sbatch without srun": lambda rank: {
        "SLURM_NTASKS": "4", "SLURM_JOB_ID": f"{rank}", "SLURM_JOB_NAME": "batch",
    },
    "torch elastic": lambda rank: {
        "RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "4", "GROUP_RANK": "1",
        "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "nowhere.invalid", "MASTER_PORT": "29500",
        "TORCHELASTIC_RUN_ID": "1",
    },
    "variables of PyTorch": lambda rank: {
        "RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "4", "NODE_RANK": f"{rank}",
        "MASTER_ADDR": "nowhere.invalid", "MASTER_PORT": "no number",
    },
    "mpi": lambda rank: {
        "OMPI_COMM_WORLD_RANK": f"{rank}", "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_COMM_WORLD_LOCAL_RANK": f"{rank}", "PMI_RANK": f"{rank}", "PMI_SIZE": "4",
    },
    "lsf": lambda rank: {
        "JSM_NAMESPACE_RANK": f"{rank}", "JSM_NAMESPACE_SIZE": "4", "LSB_JOBID": "7",
        "JSM_NAMESPACE_LOCAL_RANK": f"{rank}", "LSB_DJOB_RANKFILE": "/nowhere/hosts",
    },
    "kubeflow": lambda rank: {
        "KUBERNETES_PORT": "tcp://127.0.0.1:443", "MASTER_ADDR": "nowhere.invalid",
        "MASTER_PORT": "29500", "WORLD_SIZE": "4", "RANK": f"{rank}",
    },
}  # fmt: skip
"""What schedulers set for task `rank` of four."""

IDLE_OPTIONS: list[tuple[str, float]] = [
    *((key, 0) for key in ("max_epochs", "max_steps", "limit_train_batches", "limit_val_batches")),
    *(("accumulate_grad_batches", value) for value in (0, -1, -4)),
    *(("limit_train_batches", value) for value in (0.0, 0.001, 0.2, -1, -0.5)),
    *(("overfit_batches", value) for value in (0.001, 0.2, -2)),
    *(("limit_val_batches", value) for value in (0.0, 0.001, 0.2, -3)),
]
"""Options with which four training batches, or those of an evaluation, come to none."""


REFUSED_BY_WANDB: list[tuple[str, str]] = [
    *(("WANDB_MODE", value) for value in ("foo", "ONLINE", "off line", "0")),
    *(
        ("WANDB_BASE_URL", value)
        for value in ("not a url", "ftp://x", "://", "localhost", "file:/")
    ),
    *(("WANDB_CONSOLE", value) for value in ("nope", "1")),
    *(("WANDB_RESUME", value) for value in ("foo", "always")),
    *(("WANDB_RUN_ID", value) for value in ("a/b", "a:b", "a#b", "a?b")),
    *(("WANDB_PROJECT", value) for value in ("a/b", "a#b", "a%b", "a:b", "x" * 200)),
    *(("WANDB_INIT_TIMEOUT", value) for value in ("abc", "10s")),
    *((f"WANDB_{key}", "maybe") for key in ("SILENT", "QUIET", "DISABLE_CODE", "DISABLE_GIT")),
    ("WANDB_TAGS", "x" * 100),
]
"""Values of W&B's own variables that it takes for an error."""


def wandb_problem(key: str, value: str) -> str:
    """What is wrong where W&B refuses a variable that is set; empty where it is offline, said so.

    It takes the variable away.
    """
    mode, reason = decide_mode("auto")
    if mode != "offline" or key not in reason:
        return f"{key}={value}: {mode} ({reason})"
    return f"{key} is still there" if key in os.environ else ""


def idle_problem(key: str, value: Any) -> str:
    """What is wrong where an option lets nothing be trained; empty where it is refused by name."""
    options: dict[str, Any] = {"max_epochs": 1, "logger": False, key: value}
    try:
        expect_training(L.Trainer(enable_progress_bar=False, **options), 4, [4, 4])
    except (InputError, MisconfigurationException) as error:
        return "" if key in str(error) else f"{key} is not in: {error}"
    return f"{key}={value} was taken"


def rank_problem() -> str:
    """What is wrong with the trainer that a fit would use here; empty where nothing is."""
    trainer = GrokCLI(["--data.dataset=digits", "--data.train_size=64"], run=False).trainer
    found = (trainer.global_rank, trainer.local_rank, trainer.node_rank, trainer.world_size)
    return "" if found == (0, 0, 0, 1) and trainer.is_global_zero else f"ranks and size {found}"


def write_problem(number: int, folder: Path) -> str:
    """What is wrong where a file of a run can't be written for a reason; empty where nothing is."""

    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    try:
        write_atomically(folder / "file", fail)
    except OSError as error:
        left = list(folder.iterdir())
        named = error.filename == str(folder / "file")
        return "" if is_disk_error(error) and named and not left else f"{error!r}, left: {left}"
    return "nothing was said"


def loss_problem(what: str, folder: Path) -> str:
    """What is wrong after a run's files were taken away; empty where nothing is written anew."""
    directory = RunDirectory.create(folder, "run", numbered=False)
    directory.update_meta(name="run", state="running")
    for step in range(5):
        directory.log("evaluation", 0, step, {"train/loss": 1.0, "train/accuracy": 0.5})
    LOSSES[what](directory.path)
    left = sorted(folder.parent.rglob("*"))
    try:
        directory.log("evaluation", 1, 1, {})
        directory.update_meta(state="finished")
    except Lost:
        return "" if sorted(folder.parent.rglob("*")) == left else "something was written anew"
    finally:
        directory.close()
    return "nothing was said"


def upgrade_problems() -> Iterator[str]:
    """For every option: what is wrong where a run's version did not have it, or had another value.

    An option of the default value must be no difference, another value one with its name.
    """
    cli = GrokCLI(["--data.dataset=digits"], run=False)
    new = cli._resolved(cli.parser.get_defaults())
    for group, options in new.items():
        for option in options if isinstance(options, dict) else ():
            less = {**new, group: {k: v for k, v in options.items() if k != option}}
            found = [key for key, _, _ in differences(less, new, new)]
            yield f"{found} of {group}.{option}" if found else ""
            other = {**new, group: {**options, option: "another"}}
            found = [key for key, _, _ in differences(new, other, new)]
            yield "" if all(key.startswith(f"{group}.{option}") for key in found) else f"{found}"


def surroundings(work: Path) -> list[Outcome]:
    """Every kind of surroundings, tried in this process."""
    folders = (work / str(number) for number in itertools.count())

    def fresh() -> Path:
        folder = next(folders) / "runs"
        folder.mkdir(parents=True)
        return folder

    def under(variables: Variables, problem: Callable[[], str]) -> str:
        before = dict(os.environ)
        os.environ.pop("WANDB_MODE", None)
        os.environ.update(variables)
        try:
            return problem()
        finally:
            os.environ.clear()
            os.environ.update(before)

    ranks = [under(of(rank), rank_problem) for of in RANKS.values() for rank in range(4)]
    refused = [under({k: v}, partial(wandb_problem, k, v)) for k, v in REFUSED_BY_WANDB]
    return [
        outcome("ranks of schedulers", ranks, "rank 0 of 1"),
        outcome(
            "options that train or see nothing",
            [idle_problem(*each) for each in IDLE_OPTIONS],
            "refused by name",
        ),
        outcome("variables that W&B refuses", refused, "offline, with the reason"),
        outcome(
            "a file can't be written, for every reason that the system knows",
            [write_problem(number, fresh()) for number in sorted(errno.errorcode)],
            "an error of the disk that names the file; nothing left",
        ),
        outcome(
            "files taken away in mid-run",
            [loss_problem(what, fresh()) for what in LOSSES],
            "said; nothing written anew",
        ),
        outcome(
            "options that a run's version did not have, or had otherwise",
            list(upgrade_problems()),
            "the same run by its effect, or the option is named",
        ),
    ]

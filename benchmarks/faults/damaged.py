"""Damaged runs beside a whole one, read by every command that reads runs."""

import contextlib
import io
import os
import random
import shutil
import signal
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.damage import Damage, kinds, mutate, no_file, write
from benchmarks.faults.process import CONFIGS, OFF, Outcome, outcome
from lightning_grok.commands.main import main
from lightning_grok.dashboard.pages import Pages, UnknownError, encode
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.runs.directory import RunDirectory

EPOCHS = (0, 1, 2, 5, 10, 20, 50, 100)
_LAYERS = ("layers.0", "layers.2")
_SECONDS = 20  # of CPU that a command may take; a hang is cut off after thirty times as many
_GOOD = "no traceback, other runs shown, or one line that says why not"
_DRAWING = 120  # the same of all figures of two runs, twice: the whole ones take half of it


def write_run(root: Path, name: str, seed: int = 0) -> Path:
    """A finished run with every kind of file that is drawn; it memorizes and generalizes."""
    run = RunDirectory.create(root, name, numbered=False)
    run.update_meta(
        name=name, dataset="digits", setup="AdamW-10-1000-1-0.001", seed=seed, state="finished",
        max_epochs=100, steps_per_epoch=8, logged=100, seconds=9.0, layer_names=list(_LAYERS),
        class_names=["0", "1"], num_classes=2, network={"activation": "relu"},
        transfer={"name": "MNIST", "same_distribution": False}, created="2026-01-01T00:00:00",
    )  # fmt: skip
    (run.path / "config.yaml").write_text("model: {loss: mse}\nkernel_distance: {samples: 8}\n")
    for epoch in EPOCHS:
        _log(run, epoch)
    at = np.array(EPOCHS)
    distance = np.abs(at[:, None] - at) / 100
    run.save_arrays("kernel_distance", "pairwise", {"epochs": at, "distance": distance})
    run.close()
    return run.path


def _log(run: RunDirectory, epoch: int) -> None:
    train, test = min(1.0, epoch / 5), 0.1 + 0.8 * (epoch >= 50)
    per_class = np.array([test, test])
    run.save_arrays("evaluation", epoch, {"test/accuracy_per_class": per_class})
    values = {"train/accuracy": train, "test/accuracy": test, "train/loss": 1.0, "test/loss": 1.0}
    run.log("evaluation", epoch, 8 * epoch, values | {"evaluation/seconds": 0.1})
    run.log("kernel_distance", epoch, 8 * epoch, {"kernel_distance/full/own": epoch / 100})
    geometry = {f"manifold_capacity/{layer}/capacity": 0.1 + epoch / 1000 for layer in _LAYERS}
    run.log("manifold_capacity", epoch, 8 * epoch, geometry)
    run.log("linear_probe", epoch, 8 * epoch, {"linear_probe/sound/accuracy": 0.5})
    run.log("weight_norm", epoch, 8 * epoch, {"weight_norm/total": 10.0})
    points = np.random.default_rng(epoch).normal(size=(6, 2))
    run.save_arrays("umap", epoch, {"coordinates": points, "labels": np.arange(6) % 2})
    run.log("umap", epoch, 8 * epoch, {"umap/preservation": 0.5})


def command(*arguments: str) -> tuple[int, str, str]:
    """A command in this process: exit status, output and errors.

    Raises:
        Exception: what it did not expect.
    """
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main(arguments)
        except SystemExit as left:
            return int(left.code or 0), out.getvalue(), errors.getvalue()
    return 0, out.getvalue(), errors.getvalue()


def list_runs(root: Path) -> str:
    """What is wrong with what `runs` says; empty where it is as promised."""
    status, out, _ = command("runs", str(root))
    out.encode()  # a terminal shows UTF-8
    shown = [line for line in out.splitlines() if line.startswith("whole ")]
    return "" if status == 0 and len(shown) == 1 else f"status {status}, whole run not listed"


def judge(root: Path) -> str:
    """The same of `verdict`."""
    status, out, _ = command("verdict", str(root))
    return "" if status == 0 and "C1" in out else f"status {status}"


def show_pages(root: Path) -> str:
    """The same of the live page: the list and all pages of all runs."""
    folder = RunFolder(root)
    folder.refresh()
    pages = Pages(folder)
    listed = pages.runs()
    encode(listed)
    if not listed["complete"] or "whole" not in [row["id"] for row in listed["runs"]]:
        return "the list is not complete"
    encode(pages.page({"page": "compare", "by": "run"}))
    for key in folder.ids:
        for kind in ("run", "classes"):
            request = {"page": kind, "run": key}
            pages.tag(request)
            answer = pages.page(request)
            encode(answer)
        for epoch in EPOCHS:
            with contextlib.suppress(UnknownError):
                encode(pages.frame(key, epoch))
    return ""


def draw(root: Path) -> str:
    """The same of `figures` and `report` on the damaged run and the whole one."""
    for name in ("figures", "report"):
        out = ["--out", str(root / "report")] if name == "report" else []
        status, _, errors = command(name, *map(str, [root / "hurt", root / "whole"]), *out)
        if problem := problem_of(status, errors):
            return f"{name}: {problem}"
    return ""


def problem_of(status: int, errors: str) -> str:
    """What is wrong with how a command ended: it works, or says in one line why it can't."""
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    if status == 0 or (status == 2 and len(lines) == 1):
        return ""
    return f"status {status}: {errors[-200:]}"


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Cut off what hangs.

    Raises:
        TimeoutError: it took longer.
    """

    def stop(*_: Any) -> None:
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tried(root: Path, checks: Mapping[str, Callable[[Path], str]]) -> str:
    """The first check that does not come out as promised, with its reason; empty for none."""
    for name, check in checks.items():
        start = time.process_time()
        try:
            with limited(30 * _SECONDS):
                problem = check(root)
        except Exception as error:  # whatever it is: it is what is counted
            place = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        took = time.process_time() - start
        if not problem and took > (_DRAWING if name == "draw" else _SECONDS):
            problem = f"took {took:.0f} s of CPU"
        if problem:
            return f"{name}: {problem}"
    return ""


READERS = {"runs": list_runs, "verdict": judge, "page": show_pages}


def damaged(work: Path, random_ones: int = 40, drawn: int = 50, seed: int = 0) -> list[Outcome]:
    """Every kind of damage, read by `runs`, `verdict` and the page; each `drawn`-th drawn too."""
    rng = random.Random(seed)
    whole = write_run(work / "made", "whole")
    found: dict[str, list[str]] = defaultdict(list)
    for index, (kind, spoil) in enumerate(kinds(rng, random_ones)):
        root = work / f"{index}"
        shutil.copytree(whole, root / "whole")
        shutil.copytree(whole, root / "hurt")
        spoil(root / "hurt")
        checks = READERS | ({"draw": draw} if index % drawn == 0 else {})
        found[kind].append(tried(root, checks))
        shutil.rmtree(root)
    found["bytes of a folder's name"] = [_named(work, whole, name) for name in _NAMES]
    outcomes = [outcome(kind, problems, _GOOD) for kind, problems in found.items()]
    return [*outcomes, *resumed(work, rng)]


_NAMES = (b"\xff\xfe", b"a\nb", b"\x1b[2J", b"$x^", "ü ß".encode(), b"<b>", b"'\"", b"-x", b"%s")


def _named(work: Path, whole: Path, name: bytes) -> str:
    root = work / "named"
    shutil.copytree(whole, root / "whole")
    shutil.copytree(whole, Path(os.fsdecode(os.path.join(os.fsencode(root), name))))
    problem = tried(root, READERS)
    shutil.rmtree(root)
    return problem


def resumed(work: Path, rng: random.Random) -> list[Outcome]:
    """Damaged files of a real run, which is then resumed and measured."""
    root = work / "real"
    options = [f"--config={CONFIGS / 'grok.yaml'}", f"--config={CONFIGS / 'smoke.yaml'}", *OFF,
               "--data.dataset=digits", "--data.train_size=64", "--model.hidden=[8]",
               "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
               "--wandb.mode=disabled", "--run.figures=false", "--run.name=hurt",
               "--trainer.max_epochs=4"]  # fmt: skip
    command("fit", *options, f"--run.root={root}")
    found: dict[str, list[str]] = defaultdict(list)
    for index, (kind, spoil) in enumerate(_of_training(rng)):
        place = work / f"resumed{index}"
        shutil.copytree(root, place)
        directory = RunDirectory(place / "hurt")
        directory.update_meta(state="interrupted" if index % 2 else "finished")
        directory.close()
        spoil(place / "hurt")
        resume = ["fit", *options, f"--run.root={place}", "--resume"]
        measure = ["measure", str(place / "hurt"), "--weight_norm.strict=true"]
        arguments = resume if index % 2 else measure
        check = partial(_ended, arguments=arguments)
        found[kind].append(tried(place, {arguments[0]: check}))
        shutil.rmtree(place)
    return [
        outcome(f"{kind}, then `fit --resume` or `measure`", problems, _GOOD)
        for kind, problems in found.items()
    ]


def _ended(root: Path, arguments: list[str]) -> str:
    status, _, errors = command(*arguments)
    return problem_of(status, errors)


def _of_training(rng: random.Random) -> Iterator[tuple[str, Damage]]:
    """What `fit --resume` and `measure` read, damaged; every one twice, for both."""
    last, snapshot = "checkpoints/last.ckpt", "snapshots/epoch_0000001.pt"
    for name in (last, snapshot, "run.json", "events.jsonl", "config.yaml"):
        for _ in range(4):
            yield f"random bytes in {name}", partial(mutate, name, rng)
        for content in (b"", b"5", b"[" * 10_000):
            for _ in range(2):
                yield f"a content of {name}", partial(write, name, content)
        for kind in ("pipe", "folder"):
            for _ in range(2):
                yield f"no ordinary file {name}", partial(no_file, name, kind)

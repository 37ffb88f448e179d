"""Command lines and YAML files with mistakes of every kind, made at random and answered in a line.

They run in this process: what is counted is what a user would see and find on the disk.
"""

import os
import random
import string
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
import yaml

from benchmarks.faults.damaged import command
from benchmarks.faults.process import Outcome, outcome
from lightning_grok.callbacks import (
    Evaluation,
    KernelDistance,
    LinearProbe,
    ManifoldCapacity,
    Onset,
    UmapSnapshot,
)
from lightning_grok.commands.arguments import COMMANDS, TRAINING, packaged_folder
from lightning_grok.tasks.images import GrokData
from lightning_grok.tasks.module import GrokModule

SECONDS = 2.0
"""In which an answer must come, of one core, once the libraries are loaded."""

GROUPS: dict[str, type] = {
    "data": GrokData, "model": GrokModule, "evaluation": Evaluation, "onset": Onset,
    "kernel_distance": KernelDistance, "manifold_capacity": ManifoldCapacity,
    "linear_probe": LinearProbe, "umap": UmapSnapshot,
}  # fmt: skip
_NUMBERS = ("-1", "-0.5", ".nan", ".inf", "-.inf", "1e400", f"{10**20}", f"{-(10**30)}", "9" * 400)
_TEXTS = ("ten", "{a: 1}", "[[1]]", "1,5", "0x", "1 2", "!!python/none x", "null,", "{", "~~")
_SMALL = (
    "--data.dataset=digits", "--wandb.mode=disabled", "--run.root=runs", "--trainer.max_epochs=1",
    "--umap.enabled=false", "--run.figures=false",
)  # fmt: skip
Line = list[str]


def mistyped(work: Path, times: int = 40, seed: int = 0) -> list[Outcome]:
    """Mistakes of every kind, `times` of each.

    Args:
        work: an empty folder.
        times: of each kind.
        seed: of what is made.
    """
    kinds = {
        "a number out of range, or none, as an option": _numbers,
        "text, mappings and nested lists where a number stands": _texts,
        "a misspelled option": _options,
        "a misspelled command, configuration, sweep or run": _names,
        "a configuration with a fault": _configurations,
        "a sweep file with a fault": _sweeps,
        "`ckpt_path` of something else": _checkpoints,
        "an option of another command": _commands,
    }
    outcomes = []
    for index, (kind, lines) in enumerate(kinds.items()):
        folder = work / str(index)
        folder.mkdir()
        with chdir(folder):
            made = lines(random.Random(f"{seed} {kind}"), folder)
            problems = [_problem(folder, line) for line, _ in zip(made, range(times), strict=False)]
        seen = f"one line, status 2, nothing written, within {SECONDS:g} s"
        outcomes.append(outcome(kind, problems, seen))
    return outcomes


def _problem(folder: Path, line: Line) -> str:
    """What is wrong with the answer to a command line; empty where nothing is."""
    before = set(folder.rglob("*"))
    start = time.process_time()
    status: int | str
    try:
        status, _, errors = command(*line)
    except BaseException as error:  # what would be a traceback
        status, errors = f"{type(error).__name__}: {error}", ""
    took = time.process_time() - start
    told = [text for text in errors.splitlines() if text.startswith("error: ")]
    left = sorted(str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before)
    shown = " ".join(line)[:120]
    if status != 2:
        return f"{shown}: status {status!s:.160}"
    if len(told) != 1 or not 20 < len(told[0]) < 800 or "Traceback" in errors:
        return f"{shown}: printed {errors[-160:]!r}"
    if left:
        return f"{shown}: left {left[0]}"
    return f"{shown}: took {took:.1f} s" if took > SECONDS else ""


def _numeric() -> list[tuple[str, bool]]:
    """Options that take numbers, and whether they take a list of them only."""
    found = []
    for group, kind in GROUPS.items():
        for name, hint in get_type_hints(vars(kind)["__init__"]).items():
            types = {hint, *get_args(hint)} - {bool}
            if types & {int, float} or "Sequence[int]" in str(hint):
                found.append((f"--{group}.{name}", not types & {int, float}))
    return [each for each in found if not each[0].endswith(("num_classes", "in_features"))]


def _numbers(chance: random.Random, folder: Path) -> Iterator[Line]:
    while True:
        option, listed = chance.choice(_numeric())
        number = chance.choice(_NUMBERS)
        yield ["fit", *_SMALL, f"{option}={f'[{number}]' if listed else number}"]


def _texts(chance: random.Random, folder: Path) -> Iterator[Line]:
    while True:
        yield ["fit", *_SMALL, f"{chance.choice(_numeric())[0]}={chance.choice(_TEXTS)}"]


def _misspelled(chance: random.Random, word: str) -> str:
    """A word with one letter lost, doubled, changed or moved."""
    place = chance.randrange(len(word) - 1)
    letter = chance.choice(string.ascii_lowercase)
    return chance.choice(
        [
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place:],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        ]
    )


def _options(chance: random.Random, folder: Path) -> Iterator[Line]:
    options = [option for option, _ in _numeric()]
    while True:
        option = chance.choice(options)
        wrong = f"--{_misspelled(chance, option[2:])}"
        if wrong not in options:
            yield ["fit", *_SMALL, f"{wrong}=1"]


def _names(chance: random.Random, folder: Path) -> Iterator[Line]:
    known: dict[str, list[str]] = {
        kind: [path.stem for path in packaged_folder(kind).glob("*.yaml")]
        for kind in ("configs", "sweeps")
    }
    (folder / "a_run_of_mine").mkdir()
    while True:
        name = _misspelled(chance, chance.choice([*COMMANDS, *TRAINING]))
        config = _misspelled(chance, chance.choice(known["configs"]))
        sweep = _misspelled(chance, chance.choice(known["sweeps"]))
        run = _misspelled(chance, "a_run_of_mine")
        lines = {name: [name], config: ["fit", f"--config={config}"]}
        lines[sweep] = ["sweep", sweep, "--dry-run"]
        lines[run] = [chance.choice(("figures", "report", "verdict", "runs", "measure")), run]
        words = {*COMMANDS, *TRAINING, *known["configs"], *known["sweeps"], "a_run_of_mine"}
        yield chance.choice([line for word, line in lines.items() if word not in words])


def _damaged(chance: random.Random, content: dict[str, Any]) -> str:
    """A mapping as YAML with a fault that any YAML may have."""
    text = yaml.safe_dump(content)
    depth, width = chance.randrange(60, 3000), chance.randrange(5, 30)
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]\n" for i in range(1, 40))
    return chance.choice(
        [
            text + f"{chance.choice(list(content))}: {{}}\n",
            text + "&x y: {z: [*x, 1]}\nw: &w [*w]\n",
            f"a0: &a0 [x]\n{laughs}{text}",
            text + "deep: " + "[" * depth + "]" * depth,
            text + "deep: " + "{a: " * depth + "}" * depth,
            text[: chance.randrange(1, len(text) - 3)] + "{[",
            "\t" + text,
            text + "x: !!python/object/apply:os.system [touch pwned]\n",
            text + "x: *nothing\n",
            chance.choice(["- 1\n", "5\n", "a text\n", "[]\n", "\x00", "? [a]\n: 1\n"]),
            text + "x: " + "y" * 1_000_001,
        ]
    )


def _configurations(chance: random.Random, folder: Path) -> Iterator[Line]:
    index = 0
    while True:
        index += 1
        path = folder / f"{index}.yaml"
        group = chance.choice([*GROUPS, "trainer", "run", "wandb", "weight_norm"])
        value = chance.choice(["null", "5", "[1, 2]", "true", "a text", ""])
        damaged = _damaged(chance, {"model": {"hidden": [8]}, "seed_everything": 1})
        path.write_text(chance.choice([damaged, f"{group}: {value}\n"]))
        yield ["fit", *_SMALL, f"--config={path}"]


def _sweeps(chance: random.Random, folder: Path) -> Iterator[Line]:
    index = 0
    while True:
        index += 1
        path = folder / f"{index}.yaml"
        wrong: Any = chance.choice(
            [
                {"min": 0.0, "max": 1.0}, {"min": 1}, {"max": 5}, {"values": []}, {"value": {}}, 5,
                None, [1], {"distribution": "normal", "mu": 0, "sigma": 1}, {"vales": [1]},
                {"distribution": "log_uniform_values", "min": 0.1, "max": 1.0},
                {"values": [float("nan")]}, {"min": 0, "max": 10**chance.randrange(6, 30)},
                {"parameters": {"b": {"min": 1}}}, {"parameters": 5}, {"values": "abc"},
            ]
        )  # fmt: skip
        content: dict[str, Any] = {"method": "grid", "parameters": {"a": {"values": [1, 2]}}}
        faulty = chance.choice(
            [
                content | {"method": chance.choice(["random", "bayes", 5, None])},
                content | {"parameters": {"x": {"value": 1}, "a": wrong}},
                content | {"parameters": chance.choice([None, 5, [], "a"])},
                content | {"command": chance.choice(["x ${args}", ["x"], 5, ["${args}", "${x}"]])},
                content | {chance.choice(["run_cap", "job", "controller", "methd"]): 1},
                content | {"parameters": {k: {"min": 1, "max": 99} for k in "abcdefgh"}},
            ]
        )
        path.write_text(chance.choice([yaml.safe_dump(faulty), _damaged(chance, content)]))
        yield ["sweep", str(path), "--dry-run", "--root=runs"]


def _checkpoints(chance: random.Random, folder: Path) -> Iterator[Line]:
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "text").write_text("no checkpoint")
    (folder / "bytes").write_bytes(chance.randbytes(4000))
    whole = {"state_dict": {}, "epoch": 1, "pytorch-lightning_version": "2.6.0"}
    for name, content in {
        "list": [1], "tensor": torch.zeros(3), "weights": {"layers.0.weight": torch.zeros(2, 2)},
        "bare": whole, "half": whole | {"loops": {}, "callbacks": {}},
        "kinds": whole | {"state_dict": [], "hyper_parameters": 5, "epoch": "x"},
    }.items():  # fmt: skip
        torch.save(content, folder / name)
    content = (folder / "bare").read_bytes()
    (folder / "cut").write_bytes(content[: len(content) // 2])
    os.symlink("nowhere", folder / "link")
    paths = [*sorted(os.listdir(folder)), "nowhere", "", "/dev/null", "/proc/self/mem", "best"]
    for path in (*paths, "last", "hpc", "registry:x", "http://127.0.0.1:1/x.ckpt", "s3://x/y", "~"):
        yield ["fit", *_SMALL, f"--ckpt_path={path}"]


def _commands(chance: random.Random, folder: Path) -> Iterator[Line]:
    (folder / "runs").mkdir()
    numbers = ("-1", "65536", "1e3", "ten", "", "9" * 30, "0.5", ".nan")
    seeds = ("9-1", "a", "1-", "-1", "0-99999999999", "0-4294967295", "1,,2", "0-0-0", "9" * 40)
    while True:
        yield chance.choice(
            [
                ["dashboard", "runs", f"--port={chance.choice(numbers)}", "--no-browser"],
                ["sweep", "table1", f"--workers={chance.choice((*numbers[2:], '0'))}"],
                ["sweep", "table1", f"--seeds={chance.choice(seeds)}", "--dry-run"],
                ["verdict", "runs", f"--{_misspelled(chance, 'published')}=x"],
                ["figures", "runs", f"--only={chance.choice(('2', 'x', ''))}"],
                ["workspace", chance.choice(("", "a", "a/b/c", "/", "a/"))],
                ["report"],
                ["measure", "runs", "--umap.enabled=true"],
                ["sweep", "table1", "--root=/dev/null/x"],
            ]
        )

"""Ways to damage the files of a run: by hand where a kind is known, at random where it is not."""

import io
import json
import os
import random
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path

import numpy as np

Damage = Callable[[Path], object]
"""Spoils the run in a directory."""

VALUES = (
    "null", "true", "5", "-1", "1.5", "1e308", "-1e308", "1e400", "9" * 400, str(2**70), "-0.0",
    "NaN", "Infinity", '""', '"text"', '"5"', '"\\ud800"', '"\\u0000"', '"$\\\\frac{"', '"<b>"',
    "[]", "[1]", "{}", '{"a": 1}', "[" * 2000 + "]" * 2000, '"' + "x" * 5000 + '"',
)  # fmt: skip
"""JSON, and what is nearly JSON, in the place of a value."""

LINES = (
    b"5", b"null", b"[]", b"{}", b'"text"', b"{", b"}", b"\x00" * 512, b"\xff\xfe", b"[" * 10_000,
    b'{"a":' * 10_000, b'{"event": "evaluation"}', b'{"epoch": 7}', b" ", b"x" * 200_000,
    b'{"event": "evaluation", "epoch": 7, "step": 1, "test/accuracy": 7.5}',
    b'{"event": "evaluation", "epoch": 7, "step": 1, "test/accuracy": "high"}',
    b'{"event": "new\\nline", "epoch": 7, "step": 1, "a\\u001b[2Jb/../..": 1}',
)  # fmt: skip
"""Lines that are none of an event log."""

YAMLS = (
    b"", b"5", b"[1, 2]", b"a: [", b"\xff\xfe\x00", b"a: &a [*a]", b"model: 5\ndata: null\n",
    b"kernel_distance: [1]\nmanifold_capacity: text\n", b"model: {loss: [1]}\n", b"? [1]\n: 2\n",
    b"a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (k, k, b", ".join([b"*%c" % (k - 1)] * 8)) for k in range(98, 110)
    ),
    b"[" * 5000, b"x: !!python/object/apply:os.getcwd []", b"a: " + b"x" * 2_000_000,
)  # fmt: skip
"""Contents of config.yaml."""

_LOG = "events.jsonl"
_ARRAYS = ("arrays/umap/0000100.npz", "arrays/evaluation/0000100.npz",
           "arrays/kernel_distance/pairwise.npz")  # fmt: skip


def insert_line(line: bytes, run: Path) -> None:
    """A line in the midst of the log."""
    lines = (run / _LOG).read_bytes().split(b"\n")
    (run / _LOG).write_bytes(b"\n".join([*lines[:3], line, *lines[3:]]))


def replace_value(name: str, rng: random.Random, value: str, run: Path) -> None:
    """Another value under one of the keys of a JSON object in a file (any line of the log)."""
    whole = (run / name).read_text()
    parts = whole.splitlines() if name == _LOG else [whole]
    at = rng.randrange(len(parts))
    entries = json.loads(parts[at])
    key = rng.choice(sorted(entries))
    inner = (f"{json.dumps(k)}: {value if k == key else json.dumps(v)}" for k, v in entries.items())
    parts[at] = "{" + ", ".join(inner) + "}"
    (run / name).write_text("\n".join(parts) + "\n")


def mutate(name: str, rng: random.Random, run: Path) -> None:
    """Bytes flipped, cut out, doubled or put in, at random places."""
    content = bytearray((run / name).read_bytes())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) or 1)
        match rng.randrange(4):
            case 0:
                content[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del content[at : at + rng.randint(1, 200)]
            case 2:
                content[at:at] = content[at : at + rng.randint(1, 200)]
            case _:
                content[at:at] = rng.randbytes(rng.randint(1, 50))
    (run / name).write_bytes(content)


def write(name: str, content: bytes, run: Path) -> None:
    """Another content of a file."""
    (run / name).write_bytes(content)


def arrays(**named: np.ndarray) -> bytes:
    """An archive of arrays, as NumPy writes it."""
    file = io.BytesIO()
    np.savez_compressed(file, **named)  # type: ignore[arg-type]
    return file.getvalue()


def lying_array(shape: tuple[int, ...], size: int) -> bytes:
    """An archive with one array whose head tells another shape than its size."""
    head = io.BytesIO()
    described = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("coordinates.npy", head.getvalue() + bytes(size))
        archive.writestr("labels.npy", head.getvalue() + bytes(size))
    return file.getvalue()


def no_file(name: str, kind: str, run: Path) -> None:
    """Something else in the place of a file."""
    path = run / name
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with chdir(run), socket.socket(socket.AF_UNIX) as made:  # whose path is short
                made.bind(name)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "link":
            path.symlink_to("/etc/hostname")
        case "unreadable":
            path.touch(0)


def kinds(rng: random.Random, random_ones: int) -> Iterator[tuple[str, Damage]]:
    """Every kind of damage with its group, `random_ones` of each that is drawn at random."""
    for line in LINES:
        yield "a line of the log", partial(insert_line, line)
    for value in VALUES:
        yield "a value in the log", partial(replace_value, _LOG, rng, value)
        yield "a value in run.json", partial(replace_value, "run.json", rng, value)
    for _ in range(random_ones):
        yield "a value in the log", partial(replace_value, _LOG, rng, rng.choice(VALUES))
        yield "a value in run.json", partial(replace_value, "run.json", rng, rng.choice(VALUES))
        for name in ("run.json", _LOG, "config.yaml"):
            yield f"random bytes in {name}", partial(mutate, name, rng)
        yield "random bytes in arrays", partial(mutate, rng.choice(_ARRAYS), rng)
    for content in YAMLS:
        yield "a content of config.yaml", partial(write, "config.yaml", content)
    for content in (b"", b"[1, 2]", b"5", b"\x00" * 100, b'{"state": "finished"', b"[" * 100_000):
        yield "a content of run.json", partial(write, "run.json", content)
    for name in ("run.json", _LOG, "config.yaml", _ARRAYS[0]):
        for kind in ("pipe", "socket", "folder", "loop", "link", "unreadable"):
            if name != "run.json" or kind not in ("loop",):
                yield "no ordinary file", partial(no_file, name, kind)
    points, labels = np.zeros((4, 2)), np.arange(4)
    for name in _ARRAYS:
        for content in (
            b"", b"PK\x05\x06" + bytes(18), arrays(), arrays(coordinates=labels, labels=labels),
            arrays(coordinates=points), arrays(coordinates=points, labels=np.array(["a"] * 4)),
            arrays(coordinates=points * np.nan, labels=labels),
            arrays(coordinates=points, labels=-labels),
            arrays(coordinates=np.array([{}]), labels=labels),
            arrays(epochs=labels, distance=points),
            arrays(epochs=-labels, distance=np.zeros((4, 4))), lying_array((10**9, 10**9), 800),
            lying_array((10,), 10**8), arrays(coordinates=np.zeros((10**6, 3)), labels=labels),
        ):  # fmt: skip
            yield "arrays of another kind", partial(write, name, content)

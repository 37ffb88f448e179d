"""One of several processes that make directories of the same names at the same moment."""

from collections.abc import MutableSequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

from lightning_grok.errors import InputError
from lightning_grok.runs.directory import RunDirectory


def claim(root: Path, rounds: int, barrier: Barrier, held: MutableSequence[str]) -> None:
    """Make directories when all others do, and note the names of those that were had.

    A process stays in a directory for a moment or is gone again before another one looks.
    """
    for index in range(rounds):
        for name, numbered in ((f"named{index}", False), (f"numbered{index}", True)):
            barrier.wait()
            try:
                directory = RunDirectory.create(root, name, numbered=numbered)
            except InputError:
                continue
            directory.update_meta(state="running")
            held.append(directory.name)
            directory.close()

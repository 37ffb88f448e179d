"""Files of weights: where those of an epoch stand; they are read, and nothing in them executed."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from lightning_grok.errors import InputError, first_line
from lightning_grok.runs.source import open_file


def epoch_stem(epoch: float) -> str:
    """An epoch in a file's name; a part of one, between two, with six digits."""
    return f"{epoch:07.0f}" if epoch == int(epoch) else f"{epoch:014.6f}"


def snapshot_path(run: Path, epoch: float) -> Path:
    """Where the weights of an epoch stand."""
    return run / "snapshots" / f"epoch_{epoch_stem(epoch)}.pt"


def epoch_of_file(file: Path) -> int | float | None:
    """The epoch in a file's name, or None for a file that belongs to the whole run.

    It is a whole number unless the file is of weights in the middle of an epoch.
    """
    match = re.fullmatch(r"(?:epoch_)?(\d+)(\.\d+)?", file.stem)
    if match is None:
        return None
    return float(match[1] + match[2]) if match[2] else int(match[1])


def snapshot_epochs(run: Path) -> list[int]:
    """Whole epochs whose weights are kept."""
    epochs = map(epoch_of_file, run.glob("snapshots/epoch_*.pt"))
    return sorted(epoch for epoch in epochs if isinstance(epoch, int))


def load_snapshot(run: Path, epoch: float) -> dict[str, Any]:
    """The weights of a run's network at one epoch.

    Raises:
        InputError: no snapshot of that epoch, or a damaged one. Nothing in it is executed.
    """
    path = snapshot_path(run, epoch)
    if not path.exists():
        kept = snapshot_epochs(run)
        raise InputError(f"expected an epoch of {kept} for {run}, received {epoch}")
    return load_torch(path)


def load_torch(path: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU; nothing in the file is executed.

    Raises:
        InputError: the file is damaged or holds more than weights and plain values.
    """
    import torch

    try:
        with open_file(path) as file:
            _refuse_packed(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file fails anywhere inside the reader
        raise InputError(f"expected weights in {path}, received: {first_line(error)}") from None


def _refuse_packed(file: BinaryIO) -> None:
    """Refuse what would take more memory than its file: torch packs nothing.

    Raises:
        InputError: it is an archive with packed content.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if zipfile.is_zipfile(file):
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > size:
                raise InputError("an archive that is larger than its file")
    file.seek(0)

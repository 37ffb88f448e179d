from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from watched_runs import IN_FIGURES, write_run

from lightning_grok.runs.run import Run


def write_groups(root: Path, *groups: str, **options: Any) -> Run:
    """A run with some groups of measurements, which nobody writes any more."""
    directory = write_run(root, groups=groups, **options)
    directory.close()
    return Run(directory.path)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every measurement."""
    return write_groups(tmp_path_factory.mktemp("whole"), *IN_FIGURES)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Run]:
    """Writes a run below a fresh folder, as `write_groups` does."""
    return partial(write_groups, tmp_path)

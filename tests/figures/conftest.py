from collections.abc import Callable
from pathlib import Path

import pytest
from foretold_run import GROUPS, write_run

from lightning_grok.runs.run import Run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with every measurement."""
    return write_run(tmp_path_factory.mktemp("whole"), *GROUPS)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Run]:
    """Writes runs below a fresh folder, as `write_run` does."""

    def write(*groups: str, **options: object) -> Run:
        return write_run(tmp_path, *groups, **options)  # type: ignore[arg-type]

    return write

"""The verdict on the paper's claims, which stand in claims.yaml beside this file."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lightning_grok.claims.content import read_claims
from lightning_grok.claims.verdict import judge
from lightning_grok.runs.run import Run

CLAIMS = Path(str(files("lightning_grok.paper.claims") / "claims.yaml"))

FORECAST_LAYERS = ("layers.2", "layers.4", "layers.5", "layers.6")
"""Of the paper's network, whose capacity may have told that generalization was coming."""


def verdict(
    runs: Sequence[Run], *, claims: Path = CLAIMS, published: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Every claim with its verdict, as `lightning_grok.claims.verdict.judge` gives it.

    Args:
        runs: of any setups.
        claims: a file like claims.yaml.
        published: CSV of published values (`lightning_grok.paper.published`).

    Raises:
        InputError: a file can't be read or lacks something.
    """
    from lightning_grok.paper.published import Published

    curves = None if published is None else Published(published)
    return judge(read_claims(claims), runs, curves=curves)

"""The page that teaches claims: its file is read and judged, and it names all that there is."""

import json
import re
from pathlib import Path

import pytest

from lightning_grok.analysis.moment import EVENTS
from lightning_grok.claims.content import STATISTICS
from lightning_grok.commands.verdict import main

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "claims-of-your-own.md").read_text()


def test_its_file_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (content,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "my-claims.yaml"
    file.write_text(content)
    main([str(DOCS / "results/runs.zip"), "--claims", str(file), "--variants", "--json"])
    found = json.loads(capsys.readouterr().out)
    outcomes = {name: found[name]["verdict"] for name in ("rises", "together", "norm")}
    assert outcomes == {"rises": "held", "together": "held", "norm": "undecided"}


def test_it_names_every_statistic_and_every_event() -> None:
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(STATISTICS)
    assert all(f"`{event}`" in PAGE for event in EVENTS)

"""The site's reference has every module of the rooms that it is of; what guides show runs."""

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_grok.runs.glossary import GLOSSARY

ROOT = Path(__file__).parents[1]
PAGES = [page for page in (ROOT / "docs/reference").glob("*.md") if page.stem != "base"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_reference_of_a_room_is_whole(page: Path) -> None:
    files = (ROOT / "lightning_grok" / page.stem).rglob("*.py")
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if file.name != "__init__.py"
    }
    listed = re.findall(r"^::: (.+)$", page.read_text(), re.MULTILINE)
    assert sorted(modules) == listed


def test_the_glossary_is_that_of_the_page() -> None:
    text = (ROOT / "docs/concepts.md").read_text().partition("## Glossary")[2]
    terms = re.findall(r"^\*\*(.+)\*\*\n: ((?:.+\n)+)", text, re.MULTILINE)
    assert {term: " ".join(words.split()) for term, words in terms} == GLOSSARY


def test_the_measure_of_ones_own_warns_of_nothing() -> None:
    page = (ROOT / "docs" / "own-model.md").read_text()
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "def " in code]
    names: dict[str, Any] = {}
    exec(code.partition("trainer =")[0], names)
    network = torch.nn.Linear(3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        largest = names["largest_logit"](network, torch.ones(4, 3), None)
    assert largest == float(network(torch.ones(4, 3)).detach().abs().max())


def test_no_command_has_brackets_that_a_shell_would_expand() -> None:
    """In zsh, the shell of macOS, --model.hidden=[9] without quotes matches no file and fails."""
    files = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/**/*.yaml")]
    bare = re.compile(r"(?<!['\"])--[\w.]+\+?[= ][\[{]\S*")
    found = {str(file): bare.findall(file.read_text()) for file in files}
    assert {file: options for file, options in found.items() if options} == {}

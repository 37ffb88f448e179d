"""The site's reference has every module of the rooms that it is of."""

import re
from pathlib import Path

import pytest

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

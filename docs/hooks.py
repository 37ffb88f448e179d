"""Links to files of the repository, which the site doesn't hold: checked, and left as text."""

import logging
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")
_log = logging.getLogger("mkdocs.hooks")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Leave the words of a link that leaves the docs; one that leads nowhere fails the build."""
    docs = Path(config["docs_dir"]).resolve()
    folder = Path(page.file.abs_src_path).parent

    def plain(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        if target.is_relative_to(docs):
            return match[0]
        if not target.exists():
            _log.warning("%s links to %s, which isn't there", page.file.src_path, match[2])
        return match[1]

    return _LINK.sub(plain, markdown)

"""The parser of all options, made once for many lines: it takes longer than most of the fits."""

from typing import Any

import pytest

from lightning_grok.commands.fit import GROUPS, GrokCLI

_KEPT: dict[tuple[Any, ...], dict[str, Any]] = {}


def keep_parsers(patch: pytest.MonkeyPatch) -> None:
    """As long as `patch` holds, lines of one kind are read by one parser."""
    plain = GrokCLI.setup_parser

    def setup_parser(self: GrokCLI, *options: Any) -> None:
        own = self._own_model, self._own_data, self._bare
        kind = self._command, *own, *GROUPS.items()
        if kind not in _KEPT:
            before = set(vars(self))
            plain(self, *options)
            _KEPT[kind] = {key: value for key, value in vars(self).items() if key not in before}
        vars(self).update(_KEPT[kind])

    patch.setattr(GrokCLI, "setup_parser", setup_parser)

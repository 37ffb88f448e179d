"""The help of a training command: its groups on one screen, or one group whole."""

import argparse
import shutil
import textwrap
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from lightning_grok.commands.arguments import packaged_folder, program
from lightning_grok.errors import InputError, hint

_WIDEST = 100
_ABOUT = {
    "trainer": "Lightning's Trainer, among other options",
    "model": "the network, its loss and its optimizer",
    "data": "what is trained on",
    "optimizer": "one of PyTorch's instead: --optimizer AdamW --optimizer.lr 0.01",
    "lr_scheduler": "one of PyTorch's, beside --optimizer",
}
_OF_THE_TRAINER = ("max_epochs", "max_time", "accelerator", "precision", "callbacks", "logger")
_OF_ALL = {
    "config": "a packaged configuration ({configs}) or a file; later ones win",
    "print_config": "print the whole configuration and stop",
    "seed_everything": "by which runs of one setup differ",
    "seeds": "train 0-7, or 0,3,7, side by side, each a run of its own",
    "resume": "go on with the newest unfinished run of this configuration",
    "ckpt_path": "a checkpoint to begin with",
}
_EXAMPLES = """examples:
  {program} {command} --config digits
  {program} {command} --config grok --model.weight_scale 4 --seed_everything 1
  {program} {command} --help=data    all about a group; --help=all about all of them"""


def help_of(parser: LightningArgumentParser, command: str, wanted: str) -> str:
    """The help of a command.

    Args:
        parser: of the command.
        command: its name.
        wanted: the name of a group, ``all``, or empty for the groups on one screen.

    Raises:
        InputError: there is no such group.
    """
    groups = parser.groups or {}
    if wanted == "all":
        return str(parser.format_help())
    if not wanted:
        return _screen(parser, command)
    if wanted not in groups:
        raise InputError(
            f"expected --help of all or one of {', '.join(groups)}; received {wanted}"
            f"{hint(wanted, groups)}"
        )
    parser.usage, parser.description = argparse.SUPPRESS, None
    parser._action_groups = [groups[wanted]]
    return str(parser.format_help()).strip()


def _screen(parser: LightningArgumentParser, command: str) -> str:
    """Every group with its options and their defaults."""
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 40)).columns)
    configs = ", ".join(sorted(path.stem for path in packaged_folder("configs").glob("*.yaml")))
    lines = [f"usage: {program()} {command} [--config NAME ...] [--GROUP.OPTION VALUE ...]", ""]
    known = {action.dest for action in parser._actions}
    for name, about in _OF_ALL.items():
        if name in known:
            lines.append(f"--{name}: {about.format(configs=configs)}"[:width])
    for name, group in (parser.groups or {}).items():
        options = [
            action
            for action in group._group_actions
            if "." in action.dest and not action.dest.endswith(".help")
        ]
        if name == "trainer":
            options = [a for a in options if a.dest.split(".")[1] in _OF_THE_TRAINER]
        elif name in _ABOUT and name not in ("model", "data"):
            options = []
        elif not options:
            continue
        about = _ABOUT.get(name) or " ".join(str(group.title).split()).rstrip(":")
        lines.append(textwrap.shorten(f"--{name}.*  {about}", width, placeholder=" ..."))
        text = " ".join(_with_default(action) for action in options)
        lines += textwrap.wrap(
            text, width, initial_indent="    ", subsequent_indent="    ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join([*lines, "", _EXAMPLES.format(program=program(), command=command)])


def _with_default(action: argparse.Action) -> str:
    """``samples=256``: an option of a group as its name and its default, if it has one."""
    name = action.dest.rpartition(".")[2]
    return (
        name if action.default in (None, argparse.SUPPRESS) else f"{name}={_text(action.default)}"
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return str(value)

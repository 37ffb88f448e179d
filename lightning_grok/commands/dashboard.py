"""``python -m lightning_grok dashboard``: a live page over runs, on this machine."""

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from lightning_grok.commands import CommandParser, number
from lightning_grok.errors import InputError, hint_path

if TYPE_CHECKING:
    from lightning_grok.dashboard.server import DashboardServer


def main(arguments: Sequence[str]) -> None:
    """Serve the page until Ctrl-C."""
    parser = CommandParser(
        "dashboard",
        description="Open a page that shows runs while they train, and finished ones: accuracy, "
        "manifold geometry, kernel distance, UMAP, probes and weight norms over one epoch axis. It "
        "is served to this machine only and reads the folder of runs only.",
    )
    parser.add_argument(
        "root", type=Path, nargs="?", help="folder of runs (runs, which may be yet to come)"
    )
    parser.add_argument(
        "--port", type=number(0, 65_535), default=8050, help="on 127.0.0.1; 0 takes a free one"
    )
    parser.add_argument("--run", help="name of the run to show first, below the folder")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument(
        "--until-eof", action="store_true", help="end with standard input, not with Ctrl-C"
    )
    options = parser.parse_args(arguments)
    from lightning_grok.dashboard.server import DashboardServer

    root = options.root or Path("runs")
    if options.run is not None and not has_run(root, options.run):
        near = hint_path(root / options.run)
        raise InputError(f"expected the name of a run in {root}, received {options.run}{near}")
    with DashboardServer(root, options.port, awaited=options.root is None) as server:
        first = f"#{urlencode({'page': 'run', 'run': options.run})}" if options.run else ""
        url = f"{server.url}{first}"
        print(f"page: {url}" if options.until_eof else f"{url}  (Ctrl-C ends it)", flush=True)
        if "SSH_CONNECTION" in os.environ:  # whoever is to see it sits at another machine
            port = server.server_address[1]
            host = socket.gethostname()
            print(f"from your own machine: ssh -L {port}:localhost:{port} {host}", flush=True)
        if not server.folder.ids:
            print(f"no runs in {root} yet: the page waits for the first one", flush=True)
        if not options.no_browser and _has_display():
            webbrowser.open(url)
        if options.until_eof:
            threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def has_run(root: Path, name: str) -> bool:
    """Whether a folder, or an archive, has a run of this name."""
    from lightning_grok.runs.run import find_runs
    from lightning_grok.runs.source import is_archive

    if is_archive(root):
        return name in [path.name for path in find_runs(root)]
    return (root / name).is_dir()


def _end_with_input(server: "DashboardServer") -> None:
    while sys.stdin.buffer.read(1):
        pass
    server.shutdown()


def _has_display() -> bool:
    """Whether a browser would open a window, rather than take over the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

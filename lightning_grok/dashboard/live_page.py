"""The live page of a run, in a process of its own for as long as the run goes on."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from lightning_grok.extras import named_extra

_PATIENCE = 5.0  # seconds for the server to end


@contextmanager
def live_page(run: Path, port: int = 0) -> Iterator[None]:
    """Serve the page of a run directory and of its neighbors; the server prints its address.

    Args:
        run: the directory.
        port: on 127.0.0.1; 0 takes a free one.

    It ends with this process too, however that ends: it waits for the end of its standard input.

    Raises:
        MissingExtra: plotly isn't installed.
    """
    with named_extra():
        import_module("plotly")  # here: the server's own complaint would stop no training
    command = [sys.executable, "-m", "lightning_grok", "dashboard", str(run.parent)]
    options = ["--run", run.name, "--port", str(port), "--until-eof"]
    # Ctrl-C is for the training alone: hence a session of its own.
    server = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        assert server.stdin is not None
        server.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE)
        server.kill()
        server.wait()

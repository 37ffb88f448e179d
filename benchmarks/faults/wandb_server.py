"""A W&B server on this machine that lets a run begin and then fails in a chosen way."""

import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Failure = Literal["hang", "500", "429"]

_PROJECT = {"id": "1", "name": "study", "entity": {"id": "1", "name": "somebody"}}
_VIEWER = {"id": "1", "username": "somebody", "entity": "somebody", "flags": "{}", "email": "",
           "name": "somebody", "teams": {"edges": []}, "apiKeys": {"edges": []}}  # fmt: skip
_VERSIONS = {"cliVersionInfo": {"max_cli_version": "99.0.0"}, "features": []}


class Server(ThreadingHTTPServer):
    """Answers what a run asks until it fails.

    Attributes:
        fails: how, once it does.
        answers: how many requests are answered before; infinitely many at first.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fails: Failure = "hang"
        self.answers = math.inf
        self.closing = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that has an account here."""
        return {
            "WANDB_BASE_URL": f"http://127.0.0.1:{self.server_port}",
            "WANDB_API_KEY": "k" * 40,
        }

    def failure(self) -> Failure | None:
        """How to treat a request that has come; None answers it."""
        self.answers -= 1
        return self.fails if self.answers < 0 else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer({})

    do_PUT = do_POST = do_GET

    def _answer(self, content: dict[str, Any]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        failure = self.server.failure()
        if failure == "hang":
            self.server.closing.wait(600)
            return
        if failure is None and self.path.endswith("/graphql"):
            content = {"data": _answered(json.loads(body))}
        text = json.dumps(content).encode()
        self.send_response(200 if failure is None else int(failure))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


def _answered(query: dict[str, Any]) -> dict[str, Any]:
    """What a run that begins has to hear."""
    found = re.search(r"(?:query|mutation)\s+(\w+)", query["query"])
    variables = query.get("variables") or {}
    name = variables.get("name")
    bucket = {"id": name, "name": name, "displayName": name, "project": _PROJECT, "config": "{}"}
    match found[1] if found else "":
        case "Viewer":
            return {"viewer": _VIEWER}
        case "ServerFeaturesQuery":
            return {"serverInfo": _VERSIONS}
        case "RunResumeStatus":
            return {"model": _PROJECT | {"bucket": None}}
        case "UpsertBucket":
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        case "CreateRunFiles":
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": []}}
    return {}


@contextmanager
def serve() -> Iterator[Server]:
    """A server that answers, until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def unused_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

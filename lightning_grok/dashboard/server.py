"""A server for one person on this machine: it answers with runs of one folder and nothing else.

It listens on 127.0.0.1 and answers only to pages that came from itself (the Host header is checked,
so that no other site's name can lead here). Of a request no path is ever opened: names are looked
up in tables and among the runs that were found. The one thing that a request can change is what is
noted of runs (`lightning_grok.dashboard.marks`): by a POST of this server's own page, which alone
knows the token that it was sent with.
"""

import json
import secrets
import sys
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from lightning_grok.dashboard.pages import Pages, UnknownError, digest, encode
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.errors import InputError
from lightning_grok.extras import named_extra
from lightning_grok.runs.glossary import GLOSSARY
from lightning_grok.runs.source import is_archive

_HOSTS = ("127.0.0.1", "localhost")
STATIC = files("lightning_grok.dashboard") / "static"
"""The page itself: HTML, style and scripts."""
SCRIPTS = (
    "state.js", "source.js", "address.js", "axes.js", "drawing.js", "chart.js", "filter.js",
    "runs.js", "table.js", "page.js",
)  # fmt: skip
_BODY = 2**16  # bytes of a request to note something
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class DashboardServer(ThreadingHTTPServer):
    """The live page over the runs at or below `root`.

    Args:
        root: folder of runs; it may be empty.
        port: on 127.0.0.1; 0 takes a free one.
        awaited: whether the folder may be yet to come.

    Raises:
        InputError: there is no such folder, or the port can't be had.
    """

    daemon_threads = True

    def __init__(self, root: Path, port: int, awaited: bool = False) -> None:
        if not (root.is_dir() or is_archive(root) or (awaited and not root.exists())):
            raise InputError(f"expected a folder of runs, received {root}, which is none")
        if not 0 <= port <= 65535:
            raise InputError(f"expected a port of 0 to 65535, received {port}")
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"expected a free port, received {port} ({reason}); --port 0 takes a free one"
            ) from None
        self.folder = RunFolder(root)
        self.pages = Pages(self.folder)
        self.token = secrets.token_urlsafe(24)
        self.files = static_files(self.token)
        self._answers: dict[str, tuple[str, bytes]] = {}

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def answer(self, path: str, query: dict[str, str], known: str) -> tuple[str, bytes] | None:
        """Tag and JSON of a request; None where the asker has that tag already.

        Raises:
            UnknownError: there is nothing of that name.
            ValueError: the query is malformed.
        """
        found: Any
        if path == "/page":
            tag = self.pages.tag(query)
            return None if tag == known else (tag, self._page(tag, query))
        if path == "/runs":
            self.folder.refresh_aside()
            found = self.pages.runs()
        elif path == "/table":
            found = self.pages.table()
        elif path == "/series":
            found = self.pages.series(json.loads(query.get("of", "[]")))
        elif path == "/frame":
            found = self.pages.frame(query.get("run", ""), int(query.get("epoch", "")))
        else:
            raise UnknownError(path)
        tag = digest(body := encode(found))
        return None if tag == known else (tag, body)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A traceback, but for a browser that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def __enter__(self) -> Self:
        return self

    def _page(self, tag: str, query: dict[str, str]) -> bytes:
        """The last answer of a kind is kept: several windows may ask for it.

        No lock is held: a run that takes long to be read or drawn delays its own page alone.
        """
        kind = query.get("page", "run")
        known, body = self._answers.get(kind, ("", b""))
        if known != tag:
            body = encode(self.pages.page(query))
            self._answers[kind] = (tag, body)
        return body


def assemble_page(head: str, scripts: str) -> str:
    """The page's HTML with what belongs into its head and at its end; it holds the glossary."""
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    terms = "".join(f"<dt>{escape(t)}</dt><dd>{escape(d)}</dd>" for t, d in GLOSSARY.items())
    page = page.replace("<!-- style -->", head).replace("<!-- glossary -->", terms)
    return page.replace("<!-- scripts -->", scripts)


@named_extra()
def static_files(token: str) -> dict[str, tuple[str, bytes]]:
    """The page's own files: path -> type and content; the page alone has the token."""
    from plotly.offline import get_plotlyjs

    head = f'<meta name="token" content="{token}"><link rel="stylesheet" href="page.css">'
    scripts = "".join(f'<script src="{name}" defer></script>' for name in ("plotly.js", *SCRIPTS))
    return {
        "/": ("text/html", assemble_page(head, scripts).encode()),
        "/page.css": ("text/css", (STATIC / "page.css").read_bytes()),
        **{f"/{name}": ("text/javascript", (STATIC / name).read_bytes()) for name in SCRIPTS},
        "/plotly.js": ("text/javascript", get_plotlyjs().encode()),
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DashboardServer

    def do_POST(self) -> None:
        """Note something of a run."""
        self.close_connection = True  # what is refused is not read
        if not self._is_own_host():
            return
        host, sent = self.headers.get("Host", ""), self.headers.get("X-Token", "")
        own = self.headers.get("Origin", f"http://{host}") == f"http://{host}"
        if not own or not secrets.compare_digest(sent.encode(), self.server.token.encode()):
            self._send(403, "text/plain", b"only this page may note something\n")
            return
        try:
            size = int(self.headers.get("Content-Length", ""))
            if self.path != "/marks" or not 0 < size <= _BODY:
                raise UnknownError(self.path)
            asked = json.loads(self.rfile.read(size))
            if asked["run"] not in self.server.folder.ids:
                raise UnknownError("run")
            self.server.pages.marks.set(asked["run"], asked["mark"])
        except (LookupError, TypeError, ValueError, RecursionError):
            self._send(404, "text/plain", b"no such thing\n")
        except OSError as error:
            reason = error.strerror or str(error)
            self._send(507, "text/plain", f"it can't be written: {reason}\n".encode())
        else:
            self._send(200, "application/json", b"{}")

    def _is_own_host(self) -> bool:
        """Whether the request names this machine; it is refused otherwise."""
        if self.headers.get("Host", "").rsplit(":", 1)[0] in _HOSTS:
            return True
        self._send(403, "text/plain", b"this page answers to 127.0.0.1 only\n")
        return False

    def do_GET(self) -> None:
        """Answer one request."""
        if not self._is_own_host():
            return
        try:
            url = urlsplit(self.path)
        except ValueError:
            self._send(404, "text/plain", b"no such thing\n")
            return
        known = self.headers.get("If-None-Match", "").strip('"')
        if url.path in self.server.files:
            kind, content = self.server.files[url.path]
            tag = digest(content)
            self._send_tagged(kind, None if tag == known else (tag, content), known)
            return
        try:
            query = dict(parse_qsl(url.query, max_num_fields=20))
            answer = self.server.answer(url.path, query, known)
        except (UnknownError, ValueError, RecursionError):
            self._send(404, "text/plain", b"no such thing\n")
            return
        except Exception:  # one run that can't be shown must not end the page of the others
            self._send(500, "text/plain", b"this can't be shown\n")
            raise
        self._send_tagged("application/json", answer, known)

    def _send_tagged(self, kind: str, answer: tuple[str, bytes] | None, known: str) -> None:
        if answer is None:
            self._send(304, kind, b"", known)
        else:
            self._send(200, kind, answer[1], answer[0])

    def _send(self, status: int, kind: str, content: bytes, tag: str = "") -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", f'"{tag}"')
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """No more than a name."""
        return "lightning_grok"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the user's."""

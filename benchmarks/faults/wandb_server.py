"""A stand-in for the W&B server on 127.0.0.1, for the client's real processes.

It answers what `wandb sweep`, `wandb agent`, online runs, `wandb sync` and saved workspaces ask,
and remembers what arrived, until it is told to fail. It knows grids only. The protocol is
unofficial: the client decides whether an answer will do, so a new release of W&B may need another.
"""

import contextlib
import gzip
import itertools
import json
import math
import os
import re
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import yaml

ENTITY, PROJECT = "somebody", "study"
KEY = "0" * 40

Variables = dict[str, Any]
Failure = Literal["hang", "500", "429"]


@dataclass
class StoredRun:
    """What arrived of one run.

    Attributes:
        config: of the run, each key with its ``value``.
        summary: its last values.
        history: rows as they were logged.
        uploads: names of files -> content.
        sweep: the sweep's id.
        places: entity/project of every process that wrote it.
        exit_code: of its last process; None while it has not ended.
        alerts: titles.
    """

    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    sweep: str | None = None
    places: set[str] = field(default_factory=set)
    exit_code: int | None = None
    alerts: list[str] = field(default_factory=list)

    def series(self, key: str) -> dict[int, float]:
        """Values of one key by epoch."""
        return {int(row["epoch"]): row[key] for row in self.history if key in row}


@dataclass
class Sweep:
    """One sweep: its file's text, the points not handed out yet, and who got which."""

    text: str
    points: list[dict[str, Any]]
    taken: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Agent, run and point."""


class Backend:
    """The server's state; every method named like an operation of GraphQL answers it.

    Attributes:
        fails: how, once it does.
        answers: how many requests are answered before; infinitely many at first.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.sweeps: dict[str, Sweep] = {}
        self.agents: dict[str, str] = {}
        self.runs: dict[str, StoredRun] = {}
        self.stopped: set[str] = set()  # runs that an early termination ends
        self.views: list[Variables] = []
        self.unanswered: set[str] = set()
        self.url = ""
        self.fails: Failure = "hang"
        self.answers = math.inf
        self.closing = threading.Event()

    @property
    def account(self) -> dict[str, str]:
        """The variables of a process that has an account here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def environment(self, home: Path) -> dict[str, str]:
        """Of a process that has an account here and nothing of its user's."""
        keep = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        own = {"HOME": str(home), "WANDB_DATA_DIR": str(home / "staging")}
        return keep | own | self.account

    def run(self, name: str) -> StoredRun:
        """The run of that id, made where it is new."""
        return self.runs.setdefault(name, StoredRun())

    # Operations. Who asks:

    def Viewer(self, variables: Variables) -> Variables:
        """Everybody, once."""
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        viewer = {"id": "1", "username": ENTITY, "entity": ENTITY, "flags": "{}", "teams": teams}
        return {"viewer": viewer | {"email": "", "name": ENTITY, "apiKeys": {"edges": []}}}

    def ServerFeaturesQuery(self, variables: Variables) -> Variables:
        """Everybody, once."""
        versions = {"max_cli_version": "99.0.0"}
        return {"serverInfo": {"cliVersionInfo": versions, "features": []}}

    def UpsertSweep(self, variables: Variables) -> Variables:
        """`wandb sweep`."""
        content = yaml.safe_load(variables["config"])
        listed = {
            key: parameter.get("values", [parameter.get("value")])
            for key, parameter in content["parameters"].items()
        }
        points = [
            dict(zip(listed, each, strict=True)) for each in itertools.product(*listed.values())
        ]
        name = uuid.uuid4().hex[:8]
        self.sweeps[name] = Sweep(variables["config"], points)
        sweep = {"name": name, "project": self._project()}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def SweepWithRuns(self, variables: Variables) -> Variables:
        """`wandb agent`, at its start."""
        name = variables["sweep"]
        sweep = {
            "id": name, "name": name, "method": "grid", "state": "RUNNING",
            "config": self.sweeps[name].text, "runs": {"edges": []},
        }  # fmt: skip
        empty = ("description", "createdAt", "heartbeatAt", "updatedAt", "bestLoss", "controller")
        none = dict.fromkeys((*empty, "scheduler"))
        return {"project": {"sweep": none | {"earlyStopJobRunning": False} | sweep}}

    def CreateAgent(self, variables: Variables) -> Variables:
        """`wandb agent`, at its start."""
        name = uuid.uuid4().hex[:8]
        self.agents[name] = variables["sweep"]
        return {"createAgent": {"agent": {"id": name}}}

    def Heartbeat(self, variables: Variables) -> Variables:
        """`wandb agent`, every few seconds: one that has nothing to do gets a point, or leave."""
        agent = variables["id"]
        sweep = self.sweeps[self.agents[agent]]
        running = json.loads(variables.get("runState") or "{}")
        commands = [{"type": "stop", "run_id": run} for run in running if run in self.stopped]
        if not running:
            commands = [self._next(agent, sweep)]
        answer = {"agent": {"id": agent}, "commands": json.dumps(commands)}
        return {"agentHeartbeat": answer}

    def _next(self, agent: str, sweep: Sweep) -> Variables:
        if not sweep.points:
            return {"type": "exit"}
        point, run = sweep.points.pop(0), uuid.uuid4().hex[:8]
        sweep.taken.append((agent, run, point))
        arguments = {key: {"value": value} for key, value in point.items()}
        return {"type": "run", "run_id": run, "program": None, "args": arguments, "logs": []}

    def RunResumeStatus(self, variables: Variables) -> Variables:
        """A run that may be one that exists."""
        name = variables["name"]
        bucket = self._bucket(name) if name in self.runs else None
        return {"model": self._project() | {"bucket": bucket}}

    def UpsertBucket(self, variables: Variables) -> Variables:
        """A run, at its start and whenever its configuration changes."""
        name = variables["name"]
        inserted = name not in self.runs
        run = self.run(name)
        run.config = json.loads(variables.get("config") or "null") or run.config
        run.summary |= json.loads(variables.get("summaryMetrics") or "{}")
        run.sweep = variables.get("sweep") or run.sweep
        run.places.add(f"{variables.get('entity') or ENTITY}/{variables.get('project')}")
        bucket = self._bucket(name) | {"sweepName": run.sweep, "project": self._project()}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def CreateRunFiles(self, variables: Variables) -> Variables:
        """A run that is about to upload."""
        place = f"{self.url}/storage/{variables['run']}"
        files = [{"name": f, "uploadUrl": f"{place}/{f}"} for f in variables["files"]]
        answer = {"runID": variables["run"], "uploadHeaders": [], "files": files}
        return {"createRunFiles": answer}

    def NotifyScriptableRunAlert(self, variables: Variables) -> Variables:
        """A run that calls for attention."""
        self.run(variables["runName"]).alerts.append(variables["title"])
        return {"notifyScriptableRunAlert": {"success": True}}

    def UpsertView2(self, variables: Variables) -> Variables:
        """A workspace that is saved."""
        self.views.append(variables)
        return {"upsertView": {"view": {"id": "1", "name": "view"}, "inserted": True}}

    def _project(self) -> Variables:
        return {"id": "1", "name": PROJECT, "entity": {"id": "1", "name": ENTITY}}

    def _bucket(self, name: str) -> Variables:
        run = self.run(name)
        return {
            "id": name, "name": name, "displayName": name, "description": None, "notes": "",
            "config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history), "historyTail": json.dumps(run.history[-1:]),
            "logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]", "tags": [],
            "wandbConfig": '{"t": 1}',  # without it a run is taken for a new one
        }  # fmt: skip

    # The other two ways in.

    def stream(self, name: str, content: Variables) -> None:
        """History, summary and the end of a run."""
        run = self.run(name)
        for file, chunk in (content.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk["content"] if file.endswith(".jsonl")]
            if file == "wandb-history.jsonl":
                run.history[chunk.get("offset", 0) :] = lines
            elif file == "wandb-summary.json":
                run.summary |= json.loads(chunk["content"][-1])
        if content.get("exitcode") is not None:
            run.exit_code = content["exitcode"]

    def query(self, content: Variables) -> Variables:
        """Answer one operation of GraphQL."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", content["query"])
        name = found[1] if found else ""
        answer = getattr(self, name, None)
        if answer is None:
            self.unanswered.add(name)
            return {"errors": [{"message": f"unknown operation {name}"}]}
        return {"data": answer(content.get("variables") or {})}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave when they like; any other error is one."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Backend

    def do_GET(self) -> None:
        body = self._body()
        self.backend.answers -= 1
        if self.backend.answers >= 0:
            self._send(self._answered(body))
        elif self.backend.fails == "hang":
            self.backend.closing.wait(600)
        else:
            self._send({}, int(self.backend.fails))

    do_PUT = do_POST = do_GET

    def _answered(self, body: bytes) -> Variables:
        with self.backend.lock:
            if self.command == "PUT":
                _, _, run, name = self.path.split("/", 3)
                self.backend.run(run).uploads[name] = body
            elif self.path.endswith("/graphql"):
                return self.backend.query(json.loads(body))
            elif stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                self.backend.stream(stream[1], json.loads(body))
        return {}

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        packed = self.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(body) if packed else body

    def _send(self, content: Variables, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def serve() -> Iterator[Backend]:
    """A backend that answers until the block ends."""
    backend = Backend()
    handler = type("Handler", (_Handler,), {"backend": backend})
    server = _Server(("127.0.0.1", 0), handler)
    backend.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        backend.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def unused_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

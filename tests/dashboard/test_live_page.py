"""`fit --run.watch=true`: a page while the run goes on, a report at its end."""

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.process import OFF, Fit, environment
from lightning_grok.runs.run import Run

PATIENCE = 60.0  # seconds, on a machine that is busy


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def watched(root: Path, epochs: int) -> Iterator[tuple[Fit, str]]:
    """A fit in a process of its own, and the address of its page."""
    training = Fit(
        root, *OFF, "--run.watch=true", "--run.name=watched", f"--trainer.max_epochs={epochs}",
        f"--run.port={free_port()}",
        env=environment(WANDB_MODE="disabled", SSH_CONNECTION="1.2.3.4 5 6.7.8.9 22"),
    )  # fmt: skip
    try:
        page = re.compile(r"^page: (http://\S+#page=run&run=watched)$", re.MULTILINE)
        assert training.until(lambda: bool(page.search(training.printed)), PATIENCE)
        yield training, page.findall(training.printed)[0]
    finally:
        training.kill()


def answer(url: str, path: str) -> Any:
    with urllib.request.urlopen(url.partition("#")[0] + path, timeout=PATIENCE) as response:
        return json.load(response)


def wait_until_gone(url: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            answer(url, "runs")
        except (urllib.error.URLError, ConnectionError):
            return
        time.sleep(0.1)
    raise AssertionError(f"{url} is still there")


@pytest.mark.slow
def test_the_page_is_there_until_the_run_ends(tmp_path: Path) -> None:
    with watched(tmp_path, epochs=100_000) as (training, url):
        (port,) = re.findall(r"--run.port=(\d+)", " ".join(map(str, training.process.args)))
        assert f":{port}/" in url
        tunnel = f"from your own machine: ssh -L {port}:localhost:{port} {socket.gethostname()}"
        assert training.until(lambda: tunnel in training.printed.splitlines(), PATIENCE)
        (row,) = answer(url, "runs")["runs"]
        assert row["id"] == "watched"
        assert answer(url, "page?page=run&run=watched")["views"] is not None
        training.send(signal.SIGINT)
        assert training.wait(PATIENCE) == 130
        wait_until_gone(url)
    assert Run(tmp_path / "watched").state == "interrupted"


@pytest.mark.slow
def test_the_page_ends_with_a_killed_run(tmp_path: Path) -> None:
    with watched(tmp_path, epochs=100_000) as (training, url):
        assert answer(url, "runs")["runs"]
        training.kill()
        wait_until_gone(url)


@pytest.mark.slow
def test_a_finished_run_leaves_the_page_as_a_report(tmp_path: Path) -> None:
    with watched(tmp_path, epochs=2) as (training, url):
        assert training.wait(PATIENCE) == 0
        wait_until_gone(url)
    report = tmp_path / "watched" / "report.html"
    assert f"report: {report}" in training.printed
    assert 'id="report-appendix"' in report.read_text()
    assert (tmp_path / "watched" / "figures" / "run.pdf").exists()

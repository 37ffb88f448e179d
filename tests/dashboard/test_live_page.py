"""`fit --run.watch=true`: a page while the run goes on, a report at its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_runs import QUICK, SMALL

from lightning_grok.runs.run import Run

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds, on a machine that is busy


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def watched(root: Path, epochs: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A fit in a process of its own, and the address of its page."""
    command = [
        sys.executable, "-m", "lightning_grok", "fit", "--config", "configs/smoke.yaml",
        *SMALL, *QUICK, "--run.watch=true", f"--run.root={root}", "--run.name=watched",
        f"--trainer.max_epochs={epochs}", f"--run.port={free_port()}",
    ]  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "disabled", "SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}
    training = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert training.stdout is not None
    try:
        yield (
            training,
            next(
                found[1]
                for line in training.stdout
                if (found := re.match(r"page: (http://\S+#page=run&run=watched)$", line))
            ),
        )
    finally:
        training.kill()
        training.wait()
        training.stdout.close()


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
        port = next(text for text in training.args if text.startswith("--run.port")).split("=")[1]
        assert f":{port}/" in url
        tunnel = f"from your own machine: ssh -L {port}:localhost:{port} {socket.gethostname()}"
        assert training.stdout.readline().strip() == tunnel
        (row,) = answer(url, "runs")["runs"]
        assert row["id"] == "watched"
        assert answer(url, "page?page=run&run=watched")["views"] is not None
        training.send_signal(signal.SIGINT)
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
        output, _ = training.communicate(timeout=PATIENCE)
        assert training.returncode == 0
        wait_until_gone(url)
    report = tmp_path / "watched" / "report.html"
    assert f"report: {report}" in output
    assert 'id="report-appendix"' in report.read_text()
    assert (tmp_path / "watched" / "figures" / "run.pdf").exists()

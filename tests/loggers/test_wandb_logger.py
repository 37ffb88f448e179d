"""W&B as its own tools read it back: offline runs in real processes, no account, no network."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from small_runs import QUICK, signaled

from benchmarks.faults.process import environment, finish
from benchmarks.faults.surroundings import REFUSED_BY_WANDB, wandb_problem
from lightning_grok.loggers.pictures import free_figures
from lightning_grok.loggers.wandb_mode import decide_mode
from lightning_grok.runs.directory import RunDirectory
from lightning_grok.runs.run import Run


def fit_offline(root: Path, *options: str) -> str:
    """``fit`` by a process that knows no key, on the embedded digits; what it printed."""
    fonts = mpl.get_cachedir()  # where they are listed
    keyless = environment(HOME=str(root), WANDB_DATA_DIR=str(root / "staging"), MPLCONFIGDIR=fonts)
    done = finish(root, "--wandb.project=study", *options, env=keyless)
    assert done.status == 0, done.errors
    return done.printed


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two epochs; its directory and what it printed."""
    root = tmp_path_factory.mktemp("runs")
    off = "--umap.enabled=false", "--linear_probe.enabled=false"
    short = "--trainer.max_epochs=2", "--manifold_capacity.layers=[layers.2,layers.4]", *off
    return root / "run", fit_offline(root, *short, "--run.name=run")


@pytest.fixture(scope="module")
def records(offline: tuple[Path, str]) -> list[dict[str, Any]]:
    """All records of the offline run, by W&B's own reader."""
    return read_records(offline[0])


def read_records(path: Path) -> list[dict[str, Any]]:
    (log,) = path.glob("wandb/offline-run-*/run-*.wandb")
    tool = Path(sys.executable).with_name("wandb")
    done = subprocess.run(
        [tool, "leet", "inspect", "--json", log], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_says_where_it_is_and_how_to_send_it(offline: tuple[Path, str]) -> None:
    path, printed = offline
    assert "W&B: offline (no API key is known)" in printed
    said = "W&B: to send what is only here: wandb sync"
    assert f"{said} {path / 'wandb' / 'offline-run-'}" in printed
    assert "emorized" in printed
    assert f"run: {path}" in printed


def history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def test_every_logged_number_is_there_with_its_epoch(
    offline: tuple[Path, str], records: list[dict[str, Any]]
) -> None:
    rows = history(records)
    run = Run(offline[0])
    for key in ("test/accuracy", "kernel_distance/full/own", "manifold_capacity/layers.4/capacity"):
        epochs, values = run.series(key)
        assert epochs.tolist() == [0, 1, 2]
        found = {int(row["epoch"]): float(row[key]) for row in rows if key in row}
        assert found == pytest.approx(dict(zip(epochs.tolist(), values, strict=True)))


@pytest.mark.slow
def test_a_run_that_begins_with_a_shorter_one_has_its_past(tmp_path: Path) -> None:
    fit_offline(tmp_path, "--trainer.max_epochs=2", "--run.name=short")
    begin = f"--run.extends={tmp_path / 'short'}"
    fit_offline(tmp_path, "--trainer.max_epochs=3", "--run.name=long", begin)
    records = read_records(tmp_path / "long")
    assert axes_of(records)["umap/snapshot"] == "epoch"
    rows = history(records)
    shown = {int(row["epoch"]): row for row in rows if "umap/snapshot.path" in row}
    assert list(shown) == [3]  # pictures are not of the past
    assert shown[3]["umap/snapshot.caption"] == "epoch 3"
    for key in ("test/accuracy", "kernel_distance/full/own", "umap/preservation"):
        assert [int(row["epoch"]) for row in rows if key in row] == [0, 1, 2, 3]


def axes_of(records: list[dict[str, Any]]) -> dict[str, str | None]:
    """What each key is drawn over."""
    metrics = [record["metric"] for record in records if record["type"] == "metric"]
    return {each["name"]: each.get("step_metric") for each in metrics if "name" in each}


def test_axes_are_named_exactly(records: list[dict[str, Any]]) -> None:
    axes = axes_of(records)
    for key in ("test/accuracy", "kernel_distance/full/own", "kernel_distance/heatmap"):
        assert axes[key] == "epoch"
    assert not [name for name in axes if "*" in name and axes[name] == "epoch"]


def test_media_carry_the_epoch(offline: tuple[Path, str], records: list[dict[str, Any]]) -> None:
    rows = history(records)
    folder = next(offline[0].glob("wandb/offline-run-*/files"))
    key = "kernel_distance/heatmap"
    shown = {int(row["epoch"]): row for row in rows if f"{key}.path" in row}
    assert list(shown) == [1, 2]
    for epoch, row in shown.items():
        assert row[f"{key}.caption"] == f"epoch {epoch}"
        assert (folder / row[f"{key}.path"]).stat().st_size > 5000


def test_layers_are_compared_in_charts(records: list[dict[str, Any]]) -> None:
    config = json.dumps([record for record in records if record["type"] == "config"])
    for quantity in ("capacity", "radius", "dimension"):
        assert f"_wandb.visualize.manifold_capacity/{quantity}" in config


def test_the_whole_configuration_is_logged_once(records: list[dict[str, Any]]) -> None:
    (run,) = [record["run"] for record in records if record["type"] == "run"]
    config = run["config"]["update"]
    assert run["project"] == "study"
    assert config["model"]["weight_scale"] == 10
    assert config["data"]["dataset"] == "digits"
    assert {"kernel_distance", "manifold_capacity", "umap", "trainer"} <= set(config)
    assert not [key for key in config if "." in key or key.startswith("_inst")]


def test_the_summary_holds_final_values(records: list[dict[str, Any]]) -> None:
    updates = [record["summary"]["update"] for record in records if record["type"] == "summary"]
    summary = {key: value for update in updates if update for key, value in update.items()}
    assert 0 <= summary["final/test_accuracy"] <= 1
    assert summary["grokked"] == 0


class Server(BaseHTTPRequestHandler):
    answer: bytes = b""
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    handler = type("Answering", (Server,), {})
    http = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{http.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield handler
    http.shutdown()
    http.server_close()
    thread.join()


def test_online_where_the_server_knows_the_key(server: type[Server]) -> None:
    server.answer = json.dumps({"data": {"viewer": {"id": "someone"}}}).encode()
    assert decide_mode("auto") == ("online", "the server answers")
    assert decide_mode("offline")[0] == "offline"


@pytest.mark.parametrize(
    ("status", "answer"), [(200, b'{"data": {"viewer": null}}'), (500, b""), (200, b"<html>")]
)
def test_offline_where_it_does_not(server: type[Server], status: int, answer: bytes) -> None:
    server.status, server.answer = status, answer
    mode, reason = decide_mode("auto")
    assert mode == "offline"
    assert "127.0.0.1" in reason


def test_offline_within_a_second_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        monkeypatch.delenv("WANDB_MODE", raising=False)
        start = time.monotonic()
        assert decide_mode("auto")[0] == "offline"
        assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("mode", "expected"), [("offline", "offline"), ("disabled", "disabled"), ("dryrun", "offline")]
)
def test_the_environment_decides_first(
    mode: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    assert decide_mode("auto")[0] == expected


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working directory without any trace of W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wandb_command(*arguments: str) -> None:
    tool = Path(sys.executable).with_name("wandb")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_wandb_login_keeps_is_found(home: Path, server: type[Server]) -> None:
    server.answer = json.dumps({"data": {"viewer": {"id": "someone"}}}).encode()
    host = os.environ.pop("WANDB_BASE_URL")
    del os.environ["WANDB_API_KEY"]
    assert decide_mode("auto") == ("offline", "no API key is known")
    wandb_command("login", "--no-verify", f"--host={host}", "k" * 40)
    assert decide_mode("auto") == ("online", "the server answers")
    wandb_command("offline")
    assert decide_mode("auto") == ("offline", "as asked")


@pytest.mark.slow
def test_a_plain_login_is_one_at_the_server_that_wandb_uses(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb_command("login", "--no-verify", "k" * 40)
    monkeypatch.setattr(
        "lightning_grok.loggers.wandb_mode._problem_with_server", lambda base, key: key
    )
    assert decide_mode("auto") == ("offline", "k" * 40)  # asked with the key that was stored


def test_figures_are_freed_once_they_are_drawn() -> None:
    with free_figures():
        figure = Figure()
        figure.subplots().plot(range(1000))
        figure.savefig(io.BytesIO())
        left = weakref.ref(figure)
        del figure
        assert left() is not None  # its cycles
    assert left() is None


@pytest.mark.parametrize(("key", "value"), REFUSED_BY_WANDB)
def test_offline_with_a_reason_where_wandb_refuses_a_variable(
    key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv(key, value)
    assert not wandb_problem(key, value)


def test_no_key_is_ever_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "foo")
    monkeypatch.setenv("WANDB_API_KEY", "a secret")
    assert "a secret" not in " ".join(decide_mode("auto"))


@pytest.mark.slow
def test_what_wandb_has_nothing_of_is_sent_beside_another_logger_and_without_a_home(
    fit: Callable[..., Run], tmp_path: Path
) -> None:
    """Of a run that was killed before W&B had written anything."""
    off = [f"--{group}.enabled=false" for group in ("kernel_distance", "linear_probe", "umap")]
    options = [*off, "--trainer.max_epochs=4", "--run.checkpoint_seconds=0"]
    with signaled(2, signal.SIGTERM), pytest.raises(SystemExit):
        fit(*options)
    directory = RunDirectory(tmp_path / "run")
    directory.update_meta(wandb_id="0123abcd", state="running")
    directory.close()

    place = tmp_path / "theirs"
    place.mkdir()
    logger = f"--trainer.logger=WandbLogger --trainer.logger.save_dir={place}".split()
    surroundings = os.environ | {
        "HOME": "/proc/nowhere", "WANDB_MODE": "offline", "WANDB_CONSOLE": "nope",
        "WANDB_DATA_DIR": str(tmp_path / "staging"),
    }  # fmt: skip
    done = finish(
        tmp_path, *QUICK, *options, "--run.name=run", "--resume", *logger,
        "--trainer.logger.offline=true", env=surroundings,
    )  # fmt: skip
    assert done.status == 0, done.errors
    assert "W&B: offline (W&B refuses WANDB_CONSOLE" in done.printed
    assert "already in progress" not in done.errors
    rows = history(read_records(tmp_path / "run"))
    epochs = sorted(int(float(row["epoch"])) for row in rows if "test/accuracy" in row)
    assert epochs == [0, 1, 2, 3, 4]
    assert len(list(place.glob("wandb/offline-run-*"))) == 1

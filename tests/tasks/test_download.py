import gzip
import hashlib
import socket
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import idx_files
import pytest

from lightning_grok.errors import InputError
from lightning_grok.tasks import download as downloads
from lightning_grok.tasks.datasets import emnist, missing_files, mnist, read
from lightning_grok.tasks.download import DownloadError, download

datasets = pytest.importorskip("torchvision.datasets")
ADDRESS = "/gzip.zip"


class Server(ThreadingHTTPServer):
    """Serves `files` by path; `sent` cuts what is sent, `delay` comes before it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.sent, self.delay = {}, [], None, 0.0

    def url(self, path=""):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        time.sleep(self.server.delay)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.sent])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(server, tmp_path, monkeypatch):
    """EMNIST's archive with two splits, served in its publisher's name."""
    path = tmp_path / "served.zip"
    idx_files.archive(
        path, idx_files.emnist_files(), idx_files.emnist_files("letters", 26, first=1)
    )
    content = path.read_bytes()
    server.files[ADDRESS] = content
    digest = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(downloads, "EMNIST", (server.url(ADDRESS), digest))
    return content


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def lines():
    return []


def left(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_emnist_is_fetched_verified_and_readable(archive, server, root, lines):
    download(emnist(), root, lines.append)
    assert missing_files(emnist(), root) == []
    assert len(read(emnist(), root, "test").labels) == 100
    assert not [name for name in left(root) if name.endswith(".part")]
    assert datasets.EMNIST(root, "balanced", train=True).data.shape == (200, 28, 28)
    assert server.url(ADDRESS) in lines[0]
    assert str(root / "EMNIST" / "raw") in lines[0]


def test_what_is_there_is_not_fetched(root, server, lines):
    idx_files.write(root / "EMNIST" / "raw", idx_files.emnist_files())
    download(emnist(), root, lines.append)
    assert lines == server.requests == []


@pytest.mark.usefixtures("archive")
def test_another_split_comes_from_the_same_archive(server, root, lines):
    download(emnist(), root, lines.append)
    download(emnist("letters"), root, lines.append)
    assert len(server.requests) == 1
    assert read(emnist("letters"), root, "train").labels.max() == 25


@pytest.mark.usefixtures("archive")
def test_a_broken_archive_is_fetched_again(server, root, lines):
    idx_files.write(root / "EMNIST" / "raw", {"gzip.zip": b"half of it"})
    download(emnist(), root, lines.append)
    assert len(server.requests) == 1
    assert missing_files(emnist(), root) == []


def test_a_download_that_breaks_off_leaves_nothing(archive, server, root, lines):
    server.sent = len(archive) // 2
    with pytest.raises(DownloadError, match="broke off"):
        download(emnist(), root, lines.append)
    assert left(root) == [".download.lock"]
    server.sent = None
    download(emnist(), root, lines.append)
    assert missing_files(emnist(), root) == []


@pytest.mark.usefixtures("archive")
def test_other_content_is_refused(server, root, lines):
    server.files[ADDRESS] = b"<html>moved</html>"
    with pytest.raises(DownloadError, match="does not match the known hash"):
        download(emnist(), root, lines.append)
    assert left(root) == [".download.lock"]


def test_mnist_takes_the_next_mirror(server, root, lines, monkeypatch):
    packed = {f"{name}.gz": gzip.compress(file) for name, file in idx_files.mnist_files().items()}
    server.files |= {f"/second/{name}": content for name, content in packed.items()}
    checksums = {name: hashlib.md5(content).hexdigest() for name, content in packed.items()}
    monkeypatch.setattr(downloads, "MNIST", checksums)
    monkeypatch.setattr(downloads, "MIRRORS", [server.url("/first/"), server.url("/second/")])
    download(mnist(), root, lines.append, "test")
    assert len(missing_files(mnist(), root)) == 2
    assert len(read(mnist(), root, "test").labels) == 40
    assert [path.split("/")[1] for path in server.requests] == ["first", "second"] * 2


def test_no_one_listens(root, lines, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/gzip.zip"
    monkeypatch.setattr(downloads, "EMNIST", (url, "0" * 32))
    with pytest.raises(DownloadError, match=f"{url} can't be reached .*refused"):
        download(emnist(), root, lines.append)


@pytest.mark.usefixtures("archive")
def test_the_file_has_moved(server, root, lines):
    server.files.clear()
    with pytest.raises(DownloadError, match=r"gzip\.zip answers 404 Not Found"):
        download(emnist(), root, lines.append)


def test_a_silent_host_is_given_up(root, lines, monkeypatch):
    monkeypatch.setattr(downloads, "_SILENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/gzip.zip"
        monkeypatch.setattr(downloads, "EMNIST", (url, "0" * 32))
        start = time.perf_counter()
        with pytest.raises(DownloadError, match="timed out"):
            download(emnist(), root, lines.append)
    assert time.perf_counter() - start < 3


@pytest.mark.usefixtures("archive")
def test_a_root_that_cant_be_written(tmp_path, lines):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"writable folder for the data .*received .*Not a dir"):
        download(emnist(), tmp_path / "file", lines.append)


PROCESS = """
    import sys
    from pathlib import Path
    from lightning_grok.tasks import download as downloads
    from lightning_grok.tasks.datasets import emnist, read

    url, md5, root = sys.argv[1:]
    downloads.EMNIST = url, md5
    print("ready", flush=True)
    sys.stdin.readline()
    downloads.download(emnist(), Path(root), lambda line: print(line, flush=True))
    print(len(read(emnist(), Path(root), "train").labels))
"""


def test_addresses_and_checksums_are_torchvisions():
    assert (datasets.EMNIST.url, datasets.EMNIST.md5) == downloads.EMNIST
    assert dict(datasets.MNIST.resources) == downloads.MNIST
    assert tuple(datasets.MNIST.mirrors) == downloads.MIRRORS


@pytest.mark.slow
def test_two_processes_download_once(archive, server, root):
    server.delay = 1.0  # both ask while the first is being answered
    arguments = [*downloads.EMNIST, str(root)]
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        for process in (one, other):
            assert process.stdout.readline() == "ready\n"
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
        said = sorted(process.communicate(timeout=60)[0].splitlines() for process in (one, other))
    assert server.requests == [ADDRESS]
    waited, fetched = said
    assert waited == [
        f"Another process is downloading to {root / 'EMNIST' / 'raw'}: waiting for it.",
        "200",
    ]
    assert fetched[0].startswith("Downloading http")
    assert fetched[-1] == "200"

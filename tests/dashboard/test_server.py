"""A real server on a free port: what it answers, and what it refuses."""

import json
import math
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from watched_runs import evaluate, write_run

from lightning_grok.commands.main import main
from lightning_grok.dashboard.server import SCRIPTS, DashboardServer
from lightning_grok.errors import InputError
from lightning_grok.runs.run import Run


def get(served: DashboardServer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(served.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def ask(served: DashboardServer, path: str, **query: str) -> dict:
    status, _, body = get(served, f"{path}?{urlencode(query)}")
    assert status == 200
    return json.loads(body)


def wait_for_runs(served: DashboardServer, count: int) -> dict:
    served.folder._looked = -math.inf  # for new runs is looked once a second
    while len(runs := ask(served, "runs")["runs"]) < count:
        pass
    return {row["id"]: row for row in runs}


def test_the_page_is_whole_and_asks_nobody_else(served: DashboardServer) -> None:
    status, headers, page = get(served, "")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert b"http" not in page
    for name in ("page.css", *SCRIPTS, "plotly.js"):
        assert f'"{name}"'.encode() in page
        assert get(served, name)[0] == 200


def test_an_answer_comes_once_until_something_is_measured(served: DashboardServer) -> None:
    directory = write_run(served.folder.root, "r", last=50)
    wait_for_runs(served, 1)
    query = "page?page=run&run=r"
    _, headers, first = get(served, query)
    tag = headers["ETag"]
    assert get(served, query, **{"If-None-Match": tag})[0] == 304
    list_tag = get(served, "runs")[1]["ETag"]
    assert get(served, "runs", **{"If-None-Match": list_tag})[0] == 304
    evaluate(directory, 100)
    status, headers, second = get(served, query, **{"If-None-Match": tag})
    assert (status, headers["ETag"] != tag) == (200, True)
    digests = [{v["id"]: v["digest"] for v in json.loads(b)["views"]} for b in (first, second)]
    assert digests[0]["accuracy"] != digests[1]["accuracy"]
    assert json.loads(second)["epochs"][-1] == 100
    assert get(served, "runs", **{"If-None-Match": list_tag})[0] == 200
    directory.update_meta(state="failed")
    assert ask(served, "page", page="run", run="r")["heading"]["state"] == "failed"


def test_a_view_that_did_not_change_keeps_its_digest(served: DashboardServer) -> None:
    directory = write_run(served.folder.root, "r", last=50)
    wait_for_runs(served, 1)

    def digests() -> dict[str, str]:
        views = ask(served, "page", page="run", run="r")["views"]
        return {view["id"]: view["digest"] for view in views}

    before = digests()
    directory.log("weight_norm", 50, 0, {"weight_norm/total": 1.0})
    after = digests()
    assert {key for key in before if before[key] != after[key]} == {"weights"}


def test_classes_comparison_and_frames(served: DashboardServer) -> None:
    writers = [write_run(served.folder.root, f"r{k}", seed=k) for k in range(2)]
    rows = wait_for_runs(served, 2)
    assert ask(served, "runs")["newest"] == "r1"
    assert rows["r0"]["state"] == "running"
    writers[0].close()
    assert wait_for_runs(served, 2)["r0"]["state"] == "interrupted"
    page = ask(served, "page", page="classes", run="r0", layer="layers.1")
    assert (page["layer"], len(page["layers"])) == ("layers.1", 5)
    both = ask(served, "page", page="compare", runs=json.dumps(["r0", "r1", "../etc"]))
    assert "2 seeds" in both["legend"][0]["label"]
    frame = ask(served, "frame", run="r0", epoch="100")
    assert sum(len(part["x"]) for part in frame.values()) == 40


def test_a_run_with_a_wrong_description_is_shown_without_it(served: DashboardServer) -> None:
    wrong = {"layer_names": 5, "class_names": 1.5, "network": "x", "transfer": [1]}
    write_run(served.folder.root, "a", last=50, **wrong)
    write_run(served.folder.root, "b", last=50)
    assert wait_for_runs(served, 2)["a"]["complete"]
    for kind in ("run", "classes"):
        assert len(ask(served, "page", page=kind, run="a")["views"]) > 2
    assert len(ask(served, "page", page="compare", by="run")["legend"]) == 2


@pytest.mark.parametrize(
    "path",
    [
        "page?page=run&run=../secret", "page?page=run&run=/etc", "page?page=run&run=",
        "page?page=run&run=r/arrays", "page?page=other&run=r", "page?page=classes&run=r&layer=x",
        "page?page=compare&runs={", "page?page=compare&runs=" + 5000 * "[",
        "page?page=run&run=r&charts=3", "series?of={", "series?of=[1]", "series?of=" + 5000 * "[",
        'series?of=[["../secret","test/accuracy"]]', "frame?run=r&epoch=../../run",
        "frame?run=r&epoch=7", "frame", "run.json", "static/page.html", "../secret/run.json",
        "..%2fsecret%2frun.json", "r/run.json", "page.py", "%00",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_served(served: DashboardServer, path: str) -> None:
    write_run(served.folder.root, "r", last=5)
    write_run(served.folder.root.parent, "secret", last=5)
    wait_for_runs(served, 1)
    status, _, body = get(served, path)
    assert (status, body) == (404, b"no such thing\n")


def test_names_that_are_no_text_are_passed_over(served: DashboardServer) -> None:
    write_run(served.folder.root, "r", last=5)
    wait_for_runs(served, 1)
    assert get(served, 'page?page=compare&runs=[[1],"r"]')[0] == 200


def test_another_host_name_and_another_method_are_refused(served: DashboardServer) -> None:
    assert get(served, "runs", Host="evil.example")[0] == 403
    assert get(served, "runs", Host="localhost:9999")[0] == 200  # a forwarded port
    for method, status in (("POST", 403), ("PUT", 501), ("DELETE", 501)):
        assert send(served, "runs", b"x", method=method) == status


def send(
    served: DashboardServer, path: str, data: bytes, *, method: str = "POST", **headers: str
) -> int:
    request = urllib.request.Request(served.url + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_what_is_noted_of_a_run_stays_beside_it(served: DashboardServer) -> None:
    write_run(served.folder.root, "r", last=5)
    wait_for_runs(served, 1)
    mark = {"pinned": True, "hidden": False, "name": " mine ", "tags": ["a", " "], "note": "<b>"}
    body = json.dumps({"run": "r", "mark": mark}).encode()
    assert send(served, "marks", body, **{"X-Token": served.token}) == 200
    kept = {"pinned": True, "name": "mine", "tags": ["a"], "note": "<b>"}
    assert ask(served, "runs")["marks"] == {"r": kept}
    assert json.loads((served.folder.root / "page.json").read_text()) == {"r": kept}
    assert sorted(each.name for each in served.folder.root.iterdir()) == ["page.json", "r"]
    empty = json.dumps({"run": "r", "mark": {}}).encode()
    assert send(served, "marks", empty, **{"X-Token": served.token}) == 200
    assert ask(served, "runs")["marks"] == {}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"X-Token": ""}, b'{"run": "r", "mark": {}}', 403),
        ({"X-Token": "guessed"}, b'{"run": "r", "mark": {}}', 403),
        ({"Origin": "http://evil.example"}, b'{"run": "r", "mark": {}}', 403),
        ({"Host": "evil.example"}, b'{"run": "r", "mark": {}}', 403),
        ({}, b'{"run": "../secret", "mark": {"note": "x"}}', 404),
        ({}, b'{"run": ["r"], "mark": {}}', 404),
        ({}, b'{"run": "r", "mark": {"delete": true}}', 404),
        ({}, b'{"run": "r", "mark": {"pinned": "yes"}}', 404),
        ({}, b'{"run": "r", "mark": {"note": "' + 20_000 * b"x" + b'"}}', 404),
        ({}, b'{"run": "r", "mark": {"note": "' + 70_000 * b"x" + b'"}}', 404),
        ({}, b"[" * 5000, 404),
        ({}, b"null", 404),
    ],
)  # fmt: skip
def test_only_the_page_itself_notes_what_fits(
    served: DashboardServer, headers: dict[str, str], body: bytes, status: int
) -> None:
    write_run(served.folder.root, "r", last=0)
    wait_for_runs(served, 1)
    assert send(served, "marks", body, **{"X-Token": served.token} | headers) == status
    assert not (served.folder.root / "page.json").exists()


def test_a_damaged_file_of_notes_is_none(served: DashboardServer) -> None:
    path = served.folder.root / "page.json"
    for content in ("", "[1]", '{"r": 3}', '{"r": {"pinned": 1}}', '{"r": {"x": 1}}', 9000 * "["):
        path.write_text(content)
        assert ask(served, "runs")["marks"] == {}


def test_settings_final_values_and_series_are_those_of_the_run(served: DashboardServer) -> None:
    directory = write_run(served.folder.root, "r", last=50)
    (directory.path / "config.yaml").write_text("model: {hidden: [3, 4]}\ndata: {train_size: 64}\n")
    directory.log("evaluation", 60, 480, {"test/accuracy": 0.123456789})
    wait_for_runs(served, 1)
    run = Run(directory.path)
    table = ask(served, "table")["r"]
    assert table["settings"] == {"model.hidden": "[3, 4]", "data.train_size": 64}
    assert table["final"]["test/accuracy"] == 0.123457
    (series,) = ask(served, "series", of='[["r", "test/accuracy"]]')
    assert (series["epochs"], series["values"]) == tuple(
        x.tolist() for x in run.series("test/accuracy")
    )
    page = ask(served, "page", page="config", run="r")
    assert page["settings"] == table["settings"]
    assert page["facts"]["path"] == str(directory.path)
    files = {Path(path).name: size for path, size in page["facts"]["files"]}
    assert files["config.yaml"] == (directory.path / "config.yaml").stat().st_size
    assert page["facts"]["next"] is None  # it runs


def test_no_run_and_every_option_can_be_compared(served: DashboardServer) -> None:
    for k, size in enumerate((64, 64, 128)):
        directory = write_run(served.folder.root, f"r{k}", seed=k, last=5)
        (directory.path / "config.yaml").write_text(f"data: {{train_size: {size}}}\n")
    wait_for_runs(served, 3)
    assert ask(served, "page", page="compare", runs="[]")["views"] == []
    legend = ask(served, "page", page="compare", by="data.train_size")["legend"]
    assert [each["label"] for each in legend] == [
        "data.train_size = 64 (2 seeds)", "data.train_size = 128 (1 seed)",
    ]  # fmt: skip


def test_only_this_machine_is_listened_to(served: DashboardServer) -> None:
    assert served.server_address[0] == "127.0.0.1"


def test_a_port_in_use_and_a_missing_folder_are_said_in_a_line(
    served: DashboardServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(served.server_address[1])
    cases = {
        (str(tmp_path), "--port", port): f"expected a free port, received {port}",
        (str(tmp_path), "--port", "99999"): "argument --port: expected a number of 0 to 65,535",
        (str(tmp_path / "none"),): "expected a folder of runs, received",
    }
    for arguments, message in cases.items():
        with pytest.raises(SystemExit) as stopped:
            main(["dashboard", *arguments, "--no-browser"])
        assert stopped.value.code == 2
        assert f"error: {message}" in capsys.readouterr().err
    with pytest.raises(InputError):
        DashboardServer(tmp_path / "none", 0)


def test_the_folder_of_the_first_run_may_be_yet_to_come(tmp_path: Path) -> None:
    with DashboardServer(tmp_path / "runs", 0, awaited=True) as server:
        assert server.folder.ids == []
        write_run(server.folder.root, "first", last=50)
        server.folder._looked = -math.inf  # for new runs is looked once a second
        server.folder.refresh()
        assert server.folder.ids == ["first"]


def test_the_command_waits_for_runs_and_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lightning_grok", "dashboard", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert "no runs in" in process.stdout.readline()
        with urllib.request.urlopen(url + "runs", timeout=30) as answer:
            assert json.load(answer)["runs"] == []
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output.strip(), errors) == (0, "", "")


def test_a_browser_that_goes_away_is_no_error(
    served: DashboardServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with socket.create_connection(served.server_address[:2]) as connection:
            connection.sendall(b"GET /plotly.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert get(served, "runs")[0] == 200
    assert capsys.readouterr().err == ""

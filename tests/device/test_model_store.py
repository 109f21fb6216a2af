"""Models are downloaded once, whole and proven, or not at all."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from fer_edge.device import doctor, folders
from fer_edge.device.model_store import MODELS, StoredModel, fetch, stored
from fer_edge.errors import FerEdgeError

CONTENT = bytes(range(256)) * 600


class _Server(BaseHTTPRequestHandler):
    """Serves the model, and everything that a bad day on the web has to offer."""

    asked: ClassVar[list[str]] = []
    over: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/gone":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path in ("/good", "/long"):
            self.wfile.write(CONTENT)
        elif self.path == "/wrong":
            self.wfile.write(CONTENT[::-1])
        elif self.path == "/truncated":
            self.wfile.write(CONTENT[:1000])
        elif self.path == "/hung":
            self.wfile.write(CONTENT[:1000])
            self.over.wait(20)
        elif self.path == "/dripping":
            for place in range(400):
                self.wfile.write(CONTENT[place : place + 1])
                if self.over.wait(0.05):
                    break

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None  # clients that hang up are the point
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        _Server.over.set()
        running.shutdown()
        thread.join()


def _become(monkeypatch: pytest.MonkeyPatch, user: int, machine: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(folders, "MACHINE", machine)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _Server.asked.clear()
    _become(monkeypatch, 1000, tmp_path / "machine")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def _model(url: str, size: int = len(CONTENT)) -> StoredModel:
    return StoredModel("net.onnx", url, size, hashlib.sha256(CONTENT).hexdigest(), "MIT")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", ["/good", "/moved"])
def test_a_model_is_downloaded_once(server, home, path):
    model = _model(server + path)
    target, is_new = fetch(model)
    assert is_new
    assert target == home / "fer-edge" / "models" / "net.onnx"
    assert target.read_bytes() == CONTENT
    asked = len(_Server.asked)
    assert fetch(model) == (target, False)
    assert len(_Server.asked) == asked
    assert _files(home) == [target]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/wrong", "SHA-256 differs"),
        ("/truncated", "1,000 bytes of 153,600"),
        ("/hung", "does not answer"),
        ("/dripping", "too slowly"),
        ("/gone", "404"),
    ],
)
def test_what_is_not_the_model_is_not_kept(server, home, path, reason):
    began = time.monotonic()
    with pytest.raises(FerEdgeError, match=reason) as caught:
        fetch(_model(server + path), stall_s=0.3, limit_s=0.6)
    assert time.monotonic() - began < 5
    assert "127.0.0.1" in caught.value.message
    assert "--detector" in caught.value.hint
    assert _files(home) == []


def test_a_file_that_is_too_long_is_not_read_to_its_end(server):
    with pytest.raises(FerEdgeError, match="1,001 bytes of 1,000"):
        fetch(_model(server + "/long", size=1000))


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(FerEdgeError, match=r"127\.0\.0\.1:9 cannot be reached"):
        fetch(_model("http://127.0.0.1:9/net.onnx"))


def test_a_damaged_copy_is_replaced_and_survives_a_failed_attempt(server):
    target = stored("net.onnx")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    with pytest.raises(FerEdgeError):
        fetch(_model(server + "/wrong"))
    assert target.read_bytes() == b"old"
    assert fetch(_model(server + "/good")) == (target, True)
    assert target.read_bytes() == CONTENT


def test_a_relative_data_home_is_ignored_as_the_specification_says(monkeypatch, home):
    monkeypatch.setenv("XDG_DATA_HOME", "here")
    monkeypatch.setenv("HOME", str(home))
    assert stored("a") == home / ".local" / "share" / "fer-edge" / "models" / "a"


def test_what_root_gets_is_found_by_a_service_and_by_every_user(server, monkeypatch, home):
    machine, model = home / "var" / "fer-edge", _model(server + "/good")
    _become(monkeypatch, 0, machine)
    umask = os.umask(0o077)
    try:
        target, _ = fetch(model)
    finally:
        os.umask(umask)
    assert target == machine / "models" / "net.onnx"
    modes = [path.stat().st_mode & 0o777 for path in (machine, machine / "models", target)]
    assert modes == [0o755, 0o755, 0o644]
    _become(monkeypatch, 61184, machine)
    for data in (machine.parent, home / "empty"):  # the unit's XDG_DATA_HOME, and a user's
        monkeypatch.setenv("XDG_DATA_HOME", str(data))
        assert fetch(model) == (target, False)


def test_doctor_gets_a_model_by_name_and_says_where_it_lies(server, monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "yunet", _model(server + "/good"))
    doctor.get_model("yunet")
    doctor.get_model("yunet")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(str(stored("net.onnx")))
    assert "was there already" in second
    with pytest.raises(FerEdgeError, match="no model 'blaze'") as caught:
        doctor.get_model("blaze")
    assert "yunet" in caught.value.hint


def test_the_pinned_yunet_is_a_file_of_the_model_zoo_on_github_at_one_commit():
    yunet = MODELS["yunet"]
    host, owner, repository, _, commit = yunet.url.removeprefix("https://").split("/")[:5]
    assert (host, owner, repository) == ("github.com", "opencv", "opencv_zoo")
    assert len(commit) == 40
    assert len(yunet.sha256) == 64

"""A network camera against a real MJPEG server that freezes, dies and comes back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from fer_edge.device.sources import LiveSource
from fer_edge.device.sources.stream import NetworkCamera
from fer_edge.device.sources.supervised import Recovery
from fer_edge.errors import FerEdgeError


class Server(ThreadingHTTPServer):
    """Serves numbered gray pictures without end at /stream, something else everywhere else."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.flowing, self.size, self.sent = threading.Event(), (64, 48), 0
        self.dead = False
        self.flowing.set()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/stream"

    def die(self) -> None:
        self.dead = True
        self.flowing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/stream":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while self.server.flowing.wait() and not self.server.dead:
            self.server.sent += 1
            width, height = self.server.size
            gray = np.full((height, width), 50 + self.server.sent % 150, np.uint8)
            picture = cv2.imencode(".jpg", gray)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    with suppress(OSError):
        made.die()


def _source(url: str, said: list[str]) -> LiveSource:
    recovery = Recovery(pauses=(0.1,) * 20, frozen=60.0)
    return LiveSource(NetworkCamera(url, timeout=1.0), recovery=recovery, report=said.append)


def _take(source: LiveSource, said: list[str], messages: int) -> None:
    """Take frames until so many messages came, and five more."""
    deadline, more = time.monotonic() + 20, 5
    for _ in source.frames():
        more -= len(said) >= messages
        if more == 0:
            return
        assert time.monotonic() < deadline, said


def test_frames_come_in_time_however_slowly_they_are_taken(server):
    with _source(server.url, []) as source:
        frames = source.frames()
        for _ in range(3):
            time.sleep(0.2)
            newest = int(next(frames).gray[20, 20]) - 50
            assert server.sent % 150 - newest <= 6
        assert source.counts.dropped > 20


def test_a_server_that_freezes_is_left_and_asked_again(server):
    said: list[str] = []
    with _source(server.url, said) as source:
        _take(source, said, 0)
        server.flowing.clear()
        threading.Timer(1.5, server.flowing.set).start()
        _take(source, said, 2)
        assert source.counts.faults == {"stalled": 1}
    assert said[0].startswith(f"{server.url} gave no frame for 1.")
    assert "is back after" in said[1]


def test_a_server_that_dies_and_comes_back_is_found_again(server):
    said: list[str] = []
    with _source(server.url, said) as source:
        _take(source, said, 0)
        server.die()
        while not said:
            time.sleep(0.01)
        again = Server(server.server_port)
        _take(source, said, 2)
    again.die()
    assert said[0] == f"{server.url} gives no more frames; trying to get it going"
    assert "is back after" in said[1]


def test_a_server_that_stays_away_ends_the_run(server):
    with _source(server.url, []) as source:
        frames = source.frames()
        next(frames)
        server.die()
        with pytest.raises(FerEdgeError, match=r"no camera answers at 127\.0\.0\.1.*refused"):
            list(frames)


def test_a_stream_that_changes_its_size_goes_on_in_the_size_it_began_with(server):
    with _source(server.url, []) as source:
        frames = source.frames()
        next(frames)
        server.size, sent = (128, 96), server.sent
        while server.sent < sent + 60:
            assert next(frames).gray.shape == (48, 64)
        newest = int(next(frames).gray[20, 20]) - 50
        assert server.sent % 150 - newest <= 6


def test_nobody_there_nothing_there_and_no_such_host_are_told_apart(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody = f"no camera answers at 127.0.0.1, port {port}: .*refused"
    with pytest.raises(FerEdgeError, match=nobody):
        NetworkCamera(f"http://127.0.0.1:{port}/stream", timeout=1.0).open()
    with pytest.raises(FerEdgeError, match="answers, but gives no video"):
        NetworkCamera(server.url.replace("stream", "nothing"), timeout=1.0).open()
    with pytest.raises(FerEdgeError, match=r"no such host: camera\.invalid"):
        NetworkCamera("http://camera.invalid/stream", timeout=1.0).open()


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(FerEdgeError, match="gives no video"):
            NetworkCamera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/s", timeout=1.0).open()
        assert time.monotonic() - began < 5

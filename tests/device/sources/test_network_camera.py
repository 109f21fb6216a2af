"""Network cameras against real servers, MJPEG and RTSP, that freeze, die and come back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from stream_servers import MjpegServer, RtspServer, VideoServer

from fer_edge.device.sources import LiveSource
from fer_edge.device.sources.stream import NetworkCamera
from fer_edge.device.sources.supervised import Recovery
from fer_edge.errors import FerEdgeError


@pytest.fixture(params=[MjpegServer, RtspServer], ids=["mjpeg", "rtsp"])
def server(request: pytest.FixtureRequest) -> Iterator[VideoServer]:
    made = request.param()
    yield made
    made.die()


def _source(url: str, said: list[str], pauses: tuple[float, ...] = (0.1,) * 20) -> LiveSource:
    recovery = Recovery(pauses=pauses, frozen=60.0)
    return LiveSource(NetworkCamera(url, timeout=1.0), recovery=recovery, report=said.append)


def _take(source: LiveSource, said: list[str], messages: int) -> None:
    """Take frames until so many messages came, and five more."""
    deadline, more = time.monotonic() + 20, 5
    for _ in source.frames():
        more -= len(said) >= messages
        if more == 0:
            return
        assert time.monotonic() < deadline, said


def _behind(server: VideoServer, gray: int) -> int:
    """How many pictures ago the one with this tone was sent."""
    return (server.newest - (gray - 50)) % 150


def test_frames_come_in_time_however_slowly_they_are_taken(server):
    with _source(server.url, []) as source:
        frames = source.frames()
        for _ in range(3):
            time.sleep(0.2)
            assert _behind(server, int(next(frames).gray[20, 20])) <= 8
        assert source.counts.dropped > 10


def test_an_address_may_begin_in_capitals(server):
    scheme, colon, rest = server.url.partition(":")
    with _source(scheme.upper() + colon + rest, []) as source:
        assert next(source.frames()).gray.shape == (48, 64)


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
        again = type(server)(server.port)
        _take(source, said, 2)
    again.die()
    assert said[0] == f"{server.url} gives no more frames; trying to get it going"
    assert "is back after" in said[1]


def test_a_server_that_stays_away_ends_the_run(server):
    with _source(server.url, [], pauses=(0.0, 0.1)) as source:
        frames = source.frames()
        next(frames)
        server.die()
        with pytest.raises(FerEdgeError, match=r"no camera answers at 127\.0\.0\.1.*refused"):
            list(frames)


def test_a_stream_that_changes_its_size_goes_on_in_the_size_it_began_with():
    server = MjpegServer()
    with _source(server.url, []) as source:
        frames = source.frames()
        next(frames)
        server.size, sent = (128, 96), server.sent
        while server.sent < sent + 60:
            gray = next(frames).gray
            assert gray.shape == (48, 64)
        assert _behind(server, int(gray[20, 20])) <= 8
    server.die()


def test_nobody_there_nothing_there_and_no_such_host_are_told_apart(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody = f"no camera answers at 127.0.0.1, port {port}: .*refused"
    with pytest.raises(FerEdgeError, match=nobody):
        NetworkCamera(f"{server.scheme}://127.0.0.1:{port}/stream", timeout=1.0).open()
    with pytest.raises(FerEdgeError, match="answers, but gives no video"):
        NetworkCamera(server.url.replace("stream", "nothing"), timeout=1.0).open()
    with pytest.raises(FerEdgeError, match=r"no such host: camera\.invalid"):
        NetworkCamera(f"{server.scheme}://camera.invalid/stream", timeout=1.0).open()
    with pytest.raises(FerEdgeError, match=r"no such host: camera\.\.invalid"):
        NetworkCamera(f"{server.scheme}://camera..invalid/stream", timeout=1.0).open()


def test_a_name_that_takes_long_not_to_be_found_is_looked_up_once(monkeypatch):
    asked = []

    def silent(*arguments, **options):
        asked.append(arguments)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with pytest.raises(FerEdgeError, match=r"no such host: camera\.example"):
        NetworkCamera("rtsp://camera.example/stream", timeout=1.0).open()
    assert len(asked) == 1


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(FerEdgeError, match="gives no video"):
            NetworkCamera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/s", timeout=1.0).open()
        assert time.monotonic() - began < 5

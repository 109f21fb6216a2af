"""The page's server, asked by a real client; the page itself is in tests/slow/test_page.py."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import pytest
from made import result, vitals
from prometheus_client.parser import text_string_to_metric_families

from fer_edge.device.web import Address, WebPage, access, app, parse_address, server
from fer_edge.device.web.access import GUESSES, WAIT_S, Answer, Guard, read_token
from fer_edge.errors import FerEdgeError

TOKEN = "correct horse battery".replace(" ", "-")
ANY_PORT = Address("127.0.0.1", 0)


class Served:
    """A page that serves, and what it reported."""

    def __init__(self, token: str | None = None) -> None:
        self.said: list[str] = []
        self.vitals = vitals()
        self.page = WebPage(ANY_PORT, self.vitals, token=token, report=self.said.append)

    @property
    def url(self) -> str:
        return f"http://{self.page.address}"

    def ask(self, dialogue: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        """Have a client talk to it."""

        async def talk() -> None:
            jar = aiohttp.CookieJar(unsafe=True)  # cookies of a numeric address as well
            async with aiohttp.ClientSession(self.url, cookie_jar=jar) as client:
                await asyncio.wait_for(dialogue(client), 30)

        asyncio.run(talk())

    async def write(self, index: int, **what: object) -> None:
        """Have the pipeline put out a frame, at the pace of a camera."""
        made = result(index, **what)
        self.vitals.tally.add(made)
        self.page.write(made)
        await asyncio.sleep(0.01)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    with made.page:
        yield made


@pytest.fixture
def guarded() -> Iterator[Served]:
    made = Served(TOKEN)
    with made.page:
        yield made


async def _picture(served: Served, viewer: aiohttp.ClientWebSocketResponse) -> tuple[dict, bytes]:
    """Ask for a picture; frames go on until it comes."""
    await viewer.send_str("picture")
    for index in range(500):
        await served.write(index)
        try:
            message = await viewer.receive(timeout=0.01)
        except TimeoutError:
            continue
        if message.type is aiohttp.WSMsgType.BINARY:
            (length,) = struct.unpack(">I", message.data[:4])
            return json.loads(message.data[4 : 4 + length]), message.data[4 + length :]
    raise AssertionError("no picture came")


def test_a_viewer_gets_the_picture_that_it_asks_for_with_its_faces(served):
    async def talk(client):
        async with client.ws_connect("/ws") as viewer:
            facts, jpeg = await _picture(served, viewer)
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (120, 160)
        assert abs(int(picture.mean()) - (60 + facts["frame"])) <= 1
        assert (facts["width"], facts["height"]) == (160, 120)
        assert facts["faces"] == [
            {"track": 1, "box": [10, 30, 40, 40], "label": "happy", "confidence": 0.91}
        ]

    served.ask(talk)


def test_who_asks_for_no_picture_gets_none_but_events_and_counts(served):
    async def talk(client):
        async with client.ws_connect("/ws") as viewer:
            assert (await viewer.receive_json())["type"] == "status"
            for index in range(80):
                await served.write(index, event="appear" if index == 7 else None)
            event = await viewer.receive_json()
            assert (event["type"], event["event"], event["frame"]) == ("event", "appear", 7)
            status = await viewer.receive_json()
            assert status["frames"]["dropped"] == 2
            assert 0 < status["frames"]["read"] <= 80
            assert status["latency_ms"]["total"]["p50"] == 5.375
            assert status["fps"] > 0

    served.ask(talk)


def test_a_viewer_that_reads_nothing_is_skipped_and_holds_up_nobody(served):
    async def talk(client):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.page.address.port, limit=1024
        )
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        event = result(0, event="change")
        many = replace(event, events=event.events * 200)
        took = []
        for _ in range(200):
            began = time.perf_counter()
            served.page.write(many)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.002)
        assert np.median(took) < 0.02
        async with client.ws_connect("/ws") as viewer:
            facts, _ = await _picture(served, viewer)
        assert facts["faces"]
        async with client.get("/metrics") as answer:
            assert _samples(await answer.text())["fer_edge_web_total", "skipped_messages"] > 1000
        writer.close()

    served.ask(talk)


def test_inference_is_stopped_and_started(served):
    async def talk(client):
        for path, running, state in (("/stop", False, "stopped"), ("/start", True, "ok")):
            async with client.post(path) as answer:
                assert await answer.json() == {"running": running}
            assert served.vitals.control.running is running
            async with client.get("/healthz") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": state})
        async with client.get("/stop") as answer:
            assert answer.status == 405

    served.ask(talk)


def test_health_is_bad_when_no_frame_comes(served, monkeypatch):
    monkeypatch.setattr(app, "STALLED_S", 0.0)

    async def talk(client):
        async with client.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "stalled"})

    served.ask(talk)


def _samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values(), reverse=True)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_counts_and_latencies(served):
    async def talk(client):
        for index in range(5):
            await served.write(index, faces=2, event="appear")
        async with client.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            found = _samples(await answer.text())
        assert found["fer_edge_frames_total", "read"] == 5
        assert found["fer_edge_frames_total", "dropped"] == 2
        assert found["fer_edge_faces_total", "happy"] == 10
        assert found["fer_edge_events_total", "appear"] == 5
        assert found["fer_edge_faults_total", "stalled"] == 3
        bucket = "fer_edge_latency_seconds_bucket"
        assert found[bucket, "total", "0.004"] == 0
        assert found[bucket, "total", "0.008"] == found[bucket, "total", "+Inf"] == 5
        assert found["fer_edge_latency_seconds_sum", "total"] == pytest.approx(5 * 5.375e-3)

    served.ask(talk)


def test_the_page_needs_nothing_from_elsewhere_and_is_not_stored(served):
    async def talk(client):
        async with client.get("/") as answer:
            page = await answer.text()
            policy = answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in policy
        nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
        assert f'<script nonce="{nonce}">' in page
        assert "http://" not in page
        assert "https://" not in page
        async with client.get("/") as again:
            assert nonce not in await again.text()

    served.ask(talk)


def test_a_token_is_asked_for_and_a_session_stands_for_it(guarded):
    async def talk(client):
        for path in ("/ws", "/status", "/metrics"):
            async with client.get(path) as answer:
                assert answer.status == 401, path
        for path in ("/stop", "/start"):
            async with client.post(path) as answer:
                assert answer.status == 401, path
        assert guarded.vitals.control.running
        for path in ("/", "/healthz"):
            async with client.get(path) as answer:
                assert answer.status == 200, path
        async with client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
        async with client.post("/login", json={"token": "wrong"}) as answer:
            assert answer.status == 401
        async with client.post("/login", json={"token": TOKEN}) as answer:
            assert answer.status == 204
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        async with client.ws_connect("/ws") as viewer:
            assert (await viewer.receive_json())["type"] == "status"

    guarded.ask(talk)


def test_a_thousand_wrong_tokens_are_soon_not_even_compared(guarded):
    async def talk(client):
        async with client.post("/login", json={"token": TOKEN}):
            pass
        statuses = []
        async with aiohttp.ClientSession(guarded.url) as stranger:
            for guess in range(1000):
                head = {"Authorization": f"Bearer guess-number-{guess}"}
                async with stranger.get("/status", headers=head) as answer:
                    statuses.append(answer.status)
            async with stranger.post("/login", json={"token": TOKEN}) as answer:
                assert answer.status == 429
                assert answer.headers["Retry-After"] == "60"
        assert statuses == [401] * GUESSES + [429] * (1000 - GUESSES)
        async with client.get("/metrics") as answer:  # whoever was in stays in
            assert _samples(await answer.text())["fer_edge_web_total", "wrong_tokens"] == 1001

    guarded.ask(talk)
    assert len([line for line in guarded.said if "wrong tokens" in line]) == 1


def test_after_a_while_a_token_is_compared_again():
    now = [0.0]
    guard = Guard(TOKEN, clock=lambda: now[0])
    assert [guard.check("x", "1.2.3.4") for _ in range(GUESSES)] == [Answer.WRONG] * GUESSES
    assert guard.check(TOKEN, "1.2.3.4") is Answer.WAIT
    assert guard.check(TOKEN, "1.2.3.5") is Answer.RIGHT
    now[0] = WAIT_S + 1
    assert guard.check(TOKEN, "1.2.3.4") is Answer.RIGHT


def test_guesses_from_very_many_addresses_take_bounded_memory():
    guard = Guard(TOKEN)
    for number in range(10_000):
        guard.check("x", str(number))
    assert len(guard._guesses) == access._ADDRESSES


@pytest.mark.parametrize("content", ["", "short", "with a space in it, but long", "x" * 20 + "ü"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(tmp_path, content):
    path = tmp_path / "token"
    path.write_text(content + "\n")
    with pytest.raises(FerEdgeError, match="holds no token of at least 16") as caught:
        read_token(path)
    assert "secrets.token_urlsafe" in caught.value.hint


def test_a_token_file_is_read_without_its_line_end_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\r\n")
    assert read_token(tmp_path / "token") == TOKEN
    with pytest.raises(FerEdgeError, match=r"cannot read the token in .*absent"):
        read_token(tmp_path / "absent")


_UNFINISHED = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"\r\n\r\n\0\0\0",
    b'POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"token":',
)
_BAD = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"GET " + b"/a" * 6000 + b" HTTP/1.1\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
    *_UNFINISHED,
)


def test_a_thousand_bad_requests_do_no_harm_and_leave_no_trace(served, capfd):
    for number in range(1000):
        with socket.create_connection(("127.0.0.1", served.page.address.port), 5) as client:
            client.sendall(_BAD[number % len(_BAD)])
            if number < len(_BAD) - len(_UNFINISHED):
                assert int(client.recv(65536).split()[1]) >= 400, _BAD[number]

    async def talk(client):
        async with client.ws_connect("/ws") as viewer:
            await _picture(served, viewer)

    served.ask(talk)
    assert capfd.readouterr() == ("", "")
    assert len(served.said) == 1


def test_connections_that_say_nothing_do_not_use_up_all_descriptors(served):
    port = served.page.address.port
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(server.MAX_CONNECTIONS)]
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", port), 5) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in idle:
        connection.close()
    time.sleep(0.1)

    async def talk(client):
        async with client.get("/healthz") as answer:
            assert answer.status == 200

    served.ask(talk)


def test_there_are_viewers_enough(served):
    async def talk(client):
        viewers = [await client.ws_connect("/ws") for _ in range(app.MAX_VIEWERS)]
        async with client.get("/ws") as answer:
            assert answer.status == 503
        for viewer in viewers:
            await viewer.close()
        async with client.ws_connect("/ws") as viewer:
            assert (await viewer.receive_json())["viewers"] == 1

    served.ask(talk)


def test_another_sites_page_can_neither_watch_nor_stop(served):
    async def talk(client):
        foreign = {"Origin": "http://evil.example"}
        async with client.post("/stop", headers=foreign) as answer:
            assert answer.status == 403
        async with client.get("/ws", headers=foreign) as answer:
            assert answer.status == 403
        own = {"Origin": served.url}
        async with client.post("/stop", headers=own) as answer:
            assert answer.status == 200
        # a name that its owner lets point to 127.0.0.1
        async with client.get("/status", headers={"Host": "evil.example:8080"}) as answer:
            assert answer.status == 403

    served.ask(talk)


def test_what_others_can_reach_needs_a_token():
    for host in ("0.0.0.0", "192.168.1.5", "::", "pi.local"):
        with pytest.raises(FerEdgeError, match="there is no token") as caught:
            WebPage(Address(host, 8080), vitals())
        assert "--token-file" in caught.value.hint
    for host in ("localhost", "127.0.0.1", "::1"):
        WebPage(Address(host, 8080), vitals())


def test_addresses_are_read():
    assert parse_address("8080") == Address("127.0.0.1", 8080)
    assert parse_address("0.0.0.0:80") == Address("0.0.0.0", 80)
    assert str(parse_address("[::1]:80")) == "[::1]:80"
    for text in ("", "host", "host:", "host:99999", "http://host:80", "a b:80"):
        with pytest.raises(FerEdgeError, match="cannot serve on"):
            parse_address(text)


def test_a_port_that_is_taken_is_named(served):
    page = WebPage(served.page.address, vitals())
    with pytest.raises(FerEdgeError, match="address already in use"), page:
        pass


def test_the_end_leaves_neither_thread_nor_descriptor_and_tells_viewers():
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = threading.active_count(), descriptors()
    for _ in range(2):
        made = Served()

        async def talk(client, made=made):
            viewer = await client.ws_connect("/ws")
            await asyncio.to_thread(made.page.__exit__, None, None, None)
            while not viewer.closed:
                await viewer.receive()

        with made.page:
            made.ask(talk)
    made.page.write(result())
    assert (threading.active_count(), descriptors()) == before

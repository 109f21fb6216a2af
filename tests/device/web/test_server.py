"""The page's server, asked by a real client; the page itself is in tests/slow/test_page.py."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from made import result, vitals
from served import TOKEN, Served, samples

from fer_edge.device.web import Address, WebPage, app, parse_address
from fer_edge.errors import FerEdgeError


def test_a_viewer_gets_the_picture_that_it_asks_for_with_its_faces(served):
    async def talk(client):
        async with client.ws_connect("/ws") as viewer:
            facts, jpeg = await served.picture(viewer)
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


def test_viewers_that_join_and_a_switch_that_is_turned_do_not_change_the_rate(monkeypatch):
    monkeypatch.setattr(app, "_STATUS_EVERY", 1.0)
    made = Served()

    async def talk(client):
        async with client.ws_connect("/ws") as viewer:
            await viewer.receive_json()
            for index in range(20):
                await made.write(index)
            rates = [(await viewer.receive_json())["fps"]]
            for _ in range(3):
                async with client.ws_connect("/ws") as other:
                    rates.append((await other.receive_json())["fps"])
                async with client.post("/start"):
                    rates.append((await viewer.receive_json())["fps"])
        assert rates == pytest.approx([20] * 7, rel=0.5)
        assert len(set(rates)) == 1

    with made.page:
        made.ask(talk)


def test_viewers_are_counted_in_the_thread_that_they_belong_to(served, monkeypatch):
    counts, threads = app.Pages.counts, []

    def count(pages):
        threads.append(threading.current_thread().name)
        return counts(pages)

    monkeypatch.setattr(app.Pages, "counts", count)

    async def talk(client):
        async with client.get("/metrics") as answer:
            assert answer.status == 200

    served.ask(talk)
    assert threads == ["web"]


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
            facts, _ = await served.picture(viewer)
        assert facts["faces"]
        async with client.get("/metrics") as answer:
            assert samples(await answer.text())["fer_edge_web_total", "skipped_messages"] > 1000
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


def test_prometheus_reads_counts_and_latencies(served):
    async def talk(client):
        for index in range(5):
            await served.write(index, faces=2, event="appear")
        async with client.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            found = samples(await answer.text())
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


def test_prometheus_knows_every_fault_event_and_label_before_the_first(served):
    async def talk(client):
        async with client.get("/metrics") as answer:
            found = samples(await answer.text())
        assert found["fer_edge_faults_total", "stalled"] == 3
        for fault in ("frozen", "black", "resized"):
            assert found["fer_edge_faults_total", fault] == 0
        for event in ("appear", "change", "leave"):
            assert found["fer_edge_events_total", event] == 0
        for label in ("happy", "sad", "uncertain"):
            assert found["fer_edge_faces_total", label] == 0

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


def test_a_visit_leaves_nothing_behind(served):
    paths = ("/", "/status", "/metrics", "/healthz", "/nowhere")

    async def visit(client, times):
        for number in range(times):
            async with client.get(paths[number % len(paths)]) as answer:
                await answer.read()
            async with client.ws_connect("/ws") as viewer:
                await viewer.receive_json()

    async def talk(client):
        await visit(client, 20)
        counts = []
        for _ in range(4):
            await visit(client, 100)
            await asyncio.sleep(0.1)  # for the server's side of what was closed
            gc.collect()
            counts.append(len(gc.get_objects()))
        # other threads come and go; one object a visit would be 200 every time
        assert min(after - before for before, after in pairwise(counts)) < 50

    served.ask(talk)


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


@pytest.mark.parametrize("host", ["pi..lan", f"{'x' * 64}.lan"])
def test_a_host_that_cannot_be_looked_up_is_named(host):
    page = WebPage(Address(host, 0), vitals(), token=TOKEN)
    with pytest.raises(FerEdgeError, match=f"cannot serve on {host}:0: no host is called"), page:
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

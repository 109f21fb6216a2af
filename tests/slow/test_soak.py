"""Days of a device's life in minutes: every frame through the whole pipeline, faults at random.

The camera stalls, tears, goes black, changes its size and is unplugged; the disk of the log fills
up; the broker goes away; somebody stops and starts on the page. In a second, shorter run people
watch there and read nothing, and ask nonsense, six a second. A visit leaves no object behind, but
the first thousand of them make the allocator keep 1 to 1.5 MB more, spread over the whole run.
SOAK_FRAMES sets how many frames; 200,000 if it is unset.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from test_mqtt_broker import MOSQUITTO, RealBroker

FRAMES = int(os.environ.get("SOAK_FRAMES", "200000"))
SETTLED = 2_000
"""Frames after which memory is not to grow any more."""
GROWTH_KIB = 2 * 1024
CAMERA_FAULTS = ("stall", "damaged", "black", "same", "large", "unplug")
_GREETING = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

pytestmark = pytest.mark.timeout(3 * 3600)


class Trouble(threading.Thread):
    """Does something to the run's outputs, again and again, until told to end."""

    def __init__(self, page: int, disk: Path, broker: RealBroker | None, *, visitors: bool) -> None:
        super().__init__(daemon=True)
        self._visits = [self.watch, self.leave, self.ask, self.babble] if visitors else []
        self.did: Counter[str] = Counter()
        self.ending = threading.Event()
        self._page = page
        self._ballast = disk / "ballast"
        self._broker = broker
        self._broker_is_up = broker is not None
        self._viewers: list[socket.socket] = []
        self._chance = random.Random(0)

    def run(self) -> None:
        acts = [*self._visits, self.pause, self.fill, self.free]
        acts += [self.broker] if self._broker else []
        while not self.ending.wait(self._chance.uniform(0.0, 0.1)):
            act = self._chance.choice(acts)
            with contextlib.suppress(OSError, urllib.error.URLError):
                act()
                self.did[act.__name__] += 1
        self.free()
        for viewer in self._viewers:
            viewer.close()
        if self._broker_is_up:
            self._broker.stop()

    def watch(self) -> None:
        """Open a viewer that asks for pictures and reads nothing."""
        if len(self._viewers) < 10:  # two more than are let in
            viewer = socket.create_connection(("127.0.0.1", self._page), timeout=5)
            self._viewers.append(viewer)
            viewer.sendall(_GREETING + b"\x81\x87\0\0\0\0picture")

    def leave(self) -> None:
        if self._viewers:
            self._viewers.pop(self._chance.randrange(len(self._viewers))).close()

    def ask(self) -> None:
        path = self._chance.choice(("status", "metrics", "healthz", ""))
        urllib.request.urlopen(self._url(path), timeout=5).read()

    def babble(self) -> None:
        """Send a request that is none."""
        with socket.create_connection(("127.0.0.1", self._page), timeout=5) as visitor:
            visitor.sendall(self._chance.randbytes(200) + b"\r\n\r\n")
            visitor.recv(1000)

    def pause(self) -> None:
        if self._chance.random() < 0.3:
            urllib.request.urlopen(self._url("stop"), data=b"", timeout=5).read()
            time.sleep(0.02)
        urllib.request.urlopen(self._url("start"), data=b"", timeout=5).read()

    def fill(self) -> None:
        """Leave no room on the log's disk."""
        if self._chance.random() < 0.5:
            return
        with self._ballast.open("ab") as file:
            file.write(b"\0" * (1 << 19))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def broker(self) -> None:
        """Stop the broker, or start it again."""
        if self._chance.random() < 0.9:
            return
        (self._broker.stop if self._broker_is_up else self._broker.start)()
        self._broker_is_up = not self._broker_is_up

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._page}/{path}"


@pytest.mark.parametrize(
    ("visitors", "wanted"), [(False, FRAMES), (True, max(FRAMES // 10, 5_000))]
)
def test_memory_descriptors_and_threads_stay_and_every_frame_is_accounted_for(
    bundle: Path, full_disk: Path, tmp_path: Path, visitors: bool, wanted: int
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        page = free.getsockname()[1]
    broker = RealBroker(tmp_path) if MOSQUITTO else None
    trouble = Trouble(page, full_disk, broker, visitors=visitors)
    where = (full_disk / "events.jsonl", f"127.0.0.1:{page}", broker.port if broker else 1)
    child = [sys.executable, Path(__file__).with_name("soak_run.py"), bundle, wanted, *where]
    trouble.start()
    began = time.monotonic()
    try:
        with (tmp_path / "messages").open("w") as messages:
            done = subprocess.run(
                list(map(str, child)), stdout=subprocess.PIPE, stderr=messages, text=True
            )
    finally:
        trouble.ending.set()
        trouble.join()
    said = (tmp_path / "messages").read_text()
    assert done.returncode == 0, said[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    settled = next(kib for frame, kib in found["resident_kib"] if frame >= SETTLED)
    frame, final = found["resident_kib"][-1]
    highest = max(kib for _, kib in found["resident_kib"])
    summary, camera = found["summary"], found["camera"]
    frames = summary["frames"]
    print(
        f"\n{wanted} frames in {time.monotonic() - began:.0f} s: {settled} KiB resident at frame "
        f"{SETTLED}, {final} at frame {frame}, {highest} at most; {found['before']} before, "
        f"{found['after']} after; frames {frames}, camera {camera['frames']}; faults "
        f"{summary['faults']}; lost {summary['lost']}; trouble {dict(trouble.did)}"
    )
    assert "Traceback" not in said
    assert found["code"] == 0
    assert frames["read"] == wanted
    outcomes = sum(frames[key] for key in ("read", "dropped", "unreadable", "paused"))
    assert 0 <= camera["frames"] - outcomes <= 3  # under way when the summary was made
    assert frames["with_faces"] > 0.7 * wanted
    assert frames["paused"] > 0
    assert min(camera["did"][word] for word in CAMERA_FAULTS) > wanted / 2000
    assert camera["held"] == 0
    assert min(trouble.did.values()) > 0
    assert summary["lost"]["log"] > 0
    assert found["before"] == found["after"]
    assert final - settled < GROWTH_KIB

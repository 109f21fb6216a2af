"""What a service manager hears of a run, and that it hears nothing when no frame moves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest
from fake_camera import FakeCamera
from stream_servers import MjpegServer

from fer_edge.device import sources
from fer_edge.device.control import Control
from fer_edge.device.run import RunOptions, run
from fer_edge.device.sources.supervised import Recovery
from fer_edge.device.supervisor import Supervisor
from fer_edge.errors import FerEdgeError


class Manager:
    """A service manager's end of the socket; a thread reads all the time."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._name = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._name)
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while (message := self._socket.recv(4096)) != b"CLOSE":
            for line in message.decode().splitlines():
                self._lines.put(line)
        self._socket.close()

    def say(self, message: bytes) -> None:
        """Send to this very end, behind all that was sent before."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message, self._name)

    def wait_for(self, wanted: str, patience: float = 30) -> list[str]:
        """All lines before a wanted one."""
        lines = []
        while (line := self._lines.get(timeout=patience)) != wanted:
            lines.append(line)
        return lines

    def heard(self) -> list[str]:
        """All lines that have come by now."""
        self.say(b"NOW")
        return self.wait_for("NOW")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.say(b"CLOSE")


def test_the_first_frame_makes_a_service_ready_and_later_ones_are_signs_of_life(manager):
    with Supervisor(manager.address, watchdog=0.2) as supervisor:
        supervisor.status("opening\ncamera 0")
        assert manager.heard() == ["STATUS=opening camera 0"]
        supervisor.moving(lambda: "one")
        assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=one"]
        for _ in range(50):
            supervisor.moving(lambda: "too early")
        assert manager.heard() == []
        time.sleep(0.06)
        supervisor.moving(lambda: "two")
        assert manager.heard() == ["WATCHDOG=1", "STATUS=two"]
        time.sleep(0.06)
        supervisor.working()
        assert manager.heard() == ["WATCHDOG=1"]
        supervisor.stopping()
        assert manager.heard()[0] == "STOPPING=1"


def test_an_abstract_socket_is_one_too():
    manager = Manager(f"@fer-edge-{os.getpid()}")
    with Supervisor(manager.address) as supervisor:
        supervisor.moving(lambda: "")
    assert manager.heard()[0] == "READY=1"
    manager.say(b"CLOSE")


@pytest.mark.parametrize("watchdog", ["", "0", "soon"])
def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(tmp_path, watchdog):
    nobody = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": watchdog}
    for environment in ({}, {"NOTIFY_SOCKET": ""}, nobody):
        with Supervisor.from_environment(environment) as supervisor:
            supervisor.moving(lambda: "one")
            supervisor.working()
            supervisor.stopping()


def test_a_manager_that_reads_nothing_holds_up_nobody_and_hears_that_it_is_ready_later(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, Supervisor(address) as it:
        manager.bind(address)
        began = time.monotonic()
        for _ in range(2000):
            it.status("busy")
        it.moving(lambda: "first")
        assert time.monotonic() - began < 1
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                assert manager.recv(4096) == b"STATUS=busy"
        it.moving(lambda: "second")
        assert manager.recv(4096).startswith(b"READY=1\n")


@pytest.fixture
def environment(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "40000")


@contextmanager
def _camera(monkeypatch: pytest.MonkeyPatch, script: list[str], **recovery) -> Iterator[FakeCamera]:
    made = FakeCamera(script, period=0.003)
    live = sources.LiveSource
    with monkeypatch.context() as patch:
        patch.setattr(sources, "find_camera", lambda name, colour: made)
        patch.setattr(
            sources,
            "LiveSource",
            lambda found, **options: live(found, recovery=Recovery(**recovery), **options),
        )
        yield made


def test_a_run_tells_what_it_does_from_its_start_to_its_end(
    bundle, manager, environment, monkeypatch
):
    with _camera(monkeypatch, []):
        run(RunOptions(bundle=bundle, camera="0", max_frames=60))
    lines = manager.heard()
    first = lines.index("READY=1")
    assert lines[:first] == ["STATUS=proving the bundle", "STATUS=opening fake camera"]
    assert lines[first + 2].startswith("STATUS=fake camera: 1 frames")
    signs = [line for line in lines if line.startswith("STATUS=fake camera: ")]
    assert lines.count("WATCHDOG=1") == len(signs) > 3
    assert "frame to label p50" in signs[-1]
    assert signs[-1].endswith(str(bundle))
    assert lines[-2:] == ["STOPPING=1", "STATUS=finishing"]


def test_a_camera_that_is_being_got_going_is_work_and_its_fault_is_the_status(
    bundle, manager, environment, monkeypatch
):
    with _camera(monkeypatch, ["frame"] * 5 + ["stall"] * 3, pauses=(0.5,)):
        run(RunOptions(bundle=bundle, camera="0", max_frames=30))
    lines = manager.heard()
    told = next(n for n, line in enumerate(lines) if "trying to get it going" in line)
    back = next(n for n, line in enumerate(lines) if "is back after" in line)
    assert lines[told:back].count("WATCHDOG=1") >= 3


def test_a_camera_that_gave_no_frame_yet_does_not_make_the_service_ready(
    bundle, manager, environment, monkeypatch
):
    with (
        _camera(monkeypatch, ["stall"] * 9, pauses=(0.2,)),
        pytest.raises(FerEdgeError, match="nothing helped"),
    ):
        run(RunOptions(bundle=bundle, camera="0"))
    assert "READY=1" not in manager.heard()


def test_a_hanging_driver_is_no_sign_of_life(bundle, manager, environment, monkeypatch):
    with (
        _camera(monkeypatch, ["frame"] * 5 + ["hang"], hung=0.6) as camera,
        pytest.raises(FerEdgeError, match="hangs"),
    ):
        run(RunOptions(bundle=bundle, camera="0"))
    camera.release_hang.set()
    assert manager.heard().count("WATCHDOG=1") <= 3


@pytest.mark.parametrize("live", [True, False])
def test_a_run_that_is_stopped_on_the_page_stays_alive(live):
    control = Control()
    control.stop()
    alive: list[int] = []

    def idle() -> None:
        alive.append(1)
        if len(alive) == 3:
            control.start()

    frames = control.gate(iter(range(9)), live=live, stopped=lambda: False, idle=idle)
    assert len(list(frames)) == (6 if live else 9)
    assert len(alive) == 3


def test_a_process_that_is_frozen_falls_silent_and_speaks_again(bundle, manager):
    server = MjpegServer(pictures=[])
    command = [sys.executable, "-m", "fer_edge", "run", str(bundle), "--camera", server.url]
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            manager.wait_for("READY=1")
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            manager.heard()
            time.sleep(0.5)
            assert manager.heard() == []
            process.send_signal(signal.SIGCONT)
            manager.wait_for("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            manager.wait_for("STOPPING=1")
            assert process.wait(30) == 0
        finally:
            process.kill()
            server.die()

"""``fer-edge run --camera`` through the real picamera2: drawn people in, events out, faults met."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import cv2
import pytest
from rootfs import ROOT, command, ensure_rootfs

from fer_edge.data.clip import draw_frames
from fer_edge.demo import run_demo

EXPRESSIONS = ("happy", "surprise")
INSIDE = Path("/opt/inside")
PATIENCE = 60


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bundle; the demo runs first where it did not yet."""
    made = ROOT / "demo" / "demo.fer"
    if made.exists():
        return made
    folder = tmp_path_factory.mktemp("demo") / "demo"
    run_demo(folder)
    return folder / "demo.fer"


@pytest.fixture(scope="session")
def rootfs(bundle: Path) -> Path:
    """The rootfs with this checkout's code, the bundle, and pictures of two expressions."""
    folder = ensure_rootfs()
    for name in ("inside", "pictures", "out"):
        shutil.rmtree(folder / "opt" / name, ignore_errors=True)
    inside = folder / "opt" / "inside"
    shutil.copytree(Path(__file__).parent / "inside", inside)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fer_edge", inside / "fer_edge", ignore=ignored)
    shutil.copy(bundle, inside / "demo.fer")
    (folder / "opt" / "out").mkdir()
    _draw_pictures(folder / "opt" / "pictures")
    return folder


def _draw_pictures(folder: Path) -> None:
    """One person, 640×480, happy in the first half and surprised in the second."""
    folder.mkdir()
    shown: dict[str, list[Any]] = {label: [] for label in EXPRESSIONS}
    for picture, (face,) in draw_frames(168, (640, 480), 1, seed=0):
        if face.settled and face.expression in shown:
            shown[face.expression].append(picture)
    pictures = [picture for label in EXPRESSIONS for picture in shown[label]]
    for number, picture in enumerate(pictures):
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        assert cv2.imwrite(str(folder / f"{number}.jpg"), picture, quality)


def _python(rootfs: Path, script: str, *words: str) -> list[str]:
    return command(rootfs, "/opt/venv/bin/python", str(INSIDE / script), *words)


def _fer_edge(rootfs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words = ("run", str(INSIDE / "demo.fer"), *words)
    return subprocess.run(
        _python(rootfs, "fer_edge_run.py", *words), capture_output=True, text=True, timeout=PATIENCE
    )


class Running:
    """``fer-edge run --camera --json`` under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._events: Queue[dict[str, Any]] = Queue()
        for work in (self._read_events, self._read_messages):
            threading.Thread(target=work, daemon=True).start()

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next so many events."""
        return [self._events.get(timeout=PATIENCE) for _ in range(count)]

    def rest(self) -> list[dict[str, Any]]:
        """The events that are left, once it has ended."""
        self.process.wait(PATIENCE)
        found = []
        while not found or "summary" not in found[-1]:
            found += self.events(1)
        return found

    def wait_for(self, text: str) -> None:
        """Wait for a message."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in line for line in self.said):
            assert time.monotonic() < deadline, f"no '{text}' among {self.said}"
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    def _read_events(self) -> None:
        for line in self.process.stdout or ():
            entry = json.loads(line)
            if "event" not in entry:  # a line about a track, not about a face in a frame
                self._events.put(entry)

    def _read_messages(self) -> None:
        for line in self.process.stderr or ():
            self.said.append(line)


@contextmanager
def _running(rootfs: Path) -> Iterator[Running]:
    words = ("run", str(INSIDE / "demo.fer"), "--camera", "--json")
    with subprocess.Popen(
        _python(rootfs, "fer_edge_run.py", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def test_faces_are_named_a_stall_is_survived_and_ctrl_c_sums_up(rootfs: Path) -> None:
    with _running(rootfs) as run:
        before = run.events(150)
        run.process.send_signal(signal.SIGUSR1)
        run.wait_for("camera 0 gave no frame for 2 s; trying to get it going")
        time.sleep(5)  # past reading once more and restarting: it is opened anew
        run.process.send_signal(signal.SIGUSR1)
        run.wait_for("camera 0 is back after")
        after = run.events(150)
        run.process.send_signal(signal.SIGINT)
        *last, summary = run.rest()
    assert run.process.returncode == 130
    events = [*before, *after, *last]
    labels = Counter(event["label"] for event in events)
    for label in EXPRESSIONS:
        assert labels[label] > 0.3 * len(events), labels
    assert all(0 < event["latency_ms"]["light"] < 2000 for event in events)
    frames = summary["frames"]
    assert frames["with_faces"] > 0.9 * frames["read"]
    assert frames["unreadable"] == 0
    assert summary["faults"] == {"stalled": 1}
    assert summary["interrupted"] is True
    assert events[-1]["frame"] < frames["read"] + frames["dropped"]
    assert not any("Traceback" in line or "Exception" in line for line in run.said), run.said


def test_a_stalled_camera_does_not_keep_sigterm_waiting(rootfs: Path) -> None:
    with _running(rootfs) as run:
        run.events(5)
        run.process.send_signal(signal.SIGUSR1)
        run.wait_for("gave no frame")
        began = time.monotonic()
        run.process.send_signal(signal.SIGTERM)
        assert run.rest()[-1]["interrupted"] is True
    assert run.process.returncode == 0
    assert time.monotonic() - began < 8


def test_a_camera_that_never_comes_back_ends_the_run_for_its_supervisor(rootfs: Path) -> None:
    with _running(rootfs) as run:
        run.events(5)
        run.process.send_signal(signal.SIGUSR1)
        summary = run.rest()[-1]
    assert run.process.returncode == 2
    assert summary["interrupted"] is False
    assert re.search(r"camera 0 gave no frame for 2 s; nothing helped for \d+ s", run.said[-2])
    assert "ribbon cable" in run.said[-1]


def test_colour_frames_make_an_annotated_video(rootfs: Path) -> None:
    done = _fer_edge(rootfs, "--camera", "0", "--save", "/opt/out/video.mp4", "--max-frames", "20")
    assert done.returncode == 0, done.stderr
    video = cv2.VideoCapture(str(rootfs / "opt/out/video.mp4"))
    pictures = []
    while (read := video.read())[0]:
        pictures.append(read[1])
    assert len(pictures) >= 10  # each in its place in time
    blue, green, red = cv2.mean(pictures[0])[:3]
    assert len({round(blue), round(green), round(red)}) == 3


def test_no_such_camera_is_said_in_two_lines(rootfs: Path) -> None:
    done = _fer_edge(rootfs, "--camera", "5")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "fer-edge: no camera 5: No camera number 5 found"
    assert len(done.stderr.splitlines()) == 2


def test_opening_and_closing_leaks_nothing_and_a_second_reader_is_told_busy(rootfs: Path) -> None:
    done = subprocess.run(
        _python(rootfs, "open_and_close.py"), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["before"] == found["after"]
    assert found["second"] == "camera 0 is busy"
    assert found["gray_is_a_copy"] is False
    assert 0 < found["age_ms"] < 1000
    assert found["tones"][0] < 60
    assert found["tones"][1] > 180

"""The page in a real browser."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "device"))
from made import result, vitals
from stream_servers import MjpegServer

from fer_edge.data.clip import draw_frames
from fer_edge.device.web import Address, WebPage

playwright = pytest.importorskip("playwright.sync_api", reason="make test-outputs installs it")
expect = playwright.expect
expect.set_options(timeout=30_000)

CHROMIUM = shutil.which("chromium-headless-shell")
TOKEN = "a-token-that-nobody-guesses"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: apt-get install chromium-headless-shell"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as engine:
        made = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def tab(browser) -> Iterator[object]:
    """A tab that is to see no error, of the script's or of the content policy."""
    made = browser.new_page(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(30_000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda message: errors.append(message.text))
    yield made
    made.close()
    # a refused token, and a server that has gone, are told in the console as well
    expected = ("Failed to load resource", "WebSocket connection")
    assert [text for text in errors if not text.startswith(expected)] == []


class Pipeline:
    """Puts out frames whose brightness moves; its one face is as happy or sad as it is told."""

    def __init__(self, page: WebPage, tally) -> None:
        self.label = "happy"
        self.events: list[str] = []
        self._page, self._tally = page, tally
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._thread.join()

    def _go(self) -> None:
        index = 0
        while not self._end.wait(0.02):
            index += 1
            event = self.events.pop() if self.events else None
            made = result(index, event=event)
            face = replace(made.faces[0], label=self.label)
            made = replace(made, faces=(face,))
            self._tally.add(made)
            self._page.write(made)


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    run = vitals()
    page = WebPage(Address("127.0.0.1", 0), run)
    with page, Pipeline(page, run.tally) as made:
        made.url = f"http://{page.address}/"
        yield made


def _picture(tab, place: str) -> np.ndarray:
    """What an element looks like, (H, W, 3) uint8."""
    return cv2.imdecode(np.frombuffer(tab.locator(place).screenshot(), np.uint8), cv2.IMREAD_COLOR)


def _shown(tab, pictures: int) -> None:
    """Wait until the preview has shown so many pictures."""
    end = time.monotonic() + 30
    while int(tab.locator("#preview").get_attribute("data-pictures") or 0) < pictures:
        assert time.monotonic() < end, "the preview does not move"
        time.sleep(0.02)


def test_the_preview_moves_and_labels_events_and_latencies_are_updated(tab, pipeline):
    tab.goto(pipeline.url)
    _shown(tab, 2)
    before = _picture(tab, "#preview")
    expect(tab.locator("#faces")).to_have_text("#1 happy 91%")
    _shown(tab, 20)
    assert (_picture(tab, "#preview") != before).mean() > 0.5
    pipeline.label = "sad"
    expect(tab.locator("#faces")).to_have_text("#1 sad 91%")
    pipeline.events.append("appear")
    expect(tab.locator("#events")).to_contain_text("#1 appears, happy")
    expect(tab.locator("#stages")).to_contain_text("frame to label5.38")
    expect(tab.locator("#counts")).to_contain_text("2 dropped")
    chart = _picture(tab, "#chart").reshape(-1, 3)
    assert len(np.unique(chart, axis=0)) > 10


def test_inference_is_stopped_and_started_by_a_button(tab, pipeline):
    tab.goto(pipeline.url)
    tab.get_by_role("button", name="Stop").click()
    expect(tab.locator("#state")).to_have_text("stopped")
    tab.get_by_role("button", name="Start").click()
    expect(tab.locator("#state")).to_have_text("running")


def test_a_page_whose_run_has_ended_says_so_and_comes_back(tab):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", free.getsockname()[1])
    for _ in range(2):
        run = vitals()
        page = WebPage(address, run)
        with page, Pipeline(page, run.tally):
            if tab.url == "about:blank":
                tab.goto(f"http://{address}/")
            expect(tab.locator("#state")).to_have_text("running")
        expect(tab.locator("#state")).to_have_text("no connection")


def test_a_page_whose_device_falls_silent_says_so_and_comes_back(tab, bundle):
    camera = MjpegServer(pictures=[frame for frame, _ in draw_frames(40, (320, 240), 1, seed=3)])
    command = [sys.executable, "-m", "fer_edge", "run", bundle, "--camera", camera.url]
    command += ["--serve", "127.0.0.1:0"]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        try:
            tab.goto(process.stderr.readline().split()[2])
            expect(tab.locator("#state")).to_have_text("running")
            process.send_signal(signal.SIGSTOP)
            expect(tab.locator("#state")).to_have_text("no connection", timeout=10_000)
            process.send_signal(signal.SIGCONT)
            expect(tab.locator("#state")).to_have_text("running")
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(20)
            camera.die()


def test_a_wrong_token_is_refused_and_the_right_one_shows_a_cameras_faces(tab, bundle, tmp_path):
    pictures = [frame for frame, _ in draw_frames(40, (320, 240), 1, seed=3)]
    camera = MjpegServer(pictures=pictures)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    command = [sys.executable, "-m", "fer_edge", "run", bundle, "--camera", camera.url]
    command += ["--serve", "127.0.0.1:0", "--token-file", token]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            assert line.startswith("serving on http://"), line
            tab.goto(line.split()[2], wait_until="commit")
            tab.locator("#token").fill("not-the-token-at-all")
            tab.get_by_role("button", name="Enter").click()
            tab.get_by_text("Wrong token.").wait_for()
            assert not tab.locator("#all").is_visible()
            assert tab.locator("#preview").get_attribute("data-pictures") is None
            tab.locator("#token").fill(TOKEN)
            tab.get_by_role("button", name="Enter").click()
            _shown(tab, 3)
            expect(tab.locator("#faces")).to_contain_text("%")
            first = int(tab.locator("#preview").get_attribute("data-frame"))
            _shown(tab, 10)
            assert int(tab.locator("#preview").get_attribute("data-frame")) > first
            cookies = tab.context.cookies()
            assert [cookie["httpOnly"] for cookie in cookies] == [True]
            assert TOKEN not in str(cookies)
        finally:
            process.terminate()
            process.wait(20)
            camera.die()
            time.sleep(0.1)
    assert process.returncode == 0

"""``fer-edge run --camera`` as a whole, on cameras made of software, faults included."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import pytest
from fake_camera import FakeCamera
from stream_servers import MjpegServer

from fer_edge.device import sources, web
from fer_edge.device.run import RunOptions, run
from fer_edge.device.services import ServiceOptions
from fer_edge.device.sources import open_source
from fer_edge.device.sources.supervised import Recovery
from fer_edge.device.web import WebPage
from fer_edge.errors import FerEdgeError


@pytest.fixture
def server(clip) -> Iterator[MjpegServer]:
    """A network camera that sees the clip's people."""
    with open_source(video=clip.path, colour=True) as source:
        pictures = [frame.colour for frame in source.frames()]
    made = MjpegServer(pictures=pictures)
    yield made
    made.die()


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "fer_edge", "run", *map(str, words)]


def test_faces_in_front_of_a_network_camera_become_events_and_sigterm_sums_up(bundle, server):
    command = _command(bundle, "--camera", server.url, "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        events = [json.loads(it.stdout.readline()) for _ in range(30)]
        it.send_signal(signal.SIGTERM)
        rest, messages = it.communicate(timeout=30)
    assert it.returncode == 0, messages
    summary = json.loads(rest.splitlines()[-1])
    assert all(event["box"] and event["label"] for event in events)
    assert summary["source"] == server.url
    faces = [event for event in events if "event" not in event]
    assert len(faces) >= 20
    assert 2 * summary["frames"]["read"] >= len(faces)
    assert summary["interrupted"] is True
    assert "trying" not in messages


def test_a_camera_that_is_not_there_is_two_lines_without_a_word_from_ffmpeg(bundle):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"rtsp://user:secret@127.0.0.1:{free.getsockname()[1]}/stream"
    done = subprocess.run(
        _command(bundle, "--camera", url), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    what, remedy = done.stderr.splitlines()
    assert "no camera answers at 127.0.0.1" in what
    assert remedy.startswith("  → ")
    assert "secret" not in done.stderr
    assert done.stdout == ""


_HANGING = """
import sys
from functools import partial
from fer_edge.cli import main
from fer_edge.device import sources
from fer_edge.device.sources.stream import NetworkCamera
from fer_edge.device.sources.supervised import Recovery
sources.find_camera = lambda name, colour: NetworkCamera(name, timeout=50.0)
sources.LiveSource = partial(sources.LiveSource, recovery=Recovery(hung=0.5))
sys.argv[0] = "fer-edge"
main()
"""


def test_a_driver_that_hangs_leaves_an_error_and_an_exit_code(bundle):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = ["run", bundle, "--camera", f"http://127.0.0.1:{silent.getsockname()[1]}/"]
        command = [sys.executable, "-c", _HANGING, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert done.returncode == 2, done.stderr
    assert "hangs: a call into its driver has not come back" in done.stderr
    assert len(done.stderr.splitlines()) == 2


_STALLING = """
import sys
from functools import partial
from fake_camera import FakeCamera
from fer_edge.cli import main
from fer_edge.device import sources
from fer_edge.device.sources.supervised import Recovery
script = ["frame"] * 9 + ["stall", "black"]
sources.find_camera = lambda name, colour: FakeCamera(script, period=0.003)
sources.LiveSource = partial(sources.LiveSource, recovery=Recovery(pauses=(0.0,)))
main()
"""


@pytest.mark.parametrize("unread", ["a reader that has gone", "/dev/full"])
def test_messages_that_nobody_can_read_cost_neither_the_run_nor_its_events(bundle, unread):
    if unread == "/dev/full":
        errors = os.open(unread, os.O_WRONLY)
    else:
        reading, errors = os.pipe()
        os.close(reading)
    words = ["run", bundle, "--camera", "--json", "--every-frame", "--max-frames", "60"]
    # nobody answers at port 1, which paho's thread has to say
    words += ["--mqtt", "mqtt://127.0.0.1:1"]
    command = [sys.executable, "-c", _STALLING, *map(str, words)]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        timeout=40,
        env=os.environ | {"PYTHONPATH": path},
    )
    os.close(errors)
    *_, summary = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, summary["frames"]["read"]) == (0, 60)
    assert summary["faults"] == {"stalled": 1, "black": 1}


@pytest.fixture
def fake_camera(monkeypatch: pytest.MonkeyPatch) -> FakeCamera:
    """Found by every name, and given up after three attempts."""
    camera = FakeCamera(period=0.003)
    live = sources.LiveSource
    monkeypatch.setattr(sources, "find_camera", lambda name, colour: camera)
    monkeypatch.setattr(
        sources,
        "LiveSource",
        lambda found, **options: live(found, recovery=Recovery(pauses=(0.0,)), **options),
    )
    return camera


def _summary(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_camera_lost_in_mid_run_gives_its_summary_before_the_error(bundle, fake_camera, capsys):
    fake_camera._script = iter(["frame"] * 9 + ["stall"] * 99)
    with pytest.raises(FerEdgeError, match="nothing helped"):
        run(RunOptions(bundle=bundle, camera="0", json=True))
    frames = _summary(capsys)["frames"]
    assert frames["read"] + frames["dropped"] == 9
    assert fake_camera.held == 0


def test_a_fault_is_said_when_it_happens_and_counted_in_the_summary(bundle, fake_camera, capsys):
    fake_camera._script = iter(["frame"] * 9 + ["stall", "black"])
    run(RunOptions(bundle=bundle, camera="0", max_frames=30))
    shown = capsys.readouterr()
    assert "fake camera gave no frame; trying to get it going\n" in shown.err
    assert "fake camera gives black pictures" in shown.err
    assert "fake camera: stalled 1×" in shown.out


def test_a_saved_video_of_a_camera_is_as_long_as_it_was_watched(
    bundle, fake_camera, capsys, tmp_path
):
    video = tmp_path / "out.avi"
    options = RunOptions(bundle=bundle, camera="0", json=True, every_frame=True, save=video)
    run(replace(options, max_frames=100))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, *_, last, _ = lines
    seconds = datetime.fromisoformat(last["time"]) - datetime.fromisoformat(first["time"])
    frames = cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT)
    assert (frames - 1) / fake_camera.fps == pytest.approx(seconds.total_seconds(), abs=0.1)


class JumpingClock(datetime):
    """A wall clock that somebody sets back by a day again and again."""

    calls = 0

    @classmethod
    def now(cls, tz=None):
        cls.calls += 1
        return datetime.now(UTC) - timedelta(days=cls.calls % 2)


def test_a_wall_clock_that_jumps_changes_the_events_time_and_nothing_else(
    bundle, fake_camera, capsys, monkeypatch
):
    monkeypatch.setattr("fer_edge.device.outputs.jsonl.datetime", JumpingClock)
    monkeypatch.setattr("time.time", lambda: -1e9)
    run(RunOptions(bundle=bundle, camera="0", json=True, every_frame=True, max_frames=30))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    *events, summary = lines
    days = {event["time"][:10] for event in events}
    assert len(days) == 2
    assert all(0 <= event["latency_ms"]["total"] < 1e3 for event in events)
    assert 0 < summary["seconds"] < 60
    assert summary["faults"] == {}


def test_inference_stopped_on_the_page_lets_frames_go_and_counts_them(
    bundle, fake_camera, capsys, tmp_path
):
    asked: list[bytes] = []

    def stop_and_start(url: str) -> None:
        for path in ("stop", "start"):
            asked.append(urllib.request.urlopen(f"{url}{path}", data=b"", timeout=10).read())
            time.sleep(0.3)

    class Page(WebPage):
        def __enter__(self):
            super().__enter__()
            url = f"http://{self.address}/"
            threading.Thread(target=stop_and_start, args=(url,), daemon=True).start()
            return self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "WebPage", Page)
        log = tmp_path / "events.jsonl"
        services = ServiceOptions(serve="0", log=log)
        options = RunOptions(
            bundle=bundle, camera="0", json=True, services=services, max_frames=400
        )
        run(options)
    summary = _summary(capsys)
    assert asked == [b'{"running": false}', b'{"running": true}']
    assert summary["frames"]["paused"] > 10
    assert summary["frames"]["read"] == 400
    assert summary["lost"] == {"log": 0}
    assert json.loads(log.read_text().splitlines()[-1]) == summary
